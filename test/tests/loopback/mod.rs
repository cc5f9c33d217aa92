//! Localhost over several fractions: the kernel's own sockets, steer and the reflector, in network namespaces.

mod isolation;
mod listeners;
mod membership;
mod settings;
mod tcp;
mod udp;

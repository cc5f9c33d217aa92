//! Localhost over several fractions: the kernel's own sockets, steer and the reflector, in network namespaces.

mod cookies;
mod isolation;
mod listeners;
mod membership;
mod namesakes;
mod settings;
mod silence;
mod tcp;
mod udp;

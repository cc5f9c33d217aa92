//! Localhost over several fractions: the kernel's own sockets, steer and the reflector, in network namespaces.

mod tcp;

//! The reflector in the real kernel. Needs root; everything happens in namespaces of each test's own.

mod differential;
mod encode;
mod garbage;
mod life;
mod site;

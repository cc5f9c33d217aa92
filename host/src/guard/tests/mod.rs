//! The guard in the real kernel. Needs root; everything happens in namespaces of each test's own.

mod frame;
pub(crate) mod intruder;
mod life;
mod rate;
mod rules;
pub(crate) mod wire;
pub(crate) mod world;

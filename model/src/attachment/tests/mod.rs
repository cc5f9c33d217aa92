//! [`VmNics`](super::VmNics) against a simulated world: what it decides is carried out on [`World`](simulation::Simulation),
//! with failures and crashes at any point.

mod endpoint;
mod given_back;
mod lifecycle;
mod properties;
mod reserved;
mod simulation;
mod told;

//! The guest's half on the real kernel.

mod fabric;
mod pod_nic;
mod port_mapping;

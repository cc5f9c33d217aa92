//! The guest's half on the real kernel.

mod fabric;
mod lent_nic;
mod pod_nic;
mod port_mapping;

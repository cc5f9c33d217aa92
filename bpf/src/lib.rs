//! The in-kernel programs, compiled from `programs/` (C) and embedded, with the types they share with us.
//!
//! `guard` filters what a NIC's host end lets out of a VM; `steer` and `reflector` carry loopback traffic between the
//! fractions of a split pod. Loading and attaching are the business of those who use them.

pub mod guard;
pub mod reflector;
pub mod steer;

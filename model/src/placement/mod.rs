//! Placement: which VMs to buy for a client's pods, and which container goes into which, for the planner
//! and for the controller alike.
//!
//! A [`Client`] pays for its own VMs, bought from a [`Catalogue`] of [`VmSize`]s. A [`Strategy`] turns a
//! [`Task`] into a [`Plan`]; [`Rules`] say whether pods may be split into [`Fraction`]s and which VMs can
//! share a split pod. Plans are compared by [`Score`]: cost, then split pods, then fractions.
//!
//! All quantities are integers, all effort is counted in steps: the same task gives the same plan.

pub mod bound;
pub mod catalogue;
pub mod constraint;
pub mod error;
pub mod kubernetes;
mod packing;
pub mod plan;
pub mod pod;
pub mod price;
mod problem;
mod relation;
pub mod resources;
mod room_index;
pub mod strategy;
pub mod verify;

pub use bound::{Bound, Proof};
pub use catalogue::{Catalogue, VmSize};
pub use constraint::Constraints;
pub use error::PlacementError;
pub use kubernetes::Kubernetes;
pub use plan::{Fraction, Plan, PlannedVm, Score};
pub use pod::{Client, Container, ContainerKind, Pod};
pub use price::Price;
pub use problem::check;
pub use resources::Resources;
pub use strategy::{HostModel, Rules, Splitting, Strategy, Task};
pub use verify::{Violation, verify};

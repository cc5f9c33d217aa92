//! Placement: which VMs to buy for a client's pods, and which container goes into which, for the planner
//! and for the controller alike.
//!
//! A [`Client`] pays for its own VMs, bought from a [`Catalogue`] of [`VmSize`]s. A [`Strategy`] turns a
//! [`Task`] into a [`Plan`]; [`Rules`] say whether pods may be split into [`Fraction`]s and which VMs can
//! share a split pod. Plans are compared by [`Score`]: cost, then split pods, then fractions.
//!
//! All quantities are integers, all effort is counted in steps: the same task gives the same plan.

pub mod best_fit;
pub mod bound;
pub mod catalogue;
pub mod compare;
mod configuration;
pub mod constraint;
pub mod dot_product;
pub mod error;
pub mod exact;
mod fill;
mod fit;
#[cfg(feature = "highs")]
pub mod highs;
pub mod hostlo;
mod knapsack;
pub mod kubernetes;
pub mod local_search;
mod packing;
pub mod plan;
pub mod pod;
pub mod price;
mod problem;
mod rates;
mod related;
mod relation;
pub mod resources;
mod room_index;
pub mod strategy;
pub mod verify;
mod vm_sets;

pub use best_fit::BestFit;
pub use bound::{Bound, Proof, lower_bound};
pub use catalogue::{Catalogue, VmSize};
pub use compare::{Comparison, Terms, compare, strategies, strategy};
pub use constraint::Constraints;
pub use dot_product::DotProduct;
pub use error::PlacementError;
pub use exact::{Effort, Exact};
#[cfg(feature = "highs")]
pub use highs::Highs;
pub use hostlo::Hostlo;
pub use kubernetes::Kubernetes;
pub use local_search::LocalSearch;
pub use plan::{Fraction, Plan, PlannedVm, Score};
pub use pod::{Client, Container, ContainerKind, Pod};
pub use price::Price;
pub use problem::check;
pub use resources::Resources;
pub use strategy::{HostModel, Rules, Splitting, Strategy, Task};
pub use verify::{Violation, verify};

#[cfg(test)]
mod tests;

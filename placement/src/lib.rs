//! Placement: which VMs to buy for a client's pods, and which container goes into which, for the planner
//! and for the controller alike.
//!
//! A [`Client`] pays for its own VMs, bought from a [`Catalogue`] of [`VmSize`]s. A [`Strategy`] turns a
//! [`Task`] into a [`Plan`]; [`Rules`] say whether pods may be split into [`Fraction`]s and which VMs can
//! share a split pod. Plans are compared by [`Score`]: cost, then split pods, then fractions.
//!
//! All quantities are integers, all effort is counted in steps: the same task gives the same plan.

mod best_fit;
mod bound;
mod catalogue;
mod compare;
mod configuration;
pub mod constraint;
mod dot_product;
mod draw;
mod effort;
mod error;
mod exact;
mod fill;
mod fit;
#[cfg(feature = "highs")]
mod highs;
pub mod hostlo;
mod item;
mod knapsack;
mod kubernetes;
mod leaders;
mod local_search;
mod packing;
mod plan;
mod plan_packing;
mod pod;
mod price;
mod problem;
mod rates;
mod related;
mod relation;
mod resources;
mod room_index;
mod set_search;
mod strategy;
mod verify;
mod violation;
mod vm_sets;

pub use best_fit::BestFit;
pub use bound::{Bound, Proof, lower_bound};
pub use catalogue::{Catalogue, VmSize};
pub use compare::{Comparison, Terms, compare, strategies, strategy};
pub use constraint::Constraints;
pub use dot_product::DotProduct;
pub use effort::Effort;
pub use error::PlacementError;
pub use exact::Exact;
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
pub use verify::verify;
pub use violation::Violation;

#[cfg(test)]
mod tests;

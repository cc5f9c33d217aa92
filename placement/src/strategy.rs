//! What every strategy is given, and the trait behind which each stands.

use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::error::PlacementError;
use crate::plan::Plan;
use crate::pod::Client;
use crate::resources::Resources;

/// Whether pods may be split, and into how many fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Splitting {
    /// Every pod is in one VM.
    Whole,
    /// A pod may be over several VMs, but at most `max_fractions` where that is given (at least 1).
    Split {
        /// The most fractions of one pod.
        max_fractions: Option<u32>,
    },
}

impl Splitting {
    /// Split without a limit.
    pub const ANY: Self = Self::Split { max_fractions: None };

    /// The most fractions a pod may have.
    pub fn max_fractions(self) -> u32 {
        match self {
            Self::Whole => 1,
            Self::Split { max_fractions } => max_fractions.unwrap_or(u32::MAX).max(1),
        }
    }
}

/// What is known of the physical machines below the VMs. Loopback traffic stays on one machine, so all VMs
/// that share a split pod, directly or through others, must be on one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostModel {
    /// A client's VMs are all on one host, however many there are: the assumption of the Hostlo paper.
    /// Reports must state it.
    #[default]
    OnePerClient,
    /// Hosts have this size: VMs that share split pods fit one together. There are as many as are needed.
    Sized(Resources),
}

/// The terms of a plan beside client and catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Whether pods may be split.
    pub splitting: Splitting,
    /// Where VMs that share a split pod may be.
    pub hosts: HostModel,
}

impl Rules {
    /// Whole pods only.
    pub const WHOLE: Self = Self { splitting: Splitting::Whole, hosts: HostModel::OnePerClient };
    /// Split at will, one host for each client.
    pub const SPLIT: Self = Self { splitting: Splitting::ANY, hosts: HostModel::OnePerClient };
}

/// One client to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Whose pods.
    pub client: &'a Client,
    /// What can be bought.
    pub catalogue: &'a Catalogue,
    /// On which terms.
    pub rules: Rules,
}

/// A way to place a client's pods.
///
/// Guarantees: the plan holds every container once, breaks no rule ([`verify`](crate::verify) finds
/// nothing), and is the same for the same task on every machine: effort is counted in steps, never in
/// time. May be called from several threads.
pub trait Strategy: Send + Sync {
    /// The name users choose it by, such as `best-fit`.
    fn name(&self) -> &'static str;

    /// Places all pods of the task's client.
    ///
    /// # Errors
    /// [`PlacementError`] names the pod that cannot be placed, and why.
    fn place(&self, task: Task<'_>) -> Result<Plan, PlacementError>;
}

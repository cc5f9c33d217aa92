//! What can be wrong with a plan.

use thiserror::Error;

/// The first thing that is wrong with a plan. Numbers are indices into client, plan and catalogue.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Violation {
    /// An index points nowhere, a VM is empty, or a fraction has no containers.
    #[error("VM {vm} is empty or names something that does not exist")]
    Malformed {
        /// Which VM.
        vm: usize,
    },
    /// A container is nowhere.
    #[error("container {container} of pod {pod} is in no VM")]
    Lost {
        /// Which pod.
        pod: usize,
        /// Which container.
        container: usize,
    },
    /// A container is in two places.
    #[error("container {container} of pod {pod} is in more than one place")]
    Doubled {
        /// Which pod.
        pod: usize,
        /// Which container.
        container: usize,
    },
    /// A VM is fuller than it can be.
    #[error("VM {vm} holds more {what} than it can")]
    Overfull {
        /// Which VM.
        vm: usize,
        /// CPU or memory, pods, or NICs.
        what: &'static str,
    },
    /// More VMs of a size than there are.
    #[error("size {size} is used more often than it is available")]
    Unavailable {
        /// Which size.
        size: usize,
    },
    /// A pod is in too many fractions, or was separated where it may not be.
    #[error("pod {pod} is split in a way that is not allowed")]
    Split {
        /// Which pod.
        pod: usize,
    },
    /// A VM's labels or taints do not suit a pod.
    #[error("pod {pod} may not be in VM {vm}")]
    NotAdmitted {
        /// Which pod.
        pod: usize,
        /// Which VM.
        vm: usize,
    },
    /// Affinity, anti-affinity or spread does not hold.
    #[error("the {demand} of pod {pod} does not hold")]
    Relation {
        /// Which pod.
        pod: usize,
        /// Which of its constraints.
        demand: &'static str,
    },
    /// VMs that share a split pod have no common host, or do not fit one.
    #[error("VM {vm} shares a split pod with VMs that it cannot share a host with")]
    Host {
        /// Which VM.
        vm: usize,
    },
}

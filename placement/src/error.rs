//! Why there is no plan.

use thiserror::Error;

use crate::resources::Resources;
use crate::violation::Violation;

/// Why a client cannot be planned, or a catalogue cannot be used. Nothing is placed then.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlacementError {
    /// The catalogue has no size.
    #[error("the catalogue is empty; name at least one VM size")]
    EmptyCatalogue,
    /// Two sizes have one name.
    #[error("VM size {size} is in the catalogue twice; give every size a name of its own")]
    SizeTwice {
        /// Its name.
        size: String,
    },
    /// A size's reserved part is all of its CPU or memory.
    #[error("VM size {size} has nothing left for pods after what the node keeps; reserve less or drop it")]
    SizeWithoutRoom {
        /// Its name.
        size: String,
    },
    /// A size's price is beyond what is believed.
    #[error("VM size {size} costs more than a million an hour; prices are millionths of a dollar")]
    SizeTooDear {
        /// Its name.
        size: String,
    },
    /// A pod without containers.
    #[error("client {client}: pod {pod} has no containers")]
    NoContainers {
        /// Who pays.
        client: String,
        /// The pod's name.
        pod: String,
    },
    /// A set of inseparable containers names one that is not there.
    #[error("client {client}: pod {pod} ties container {container} to others but has only {count}")]
    NoSuchContainer {
        /// Who pays.
        client: String,
        /// The pod's name.
        pod: String,
        /// The index that was named.
        container: usize,
        /// How many containers the pod has.
        count: usize,
    },
    /// No size has the labels the pod wants, or the pod tolerates none's taints.
    #[error(
        "client {client}: no VM size has the labels pod {pod} selects without taints that it does not tolerate"
    )]
    NoSizeAdmitted {
        /// Who pays.
        client: String,
        /// The pod's name.
        pod: String,
    },
    /// The pod (or, when it may be split, a part that may not) fits no size that it may use.
    #[error("client {client}: {part} of pod {pod} needs {request}, more than any VM size it may use offers")]
    FitsNoSize {
        /// Who pays.
        client: String,
        /// The pod's name.
        pod: String,
        /// `all`, or the name of the first container of the part that does not fit.
        part: String,
        /// What it needs.
        request: Resources,
    },
    /// Sizes with a limited number of VMs are used up.
    #[error(
        "client {client}: no VM is left that could hold pod {pod}; the catalogue limits how many there are"
    )]
    Exhausted {
        /// Who pays.
        client: String,
        /// The pod's name.
        pod: String,
    },
    /// Affinity, anti-affinity or spread cannot be satisfied, whatever is bought.
    #[error(
        "client {client}: no VM, bought or new, satisfies what pod {pod} demands of other pods ({demand})"
    )]
    Unsatisfiable {
        /// Who pays.
        client: String,
        /// The pod's name.
        pod: String,
        /// Which kind of demand.
        demand: &'static str,
    },
    /// A placement that was given is none for this client and catalogue.
    #[error("client {client}: the placement given breaks a rule")]
    NoPlan {
        /// Who pays.
        client: String,
        /// Which rule.
        #[source]
        source: Violation,
    },
    /// The client's requests add up to more than can be counted.
    #[error("client {client}: requests add up to more than 2^53 bytes or milli-vCPU")]
    TooMuch {
        /// Who pays.
        client: String,
    },
}

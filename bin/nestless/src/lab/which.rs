//! The lab that a command is about.

use crate::complete;
use clap_complete::ArgValueCandidates;
use nestless_lab::LabName;

/// Which lab.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Which {
    /// The lab's name.
    #[arg(long, value_name = "LAB", default_value = "lab", add = ArgValueCandidates::new(complete::labs))]
    pub(crate) name: LabName,
}

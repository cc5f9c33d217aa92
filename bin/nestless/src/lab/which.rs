//! The lab that a command is about.

use nestless_lab::LabName;

/// Which lab.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Which {
    /// The lab's name.
    #[arg(long, value_name = "LAB", default_value = "lab")]
    pub(crate) name: LabName,
}

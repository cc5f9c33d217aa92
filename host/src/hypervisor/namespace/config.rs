//! What the operator writes of a namespace.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A network namespace that plays a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceConfig {
    /// Where it is bound: `/run/netns/NAME`, or `/proc/PID/ns/net`.
    pub path: PathBuf,
}

//! Between the plugin and the agent: one length-prefixed JSON message each way over a unix socket, the sandbox's
//! network namespace beside the first byte as SCM_RIGHTS.

use super::{CniError, Environment, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest message either side reads, in bytes; the length before it is four bytes, big-endian. A configuration is
/// bounded to 1 MiB and may double when it is quoted.
pub const MAX_MESSAGE_BYTES: u32 = 4 << 20;

/// A call, as the plugin got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Invocation {
    /// The plugin's variables.
    pub environment: Environment,
    /// The plugin's standard input.
    pub configuration: String,
}

/// What the plugin prints, and how it exits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// Exit code 0 or 1.
    pub success: bool,
    /// For standard output; `None`: nothing is printed.
    pub output: Option<Value>,
}

impl Answer {
    /// Success, with nothing or a result to print.
    pub fn success(output: Option<Value>) -> Self {
        Self { success: true, output }
    }

    /// A failure, told in `version`.
    pub fn failure(error: &CniError, version: Version) -> Self {
        Self { success: false, output: Some(error.to_json(version)) }
    }
}

//! Labs: topologies of hosts, VMs and pods, built on this machine to test, demonstrate and measure.

mod cache;
pub mod guest;
pub mod image;
mod progress;

pub use cache::{Cache, CacheError};
pub use progress::Progress;

/// What a container runtime in a lab's VM is told about our plugin.
pub const CNI_CONFIG: &str = r#"{
  "cniVersion": "1.1.0",
  "name": "pods",
  "plugins": [{ "type": "nestless-cni", "network": "pods", "agentSocket": "/run/nestless/agent.sock" }]
}
"#;

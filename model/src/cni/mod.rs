//! The Container Network Interface, versions 0.3.1 to 1.1.0: what a runtime asks and what it is answered.
//!
//! ```text
//! environment + standard input -> parse_request -> Request -> (agent) -> CniResult | CniError -> JSON in the version asked for
//! ```
//!
//! Sources: containernetworking/cni SPEC.md and CONVENTIONS.md, spec version 1.1.0.

mod args;
mod conf;
mod ended;
mod error;
mod keys;
mod loopback;
mod node;
mod request;
mod result;
mod runtime;
mod version;
mod wire;

pub use args::{Environment, PodArgs, TraceContext};
pub use conf::{DEFAULT_AGENT_SOCKET, NetworkConf};
pub use ended::Ended;
pub use error::CniError;
pub use loopback::Mode;
pub use request::{Add, Check, Del, Gc, Request, answer_version, parse_request};
pub use result::{CniResult, Dns, Interface, Ip, Route};
pub use runtime::RuntimeConfig;
pub use version::{Version, VersionError};
pub use wire::{Answer, Invocation, MAX_MESSAGE_BYTES};

#[cfg(test)]
mod tests;

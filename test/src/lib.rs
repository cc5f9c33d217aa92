//! What the end-to-end tests share: a lab that must leave nothing, calls of the plugin, and the question whether ledger,
//! kernel and hypervisor agree.
//!
//! The programs must have been built: `cargo build`.

pub mod agreement;
pub mod census;
pub mod cni;
pub mod conversation;
pub mod daemon;
pub mod echo;
pub mod fault;
pub mod fractions;
pub mod frame;
pub mod guest;
pub mod localhost;
pub mod loopback_frame;
pub mod monitor;
pub mod operator;
pub mod patience;
pub mod serving;
pub mod site;
pub mod socket;
pub mod spare;
pub mod split;
pub mod traffic;

pub use agreement::agree;
pub use cni::{Call, Failure};
pub use conversation::{Conversation, End};
pub use daemon::Daemon;
pub use echo::Echo;
pub use monitor::Monitor;
pub use patience::{PATIENCE, eventually};
pub use serving::Serving;
pub use site::{Site, lab};

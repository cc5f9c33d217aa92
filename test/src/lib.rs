//! What the end-to-end tests share: a lab that must leave nothing, calls of the plugin, and the question whether ledger,
//! kernel and hypervisor agree.
//!
//! The programs must have been built: `cargo build`.

pub mod agreement;
pub mod census;
pub mod cni;
pub mod conversation;
pub mod echo;
pub mod fault;
pub mod fractions;
pub mod frame;
pub mod guest;
pub mod localhost;
pub mod loopback_frame;
pub mod monitor;
pub mod operator;
pub mod serving;
pub mod site;
pub mod socket;
pub mod spare;
pub mod split;
pub mod traffic;

pub use agreement::agree;
pub use cni::{Call, Failure};
pub use conversation::{Conversation, End};
pub use echo::Echo;
pub use monitor::Monitor;
pub use serving::Serving;
pub use site::{Site, lab};

use std::{future::Future, time::Duration};

/// How long anything that must come may take, on a busy machine without KVM.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `look` finds what it looks for. What it looks at tells no events, or this would wait for them.
///
/// # Panics
/// When it does not come within [`PATIENCE`]; `what` and the last reason are told.
pub async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(reason) => {
                assert!(tokio::time::Instant::now() < end, "{what}: {reason}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

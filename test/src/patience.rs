//! Waiting for what must come.

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

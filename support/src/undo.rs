//! Taking back a set-up that went half-way.
//!
//! Each step pushes its inverse as it succeeds. When the whole has succeeded, [`Undo::disarm`]; when a step fails,
//! [`Undo::unwind`] runs the inverses, last one first, goes on after a failure, and returns all failures.
//!
//! ```
//! # use nestless_support::undo::Undo;
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let mut undo = Undo::new();
//! undo.push("delete the file", || std::fs::remove_file("/nowhere/file"));
//! undo.push_async("leave the group", async || Ok::<(), std::io::Error>(()));
//! let failures = undo.unwind().await.unwrap_err();
//! assert!(failures.to_string().starts_with("1 of the steps back failed: delete the file: No such file"));
//! # }
//! ```

use crate::error_chain::in_full;
use futures_util::{FutureExt as _, future::BoxFuture};
use std::fmt;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

enum Inverse {
    Sync(Box<dyn FnOnce() -> Result<(), BoxError> + Send>),
    Async(Box<dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send>),
}

/// The steps back, in the order in which the steps forth were made.
///
/// Dropped while it holds steps (a cancelled request, a panic), it does what can be done there: inside a tokio runtime
/// the unwinding goes on as a task of its own; elsewhere the synchronous steps are run and the others logged as left over.
#[must_use = "dropping it undoes the steps"]
#[derive(Default)]
pub struct Undo {
    steps: Vec<(String, Inverse)>,
}

impl Undo {
    /// Nothing to take back yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step back. `what` says what it does, in the imperative.
    pub fn push<E>(
        &mut self,
        what: impl Into<String>,
        inverse: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) where
        E: Into<BoxError>,
    {
        let inverse = Box::new(move || inverse().map_err(Into::into));
        self.steps.push((what.into(), Inverse::Sync(inverse)));
    }

    /// Adds a step back that waits.
    pub fn push_async<E, F>(&mut self, what: impl Into<String>, inverse: impl FnOnce() -> F + Send + 'static)
    where
        E: Into<BoxError>,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let inverse = Box::new(move || inverse().map(|outcome| outcome.map_err(Into::into)).boxed());
        self.steps.push((what.into(), Inverse::Async(inverse)));
    }

    /// Takes over the steps of another, which come before its own when unwinding.
    pub fn append(&mut self, mut other: Self) {
        self.steps.append(&mut other.steps);
    }

    /// All went well: what was done stays.
    pub fn disarm(mut self) {
        self.steps.clear();
    }

    /// Takes everything back, last step first.
    ///
    /// # Errors
    /// Every step back that failed; the others were done all the same.
    pub async fn unwind(mut self) -> Result<(), UndoFailures> {
        let steps = std::mem::take(&mut self.steps);
        unwind(steps).await
    }
}

async fn unwind(steps: Vec<(String, Inverse)>) -> Result<(), UndoFailures> {
    let mut failures = Vec::new();
    for (step, inverse) in steps.into_iter().rev() {
        tracing::debug!(%step, "undo");
        let outcome = match inverse {
            Inverse::Sync(inverse) => inverse(),
            Inverse::Async(inverse) => inverse().await,
        };
        if let Err(cause) = outcome {
            failures.push(UndoFailure { step, cause });
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(UndoFailures { failures }) }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if self.steps.is_empty() {
            return;
        }
        let steps = std::mem::take(&mut self.steps);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(failures) = unwind(steps).await {
                    tracing::warn!(%failures, "undo after a cancelled set-up");
                }
            });
            return;
        }
        for (step, inverse) in steps.into_iter().rev() {
            match inverse {
                Inverse::Sync(inverse) => {
                    if let Err(cause) = inverse() {
                        tracing::warn!(%step, %cause, "undo after a cancelled set-up");
                    }
                }
                Inverse::Async(_) => tracing::warn!(%step, "left over: no runtime to undo it in"),
            }
        }
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|(what, _)| what)).finish()
    }
}

/// A step back that failed.
#[derive(Debug)]
pub struct UndoFailure {
    /// What it was to do.
    pub step: String,
    /// Why it failed.
    pub cause: BoxError,
}

/// All steps back that failed; at least one. What they were to remove is left over.
#[derive(Debug)]
pub struct UndoFailures {
    /// In the order in which they were tried.
    pub failures: Vec<UndoFailure>,
}

// The causes are several, so that none can be the `source`: this one message has them all.
impl fmt::Display for UndoFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the steps back failed", self.failures.len())?;
        for (position, failure) in self.failures.iter().enumerate() {
            let separator = if position == 0 { ": " } else { "; " };
            write!(f, "{separator}{}: {}", failure.step, in_full(failure.cause.as_ref()))?;
        }
        Ok(())
    }
}

impl std::error::Error for UndoFailures {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, Mutex},
    };
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn unwinds_backwards_and_goes_on_after_failures() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut undo = Undo::new();
        for (number, fails) in [(1, true), (2, false), (3, true)] {
            let order = Arc::clone(&order);
            undo.push_async(format!("step {number}"), async move || {
                order.lock().unwrap().push(number);
                if fails { Err(io::Error::other("stuck")) } else { Ok(()) }
            });
        }
        let failures = undo.unwind().await.unwrap_err();
        assert_eq!(*order.lock().unwrap(), [3, 2, 1]);
        assert_eq!(failures.to_string(), "2 of the steps back failed: step 3: stuck; step 1: stuck");
    }

    #[tokio::test]
    async fn disarmed_does_nothing() {
        let mut undo = Undo::new();
        undo.push("panic", || -> io::Result<()> { panic!("must not run") });
        undo.disarm();
    }

    #[tokio::test]
    async fn a_cancelled_set_up_is_undone_all_the_same() {
        let (sender, mut undone) = mpsc::unbounded_channel();
        let setting_up = tokio::spawn(async move {
            let mut undo = Undo::new();
            let early = sender.clone();
            undo.push("first", move || early.send("first"));
            undo.push_async("second", async move || sender.send("second"));
            std::future::pending::<()>().await;
            undo.disarm();
        });
        tokio::task::yield_now().await;
        setting_up.abort();
        assert!(setting_up.await.unwrap_err().is_cancelled());
        assert_eq!(undone.recv().await, Some("second"));
        assert_eq!(undone.recv().await, Some("first"));
    }

    #[test]
    fn without_a_runtime_the_synchronous_steps_run() {
        let (sender, done) = std::sync::mpsc::channel();
        let mut undo = Undo::new();
        undo.push("tell", move || sender.send(()));
        drop(undo);
        assert_eq!(done.try_recv(), Ok(()));
    }
}

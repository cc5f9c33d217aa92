//! Work inside a namespace, on a thread of its own.

use super::{Namespace, NamespaceError};
use nix::sched::{CloneFlags, setns};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};
use tokio::sync::oneshot;

impl Namespace {
    /// Runs `work` inside, and returns what it returns. The work may block; it runs inside the caller's tokio runtime
    /// where there is one, so that it can make the runtime's sockets.
    ///
    /// Dropping the returned future does not stop the work.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the work panics.
    pub async fn run<T, W>(&self, work: W) -> Result<T, NamespaceError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.start(work)?.await.map_err(|_| self.panicked())?
    }

    /// [`Namespace::run`] for where there is no runtime, or blocking does no harm.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the work panics.
    pub fn run_blocking<T, W>(&self, work: W) -> Result<T, NamespaceError>
    where
        T: Send,
        W: FnOnce() -> T + Send,
    {
        thread::scope(|scope| {
            thread::Builder::new()
                .name("netns".into())
                .spawn_scoped(scope, || self.enter().map(|()| work()))
                .map_err(|source| self.no_thread(source))?
                .join()
                .map_err(|_| self.panicked())?
        })
    }

    fn start<T, W>(&self, work: W) -> Result<oneshot::Receiver<Result<T, NamespaceError>>, NamespaceError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let (answer, receiver) = oneshot::channel();
        let runtime = tokio::runtime::Handle::try_current().ok();
        let namespace = self.clone();
        thread::Builder::new()
            .name("netns".into())
            .spawn(move || {
                let _inside_runtime = runtime.as_ref().map(tokio::runtime::Handle::enter);
                let outcome = catch_unwind(AssertUnwindSafe(|| namespace.enter().map(|()| work())));
                // A panic drops the sender, which is what the caller sees; a caller that is gone wants no answer.
                if let Ok(outcome) = outcome {
                    let _ = answer.send(outcome);
                }
            })
            .map_err(|source| self.no_thread(source))?;
        Ok(receiver)
    }

    /// Moves the calling thread into the namespace, for good.
    ///
    /// Only for a thread whose whole life is in there: a thread of a shared runtime would take other tasks with it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter(&self) -> Result<(), NamespaceError> {
        setns(self, CloneFlags::CLONE_NEWNET)
            .map_err(|source| NamespaceError::Enter { path: self.origin().to_owned(), source })
    }

    fn no_thread(&self, source: std::io::Error) -> NamespaceError {
        NamespaceError::Thread { path: self.origin().to_owned(), source }
    }

    fn panicked(&self) -> NamespaceError {
        NamespaceError::Panicked { path: self.origin().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_inside_and_the_caller_stays_outside() {
        let before = Namespace::current().unwrap().id().unwrap();
        let namespace = Namespace::anonymous().unwrap();
        let inside = namespace.run(|| Namespace::current().unwrap().id().unwrap()).await.unwrap();
        assert_eq!(inside, namespace.id().unwrap());
        assert_ne!(inside, before);
        let blocking = namespace.run_blocking(|| Namespace::current().unwrap().id().unwrap()).unwrap();
        assert_eq!(blocking, inside);
        assert_eq!(Namespace::current().unwrap().id().unwrap(), before);
    }

    #[tokio::test]
    async fn a_socket_made_inside_stays_there() {
        let namespace = Namespace::anonymous().unwrap();
        let bind = |address| move || std::net::UdpSocket::bind(address);
        let socket = namespace.run(bind("0.0.0.0:7007")).await.unwrap().unwrap();
        let second = namespace.run(bind("0.0.0.0:7007")).await.unwrap();
        assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        drop(socket);
        namespace.run(bind("0.0.0.0:7007")).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let namespace = Namespace::anonymous().unwrap();
        let outcome: Result<(), _> = namespace.run(|| panic!("on purpose")).await;
        assert!(matches!(outcome, Err(NamespaceError::Panicked { .. })));
    }
}

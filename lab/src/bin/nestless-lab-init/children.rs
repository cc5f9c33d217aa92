//! Process 1 inherits every orphan, so one place reaps all children: ours, whose end somebody awaits, and others'.

use nix::{
    errno::Errno,
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::Pid,
};
use std::{
    collections::HashMap,
    io,
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Killed(i32),
}

/// Starts processes and tells how they ended. Clones share the same children.
#[derive(Clone, Default)]
pub(crate) struct Children {
    awaited: Arc<Mutex<HashMap<i32, oneshot::Sender<Ended>>>>,
}

impl Children {
    /// Starts `command`. The receiver hears of its end; nobody else may wait for it.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<(Child, oneshot::Receiver<Ended>)> {
        // Held across the start: else the reaper could take a child that ends at once before it is known here, or one
        // whose exec failed from under the standard library, which waits for it itself.
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let (sender, receiver) = oneshot::channel();
        awaited.insert(pid(&child).as_raw(), sender);
        Ok((child, receiver))
    }

    /// Reaps for ever. `signals` must have been made before the first child.
    pub(crate) async fn reap(self, mut signals: Signal) {
        loop {
            self.reap_what_ended();
            signals.recv().await;
        }
    }

    fn reap_what_ended(&self) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (pid, ended) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Ended::Exited(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ended::Killed(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => return eprintln!("nestless-lab-init: wait for children: {errno}"),
            };
            if let Some(waiting) = awaited.remove(&pid.as_raw()) {
                // Whoever started it may have lost interest.
                let _ = waiting.send(ended);
            }
        }
    }
}

/// Told when a child ends.
pub(crate) fn child_signals() -> io::Result<Signal> {
    signal(SignalKind::child())
}

/// A child's process id.
pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("the kernel's process ids are positive i32"))
}

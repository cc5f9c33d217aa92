//! The end of the VM, or of this run of it.

use nix::{
    sys::{
        reboot::{RebootMode, reboot},
        signal::{Signal, kill},
    },
    unistd::{Pid, sync},
};
use std::{process::ExitCode, sync::Arc};
use tokio::sync::Notify;

/// Exit code by which a namespace VM asks to be started again.
pub(crate) const REBOOT_EXIT: u8 = 100;

/// How it is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Off,
    Reboot,
}

/// Asks for the end. Clones ask the same VM.
#[derive(Clone, Default)]
pub(crate) struct Power {
    off: Arc<Notify>,
    reboot: Arc<Notify>,
}

impl Power {
    pub(crate) fn off(&self) {
        self.off.notify_one();
    }

    pub(crate) fn reboot(&self) {
        self.reboot.notify_one();
    }

    /// Waits until someone asks.
    pub(crate) async fn asked(&self) -> End {
        tokio::select! {
            () = self.off.notified() => End::Off,
            () = self.reboot.notified() => End::Reboot,
        }
    }
}

/// Ends a machine; returns only when the kernel refuses.
pub(crate) fn end_machine(end: End) -> ExitCode {
    // Everyone but process 1. Their pods' network goes with the kernel.
    let _ = kill(Pid::from_raw(-1), Signal::SIGTERM);
    sync();
    let mode = match end {
        End::Off => RebootMode::RB_POWER_OFF,
        End::Reboot => RebootMode::RB_AUTOBOOT,
    };
    let Err(errno) = reboot(mode);
    eprintln!("nestless-lab-init: {mode:?}: {errno}");
    ExitCode::FAILURE
}

/// Ends a namespace VM: the kernel kills every process of its PID namespace with process 1.
pub(crate) fn end_namespaces(end: End) -> ExitCode {
    match end {
        End::Off => ExitCode::SUCCESS,
        End::Reboot => ExitCode::from(REBOOT_EXIT),
    }
}

//! One QEMU, and what is known of it.

use super::{config::VectorLimits, session::Session};
use crate::hypervisor::HypervisorError;
use nestless_support::qmp::QmpError;
use std::os::fd::OwnedFd;
use tokio::sync::Mutex;

/// One QEMU.
pub struct Qemu {
    pub(super) session: Session,
    pub(super) vectors: VectorLimits,
    /// Held from choosing a slot to taking it, and while descriptors are passed.
    pub(super) plugging: Mutex<()>,
}

/// A TAP that QEMU has not been given yet: a descriptor per queue, which alone keep it.
#[derive(Debug)]
pub struct Tap(pub(super) Vec<OwnedFd>);

impl Tap {
    /// How many pairs of queues it has.
    pub fn queues(&self) -> usize {
        self.0.len()
    }
}

impl Qemu {
    /// Tells a lost connection from a refusal.
    pub(super) fn failure(
        &self,
        error: QmpError,
        refused: impl FnOnce(QmpError) -> HypervisorError,
    ) -> HypervisorError {
        if error.is_lost() { self.session.down() } else { refused(error) }
    }
}

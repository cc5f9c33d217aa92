//! What every channel comes through, whatever its transport.

use super::stream::{Bytes, ChannelStream};
use crate::daemon::Host;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use nestless_model::identity::VmName;
use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often one VM may open a channel. An agent whose connection breaks waits before it dials again.
const OPENINGS: Quota = Quota::per_second(NonZeroU32::new(5).expect("not zero"))
    .allow_burst(NonZeroU32::new(40).expect("not zero"));

/// Where open channels go, whatever they came by.
#[derive(Clone)]
pub(super) struct Entrance {
    host: Arc<Host>,
    streams: mpsc::Sender<ChannelStream>,
    openings: Arc<DefaultKeyedRateLimiter<VmName>>,
    /// Who may come in; a token ends all that came.
    open: Arc<Mutex<BTreeMap<VmName, CancellationToken>>>,
}

impl Entrance {
    /// The entrance, and where what comes in by it arrives.
    pub(super) fn new(host: &Arc<Host>) -> (Self, mpsc::Receiver<ChannelStream>) {
        let (sender, streams) = mpsc::channel(16);
        let openings = Arc::new(RateLimiter::keyed(OPENINGS));
        (Self { host: Arc::clone(host), streams: sender, openings, open: Arc::default() }, streams)
    }

    /// Lets a VM in from now on.
    pub(super) fn open(&self, vm: &VmName) {
        self.lock().insert(vm.clone(), CancellationToken::new());
    }

    /// Ends a VM's channels, and lets it in no more.
    pub(super) fn close(&self, vm: &VmName) {
        if let Some(token) = self.lock().remove(vm) {
            token.cancel();
        }
    }

    /// Notes why a VM's channel cannot be opened; empty: it can.
    pub(super) fn note_trouble(&self, vm: &VmName, trouble: String) {
        self.host.agents.note_trouble(vm, trouble);
    }

    /// Takes a channel of a VM in, or closes it when the VM has too many or comes too often. False when the daemon stops.
    pub(super) async fn admit(&self, io: impl Bytes + 'static, vm: &VmName) -> bool {
        let Some(end) = self.lock().get(vm).cloned() else { return true };
        if self.openings.check_key(vm).is_err() || !self.host.agents.open_channel(vm) {
            tracing::debug!(%vm, "one channel too many; closed");
            return true;
        }
        tracing::debug!(%vm, "channel open");
        self.streams.send(ChannelStream::new(io, vm, &self.host, end)).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<VmName, CancellationToken>> {
        // Whole between statements.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! DEL: whatever is left, any number of times.

use super::Agent;
use crate::attachments::{Phase, Record};
use nestless_guest::identify::plugged_mac;
use nestless_model::{
    cni::{CniError, Del},
    identity::{InterfaceName, Mac},
};
use nestless_support::{netlink::Netlink, netns::Namespace, telemetry::TraceParent};

impl Agent {
    pub(super) async fn del(
        &self,
        del: Del,
        sandbox: Option<Namespace>,
        trace: TraceParent,
    ) -> Result<(), CniError> {
        let _guard = self.locks.container(&del.attachment.container).await;
        let record = match self.attachments.get(&del.attachment) {
            Some(record) => record,
            // The host may know it all the same: from before this run directory.
            None => Record {
                nic: find(sandbox.as_ref(), &del.attachment.interface).await,
                sandbox: del.sandbox,
                mapped: true,
                ..Record::new(del.attachment, Phase::Detaching)
            },
        };
        self.release(record, sandbox.as_ref(), trace).await
    }
}

/// The NIC of ours that has this name in the sandbox.
async fn find(sandbox: Option<&Namespace>, interface: &InterfaceName) -> Option<Mac> {
    let inside = Netlink::inside(sandbox?).await.ok()?;
    plugged_mac(&inside.link(interface.as_str()).await.ok()?)
}

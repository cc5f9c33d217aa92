//! GC: detaches all of one network that are not listed. Runs alone, and goes on after a failure.

use super::Agent;
use nestless_model::{
    cni::{CniError, Gc, Mode},
    refusal::Reason,
};
use nestless_support::telemetry::TraceParent;
use std::collections::BTreeSet;

impl Agent {
    pub(super) async fn gc(&self, gc: Gc, trace: TraceParent) -> Result<(), CniError> {
        let _alone = self.locks.all().await;
        let valid: BTreeSet<_> = gc.valid.into_iter().collect();
        let mut failures = Vec::new();
        for record in self.attachments.all() {
            // Those of other networks are in other lists. Of whose network nothing is known, nobody says that it is dead.
            let other_plugin = record.attachment.is_endpoint() != (gc.conf.mode == Mode::Loopback);
            if record.conf.as_ref() != Some(&gc.conf.name)
                || other_plugin
                || valid.contains(&record.attachment)
            {
                continue;
            }
            let attachment = record.attachment.clone();
            if let Err(error) = self.release(record, None, trace).await {
                failures.push(format!("{attachment}: {}", error.message));
            }
        }
        if failures.is_empty() {
            return Ok(());
        }
        Err(CniError::new(Reason::GcIncomplete, failures.join("; ")))
    }
}

//! Ports that lead to pods stay, whatever is done to the VM's rules: a firewall that starts flushes all of them.

use super::{
    agent::Agent,
    attachments::{Phase, Record},
    error::PortsError,
    set_up::map_ports,
};
use nestless_guest::port_mapping::{self, Mapped};
use nestless_model::identity::AttachmentId;
use nestless_support::{error_chain::in_full, rules_monitor::RulesMonitor};
use std::{sync::Arc, time::Duration};

/// Without being told. Rules that do not come by nftables are nobody's to tell.
const PERIOD: Duration = Duration::from_secs(30);
/// Whoever changes rules changes many, and may not have finished.
const PAUSE: Duration = Duration::from_millis(500);

impl Agent {
    /// Puts ports back whenever the VM's rules change. Runs until cancelled.
    pub(crate) async fn keep_ports(self: Arc<Self>) {
        let mut monitor = RulesMonitor::here().inspect_err(|error| {
            tracing::debug!(%error, "the VM's rules are looked at now and then only");
        });
        loop {
            let broken = match &mut monitor {
                Ok(monitor) => tokio::select! {
                    changed = monitor.changed() => changed.is_err(),
                    () = tokio::time::sleep(PERIOD) => false,
                },
                Err(_) => {
                    tokio::time::sleep(PERIOD).await;
                    false
                }
            };
            tokio::time::sleep(PAUSE).await;
            if broken {
                monitor = RulesMonitor::here();
            }
            self.mend_ports().await;
        }
    }

    /// Puts back what is missing.
    pub(super) async fn mend_ports(&self) {
        let all: Vec<Mapped> = self
            .attachments
            .all()
            .iter()
            .filter(|record| in_use(record))
            .filter_map(Record::mapped)
            .collect();
        if all.is_empty() {
            return;
        }
        let damaged = tokio::task::spawn_blocking(move || port_mapping::damaged(&all)).await;
        match damaged.map_err(PortsError::from).and_then(|damaged| Ok(damaged?)) {
            Ok(damaged) => {
                for attachment in damaged {
                    self.put_back(&attachment).await;
                }
            }
            Err(error) => tracing::warn!(error = in_full(&error), "port mappings cannot be looked at"),
        }
    }

    async fn put_back(&self, attachment: &AttachmentId) {
        let _guard = self.locks.container(&attachment.container).await;
        // It may have come to its end while the lock was waited for.
        let record = self.attachments.get(attachment).filter(in_use);
        let Some(mapped) = record.as_ref().and_then(Record::mapped) else { return };
        match map_ports(mapped).await {
            Ok(()) => tracing::warn!(%attachment, "its ports did not lead to it any more; put back"),
            Err(error) => {
                tracing::warn!(%attachment, error = in_full(&error), "its ports cannot be put back")
            }
        }
    }
}

fn in_use(record: &Record) -> bool {
    record.phase == Phase::InUse
}

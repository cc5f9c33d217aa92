//! `nestless reconcile` and `nestless release`: what an operator does when the daemon should look again.

use crate::{
    complete,
    operator::{Daemon, refused},
    output,
};
use clap_complete::ArgValueCandidates;
use nestless_model::identity::{ContainerId, InterfaceName, VmName};
use nestless_proto::{AttachmentId, ReconcileRequest, ReleaseRequest};
use std::process::ExitCode;

/// Compare the ledger with the kernel and every hypervisor now, and mend what differs.
#[derive(Debug, clap::Args)]
pub(crate) struct Reconcile {
    #[command(flatten)]
    daemon: Daemon,
}

impl Reconcile {
    /// Exit code 1 when something could not be mended.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut client = self.daemon.connect().await?;
        let answer = client.reconcile(ReconcileRequest {}).await.map_err(refused)?.into_inner();
        output::print(&rendered(&answer.repairs, &answer.failures))?;
        Ok(if answer.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn rendered(repairs: &[String], failures: &[String]) -> String {
    if repairs.is_empty() && failures.is_empty() {
        return "nothing differs\n".into();
    }
    let mended = repairs.iter().map(|sentence| format!("mended: {sentence}\n"));
    mended.chain(failures.iter().map(|sentence| format!("failed: {sentence}\n"))).collect()
}

/// Take a pod's interface away when its VM will not.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// The VM.
    #[arg(add = ArgValueCandidates::new(complete::vms))]
    vm: VmName,
    /// The runtime's id of the sandbox, in full.
    #[arg(add = ArgValueCandidates::new(complete::containers))]
    container: ContainerId,
    /// The interface in the sandbox.
    #[arg(default_value = "eth0")]
    interface: InterfaceName,
    #[command(flatten)]
    daemon: Daemon,
}

impl Release {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut client = self.daemon.connect().await?;
        let id = AttachmentId {
            container_id: self.container.as_str().to_owned(),
            interface: self.interface.as_str().to_owned(),
        };
        let request = ReleaseRequest { vm: self.vm.as_str().to_owned(), attachment: Some(id) };
        let existed = client.release(request).await.map_err(refused)?.into_inner().existed;
        let what = format!("{}/{} of VM {}", self.container, self.interface, self.vm);
        output::print(&if existed { format!("released {what}\n") } else { format!("{what} has no NIC\n") })?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_done() {
        assert_eq!(rendered(&[], &[]), "nothing differs\n");
        assert_eq!(rendered(&["a".into()], &["b".into()]), "mended: a\nfailed: b\n");
    }
}

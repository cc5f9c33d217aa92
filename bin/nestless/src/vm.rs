//! `nestless vm`: the VMs that the daemon serves, as its configuration has them now.

use crate::{
    operator::Daemon,
    output,
    report::Vm,
    status::{amiss, ask},
};
use clap::Subcommand;
use nestless_page::{Table, or_dash};
use schemars::JsonSchema;
use serde::Serialize;
use std::process::ExitCode;

/// One subcommand a variant.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(Ls),
}

/// List the VMs: how each is, how many NICs it can still have, and what is amiss with it.
///
/// VMs are added and removed in nestlessd's configuration, which `systemctl reload nestlessd` (SIGHUP) has it read anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    daemon: Daemon,
    /// Print JSON (`nestless schema vm-ls`).
    #[arg(long)]
    json: bool,
}

/// `nestless vm ls --json`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Vms(Vec<Vm>);

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Ls(args) => args.run().await,
        }
    }
}

impl Ls {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let vms = Vms(ask(&self.daemon).await?.vms);
        if self.json {
            output::print_json(&vms)?;
        } else {
            output::print(&render(&vms))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn render(vms: &Vms) -> String {
    let mut table = Table::new(["VM", "HYPERVISOR", "STATE", "AGENT", "VERSION", "NICS", "LIMIT", "AMISS"]);
    for vm in &vms.0 {
        table.add_row([
            vm.name.clone(),
            vm.hypervisor.clone(),
            vm.state.clone(),
            vm.channel.clone(),
            or_dash(vm.agent_version.clone()),
            vm.nics.len().to_string(),
            vm.nic_limit.to_string(),
            or_dash(amiss(vm).unwrap_or_default()),
        ]);
    }
    table.terminal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nestless_proto as proto;

    #[test]
    fn a_vm_that_is_down_says_why() {
        let vm = |name: &str, state: &str, trouble: &str| -> Vm {
            proto::VmStatus {
                name: name.into(),
                hypervisor: "qemu".into(),
                state: state.into(),
                channel: if trouble.is_empty() { "connected" } else { "waiting" }.into(),
                nic_limit: 64,
                trouble: trouble.into(),
                ..Default::default()
            }
            .into()
        };
        let vms = Vms(vec![vm("vm1", "running", ""), vm("vm2", "down", "there is no /run/vm2.qmp")]);
        insta::assert_snapshot!(render(&vms), @r"
        VM   HYPERVISOR  STATE    AGENT      VERSION  NICS  LIMIT  AMISS
        vm1  qemu        running  connected  -        0     64     -
        vm2  qemu        down     waiting    -        0     64     down: there is no /run/vm2.qmp
        ");
    }
}

//! `nestless lab up`

use super::which::Which;
use crate::{bench::VmmName, output, progress::Display, shutdown::Shutdown};
use nestless_lab::Lab;
use std::process::ExitCode;

/// Build a lab: a host, its VMs, nestlessd and the agents. It stays until `nestless lab down`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// What runs the VMs.
    #[arg(long, value_enum, default_value_t)]
    vmm: VmmName,
    /// How many VMs; they are called vm1, vm2 and so on.
    #[arg(long, default_value_t = 2)]
    vms: usize,
    /// Processors of each VM (QEMU). Without KVM more than one is slower.
    #[arg(long, default_value_t = 1)]
    cpus: u32,
    /// Memory of each VM (QEMU).
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory: u32,
    /// A program of this machine that the VMs get too, with its libraries (QEMU; repeatable).
    #[arg(long = "with", value_name = "PROGRAM")]
    programs: Vec<String>,
    /// Without nestlessd and agents: only VMs on a bridge.
    #[arg(long)]
    bare: bool,
    /// Print what was built as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let display = Display::new();
        let name = &self.which.name;
        let mut builder = Lab::builder(name.as_str())
            .vmm(self.vmm.into())
            .vms(self.vms)
            .size(self.cpus, self.memory)
            .programs(self.programs)
            .progress(display.watch());
        if self.bare {
            builder = builder.without_daemon();
        }
        let mut shutdown = Shutdown::watch()?;
        let lab = tokio::select! {
            lab = Box::pin(builder.up_detached()) => Some(lab?),
            () = shutdown.asked() => None,
        };
        let Some(lab) = lab else {
            display.finish("interrupted: everything was removed");
            return Ok(Shutdown::exit_code());
        };
        display.finish(&format!("lab {name} is up"));
        if self.json {
            output::print_json(lab.state())?;
        } else {
            output::print(&next_steps(&lab))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn next_steps(lab: &Lab) -> String {
    let name = lab.name();
    let vms = lab.vms().iter().map(|vm| {
        let addresses: Vec<_> = vm.addresses().iter().map(|a| a.addr().to_string()).collect();
        format!("  {}  {}\n", vm.name(), addresses.join("  "))
    });
    let first = lab.vms().first().map_or_else(String::new, |vm| vm.name().to_string());
    format!(
        "{}logs: {}\n\
         try:  nestless lab pod add --name {name} {first} web\n      \
         nestless lab exec --name {name} {first} -- ip address\n      \
         nestless lab down --name {name}\n",
        vms.collect::<String>(),
        lab.dir().display()
    )
}

//! `nestless topology`: what a VM must be started with so that it can take the wanted NICs later.

use crate::output;
use clap::ValueEnum;
use nestless_model::topology::{Demand, Machine, Topology};
use schemars::JsonSchema;
use serde::Serialize;
use std::process::ExitCode;

/// Print what a VM must be started with to take NICs while it runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// NICs plugged at the same time, spare ones included.
    #[arg(long, value_name = "COUNT")]
    nics: u32,
    /// The VM's virtual CPUs: their interrupt vectors bound the number of NICs.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    vcpus: u32,
    /// QEMU machine type: q35 or pc, versioned names included.
    #[arg(long, value_name = "TYPE", default_value = "q35")]
    machine: Machine,
    /// Pairs of queues for each NIC.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    queues: u16,
    /// In whose words.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Arguments to add to QEMU's command line.
    #[default]
    Qemu,
    /// Elements for a libvirt domain's `<devices>`.
    Libvirt,
    /// `nestless schema topology`
    Json,
}

/// `nestless topology --format json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// "q35" or "pc"
    machine: String,
    /// NICs the VM can have at the same time.
    nics: u32,
    /// Hot-plug places, at least as many.
    places: u32,
    /// Arguments for QEMU.
    qemu_args: Vec<String>,
    vectors: Vectors,
}

/// How many NICs get how many interrupt vectors; the first ones plugged get most.
#[derive(Debug, Serialize, JsonSchema)]
struct Vectors {
    /// Vectors of a NIC that has one for each queue.
    full: u32,
    /// NICs with a full set.
    with_full: u32,
    /// NICs with two vectors.
    with_shared: u32,
    /// NICs with none, which interrupt by INTx.
    with_none: u32,
}

impl From<&Topology> for Report {
    fn from(topology: &Topology) -> Self {
        let v = topology.vectors;
        Self {
            machine: topology.machine.to_string(),
            nics: topology.nics,
            places: topology.slots().count() as u32,
            qemu_args: topology.qemu_args(),
            vectors: Vectors {
                full: v.full,
                with_full: v.with_full,
                with_shared: v.with_shared,
                with_none: v.with_none,
            },
        }
    }
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { nics, vcpus, machine, queues, format } = self;
        let topology = Topology::plan(Demand { nics, vcpus, machine, queues })?;
        match format {
            Format::Qemu => output::print(&format!("{}\n", topology.qemu_args().join(" ")))?,
            Format::Libvirt => output::print(&topology.libvirt_xml()?)?,
            Format::Json => output::print_json(&Report::from(&topology))?,
        }
        if !matches!(format, Format::Json) {
            eprintln!("nestless: {}", advice(&topology, queues));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What goes with it in the daemon's configuration.
fn advice(topology: &Topology, queues: u16) -> String {
    let v = topology.vectors;
    let mut text = format!(
        "in nestlessd.toml: nic_limit = {}, hypervisor.qemu.vectors = {{ full = {}, two = {} }}",
        topology.nics,
        v.with_full * u32::from(queues),
        v.with_full + v.with_shared
    );
    if v.with_none > 0 {
        text +=
            &format!("; the last {} NICs will use INTx, which is slower: more vCPUs avoid it", v.with_none);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json() {
        let demand = Demand { nics: 32, vcpus: 1, machine: Machine::Q35, queues: 1 };
        let report = Report::from(&Topology::plan(demand).unwrap());
        insta::assert_snapshot!(serde_json::to_string(&report).unwrap(), @r#"{"machine":"q35","nics":32,"places":62,"qemu_args":["-device","pcie-pci-bridge,id=nestless-bridge0,bus=pcie.0","-device","pcie-pci-bridge,id=nestless-bridge1,bus=pcie.0"],"vectors":{"full":3,"with_full":32,"with_shared":0,"with_none":0}}"#);
    }

    #[test]
    fn the_daemon_is_to_know_as_well() {
        let demand = Demand { nics: 124, vcpus: 1, machine: Machine::Q35, queues: 1 };
        let advice = advice(&Topology::plan(demand).unwrap(), 1);
        assert!(
            advice.contains("nic_limit = 124, hypervisor.qemu.vectors = { full = 0, two = 87 }"),
            "{advice}"
        );
        assert!(advice.contains("the last 37 NICs"), "{advice}");
    }
}

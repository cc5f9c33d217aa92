//! How many NICs a VM can be given while it runs, and what it must be started with for that.
//!
//! Two things run out, and the second one first:
//!
//! 1. *Slots.* A bridge with hot-plug slots cannot be hot-plugged itself, so every slot must exist at boot. A
//!    `pcie-pci-bridge` (q35) or `pci-bridge` (pc) has 31 usable slots and is driven by ACPI; one root port per NIC
//!    would do as well, but 120 of them cost 20 seconds of boot time.
//! 2. *Interrupt vectors of the guest.* Linux on x86 has about 200 a vCPU. A NIC takes three (configuration, receive,
//!    transmit); beyond the last one the PCI device appears but `virtio_net` fails with `ENOSPC`, and no link ever
//!    does. [`VectorPlan`] gives later NICs fewer.
//!
//! The figures behind the limits were measured with QEMU 10.0 and a Linux 6.1 guest; `docs/host.md` has the table.

mod render;
mod vectors;

pub use vectors::{VECTORS_PER_VCPU, VectorPlan, vectors_for};

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Usable hot-plug slots of one bridge: slot 0 is left to the bridge's own controller.
pub const SLOTS_PER_BRIDGE: u32 = 31;

/// The most NICs that were ever seen to work in one VM: with one vCPU.
pub const MAX_NICS_ONE_VCPU: u32 = 124;

/// The most NICs that were ever seen to work in one VM: with two vCPUs or more.
pub const MAX_NICS: u32 = 270;

/// QEMU's machine types that take a NIC while the guest runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// PCI Express. Hot-plugs by ACPI since QEMU 6.1.
    #[default]
    Q35,
    /// i440FX, conventional PCI.
    Pc,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
        })
    }
}

impl FromStr for Machine {
    type Err = TopologyError;

    /// Versioned names (`pc-q35-9.2`, `pc-i440fx-9.2`) mean their family.
    fn from_str(text: &str) -> Result<Self, TopologyError> {
        match text {
            "q35" => Ok(Self::Q35),
            "pc" => Ok(Self::Pc),
            _ if text.starts_with("pc-q35-") => Ok(Self::Q35),
            _ if text.starts_with("pc-i440fx-") => Ok(Self::Pc),
            _ => Err(TopologyError::Machine { text: text.chars().take(40).collect() }),
        }
    }
}

/// What is wanted of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// NICs plugged at the same time, spare ones included.
    pub nics: u32,
    /// Virtual CPUs the guest boots with.
    pub vcpus: u32,
    /// Machine type.
    pub machine: Machine,
    /// Pairs of receive and transmit queues of each NIC, at least 1.
    pub queues: u16,
}

/// What a VM must be started with, and how its NICs are then plugged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Topology {
    /// Machine type.
    pub machine: Machine,
    /// Bridges, by device id, in the order they are given to the hypervisor.
    pub bridges: Vec<String>,
    /// NICs the VM can have at the same time: what was asked for.
    pub nics: u32,
    /// Interrupt vectors for each NIC.
    pub vectors: VectorPlan,
}

/// Where one NIC is plugged: `device_add virtio-net-pci,bus=BUS,addr=SLOT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Device id of the bridge, which is the name of its bus.
    pub bus: String,
    /// 1 to 31.
    pub number: u8,
}

impl Topology {
    /// Plans the slots and the vectors for `demand`.
    ///
    /// # Errors
    /// When no VM of that shape can take so many NICs; the error says what to change.
    pub fn plan(demand: Demand) -> Result<Self, TopologyError> {
        let Demand { nics, vcpus, machine, queues } = demand;
        if nics == 0 || vcpus == 0 || queues == 0 {
            return Err(TopologyError::Nothing);
        }
        let proven = if vcpus == 1 { MAX_NICS_ONE_VCPU } else { MAX_NICS };
        if nics > proven {
            return Err(TopologyError::TooMany { nics, vcpus, proven });
        }
        let bridges = (0..nics.div_ceil(SLOTS_PER_BRIDGE)).map(|i| format!("nestless-bridge{i}")).collect();
        Ok(Self { machine, bridges, nics, vectors: VectorPlan::new(nics, vcpus, queues) })
    }

    /// Every slot, in the order they are filled: all of the first bridge come first. There may be more slots
    /// than NICs were asked for; [`Topology::nics`] is the limit.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.bridges.iter().flat_map(|bus| (1..=31).map(move |number| Slot { bus: bus.clone(), number }))
    }
}

/// Why no VM can be made to take the NICs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TopologyError {
    /// A count is 0.
    #[error("NICs, vCPUs and queues must each be at least 1")]
    Nothing,
    /// More than was ever seen to work.
    #[error(
        "{nics} NICs are more than a VM with {vcpus} vCPU is known to take: {proven} is the most that was seen to work \
         (270 from 2 vCPUs up); add vCPUs or spread the pods over more VMs"
    )]
    TooMany {
        /// Asked for.
        nics: u32,
        /// Of the VM.
        vcpus: u32,
        /// The limit.
        proven: u32,
    },
    /// libvirt cannot lower a NIC's vectors.
    #[error(
        "libvirt has no setting for a NIC's interrupt vectors, so that only {fit} of {nics} NICs would work in this \
         guest: add vCPUs, ask for at most {fit}, or start the VM with QEMU's own arguments"
    )]
    LibvirtVectors {
        /// Asked for.
        nics: u32,
        /// How many fit with a full set of vectors each.
        fit: u32,
    },
    /// Not a machine type we know to hot-plug PCI devices.
    #[error(
        "machine type {text:?} is not known to hot-plug NICs: use q35 or pc (microvm has no PCI hot-plug at all)"
    )]
    Machine {
        /// What was given, cut at 40 characters.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn demand(nics: u32, vcpus: u32) -> Demand {
        Demand { nics, vcpus, machine: Machine::Q35, queues: 1 }
    }

    #[test]
    fn one_bridge_per_31_nics() {
        for (nics, bridges) in [(1, 1), (31, 1), (32, 2), (64, 3), (124, 4)] {
            assert_eq!(Topology::plan(demand(nics, 2)).unwrap().bridges.len(), bridges, "{nics}");
        }
    }

    #[test]
    fn refuses_what_cannot_work() {
        assert_eq!(Topology::plan(demand(0, 1)), Err(TopologyError::Nothing));
        assert_eq!(Topology::plan(demand(1, 0)), Err(TopologyError::Nothing));
        assert_eq!(
            Topology::plan(demand(125, 1)),
            Err(TopologyError::TooMany { nics: 125, vcpus: 1, proven: MAX_NICS_ONE_VCPU })
        );
        assert!(Topology::plan(demand(270, 2)).is_ok());
        assert!(Topology::plan(demand(271, 64)).is_err());
    }

    #[test]
    fn machine_types_by_family() {
        assert_eq!("pc-q35-9.2".parse(), Ok(Machine::Q35));
        assert_eq!("pc-i440fx-7.2".parse(), Ok(Machine::Pc));
        assert!("microvm".parse::<Machine>().unwrap_err().to_string().contains("no PCI hot-plug"));
    }

    proptest! {
        #[test]
        fn enough_places_and_none_twice(nics in 1..=MAX_NICS, vcpus in 2u32..64) {
            let topology = Topology::plan(demand(nics, vcpus)).unwrap();
            let slots: Vec<_> = topology.slots().map(|slot| (slot.bus, slot.number)).collect();
            let distinct: std::collections::BTreeSet<_> = slots.iter().collect();
            prop_assert!(slots.len() >= nics as usize);
            prop_assert!(slots.len() < nics as usize + SLOTS_PER_BRIDGE as usize);
            prop_assert_eq!(distinct.len(), slots.len());
        }
    }
}

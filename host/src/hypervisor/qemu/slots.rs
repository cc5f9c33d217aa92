//! Where a NIC can be plugged: buses, and their slots. Pure: [`super::machine`] reads what this decides on.

use nestless_model::identity::NicId;
use std::collections::BTreeSet;

/// A bus that takes hot-plugged devices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bus {
    pub(super) kind: BusKind,
    /// QOM path, by which devices name their bus.
    pub(super) path: String,
}

/// In the order in which they are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BusKind {
    /// A PCI Express port: takes one device, in slot 0.
    ExpressPort,
    /// A bridge to conventional PCI. Slot 0 is left to its own hot-plug controller.
    Bridge,
    /// The root bus of machine type `pc`.
    Root,
}

impl Bus {
    /// As `device_add` wants it.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn numbers(&self) -> std::ops::RangeInclusive<u8> {
        match self.kind {
            BusKind::ExpressPort => 0..=0,
            BusKind::Bridge | BusKind::Root => 1..=31,
        }
    }
}

/// Buses, and who sits where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) buses: BTreeSet<Bus>,
    /// QOM path of the bus, and number of the slot.
    pub(super) taken: BTreeSet<(String, u8)>,
    /// QOM names of the devices that have one.
    pub(super) devices: BTreeSet<String>,
}

/// Where a NIC can be hot-plugged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// As `device_add` wants it.
    pub(super) bus: String,
    pub(super) number: u8,
}

impl Layout {
    /// Ports first: there a NIC is a PCI Express device. Always in the same order.
    pub(super) fn free_slots(&self) -> impl Iterator<Item = Slot> {
        self.buses.iter().flat_map(move |bus| {
            bus.numbers()
                .filter(move |number| !self.taken.contains(&(bus.path.clone(), *number)))
                .map(|number| Slot { bus: bus.name().to_owned(), number })
        })
    }

    /// Our NICs among the devices.
    pub(super) fn nics(&self) -> BTreeSet<NicId> {
        self.devices.iter().filter_map(|name| NicId::from_device_name(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_first_then_bridges_then_the_root_bus() {
        let bus = |kind, path: &str| Bus { kind, path: path.into() };
        let layout = Layout {
            buses: [
                bus(BusKind::Root, "/machine/i440fx/pci.0"),
                bus(BusKind::Bridge, "/machine/peripheral/br/br"),
                bus(BusKind::ExpressPort, "/machine/peripheral/rp1/rp1"),
                bus(BusKind::ExpressPort, "/machine/peripheral/rp0/rp0"),
            ]
            .into(),
            taken: [("/machine/peripheral/rp0/rp0".into(), 0), ("/machine/peripheral/br/br".into(), 1)]
                .into(),
            devices: ["nestless-1f".into(), "disk".into()].into(),
        };
        let slots: Vec<String> =
            layout.free_slots().map(|slot| format!("{}:{}", slot.bus, slot.number)).collect();
        assert_eq!(slots.len(), 1 + 30 + 31);
        assert_eq!(slots[..3], ["rp1:0", "br:2", "br:3"]);
        assert_eq!(slots[31], "pci.0:1");
        assert_eq!(layout.nics(), [NicId(0x1f)].into());
    }
}

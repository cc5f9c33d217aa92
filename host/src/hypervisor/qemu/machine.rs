//! Reads QEMU's object model: which buses take a NIC, and what sits on them.
//!
//! `query-pci` would be one command, but it shows nothing behind a bridge before the firmware has numbered the buses, and
//! not which bus takes hot-plug. The object model shows both, and hot-pluggable buses by their handler.
//!
//! A device says the same of itself for as long as it exists, so each is asked once: a plug costs the two lists of devices,
//! not five commands for every root port. QEMU refuses a slot that is taken all the same, and then everything is asked anew.

use super::slots::{Bus, BusKind, Layout};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nestless_model::identity::NicId;
use nestless_support::qmp::{QmpClient, QmpError, schema};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

const NAMED: &str = "/machine/peripheral";
const ANONYMOUS: &str = "/machine/peripheral-anon";
/// The host bridge of machine type `pc`; its root bus takes hot-plug, that of `q35` does not (docs/pcie.txt, QEMU 10).
const PC_HOST_BRIDGE: &str = "/machine/i440fx";
/// Commands in flight: QEMU queues eight before it stops reading (QMP_REQ_QUEUE_LEN_MAX, monitor/qmp.c).
const CONCURRENT: usize = 8;

type Properties = Vec<schema::ObjectPropertyInfo>;

/// QOM path and type.
type Device = (String, String);
/// QOM path of the bus, and number of the slot.
type Seat = (String, u8);

/// The bus that a device opens, and where it sits itself.
#[derive(Clone)]
struct Found {
    bus: Option<Bus>,
    seat: Option<Seat>,
}

/// A QEMU that answers.
pub(super) struct Machine {
    client: QmpClient,
    known: Mutex<BTreeMap<Device, Found>>,
}

impl Machine {
    pub(super) fn new(client: QmpClient) -> Self {
        Self { client, known: Mutex::default() }
    }

    pub(super) fn client(&self) -> &QmpClient {
        &self.client
    }

    /// Looks at the machine.
    pub(super) async fn read(&self) -> Result<Layout, QmpError> {
        let mut layout = Layout::default();
        let mut devices = BTreeSet::new();
        for parent in [NAMED, ANONYMOUS] {
            for child in list(&self.client, parent).await?.unwrap_or_default() {
                if let Some(kind) = child_type(&child) {
                    devices.insert((format!("{parent}/{}", child.name), kind.to_owned()));
                    if parent == NAMED {
                        layout.devices.insert(child.name);
                    }
                }
            }
        }
        for found in self.examine_all(devices).await? {
            layout.buses.extend(found.bus);
            layout.taken.extend(found.seat);
        }
        read_root_bus(&self.client, &mut layout).await?;
        Ok(layout)
    }

    /// What was learnt of devices: one that took another's name looks like the one that had it.
    pub(super) fn forget(&self) {
        self.known().clear();
    }

    async fn examine_all(&self, devices: BTreeSet<Device>) -> Result<Vec<Found>, QmpError> {
        let unknown: Vec<Device> = {
            let mut known = self.known();
            known.retain(|device, _| devices.contains(device));
            devices.into_iter().filter(|device| !known.contains_key(device)).collect()
        };
        let examined = stream::iter(unknown).map(|device| examine(&self.client, device));
        let examined: Vec<_> = examined.buffer_unordered(CONCURRENT).try_collect().await?;
        let mut known = self.known();
        known.extend(examined);
        Ok(known.values().cloned().collect())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Device, Found>> {
        // Whole between statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our network back ends, whether a device uses them or not. QEMU tells them only in words.
pub(super) async fn netdevs(client: &QmpClient) -> Result<BTreeSet<NicId>, QmpError> {
    let command = schema::human_monitor_command { command_line: "info network".into(), cpu_index: None };
    Ok(client.execute(&command).await?.lines().filter_map(netdev).collect())
}

/// ` \ NAME: index=0,type=tap,...` under a NIC, `NAME: ...` without one.
fn netdev(line: &str) -> Option<NicId> {
    let name = line.trim_start_matches([' ', '\\']).split([':', ' ', '\r']).next()?;
    NicId::from_device_name(name.strip_suffix("-net")?)
}

async fn examine(client: &QmpClient, device: Device) -> Result<(Device, Found), QmpError> {
    let (path, kind) = &device;
    let found = Found { bus: bus_of(client, path, kind).await?, seat: seat_of(client, path).await? };
    Ok((device, found))
}

/// The bus that a device opens, if it takes NICs.
async fn bus_of(client: &QmpClient, path: &str, kind: &str) -> Result<Option<Bus>, QmpError> {
    let kind = match kind {
        "pcie-root-port" | "ioh3420" | "xio3130-downstream" => BusKind::ExpressPort,
        "pcie-pci-bridge" | "pci-bridge" => BusKind::Bridge,
        _ => return Ok(None),
    };
    let properties = list(client, path).await?.unwrap_or_default();
    let switched_off = properties.iter().any(|property| property.name == "hotplug")
        && get(client, path, "hotplug").await? == Some(Value::Bool(false));
    let bus = properties.iter().find(|property| matches!(child_type(property), Some("PCI" | "PCIE")));
    match bus {
        Some(bus) if !switched_off => hot_pluggable(client, kind, format!("{path}/{}", bus.name)).await,
        _ => Ok(None),
    }
}

async fn hot_pluggable(client: &QmpClient, kind: BusKind, path: String) -> Result<Option<Bus>, QmpError> {
    let handler = get(client, &path, "hotplug-handler").await?;
    let handled = handler.as_ref().and_then(Value::as_str).is_some_and(|handler| !handler.is_empty());
    Ok(handled.then_some(Bus { kind, path }))
}

/// Where a device sits; `None` for one that is not on PCI.
async fn seat_of(client: &QmpClient, path: &str) -> Result<Option<Seat>, QmpError> {
    let Some(Value::String(bus)) = get(client, path, "parent_bus").await? else { return Ok(None) };
    // Slot in the upper five bits, function in the lower three.
    let address = get(client, path, "addr").await?.as_ref().and_then(Value::as_u64);
    Ok(address.and_then(|address| u8::try_from(address >> 3).ok()).map(|slot| (bus, slot)))
}

/// On `pc`: the root bus, where devices sit that have no name of their own, and no QOM path to look for.
async fn read_root_bus(client: &QmpClient, layout: &mut Layout) -> Result<(), QmpError> {
    let Some(properties) = list(client, PC_HOST_BRIDGE).await? else { return Ok(()) };
    let Some(bus) = properties.iter().find(|property| child_type(property) == Some("PCI")) else {
        return Ok(());
    };
    let path = format!("{PC_HOST_BRIDGE}/{}", bus.name);
    for root in client.execute(&schema::query_pci {}).await?.iter().filter(|root| root.bus == 0) {
        let slots = root.devices.iter().filter_map(|device| u8::try_from(device.slot).ok());
        layout.taken.extend(slots.map(|slot| (path.clone(), slot)));
    }
    layout.buses.extend(hot_pluggable(client, BusKind::Root, path).await?);
    Ok(())
}

/// `None` when there is no such object, or no more.
async fn list(client: &QmpClient, path: &str) -> Result<Option<Properties>, QmpError> {
    unless_refused(client.execute(&schema::qom_list { path: path.to_owned() }).await)
}

/// `None` when there is no such object or property, or no more.
async fn get(client: &QmpClient, path: &str, property: &str) -> Result<Option<Value>, QmpError> {
    let command = schema::qom_get { path: path.to_owned(), property: property.to_owned() };
    unless_refused(client.execute(&command).await)
}

fn unless_refused<T>(result: Result<T, QmpError>) -> Result<Option<T>, QmpError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(QmpError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `child<TYPE>`.
fn child_type(property: &schema::ObjectPropertyInfo) -> Option<&str> {
    property.type_.strip_prefix("child<")?.strip_suffix('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_ends_are_found_in_the_monitors_words() {
        let text = "hub 3\r\n \\ nestless-7-net\r\nnestless-1: index=0,type=nic,model=virtio-net-pci\r\n \\ nestless-1-net: index=0,type=tap,fds=a\r\nnestless-2-net: index=0,type=tap,fd=5\r\nother-net: x\r\n";
        let found: BTreeSet<NicId> = text.lines().filter_map(netdev).collect();
        assert_eq!(found, [NicId(1), NicId(2), NicId(7)].into());
    }
}

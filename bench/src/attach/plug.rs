//! What a cold attach cannot be faster than: QEMU's own hot-plug, from `device_add` to the NIC in the guest, without any
//! of our programs.

use anyhow::Context as _;
use nestless_lab::{Lab, Vm};
use nestless_model::{
    identity::Mac,
    topology::{Demand, Machine, Slot, Topology},
};
use nestless_support::qmp::{DEADLINE, QmpClient, schema};
use serde_json::{Map, json};
use std::time::{Duration, Instant};

const DEVICE: &str = "bench-plug";
const BACK_END: &str = "bench-plug-net";
/// A guest that does not answer at all.
const UNPLUG_DEADLINE: Duration = Duration::from_secs(30);

/// One plug.
pub(super) struct Plugged {
    /// From the command to the NIC in the guest, without the half round trip in which the guest tells of it.
    pub(super) visible: Duration,
    /// QEMU's answer to the command.
    pub(super) answered: Duration,
}

/// Plugs NICs past nestlessd, one at a time.
pub(super) struct Plugs {
    qmp: QmpClient,
    slot: Slot,
    mac: Mac,
}

impl Plugs {
    /// For a VM with `slots` slots, of which nestlessd never takes the last.
    pub(super) async fn of(lab: &Lab, vm: &str, slots: u32) -> anyhow::Result<Self> {
        let demand = Demand { nics: slots, vcpus: 1, machine: Machine::Q35, queues: 1 };
        let slot = Topology::plan(demand)?.slots().last().context("a topology without slots")?;
        let qmp = QmpClient::connect(&lab.vm(vm)?.qmp_socket(), DEADLINE).await?;
        // Not of the prefix that the agent takes for its own.
        let mac = Mac::new([0x52, 0x54, 0x00, 0x8a, 0, 1]).expect("52: is unicast");
        Ok(Self { qmp, slot, mac })
    }

    /// Plugs one and unplugs it.
    pub(super) async fn one(&self, vm: &Vm) -> anyhow::Result<Plugged> {
        let client = vm.client().await?;
        let asked = Instant::now();
        client.describe().await?;
        let way_back = asked.elapsed() / 2;
        let back_end = schema::Netdev::hubport {
            id: BACK_END.to_owned(),
            hubport: schema::NetdevHubPortOptions { hubid: 0, netdev: None },
        };
        self.qmp.execute(&schema::netdev_add(back_end)).await?;
        let device = self.device();
        let began = Instant::now();
        let answer = async { self.qmp.execute(&device).await.map(|_| began.elapsed()) };
        let (answered, seen) = tokio::join!(answer, client.await_nic(self.mac));
        let visible = began.elapsed().saturating_sub(way_back);
        let answered = answered?;
        seen?;
        self.unplug().await?;
        Ok(Plugged { visible, answered })
    }

    fn device(&self) -> schema::device_add {
        let mut arguments = Map::new();
        for (name, value) in [
            ("netdev", json!(BACK_END)),
            ("mac", json!(self.mac.to_string())),
            ("addr", json!(format!("{:x}", self.slot.number))),
            ("disable-legacy", json!("on")),
            ("romfile", json!("")),
        ] {
            arguments.insert(name.to_owned(), value);
        }
        schema::device_add {
            driver: "virtio-net-pci".to_owned(),
            bus: Some(self.slot.bus.clone()),
            id: Some(DEVICE.to_owned()),
            arguments,
        }
    }

    async fn unplug(&self) -> anyhow::Result<()> {
        let mut events = self.qmp.events();
        self.qmp.execute(&schema::device_del { id: DEVICE.to_owned() }).await?;
        let gone = async {
            loop {
                let event = events.recv().await?;
                // The device's own buses go as well, and have no id.
                if event.name == "DEVICE_DELETED" && event.data.get("device").is_some_and(|id| id == DEVICE) {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(UNPLUG_DEADLINE, gone)
            .await
            .context("the guest gave the bench's NIC not back")??;
        self.qmp.execute(&schema::netdev_del { id: BACK_END.to_owned() }).await?;
        Ok(())
    }
}

//! Plugging, and taking back what a refused plug has left.

use super::{
    command::{MAX_QUEUES, descriptor_names, effect, effect_if_any, netdev_name},
    config::VectorLimits,
    machine::Machine,
    slots::{Layout, Slot},
    vm::Qemu,
};
use crate::hypervisor::{HypervisorError, NicSpec};
use nestless_model::identity::{Mtu, NicId};
use nestless_support::{
    crash_point,
    qmp::{QmpClient, QmpError, schema},
    tap::{self, TapError},
};
use serde_json::{Map, Value, json};
use std::os::fd::OwnedFd;

/// How often another client may take the slot that was chosen before it counts as a refusal.
const SLOT_ATTEMPTS: usize = 3;

/// A plug that QEMU was not even asked for, or that failed beside QMP.
#[derive(Debug, thiserror::Error)]
enum PlugError {
    #[error("QEMU has the device already: unplug it first")]
    Present,
    #[error("{queues} queue pairs: at most {MAX_QUEUES} are supported")]
    TooManyQueues { queues: usize },
    #[error("open vhost-net")]
    Vhost(#[source] TapError),
}

impl Qemu {
    pub(super) async fn plug_nic(&self, spec: &NicSpec, queues: Vec<OwnedFd>) -> Result<(), HypervisorError> {
        let nic = spec.nic;
        if queues.len() > usize::from(MAX_QUEUES) {
            return Err(refused(nic)(PlugError::TooManyQueues { queues: queues.len() }));
        }
        let machine = self.session.machine()?;
        let client = machine.client();
        let _plugging = self.plugging.lock().await;
        // Before the first effect: a machine that is full is left as it is.
        let layout = machine.read().await.map_err(|error| self.failure(error, refused(nic)))?;
        if layout.nics().contains(&nic) {
            return Err(refused(nic)(PlugError::Present));
        }
        if layout.free_slots().next().is_none() {
            return Err(HypervisorError::NoSlot { nic });
        }
        let vhost = tap::open_vhost(spec.queues).map_err(|error| refused(nic)(PlugError::Vhost(error)))?;
        let plugged = match attach_back_end(client, nic, queues, vhost).await {
            Ok(()) => self.attach_device(&machine, layout, spec).await,
            Err(error) => Err(self.failure(error, refused(nic))),
        };
        if plugged.is_err()
            && let Err(error) = self.clear_leftovers(client, nic).await
        {
            // The next look finds it and unplugs it.
            tracing::warn!(%nic, error = &error as &dyn std::error::Error, "a refused plug was not undone");
        }
        plugged
    }

    /// Removes the back end and the descriptors of a NIC that has no device.
    pub(super) async fn clear_leftovers(
        &self,
        client: &QmpClient,
        nic: NicId,
    ) -> Result<(), HypervisorError> {
        let refused = |error: QmpError| HypervisorError::Unplug { nic, source: error.into() };
        remove_back_end(client, nic).await.map_err(|error| self.failure(error, refused))
    }

    async fn attach_device(
        &self,
        machine: &Machine,
        mut layout: Layout,
        spec: &NicSpec,
    ) -> Result<(), HypervisorError> {
        let nic = spec.nic;
        let mut attempt = 1;
        loop {
            let slot = layout.free_slots().next().ok_or(HypervisorError::NoSlot { nic })?;
            let vectors = vectors(self.vectors, layout.nics().len(), spec.queues);
            match effect(machine.client(), &device_add(spec, &slot, vectors)).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt < SLOT_ATTEMPTS && is_taken(&error) => attempt += 1,
                Err(error) => return Err(self.failure(error, refused(nic))),
            }
            machine.forget();
            layout = machine.read().await.map_err(|error| self.failure(error, refused(nic)))?;
        }
    }
}

fn refused<E: std::error::Error + Send + Sync + 'static>(nic: NicId) -> impl FnOnce(E) -> HypervisorError {
    move |error| HypervisorError::Plug { nic, source: error.into() }
}

/// Another client was faster (`do_pci_register_device` in hw/pci/pci.c).
fn is_taken(error: &QmpError) -> bool {
    matches!(error, QmpError::Refused { desc, .. } if desc.contains("not available for") || desc.contains("already occupied by"))
}

/// Hands over the descriptors, then makes the back end, which takes them.
async fn attach_back_end(
    client: &QmpClient,
    nic: NicId,
    queues: Vec<OwnedFd>,
    vhost: Option<Vec<OwnedFd>>,
) -> Result<(), QmpError> {
    let (mut taps, mut vhosts) = descriptor_names(nic, MAX_QUEUES);
    let vhost = vhost.unwrap_or_default();
    taps.truncate(queues.len());
    vhosts.truncate(vhost.len());
    for (fdname, descriptor) in taps.iter().zip(queues).chain(vhosts.iter().zip(vhost)) {
        crash_point::reached("qemu.getfd.before");
        client.execute_with_descriptor(&schema::getfd { fdname: fdname.clone() }, descriptor).await?;
        crash_point::reached("qemu.getfd.after");
    }
    let options = schema::NetdevTapOptions {
        fds: Some(taps.join(":")),
        vhost: (!vhosts.is_empty()).then_some(true),
        vhostfds: (!vhosts.is_empty()).then(|| vhosts.join(":")),
        ..no_tap_options()
    };
    effect(client, &schema::netdev_add(schema::Netdev::tap { id: netdev_name(nic), tap: options })).await?;
    Ok(())
}

async fn remove_back_end(client: &QmpClient, nic: NicId) -> Result<(), QmpError> {
    effect_if_any(client, &schema::netdev_del { id: netdev_name(nic) }).await?;
    let (taps, vhosts) = descriptor_names(nic, MAX_QUEUES);
    for fdname in taps.into_iter().chain(vhosts) {
        effect_if_any(client, &schema::closefd { fdname }).await?;
    }
    Ok(())
}

fn device_add(spec: &NicSpec, slot: &Slot, vectors: Option<u16>) -> schema::device_add {
    let mut arguments = Map::new();
    let mut set = |name: &str, value: Value| arguments.insert(name.to_owned(), value);
    set("netdev", json!(netdev_name(spec.nic)));
    set("mac", json!(spec.mac.to_string()));
    // QEMU reads it as hexadecimal (set_pci_devfn in hw/core/qdev-properties-system.c).
    set("addr", json!(format!("{:x}", slot.number)));
    // Modern only: a legacy device asks for I/O ports, which run out after about ten.
    set("disable-legacy", json!("on"));
    // No boot ROM: the firmware would load one for each NIC.
    set("romfile", json!(""));
    // The most that the guest may set: a spare NIC may become a pod's or an endpoint. Pods get their network's by the agent.
    set("host_mtu", json!(spec.mtu.max(Mtu::OF_ENDPOINTS).bytes()));
    if spec.queues > 1 {
        set("mq", json!(true));
    }
    if let Some(vectors) = vectors {
        set("vectors", json!(vectors));
    }
    schema::device_add {
        driver: "virtio-net-pci".into(),
        id: Some(spec.nic.device_name()),
        bus: Some(slot.bus.clone()),
        arguments,
    }
}

/// How many MSI-X vectors the next NIC asks for, `None` for QEMU's choice: one for each queue, and one or two more.
fn vectors(limits: VectorLimits, plugged: usize, queues: u16) -> Option<u16> {
    let plugged = u32::try_from(plugged).unwrap_or(u32::MAX);
    let pairs = plugged.saturating_add(1).saturating_mul(u32::from(queues));
    match () {
        () if pairs <= limits.full => None,
        () if plugged < limits.two => Some(2),
        () => Some(0),
    }
}

fn no_tap_options() -> schema::NetdevTapOptions {
    schema::NetdevTapOptions {
        br: None,
        downscript: None,
        fd: None,
        fds: None,
        helper: None,
        ifname: None,
        poll_us: None,
        queues: None,
        script: None,
        sndbuf: None,
        vhost: None,
        vhostfd: None,
        vhostfds: None,
        vhostforce: None,
        vnet_hdr: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_rationed_as_the_vm_fills() {
        let limits = VectorLimits::default();
        let chosen = |plugged, queues| vectors(limits, plugged, queues);
        assert_eq!(
            [chosen(0, 1), chosen(31, 1), chosen(32, 1), chosen(71, 1), chosen(72, 1)],
            [None, None, Some(2), Some(2), Some(0)]
        );
        assert_eq!([chosen(7, 4), chosen(8, 4)], [None, Some(2)]);
    }
}

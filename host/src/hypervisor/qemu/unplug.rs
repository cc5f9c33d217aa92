//! Unplugging: ask, wait for the guest, then remove what stands behind the device.

use super::{
    command::{effect, effect_if_any, netdev_name},
    machine::Machine,
    session::device,
    vm::Qemu,
};
use crate::hypervisor::HypervisorError;
use nestless_model::identity::{LinkName, NicId};
use nestless_support::{
    qmp::{Event, QmpError, schema},
    tap,
};
use std::time::Duration;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::Instant,
};

/// An unplug that QEMU does not explain.
#[derive(Debug, thiserror::Error)]
enum UnplugError {
    #[error("{link} still exists though QEMU let go of it: another process holds it")]
    LinkRemains { link: LinkName },
}

/// How the guest answered.
enum Answer {
    Released,
    Kept,
    ConnectionLost,
}

impl Qemu {
    pub(super) async fn unplug_nic(&self, nic: NicId, deadline: Duration) -> Result<(), HypervisorError> {
        let machine = self.session.machine()?;
        let client = machine.client();
        let started = Instant::now();
        // Before the question, or a fast answer would be missed.
        let events = client.events();
        let refused = |error: QmpError| HypervisorError::Unplug { nic, source: error.into() };
        let had_device = match effect(client, &schema::device_del { id: nic.device_name() }).await {
            Ok(_) => true,
            Err(error) if is_pending(&error) => true,
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(self.failure(error, refused)),
        };
        if had_device {
            match wait(&machine, events, nic, started + deadline).await {
                Answer::Released => {}
                Answer::Kept => {
                    return Err(HypervisorError::UnplugTimeout { nic, waited: started.elapsed() });
                }
                Answer::ConnectionLost => return Err(self.session.down()),
            }
            // The device had taken the back end, and that the descriptors: no name is left of them.
            let removed = effect_if_any(client, &schema::netdev_del { id: netdev_name(nic) }).await;
            removed.map_err(|error| self.failure(error, refused))?;
        } else {
            // A plug in progress elsewhere would lose its descriptors.
            let _plugging = self.plugging.lock().await;
            self.clear_leftovers(client, nic).await?;
        }
        let link = nic.link_name();
        if tap::exists(link.as_str()) {
            return Err(HypervisorError::Unplug { nic, source: UnplugError::LinkRemains { link }.into() });
        }
        Ok(())
    }
}

/// An earlier `device_del` has not been answered yet (qmp_device_del in system/qdev-monitor.c): wait for the same event.
fn is_pending(error: &QmpError) -> bool {
    matches!(error, QmpError::Refused { desc, .. } if desc.contains("already in the process of unplug"))
}

async fn wait(machine: &Machine, events: Receiver<Event>, nic: NicId, until: Instant) -> Answer {
    tokio::time::timeout_at(until, answer(machine, events, nic)).await.unwrap_or(Answer::Kept)
}

async fn answer(machine: &Machine, mut events: Receiver<Event>, nic: NicId) -> Answer {
    loop {
        match events.recv().await {
            Ok(event) if device(&event) == Some(nic) => match event.name.as_str() {
                "DEVICE_DELETED" => return Answer::Released,
                "DEVICE_UNPLUG_GUEST_ERROR" => return Answer::Kept,
                _ => {}
            },
            Ok(_) => {}
            // The answer may be among those that were lost.
            Err(RecvError::Lagged(_)) => match machine.read().await {
                Ok(layout) if !layout.nics().contains(&nic) => return Answer::Released,
                Ok(_) => {}
                Err(_) => return Answer::ConnectionLost,
            },
            Err(RecvError::Closed) => return Answer::ConnectionLost,
        }
    }
}

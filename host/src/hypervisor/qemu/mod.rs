//! A VM that runs in QEMU, changed over QMP.
//!
//! ```text
//! create_host_end: TAP
//! plug:            getfd per queue -> netdev_add (takes the descriptors) -> device_add on a free place
//! unplug:          device_del -> wait for DEVICE_DELETED -> netdev_del -> closefd of what a crash left
//! ```
//!
//! The TAP is not persistent, and after `plug` QEMU alone holds it: it vanishes with `netdev_del`, or with QEMU. Deleting it
//! earlier would abort QEMU. All names follow from the NIC's id, so every step can be repeated and undone after a crash.

mod machine;
mod places;
mod plug;
mod session;
mod unplug;

use super::{
    Connected, HostEnd, Hypervisor, HypervisorError, NicSpec, Observation, VmState,
    config::{QemuConfig, VectorLimits},
};
use async_trait::async_trait;
use machine::Machine;
use nestless_model::identity::NicId;
use nestless_support::{
    crash_point,
    qmp::{Command, QmpClient, QmpError, schema},
    tap::{self, TapError},
};
use session::Session;
use std::{os::fd::OwnedFd, time::Duration};
use tokio::sync::{Mutex, mpsc};

/// Events that wait for the VM's task.
const EVENT_BACKLOG: usize = 256;
/// Most queue pairs of one NIC: bounds the descriptor names that a crash may have left in QEMU.
pub const MAX_QUEUES: u16 = 16;

/// One QEMU.
pub struct Qemu {
    session: Session,
    vectors: VectorLimits,
    /// Held from choosing a place to taking it, and while descriptors are passed.
    plugging: Mutex<()>,
}

impl Qemu {
    /// Keeps a connection to QEMU from now on, whether it runs already or not.
    pub fn connect(config: QemuConfig) -> Connected {
        let (events, receiver) = mpsc::channel(EVENT_BACKLOG);
        let hypervisor = Self {
            session: Session::keep(config.qmp, events),
            vectors: config.vectors,
            plugging: Mutex::default(),
        };
        Connected { hypervisor: Box::new(hypervisor), events: receiver }
    }

    /// Whether QEMU has taken away what an attempt left that did not get as far as the device. Under a device nothing is
    /// taken away: QEMU 7.2 deletes the back end of a NIC that a pod uses when asked to (qemu_del_net_client in net/net.c).
    async fn clears_remains(&self, nic: NicId) -> Result<bool, HypervisorError> {
        let Ok(machine) = self.session.machine() else { return Ok(false) };
        let refused = |error: QmpError| HypervisorError::Unplug { nic, source: error.into() };
        let layout = machine.read().await.map_err(|error| self.failure(error, refused))?;
        if layout.nics().contains(&nic) {
            return Ok(false);
        }
        self.clear_leftovers(machine.client(), nic).await?;
        Ok(true)
    }

    /// Tells a lost connection from a refusal.
    fn failure(&self, error: QmpError, refused: impl FnOnce(QmpError) -> HypervisorError) -> HypervisorError {
        if error.is_lost() { self.session.down() } else { refused(error) }
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    fn kind(&self) -> &'static str {
        "qemu"
    }

    async fn create_host_end(&self, spec: &NicSpec) -> Result<HostEnd, HypervisorError> {
        let link = spec.nic.link_name();
        let made = match make_tap(spec) {
            Err(TapError::NameTaken { .. }) if self.clears_remains(spec.nic).await? => make_tap(spec),
            made => made,
        };
        let queues = made.map_err(|source| HypervisorError::HostEnd {
            nic: spec.nic,
            link: link.clone(),
            source: source.into(),
        })?;
        Ok(HostEnd { link, queues })
    }

    async fn plug(&self, spec: &NicSpec, end: HostEnd) -> Result<(), HypervisorError> {
        self.plug_nic(spec, end.queues).await
    }

    async fn unplug(&self, nic: NicId, deadline: Duration) -> Result<(), HypervisorError> {
        self.unplug_nic(nic, deadline).await
    }

    async fn observe(&self) -> Result<Observation, HypervisorError> {
        self.session.tried().await;
        let Ok(machine) = self.session.machine() else { return Ok(Observation::down()) };
        match look(&machine).await {
            Ok(observation) => Ok(observation),
            Err(error) if error.is_lost() => Ok(Observation::down()),
            Err(error) => {
                Err(HypervisorError::Observe { endpoint: self.session.endpoint(), source: error.into() })
            }
        }
    }
}

fn make_tap(spec: &NicSpec) -> Result<Vec<OwnedFd>, TapError> {
    crash_point::reached("qemu.tap.before");
    let queues = tap::create(spec.nic.link_name().as_str(), spec.queues);
    crash_point::reached("qemu.tap.after");
    queues
}

async fn look(machine: &Machine) -> Result<Observation, QmpError> {
    let client = machine.client();
    let status = client.execute(&schema::query_status {}).await?;
    let layout = machine.read().await?;
    let mut nics = layout.nics();
    let free = layout.free_places().count();
    let capacity = u32::try_from(nics.len() + free).ok();
    let back_ends = machine::netdevs(client).await?;
    let halves = nics.symmetric_difference(&back_ends).copied().collect();
    nics.extend(back_ends);
    let state = if status.running { VmState::Running } else { VmState::Paused };
    Ok(Observation { state, nics, halves, capacity })
}

/// Runs a command that changes something, with a crash point on either side.
async fn effect<C: Command>(client: &QmpClient, command: &C) -> Result<C::Ok, QmpError> {
    crash_point::reached(&format!("qemu.{}.before", C::NAME));
    let result = client.execute(command).await;
    crash_point::reached(&format!("qemu.{}.after", C::NAME));
    result
}

/// For commands whose object may be gone already.
async fn effect_if_any<C: Command>(client: &QmpClient, command: &C) -> Result<(), QmpError> {
    match effect(client, command).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn netdev_name(nic: NicId) -> String {
    format!("{}-net", nic.device_name())
}

/// What a NIC's descriptors are called in QEMU: those of the TAP, and those of vhost-net.
fn descriptor_names(nic: NicId, queues: u16) -> (Vec<String>, Vec<String>) {
    let names = |kind| (0..queues).map(|queue| format!("{}-{kind}-{queue}", nic.device_name())).collect();
    (names("tap"), names("vhost"))
}

#[cfg(test)]
mod tests;

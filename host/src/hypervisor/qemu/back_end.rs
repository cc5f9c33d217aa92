//! QEMU as a back end.

use super::{
    command::MAX_QUEUES,
    config::QemuConfig,
    machine::{self, Machine},
    session::Session,
    vm::{Qemu, Tap},
};
use crate::hypervisor::{BackEnd, Connected, Hypervisor, HypervisorError, Kind, NicSpec, Observation};
use async_trait::async_trait;
use nestless_model::{
    attachment::VmState,
    identity::{NicId, VmName},
};
use nestless_support::{
    crash_point,
    qmp::{QmpError, schema},
    tap::{self, TapError},
};
use std::{os::fd::OwnedFd, time::Duration};
use tokio::sync::{Mutex, mpsc};

/// Events that wait for the VM's task.
const EVENT_BACKLOG: usize = 256;

/// QEMUs that nobody else manages.
#[derive(Default)]
pub struct QemuBackEnd;

impl BackEnd for QemuBackEnd {
    type Config = QemuConfig;
    type Vm = Qemu;

    /// Keeps a connection to the QEMU from now on.
    fn connect(&mut self, _: &VmName, config: &QemuConfig) -> Result<Connected<Qemu>, HypervisorError> {
        let (events, receiver) = mpsc::channel(EVENT_BACKLOG);
        let hypervisor = Qemu {
            session: Session::keep(config.qmp.clone(), events),
            vectors: config.vectors,
            plugging: Mutex::default(),
        };
        Ok(Connected { hypervisor, events: receiver })
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    const KIND: &'static Kind =
        &Kind { name: "qemu", host_end: "tap", device: Some("virtio-net"), max_queues: MAX_QUEUES };
    type HostEnd = Tap;

    async fn create_host_end(&self, spec: &NicSpec) -> Result<Tap, HypervisorError> {
        let made = match make_tap(spec) {
            Err(TapError::NameTaken { .. }) if self.clears_remains(spec.nic).await? => make_tap(spec),
            made => made,
        };
        made.map(Tap).map_err(|source| HypervisorError::HostEnd {
            nic: spec.nic,
            link: spec.nic.link_name(),
            source: source.into(),
        })
    }

    async fn plug(&self, spec: &NicSpec, Tap(queues): Tap) -> Result<(), HypervisorError> {
        self.plug_nic(spec, queues).await
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

    fn trouble(&self) -> Option<String> {
        self.session.trouble()
    }
}

impl Qemu {
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
    let slots = u32::try_from(nics.len() + layout.free_slots().count()).ok();
    let back_ends = machine::netdevs(client).await?;
    let halves = nics.symmetric_difference(&back_ends).copied().collect();
    nics.extend(back_ends);
    let state = match status.status {
        _ if status.running => VmState::Running,
        schema::RunState::shutdown | schema::RunState::guest_panicked => VmState::Ended,
        _ => VmState::Paused,
    };
    Ok(Observation { state, nics, halves, slots })
}

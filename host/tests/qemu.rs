//! The QEMU back end against a real QEMU without a guest: it is never started (`-S`), so nothing answers an unplug.

use crate::conformance::{ANSWERED, Site, UNANSWERED, inside, link_exists, nic};
use nestless_host::hypervisor::{
    BackEnd as _, Connected, Hypervisor as _, HypervisorError, HypervisorEvent, NicSpec,
    qemu::{Qemu, QemuBackEnd, QemuConfig, VectorLimits},
};
use nestless_model::{
    attachment::VmState,
    identity::{Mtu, NicId, VmName},
};
use nestless_support::{
    qmp::{DEADLINE, QmpClient, schema},
    tap,
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const Q35: &[&str] = &[
    "-M",
    "q35",
    "-device",
    "pcie-root-port,id=rp0,chassis=1",
    "-device",
    "pcie-root-port,id=rp1,chassis=2",
    "-device",
    "pcie-root-port,id=off,chassis=3,hotplug=off",
    "-device",
    "pcie-pci-bridge,id=br0,bus=rp0",
];
/// A QEMU of the test's own, killed with it.
struct Vm {
    process: Child,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl Vm {
    fn start(machine: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("qmp.sock");
        let process = Self::spawn(machine, &socket);
        Self { process, socket, _dir: dir }
    }

    fn spawn(machine: &[&str], socket: &Path) -> Child {
        Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-display", "none", "-accel", "tcg", "-S", "-m", "64", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", beside(socket).display()))
            .args(machine)
            .stdin(Stdio::null())
            .spawn()
            .expect("this test needs qemu-system-x86_64 (package qemu-system-x86)")
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn open(&self, vectors: VectorLimits) -> Connected<Qemu> {
        open(&QemuConfig { qmp: self.socket.clone(), vectors })
    }

    async fn connect(&self) -> Connected<Qemu> {
        let mut connected = self.open(VectorLimits::default());
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Up));
        connected
    }

    /// QEMU serves one client at a time: only while none of ours is connected.
    async fn monitor(&self) -> QmpClient {
        drop(self.connect().await);
        QmpClient::connect(&self.socket, DEADLINE).await.unwrap()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open(config: &QemuConfig) -> Connected<Qemu> {
    QemuBackEnd.connect(&VmName::new("vm").unwrap(), config).unwrap()
}

async fn plug(vm: &Qemu, spec: &NicSpec) -> Result<(), HypervisorError> {
    let tap = vm.create_host_end(spec).await?;
    assert_eq!(tap.queues(), usize::from(spec.queues));
    vm.plug(spec, tap).await
}

/// The socket of a second monitor, which is the guest's: it does what a guest would.
fn beside(socket: &Path) -> PathBuf {
    socket.with_extension("guest")
}

impl Site for Vm {
    type BackEnd = QemuBackEnd;
    /// rp1 and 31 slots of br0; rp0 holds br0, and `off` takes no hot-plug.
    const SLOTS: Option<u32> = Some(32);
    const HALVES: usize = 2;

    fn start() -> Self {
        Self::start(Q35)
    }

    fn config(&self) -> QemuConfig {
        QemuConfig { qmp: self.socket.clone(), vectors: VectorLimits::default() }
    }

    /// A reset of a machine that has not been started completes what the guest would have.
    async fn let_go(&self) {
        let guest = QmpClient::connect(&beside(&self.socket), DEADLINE).await.unwrap();
        guest.execute(&schema::system_reset {}).await.unwrap();
    }

    /// Before the back end, and before the device.
    async fn leave_half(&self, nic: NicId, which: usize) {
        let (monitor, device) = (self.monitor().await, nic.device_name());
        for (queue, descriptor) in tap::create(nic.link_name().as_str(), 2).unwrap().into_iter().enumerate() {
            let getfd = schema::getfd { fdname: format!("{device}-tap-{queue}") };
            monitor.execute_with_descriptor(&getfd, descriptor).await.unwrap();
        }
        if which == 1 {
            let (id, fds) = (format!("{device}-net"), format!("{device}-tap-0:{device}-tap-1"));
            let netdev = serde_json::json!({ "type": "tap", "id": id, "fds": fds });
            let netdev: schema::Netdev = serde_json::from_value(netdev).unwrap();
            monitor.execute(&schema::netdev_add(netdev)).await.unwrap();
        }
    }

    fn stop(&mut self) {
        Self::stop(self);
    }
}

conformance!(crate::qemu::Vm);

#[test]
fn a_vm_is_down_until_it_is_there_and_after_it_is_gone() {
    inside(|| async {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("qmp.sock");
        let config = QemuConfig { qmp: socket.clone(), vectors: VectorLimits::default() };
        let mut connected = open(&config);
        assert_eq!(connected.hypervisor.observe().await.unwrap().state, VmState::Down);
        assert!(matches!(plug(&connected.hypervisor, &nic(1)).await, Err(HypervisorError::Down { .. })));
        assert!(!link_exists(NicId(1)));
        for _ in 0..2 {
            let process = Vm::spawn(Q35, &socket);
            let mut vm = Vm { process, socket: socket.clone(), _dir: tempfile::tempdir().unwrap() };
            assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Up));
            plug(&connected.hypervisor, &nic(1)).await.unwrap();
            assert!(link_exists(NicId(1)));
            vm.stop();
            assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Down));
            assert_eq!(connected.hypervisor.observe().await.unwrap().state, VmState::Down);
            assert!(!link_exists(NicId(1)), "the TAP outlived QEMU");
        }
    });
}

#[test]
fn every_place_is_used_once_and_a_full_machine_refuses() {
    inside(|| async {
        let vm = Vm::start(Q35);
        let connected = vm.connect().await;
        let hypervisor = &connected.hypervisor;
        let before = hypervisor.observe().await.unwrap();
        assert_eq!((before.state, before.slots, before.nics.len()), (VmState::Paused, Vm::SLOTS, 0));
        let plugs = (1..=32).map(|id| async move { plug(hypervisor, &nic(id)).await.unwrap() });
        futures_util::future::join_all(plugs).await;
        let full = hypervisor.observe().await.unwrap();
        assert_eq!((full.slots, full.nics), (Some(32), (1..=32).map(NicId).collect()));
        assert!(matches!(plug(hypervisor, &nic(33)).await, Err(HypervisorError::NoSlot { nic: NicId(33) })));
        assert!(!link_exists(NicId(33)));
        drop(connected);
        let monitor = vm.monitor().await;
        let get =
            schema::qom_get { path: "/machine/peripheral/nestless-1".into(), property: "host_mtu".into() };
        assert_eq!(monitor.execute(&get).await.unwrap(), serde_json::json!(Mtu::OF_ENDPOINTS.bytes()));
    });
}

#[test]
fn the_root_bus_of_pc_takes_nics_beside_its_own_devices() {
    inside(|| async {
        let vm =
            Vm::start(&["-M", "pc", "-device", "VGA", "-device", "pci-bridge,id=pb,chassis_nr=1,addr=5"]);
        let connected = vm.connect().await;
        let hypervisor = &connected.hypervisor;
        // Of 31 slots on pci.0, the south bridge, the VGA and pb take three; 31 are behind pb.
        assert_eq!(hypervisor.observe().await.unwrap().slots, Some(28 + 31));
        for id in 1..=59 {
            plug(hypervisor, &nic(id)).await.unwrap();
        }
        assert!(matches!(plug(hypervisor, &nic(60)).await, Err(HypervisorError::NoSlot { .. })));
    });
}

#[test]
fn an_unanswered_unplug_times_out_and_may_be_repeated() {
    inside(|| async {
        let vm = Vm::start(Q35);
        let connected = vm.connect().await;
        let hypervisor = &connected.hypervisor;
        plug(hypervisor, &nic(7)).await.unwrap();
        for _ in 0..2 {
            let error = hypervisor.unplug(NicId(7), UNANSWERED).await.unwrap_err();
            assert!(matches!(error, HypervisorError::UnplugTimeout { nic: NicId(7), .. }), "{error:?}");
        }
        // Quarantined: still in the VM, its TAP and its name still taken.
        assert!(hypervisor.observe().await.unwrap().nics.contains(&NicId(7)));
        assert!(link_exists(NicId(7)));
        assert!(matches!(
            hypervisor.create_host_end(&nic(7)).await,
            Err(HypervisorError::HostEnd { .. } | HypervisorError::Unplug { .. })
        ));
        assert!(link_exists(NicId(7)), "a NIC in use lost its back end");
    });
}

/// A reset of a machine that has not been started completes what the guest would have: the whole way of an unplug.
#[test]
fn a_reset_completes_an_unplug_and_the_tap_vanishes() {
    inside(|| async {
        let vm = Vm::start(Q35);
        {
            let connected = vm.connect().await;
            plug(&connected.hypervisor, &NicSpec { queues: 4, ..nic(8) }).await.unwrap();
            assert!(connected.hypervisor.unplug(NicId(8), UNANSWERED).await.is_err());
        }
        vm.monitor().await.execute(&schema::system_reset {}).await.unwrap();
        let connected = vm.connect().await;
        connected.hypervisor.unplug(NicId(8), ANSWERED).await.unwrap();
        assert!(!link_exists(NicId(8)));
        assert!(connected.hypervisor.observe().await.unwrap().nics.is_empty());
        // The same id can be plugged again, and once more after that.
        plug(&connected.hypervisor, &nic(8)).await.unwrap();
    });
}

#[test]
fn what_a_crash_left_half_done_is_undone() {
    inside(|| async {
        let vm = Vm::start(Q35);
        for with_back_end in [false, true] {
            vm.leave_half(NicId(9), usize::from(with_back_end)).await;
            let connected = vm.connect().await;
            let hypervisor = &connected.hypervisor;
            let observed = hypervisor.observe().await.unwrap().nics;
            assert_eq!(observed.contains(&NicId(9)), with_back_end, "descriptors alone cannot be seen");
            assert!(link_exists(NicId(9)));
            hypervisor.unplug(NicId(9), ANSWERED).await.unwrap();
            assert!(!link_exists(NicId(9)));
            hypervisor.unplug(NicId(9), ANSWERED).await.unwrap();
        }
    });
}

#[test]
fn a_host_end_replaces_what_an_unfinished_attempt_left() {
    inside(|| async {
        let vm = Vm::start(Q35);
        {
            let monitor = vm.monitor().await;
            let descriptor = tap::create("nla", 1).unwrap().remove(0);
            let getfd = schema::getfd { fdname: "nestless-a-tap-0".into() };
            monitor.execute_with_descriptor(&getfd, descriptor).await.unwrap();
        }
        let connected = vm.connect().await;
        plug(&connected.hypervisor, &nic(10)).await.unwrap();
        let again = plug(&connected.hypervisor, &nic(10)).await.unwrap_err();
        assert!(matches!(again, HypervisorError::HostEnd { .. }), "{again:?}");
        assert!(link_exists(NicId(10)));
    });
}

#[test]
fn vectors_are_rationed() {
    inside(|| async {
        let vm = Vm::start(Q35);
        {
            let mut connected = vm.open(VectorLimits { full: 1, two: 2 });
            assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Up));
            for id in 1..=3 {
                plug(&connected.hypervisor, &nic(id)).await.unwrap();
            }
        }
        let monitor = vm.monitor().await;
        let mut vectors = Vec::new();
        for id in 1..=3 {
            let path = format!("/machine/peripheral/nestless-{id}");
            let get = schema::qom_get { path, property: "vectors".into() };
            vectors.push(monitor.execute(&get).await.unwrap());
        }
        assert_eq!(vectors[1..], [serde_json::json!(2), serde_json::json!(0)]);
        assert_ne!(vectors[0], serde_json::json!(2));
    });
}

//! The namespace back end against the real kernel.

use crate::conformance::{ANSWERED, Site, inside, nic, plug};
use nestless_host::hypervisor::{
    BackEnd as _, Connected, Hypervisor as _, HypervisorError, HypervisorEvent, link_alias,
    namespace::{NamespaceBackEnd, NamespaceConfig, NamespaceVm},
};
use nestless_model::{
    attachment::VmState,
    identity::{NicId, VmName},
};
use nestless_support::{
    netlink::{HardwareAddress, Netlink, VethEnd},
    netns::Namespace,
    tap,
};
use std::path::PathBuf;

/// A namespace bound to a path of the test's own, unbound with it.
struct Guest {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Guest {
    fn absent() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().join("vm"), _dir: dir }
    }

    fn new() -> Self {
        let guest = Self::absent();
        guest.appear();
        guest
    }

    fn appear(&self) {
        Namespace::create(&self.path).unwrap();
    }

    fn vanish(&self) {
        Namespace::delete(&self.path).unwrap();
    }

    fn open(&self, name: &str) -> Connected<NamespaceVm> {
        NamespaceBackEnd::default().connect(&VmName::new(name).unwrap(), &self.config()).unwrap()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = Namespace::delete(&self.path);
    }
}

impl Site for Guest {
    type BackEnd = NamespaceBackEnd;
    const SLOTS: Option<u32> = None;
    const HALVES: usize = 2;

    fn start() -> Self {
        Self::new()
    }

    fn config(&self) -> NamespaceConfig {
        NamespaceConfig { path: self.path.clone() }
    }

    async fn let_go(&self) {}

    /// Before the alias, and after it. The namespace where the other end waits goes with the daemon.
    async fn leave_half(&self, nic: NicId, which: usize) {
        let (host, waiting) = (Netlink::here().unwrap(), Namespace::anonymous().unwrap());
        let (link, vm) = (nic.link_name(), VmName::new("vm").unwrap());
        let other_end = VethEnd { namespace: Some(waiting.clone()), ..VethEnd::named("nlp9") };
        host.create_veth(&VethEnd::named(link.as_str()), &other_end).await.unwrap();
        if which == 1 {
            let made = host.link(link.as_str()).await.unwrap();
            host.set_alias(&made, &link_alias(&vm, nic)).await.unwrap();
        }
    }

    fn stop(&mut self) {
        self.vanish();
    }
}

conformance!(crate::namespace_vm::Guest);

#[test]
fn a_nic_is_plugged_observed_and_unplugged() {
    inside(|| async {
        let guest = Guest::new();
        let mut connected = guest.open("vm-1");
        let vm = &connected.hypervisor;
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Up));
        plug(vm, &nic(1)).await.unwrap();
        let observed = vm.observe().await.unwrap();
        assert_eq!(
            (observed.state, observed.nics, observed.slots),
            (VmState::Running, [NicId(1)].into(), None)
        );

        let host_end = Netlink::here().unwrap().link("nl1").await.unwrap();
        assert_eq!((host_end.up, host_end.mtu_bytes), (false, 1400));
        let inside = Netlink::inside(&Namespace::open(&guest.path).unwrap()).await.unwrap();
        let other_end = inside.link_by_mac(HardwareAddress(nic(1).mac.bytes())).await.unwrap();
        assert_eq!((other_end.up, other_end.mtu_bytes), (false, 1400));

        for _ in 0..2 {
            vm.unplug(NicId(1), ANSWERED).await.unwrap();
        }
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::NicGone(NicId(1))));
        assert!(vm.observe().await.unwrap().nics.is_empty());
        assert!(!tap::exists("nl1"));
        assert_eq!(inside.links().await.unwrap().len(), 1, "only lo is left");
    });
}

#[test]
fn a_host_end_is_replaced_and_goes_with_its_descriptor() {
    inside(|| async {
        let guest = Guest::new();
        let mut connected = guest.open("vm-1");
        let vm = &connected.hypervisor;
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Up));
        let first = vm.create_host_end(&nic(2)).await.unwrap();
        let second = vm.create_host_end(&nic(2)).await.unwrap();
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::NicGone(NicId(2))));
        drop(first);
        assert!(tap::exists("nl2"), "dropping what was replaced took the new one away");
        drop(second);
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::NicGone(NicId(2))));
        assert!(!tap::exists("nl2"));
    });
}

/// As after a crash between the two: what is about to vanish is not taken for a NIC that is there.
#[test]
fn a_host_end_without_its_other_end_is_seen_as_a_half() {
    inside(|| async {
        let guest = Guest::new();
        let connected = guest.open("vm-1");
        let vm = &connected.hypervisor;
        let mut halves = 0;
        for id in 100..140 {
            let end = vm.create_host_end(&nic(id)).await.unwrap();
            let look = async || {
                let seen = vm.observe().await.unwrap();
                (seen.nics.contains(&NicId(id)), seen.halves.contains(&NicId(id)))
            };
            assert_eq!(look().await, (true, false));
            drop(end);
            let (there, half) = look().await;
            assert_eq!(there, half, "a NIC without its other end");
            halves += u32::from(half);
        }
        assert!(halves > 0, "the kernel took all away at once, and nothing was shown");
    });
}

#[test]
fn vms_do_not_touch_one_another() {
    inside(|| async {
        let (one, two) = (Guest::new(), Guest::new());
        let (first, second) = (one.open("vm-1"), two.open("vm-2"));
        plug(&first.hypervisor, &nic(3)).await.unwrap();
        second.hypervisor.unplug(NicId(3), ANSWERED).await.unwrap();
        assert!(second.hypervisor.observe().await.unwrap().nics.is_empty());
        assert_eq!(first.hypervisor.observe().await.unwrap().nics, [NicId(3)].into());
        let stolen = second.hypervisor.create_host_end(&nic(3)).await;
        assert!(matches!(stolen, Err(HypervisorError::HostEnd { .. })));
        assert!(tap::exists("nl3"));
    });
}

#[test]
fn the_namespace_comes_and_goes() {
    inside(|| async {
        let guest = Guest::absent();
        let mut connected = guest.open("vm-1");
        let vm = &connected.hypervisor;
        assert_eq!(vm.observe().await.unwrap().state, VmState::Down);
        assert!(matches!(plug(vm, &nic(4)).await, Err(HypervisorError::Down { .. })));
        // Its host end goes with the refused plug, a moment later.
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::NicGone(NicId(4))));
        for _ in 0..2 {
            guest.appear();
            while connected.events.recv().await != Some(HypervisorEvent::Up) {}
            plug(vm, &nic(4)).await.unwrap();
            guest.vanish();
            let mut gone = [connected.events.recv().await, connected.events.recv().await];
            gone.sort_by_key(|event| format!("{event:?}"));
            assert_eq!(gone, [Some(HypervisorEvent::Down), Some(HypervisorEvent::NicGone(NicId(4)))]);
            assert!(!tap::exists("nl4"));
        }
    });
}

#[test]
fn what_is_no_namespace_is_no_vm() {
    inside(|| async {
        let guest = Guest::absent();
        std::fs::write(&guest.path, "").unwrap();
        let connected = guest.open("vm-1");
        assert_eq!(connected.hypervisor.observe().await.unwrap().state, VmState::Down);
    });
}

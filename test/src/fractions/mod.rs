//! Fractions of split pods in network namespaces: the real host half, the real guest half and the kernel's sockets,
//! without daemon, agent and guests.
//!
//! ```text
//! sandbox: lo -- steer -- hostlo0 ==veth== nl1 -- reflector -- nl2 ==veth== hostlo0 -- steer -- lo :sandbox
//! ```
//! The ingress of a veth's host end is what the other end sends, as that of a TAP is what the guest sends.

mod disconnect;
mod sandbox;
mod traffic;

pub use disconnect::disconnect;
pub use sandbox::{Sandbox, at};
pub use traffic::{Said, ask, greet, serve};

use nestless_guest::{
    loopback_endpoint::{self, LoopbackEndpoint, PortSlice},
    parking::Parking,
};
use nestless_host::loopback::{Counters, GroupId, Loopback};
use nestless_model::{
    identity::{LinkName, Mac, Mtu},
    loopback::{Flow, GroupSize, Place, Tuple},
};
use nestless_support::{
    error_chain::in_full,
    netlink::{HardwareAddress, Netlink, VethEnd},
    netns::Namespace,
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use std::{ops::Deref, path::PathBuf, sync::Arc};

/// Where the eBPF file system is mounted, and the parking namespace, in the directory of a test.
const EBPF: &str = "ebpf";
const PARKING: &str = "parking";

/// A fraction: its sandbox, and where it is on the host.
pub struct Fraction {
    /// Its network namespace, and its sockets.
    pub sandbox: Sandbox,
    /// Its group.
    pub group: GroupId,
    /// Its place there.
    pub place: Place,
    /// Its NIC's address.
    pub nic: Mac,
    /// Its NIC's host end.
    pub link: LinkName,
}

impl Deref for Fraction {
    type Target = Sandbox;
    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

/// One host, and one VM for all sandboxes: they share nothing but its parking namespace.
pub struct Fractions {
    /// Where the host ends are.
    pub host: Namespace,
    /// The VM's own namespace.
    pub vm: Namespace,
    /// The NICs that no sandbox has.
    pub parking: Parking,
    loopback: Arc<Loopback>,
    on_host: Netlink,
    mtu: Mtu,
    size: GroupSize,
    plugged: u8,
    place: tempfile::TempDir,
}

impl Fractions {
    /// Moves the calling thread into namespaces of its own: those of mounts, and the VM's.
    ///
    /// # Panics
    /// Without the rights of root.
    pub async fn new() -> Self {
        Self::with_mtu(Mtu::MAX).await
    }

    /// The same, with NICs of that MTU.
    ///
    /// # Panics
    /// Without the rights of root.
    pub async fn with_mtu(mtu: Mtu) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("these tests need root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .expect("mounts can be made private");
        let place = tempfile::tempdir().expect("a directory for temporary files");
        std::fs::create_dir(place.path().join(EBPF)).expect("a directory");
        mount(Some("bpf"), &place.path().join(EBPF), Some("bpf"), MsFlags::empty(), none)
            .expect("a kernel with eBPF");
        let [host, vm] = std::array::from_fn(|_| Namespace::anonymous().expect("a new namespace"));
        vm.enter().expect("the VM's namespace");
        let on_host = Netlink::inside(&host).await.expect("the host's links");
        let parking = Parking::open(&place.path().join(PARKING)).await.expect("a parking namespace");
        let loopback = open(&host, pins(&place));
        Self { host, vm, parking, loopback, on_host, mtu, size: GroupSize::MAX, plugged: 0, place }
    }

    /// Groups will have no more fractions than that, so that each has more ports.
    ///
    /// # Panics
    /// When there is no such size.
    #[must_use]
    pub fn at_most(mut self, most: u32) -> Self {
        self.size = most.try_into().expect("a group's size");
        self
    }

    /// Makes a new sandbox a fraction of group `number`.
    ///
    /// # Panics
    /// When a step fails.
    pub async fn join(&mut self, number: u32) -> Fraction {
        let sandbox = Sandbox::new();
        self.join_with(number, sandbox).await
    }

    /// Makes that sandbox a fraction of group `number`.
    ///
    /// # Panics
    /// When a step fails.
    pub async fn join_with(&mut self, number: u32, sandbox: Sandbox) -> Fraction {
        let (nic, link) = self.plug().await;
        let group = GroupId::new(number).expect("groups count from 1");
        let place = self.admit(group, &link);
        let ports = PortSlice::of_place(place, self.size).expect("a place of the group's");
        let endpoint = LoopbackEndpoint { nic_mac: nic, mtu: self.mtu, ports };
        let joined = loopback_endpoint::join(&self.parking, &sandbox.namespace, &endpoint).await;
        joined.unwrap_or_else(|error| panic!("{}", in_full(&error)));
        Fraction { sandbox, group, place, nic, link }
    }

    /// A NIC that waits in the parking namespace, in no group, with its host end.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn plug(&mut self) -> (Mac, LinkName) {
        self.plugged += 1;
        let nic = Mac::new([0x4e, 0x4c, 0, 1, 0, self.plugged]).expect("an address of a NIC");
        let link = LinkName::new(format!("nl{}", self.plugged)).expect("a short name");
        let mtu_bytes = Some(self.mtu.bytes());
        let end = VethEnd { mtu_bytes, ..VethEnd::named(link.as_str()) };
        let peer = VethEnd {
            mtu_bytes,
            mac: Some(HardwareAddress(nic.bytes())),
            namespace: Some(self.vm.clone()),
            ..VethEnd::named(format!("eth{}", self.plugged))
        };
        self.host.run_blocking(silence).expect("the host's namespace");
        self.on_host.create_veth(&end, &peer).await.expect("a new veth");
        let end = self.on_host.link(link.as_str()).await.expect("the host end");
        self.on_host.set_up(&end).await.expect("the host end comes up");
        self.parking.wait_for(nic, crate::PATIENCE).await.expect("the NIC is parked");
        (nic, link)
    }

    /// Takes a host end into a group, at the first place that is free.
    ///
    /// # Panics
    /// When there is none, or the kernel refuses.
    pub fn admit(&self, group: GroupId, link: &LinkName) -> Place {
        let groups = self.on_host(|loopback| loopback.observe()).expect("the host's groups");
        let members =
            groups.into_iter().find(|seen| seen.group == group).map_or(Vec::new(), |seen| seen.members);
        let is_free = |place: &Place| members.iter().all(|member| member.place != *place);
        let place = Place::all().find(is_free).expect("a free place");
        self.on_host(|loopback| loopback.join(group, place, link)).expect("the host takes it in");
        place
    }

    /// A fraction goes in good order, the host's half first. Returns its sandbox, and how many were told.
    ///
    /// # Panics
    /// When a step fails.
    pub async fn leave(&self, fraction: Fraction) -> (Sandbox, usize) {
        let told = self
            .on_host(|loopback| loopback.leave(fraction.group, fraction.place))
            .expect("the host lets go");
        let there = loopback_endpoint::leave(&self.parking, &fraction.sandbox.namespace, fraction.nic).await;
        assert!(there.unwrap_or_else(|error| panic!("{}", in_full(&error))), "the NIC was there");
        (fraction.sandbox, told)
    }

    /// A fraction's VM dies: the NIC is gone at once, and then the host hears of it. Returns how many were told.
    ///
    /// # Panics
    /// When a step fails.
    pub async fn die(&self, fraction: Fraction) -> usize {
        let link = self.on_host.link(fraction.link.as_str()).await.expect("the host end");
        self.on_host.delete(&link).await.expect("a veth can be deleted");
        self.on_host(|loopback| loopback.leave(fraction.group, fraction.place)).expect("the host lets go")
    }

    /// The daemon starts again.
    pub fn reopen(&mut self) {
        self.loopback = open(&self.host, pins(&self.place));
    }

    /// The next daemon finds no program of its own, as after an upgrade.
    ///
    /// # Panics
    /// When there was none.
    pub fn forget_programs(&self) {
        let pins = std::fs::read_dir(pins(&self.place)).expect("pins").flatten();
        let programs: Vec<_> =
            pins.filter(|entry| entry.file_name().to_string_lossy().starts_with("programs-")).collect();
        assert_eq!(programs.len(), 1);
        std::fs::remove_dir_all(programs[0].path()).expect("pins can be removed");
    }

    /// The next daemon finds nothing of its own: neither program nor tables, as after an upgrade that changes their layout.
    ///
    /// # Panics
    /// When there was none.
    pub fn forget_pins(&self) {
        std::fs::remove_dir_all(pins(&self.place)).expect("pins can be removed");
    }

    /// Asks the host half, in the host's namespace.
    ///
    /// # Panics
    /// When the namespace cannot be entered.
    pub fn on_host<T: Send>(&self, ask: impl FnOnce(&Loopback) -> T + Send) -> T {
        self.host.run_blocking(|| ask(&self.loopback)).expect("the host's namespace")
    }

    /// What a fraction has sent, by how it was judged.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn counters(&self, fraction: &Fraction) -> Counters {
        self.on_host(|loopback| loopback.counters(fraction.group, Some(fraction.place))).expect("counters")
    }

    /// What a group remembers.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn flows(&self, group: GroupId) -> Vec<(Tuple, Flow)> {
        self.on_host(|loopback| loopback.flows(group)).expect("flows")
    }
}

impl Drop for Fractions {
    fn drop(&mut self) {
        // Else the directory would be busy.
        let _ = umount2(&self.place.path().join(EBPF), MntFlags::MNT_DETACH);
        let _ = Namespace::delete(self.place.path().join(PARKING));
    }
}

fn open(host: &Namespace, pins: PathBuf) -> Arc<Loopback> {
    let opened = host.run_blocking(|| Loopback::open(&pins)).expect("the host's namespace");
    Arc::new(opened.unwrap_or_else(|error| panic!("{}", in_full(&error))))
}

/// The host ends' own IPv6 chatter would be counted as foreign at the other ends.
fn silence() {
    std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").expect("a kernel with IPv6");
}

fn pins(place: &tempfile::TempDir) -> PathBuf {
    place.path().join(EBPF).join("instance")
}

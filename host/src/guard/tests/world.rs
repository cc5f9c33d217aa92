//! A network and mount namespace of the test's own, with an eBPF file system, that goes with the test's thread.

use super::intruder::Intruder;
use crate::{guard::Guard, loopback::Loopback};
use nestless_model::{guard::GuardRules, identity::LinkName};
use nestless_support::hook::Way;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, CpuSet, sched_setaffinity, unshare},
    unistd::Pid,
};
use std::{path::PathBuf, process::Command};

pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

pub(crate) struct World {
    /// On an eBPF file system.
    pub(crate) pins: PathBuf,
    place: tempfile::TempDir,
}

impl World {
    /// Moves the calling thread into new namespaces; what it starts follows it.
    pub(crate) fn enter() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("the guard's tests need root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        // Frames sent from one CPU arrive in order.
        let mut first = CpuSet::new();
        first.set(0).unwrap();
        sched_setaffinity(Pid::from_raw(0), &first).unwrap();
        let place = tempfile::tempdir().unwrap();
        mount(Some("bpf"), place.path(), Some("bpf"), MsFlags::empty(), none).unwrap();
        // The kernel's own IPv6 chatter would be counted too.
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        Self { pins: place.path().join("instance"), place }
    }

    pub(crate) fn loopback(&self) -> Loopback {
        Loopback::open(&self.pins.with_file_name("loopback")).unwrap()
    }

    pub(crate) fn guard(&self) -> Guard {
        Guard::open(&self.pins).unwrap()
    }

    pub(crate) fn guard_by(&self, way: Way) -> Guard {
        Guard::open_by(way, &self.pins).unwrap()
    }

    /// A program of nobody's that lets everything pass and nobody else be asked.
    pub(crate) fn intruder(&self) -> Intruder {
        Intruder::load(&self.place.path().join("intruder"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Else the directory would be busy.
        let _ = nix::mount::umount2(self.place.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

/// Runs a test in a world of its own for each way that programs come to hooks; the tests' kernel has both.
pub(crate) fn each_way(test: fn(&World, Way)) {
    for way in [Way::Tcx, Way::Clsact] {
        std::thread::scope(|scope| {
            scope.spawn(|| test(&World::enter(), way)).join().unwrap_or_else(|_| panic!("by {way:?}"));
        });
    }
}

pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

pub(crate) fn link(name: &str) -> LinkName {
    LinkName::new(name).unwrap()
}

pub(crate) fn ifindex(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

/// 10.88.0.2 and fd00::2, as MAC.
pub(crate) fn rules() -> GuardRules {
    GuardRules {
        mac: nestless_model::identity::Mac::new(MAC).unwrap(),
        addresses: vec!["10.88.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
        dhcp_server: false,
        router: false,
        egress: None,
        ingress: None,
    }
}

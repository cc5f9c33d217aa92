//! Endpoints without VMs: veths, whose other ends are packet sockets.

use super::super::{Counters, GroupId, Loopback, inject::Injector, tables};
use crate::guard::tests::{
    wire::WireEnd,
    world::{World, ifindex, ip, link},
};
use nestless_model::{identity::LinkName, loopback::Place};
use std::{cell::Cell, time::Duration};

/// Says that a wire is empty; of an EtherType for experiments, and so of no protocol.
const MARK: [u8; 14] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];

pub(super) struct Site {
    pub(super) loopback: Loopback,
    ends: Vec<WireEnd>,
    indexes: Vec<u32>,
    injector: Injector,
    marks: Cell<u64>,
    world: World,
}

impl Site {
    /// Host ends `nl0`, `nl1`, ... and what the fractions have of them: `fr0`, `fr1`, ...
    pub(super) fn with_links(count: usize) -> Self {
        let world = World::enter();
        for n in 0..count {
            ip(&format!("link add nl{n} type veth peer name fr{n}"));
            ip(&format!("link set nl{n} up"));
            ip(&format!("link set fr{n} up"));
        }
        let ends = (0..count).map(|n| WireEnd::open(&format!("fr{n}"))).collect();
        let indexes = (0..count).map(|n| ifindex(&format!("nl{n}"))).collect();
        let (loopback, injector) = (Loopback::open(&world.pins).unwrap(), Injector::open().unwrap());
        Self { loopback, ends, indexes, injector, marks: Cell::default(), world }
    }

    /// After a restart of the daemon.
    pub(super) fn reopened(self) -> Self {
        let Self { loopback, ends, indexes, injector, marks, world } = self;
        drop(loopback);
        Self { loopback: Loopback::open(&world.pins).unwrap(), ends, indexes, injector, marks, world }
    }

    pub(super) fn join(&self, group: GroupId, end: usize) -> Place {
        self.join_link(group, &link(&format!("nl{end}")))
    }

    /// At its place, or at the first that is free.
    pub(super) fn join_link(&self, group: GroupId, link: &LinkName) -> Place {
        let groups = self.loopback.observe().unwrap();
        let members =
            groups.into_iter().find(|seen| seen.group == group).map_or(Vec::new(), |seen| seen.members);
        let own = members.iter().find(|member| member.ifindex == ifindex(link.as_str()));
        let is_free = |place: &Place| members.iter().all(|member| member.place != *place);
        let place = own.map(|own| own.place).or_else(|| Place::all().find(is_free)).unwrap();
        self.loopback.join(group, place, link).unwrap();
        place
    }

    /// Counters of one place, or of all links in no group.
    pub(super) fn counters(&self, at: Option<(GroupId, Place)>) -> Counters {
        let pinned = self.loopback.pinned();
        match at {
            Some((group, place)) => tables::counters(&pinned, group, Some(place)).unwrap(),
            None => tables::strangers(&pinned).unwrap(),
        }
    }

    /// Sends a frame as the fraction does, and waits until it is judged: the one counter that grew.
    pub(super) fn send(&self, end: usize, at: Option<(GroupId, Place)>, frame: &[u8]) -> &'static str {
        let before = self.counters(at);
        self.ends[end].send(frame);
        // The kernel judges it before the call returns, or soon after, on another thread.
        for attempt in 0..20_000 {
            let after = self.counters(at);
            let grown = before.by_name().zip(after.by_name()).skip(1).filter(|((_, b), (_, a))| a > b);
            if let [((name, before), (_, after))] = grown.collect::<Vec<_>>()[..] {
                assert_eq!(after, before + 1, "{name}");
                return name;
            }
            #[expect(clippy::disallowed_methods, reason = "a table of the kernel's tells no events")]
            std::thread::sleep(Duration::from_micros(if attempt < 100 { 0 } else { 500 }));
        }
        panic!("nothing was counted for {frame:02x?}");
    }

    /// What has arrived at each end. A judged frame's copies are on their way already, and wires keep the order.
    pub(super) fn arrived(&self) -> Vec<Vec<Vec<u8>>> {
        self.marks.set(self.marks.get() + 1);
        let mark = [&MARK[..], &self.marks.get().to_be_bytes()].concat();
        (0..self.ends.len())
            .map(|n| {
                self.injector.send(self.indexes[n], &mark).unwrap();
                let frames = std::iter::repeat_with(|| self.ends[n].receive());
                frames.take_while(|frame| !frame.starts_with(&mark)).collect()
            })
            .collect()
    }
}

pub(super) fn group(number: u32) -> GroupId {
    GroupId::new(number).unwrap()
}

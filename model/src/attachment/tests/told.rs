//! What is told of what cannot be mended: once, and what it really is.

use super::simulation::{Simulation, interface, limits};
use crate::attachment::*;

/// It cannot be known then how many NICs the guest has room for.
#[test]
fn an_agent_that_never_reports_is_told_so() {
    let mut s = Simulation::new(limits(100, 0));
    s.attach(1);
    s.settle();
    s.now_ms += 10_000;
    s.detach(1);
    s.settle();
    s.attach(2);
    let ticket = s.attach(3);
    let Some(Answer::Refused(refusal)) = s.answer(ticket) else { panic!("not refused") };
    let told = refusal.to_string();
    assert!(told.starts_with("the guest's agent has reported none of the NICs that were plugged"), "{told}");
    s.settle();
    s.report();
    s.attach(4);
    assert_eq!(s.machine.capacity().limit, 100, "it reports now");
}

/// A program of somebody else's before the guard: told once, and again when it comes back.
#[test]
fn a_port_that_another_program_has_closed_is_told_once() {
    let mut s = Simulation::new(limits(4, 0));
    s.attach(1);
    s.settle();
    s.decide(|m, _| m.confirm(&interface(1), "0000:01:01.0").unwrap());
    let tell = |s: &mut Simulation, overtaken: bool| {
        let end = HostEndState {
            enslaved: !overtaken,
            isolated: false,
            guarded: !overtaken,
            reflected: false,
            overtaken,
        };
        let world = World {
            as_of: s.machine.generation(),
            state: VmState::Running,
            slots: None,
            plugged: s.devices.clone(),
            halves: Default::default(),
            host_ends: s.links.keys().map(|&nic| (nic, end)).collect(),
        };
        let mut findings = Vec::new();
        s.decide(|m, c| {
            let mut out = Outcome::default();
            findings = m.observed(&world, c, &mut out);
            out
        });
        findings.join(", ")
    };
    assert!(tell(&mut s, true).contains("another program stands before its filter"));
    assert_eq!(s.queue.len(), 1, "the guard is tried again: {:?}", s.queue);
    s.step(0, true);
    assert_eq!(tell(&mut s, true), "");
    s.now_ms += 10_000;
    s.decide(|m, c| m.tick(c));
    s.settle();
    tell(&mut s, false);
    s.settle();
    assert_eq!(s.phases(), ["InUse"]);
    assert!(tell(&mut s, true).contains("another program stands before its filter"));
}

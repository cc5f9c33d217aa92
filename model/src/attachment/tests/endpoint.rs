//! A fraction's endpoint: where its host end stands, and when its name is another's.

use super::simulation::{Simulation, interface, limits, purpose};
use crate::attachment::*;

fn steps(s: &mut Simulation) -> Vec<String> {
    let mut steps = vec![];
    while let Some(order) = s.queue.first() {
        steps.push(order.step.to_string());
        s.step(0, false);
    }
    steps
}

/// A bridge floods: an endpoint's host end is in none while the reflector stands in for the guard.
#[test]
fn an_endpoint_is_in_no_bridge() {
    let mut s = Simulation::new(limits(8, 1));
    s.settle();
    s.report();
    let ticket = s.attach(2);
    s.queue.retain(|order| order.record.goal != Goal::Spare);
    assert_eq!(steps(&mut s), ["leave bridge", "join loopback group"]);
    assert!(matches!(s.answer(ticket), Some(Answer::Granted(granted)) if granted.warm));

    s.detach(2);
    assert_eq!(steps(&mut s), ["close guard", "join bridge"]);
    assert_eq!(s.released, [purpose(2)]);

    let cold = Simulation::new(limits(8, 0));
    let mut s = cold;
    s.attach(2);
    assert_eq!(steps(&mut s), ["create host end", "leave bridge", "join loopback group", "plug"]);
    // The guest has not let go of the NIC, and the fraction is about to come back.
    s.detach(2);
    s.step(0, false);
    assert_eq!(s.released, [purpose(2)]);
    assert_eq!(steps(&mut s), ["unplug"]);
    assert_eq!(s.released.len(), 1, "given back twice");
}

fn with_endpoint() -> Simulation {
    let mut s = Simulation::new(limits(8, 0));
    s.attach(2);
    s.settle();
    s.decide(|m, _| m.confirm(&interface(2), "").unwrap());
    s.released.clear();
    s
}

/// The pod is made anew elsewhere before anybody has taken away what is left of the fraction here.
#[test]
fn a_fraction_whose_nic_is_gone_gives_its_name_back_at_once() {
    let mut s = with_endpoint();
    s.links.clear();
    s.devices.clear();
    let findings = s.observe();
    assert!(findings[1].contains("fraction f2 of loopback group shop went with it"), "{findings:?}");
    assert_eq!(s.released, [purpose(2)]);
    s.settle();
    assert!(s.ledger.is_empty());
    let ticket = s.detach(2);
    assert_eq!(
        s.answer(ticket),
        Some(&Answer::Detached { existed: false }),
        "whoever takes it away is told so"
    );
    // A half is no fraction either: it is silenced before its place is another's.
    let mut s = with_endpoint();
    s.devices.clear();
    s.observe();
    assert_eq!((s.released.len(), steps(&mut s)), (0, vec!["close guard".to_owned(), "unplug".to_owned()]));
    assert_eq!(s.released, [purpose(2)]);
}

#[test]
fn a_guest_that_is_reset_or_over_has_no_fractions() {
    let endings: [fn(&mut Simulation); 2] = [
        |s| s.decide(|m, _| m.happened(VmEvent::Reset)),
        |s| {
            let world = World { state: VmState::Ended, ..s.world() };
            s.decide(|m, c| {
                let mut out = Outcome::default();
                m.observed(&world, c, &mut out);
                out
            });
        },
    ];
    for end in endings {
        let mut s = with_endpoint();
        s.attach(1);
        s.settle();
        end(&mut s);
        s.settle();
        assert_eq!(s.released, [purpose(2)], "a pod's addresses are kept until the next hello");
        s.hello("boot-1");
        s.settle();
        assert!(s.machine.nics().all(|nic| nic.record.membership().is_none()));
    }
}

/// An agent, or a daemon, that is away for a moment takes nothing from anybody, nor does a guest that is stopped.
#[test]
fn a_fraction_that_lives_keeps_its_name() {
    let mut s = with_endpoint();
    s.hello("boot-1");
    s.crash();
    for state in [VmState::Paused, VmState::Down, VmState::Running] {
        let world = World { state, ..s.world() };
        s.decide(|m, c| {
            let mut out = Outcome::default();
            assert_eq!(m.observed(&world, c, &mut out), Vec::<String>::new(), "{state:?}");
            out
        });
        s.settle();
    }
    assert_eq!((s.released.len(), s.phases()), (0, vec!["InUse".to_owned()]));
}

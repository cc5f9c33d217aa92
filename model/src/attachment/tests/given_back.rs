//! NICs that pods had: who gets them next, and when.

use super::simulation::{Simulation, interface, limits, network, request};
use crate::{address::AddressRequest, attachment::*, identity::NicId};

/// A VM with that many NICs at most and a pool of two that its guest shows.
fn with_pool(nic_limit: u32) -> Simulation {
    let mut s = Simulation::new(limits(nic_limit, 2));
    quiet(&mut s);
    assert_eq!(s.phases(), ["Spare"; 2]);
    s
}

/// All that can be done is done and told.
fn quiet(s: &mut Simulation) {
    for _ in 0..3 {
        s.settle();
        s.report();
    }
}

/// A pod is served; which NIC it has.
fn served(s: &mut Simulation, n: u32) -> NicId {
    let ticket = s.attach(n);
    s.settle();
    let Some(Answer::Granted(granted)) = s.answer(ticket).cloned() else {
        panic!("not granted: {:?}", s.answer(ticket))
    };
    granted.nic
}

fn confirmed(s: &mut Simulation, n: u32) -> NicId {
    let nic = served(s, n);
    s.decide(|m, _| m.confirm(&interface(n), "").unwrap());
    s.report();
    nic
}

fn phase(s: &Simulation, nic: NicId) -> Option<Phase> {
    s.machine.nic(nic).map(Nic::phase)
}

fn admits(s: &Simulation, n: u32) -> Result<Admission, AttachRefusal> {
    s.machine.admits(&interface(n), &request(n), &network(), &Wish::Pod(AddressRequest::default()))
}

#[test]
fn what_an_operator_takes_from_a_living_pod_serves_nobody_before_the_guest_has_it_back() {
    let mut s = with_pool(3);
    let taken = confirmed(&mut s, 1);
    quiet(&mut s);
    s.withheld.insert(taken);
    s.detach(1);
    quiet(&mut s);
    assert_eq!(phase(&s, taken), Some(Phase::Releasing));
    for n in [3, 4] {
        assert_ne!(confirmed(&mut s, n), taken);
        quiet(&mut s);
    }
    let capacity = s.machine.capacity();
    assert_eq!((capacity.in_use, capacity.spare, capacity.returning), (2, 0, 1));
    assert!(capacity.has_room(), "one is on its way back");
    let refused = admits(&s, 6);
    assert!(matches!(refused, Err(AttachRefusal::NoCapacity { evicting: false, .. })), "{refused:?}");
    // Nor after a restart, which must not have forgotten it.
    s.crash();
    s.hello("boot-1");
    quiet(&mut s);
    assert!(matches!(admits(&s, 6), Err(AttachRefusal::NoCapacity { .. })), "offered after a restart");
    s.withheld.clear();
    s.report();
    assert_eq!(phase(&s, taken), Some(Phase::Spare));
    assert_eq!(served(&mut s, 6), taken);
}

#[test]
fn what_a_guest_never_gives_back_is_unplugged_and_no_limit_is_learnt_from_it() {
    let mut s = with_pool(8);
    let taken = confirmed(&mut s, 1);
    s.withheld.insert(taken);
    s.detach(1);
    quiet(&mut s);
    s.now_ms += 59_000;
    s.decide(|m, c| m.tick(c));
    quiet(&mut s);
    assert_eq!(phase(&s, taken), Some(Phase::Releasing));
    s.now_ms += 1_000;
    s.decide(|m, c| m.tick(c));
    quiet(&mut s);
    assert_eq!(phase(&s, taken), None);
    assert!(!s.devices.contains(&taken));
    let capacity = s.machine.capacity();
    assert_eq!((capacity.limit, capacity.spare), (8, 2));
}

/// The agent's two calls are on their way at the same time.
#[test]
fn the_guest_s_word_that_a_nic_waits_may_come_before_its_detach() {
    let mut s = with_pool(8);
    let taken = confirmed(&mut s, 1);
    let free =
        s.devices.iter().map(|&nic| crate::identity::Mac::of_nic(super::simulation::HOST, nic)).collect();
    s.decide(|m, c| m.reported(&free, &Default::default(), c));
    s.detach(1);
    s.settle();
    assert_eq!(phase(&s, taken), Some(Phase::Spare));
}

#[test]
fn a_nic_that_cannot_be_made_anew_is_replaced_by_another() {
    for detach_first in [true, false] {
        let mut s = with_pool(8);
        let taken = confirmed(&mut s, 1);
        s.spent.insert(taken);
        if detach_first {
            s.detach(1);
            s.settle();
            s.report();
        } else {
            let spent = [crate::identity::Mac::of_nic(super::simulation::HOST, taken)].into();
            s.decide(|m, c| m.reported(&Default::default(), &spent, c));
            assert!(phase(&s, taken).is_some(), "taken from under a pod");
            s.detach(1);
        }
        quiet(&mut s);
        assert!(!s.devices.contains(&taken));
        assert_eq!(s.phases(), ["Spare"; 2]);
        assert_ne!(confirmed(&mut s, 3), taken);
    }
}

#[test]
fn a_nic_whose_attach_failed_in_the_guest_is_offered_last() {
    let mut s = with_pool(8);
    let first = served(&mut s, 1);
    s.detach(1);
    quiet(&mut s);
    assert_eq!(phase(&s, first), Some(Phase::Spare));
    let second = served(&mut s, 3);
    assert_ne!(second, first);
    let third = served(&mut s, 4);
    assert_ne!(third, first);
    quiet(&mut s);
    // One that serves somebody after all is as good as any.
    s.machine.confirm(&interface(3), "").unwrap();
    s.detach(3);
    quiet(&mut s);
    assert_eq!(served(&mut s, 6), second);
}

#[test]
fn a_reboot_makes_every_nic_new() {
    let mut s = with_pool(3);
    let taken = confirmed(&mut s, 1);
    s.withheld.insert(taken);
    s.detach(1);
    quiet(&mut s);
    s.withheld.clear();
    s.decide(|m, _| m.happened(VmEvent::Reset));
    s.hello("boot-2");
    assert!(s.machine.nics().all(|nic| !nic.record.returning));
    quiet(&mut s);
    assert_eq!(s.machine.capacity().spare, 3);
}

#[test]
fn what_is_beyond_a_limit_that_was_lowered_goes_and_is_not_used() {
    let mut s = Simulation::new(limits(12, 4));
    for _ in 0..4 {
        quiet(&mut s);
    }
    for n in 0..6 {
        confirmed(&mut s, 3 * n);
        quiet(&mut s);
    }
    assert_eq!(s.devices.len(), 10);
    s.limits.nic_limit = 8;
    s.crash();
    s.hello("boot-1");
    s.report();
    s.decide(|m, c| m.tick(c));
    quiet(&mut s);
    let capacity = s.machine.capacity();
    assert_eq!((capacity.in_use, capacity.spare, capacity.total), (6, 2, 8));
    // Lower than what pods have: they stay, and nobody else comes.
    s.limits.nic_limit = 5;
    s.crash();
    s.hello("boot-1");
    s.report();
    assert!(
        matches!(admits(&s, 30), Err(AttachRefusal::NoCapacity { limit: 5, .. })),
        "a spare NIC beyond the limit"
    );
    s.decide(|m, c| m.tick(c));
    quiet(&mut s);
    assert_eq!(s.machine.capacity().total, 6);
    // What one of them gives back is not kept.
    s.detach(0);
    quiet(&mut s);
    assert_eq!(s.machine.capacity().total, 5);
    s.detach(3);
    quiet(&mut s);
    let capacity = s.machine.capacity();
    assert_eq!((capacity.in_use, capacity.spare), (4, 1));
}

//! One course of events after the other, as they happen to a NIC.

use super::simulation::{Simulation, failure, interface, limits, network};
use crate::{address::AddressRequest, attachment::*};

#[test]
fn a_cold_attach_goes_through_every_phase() {
    let mut s = Simulation::new(limits(4, 0));
    let ticket = s.attach(1);
    let mut phases = vec![s.phases()[0].clone()];
    while !s.queue.is_empty() {
        s.step(0, false);
        phases.push(s.phases()[0].clone());
    }
    assert_eq!(phases, ["Planned", "Planned", "Planned", "TapReady", "Plugged"]);
    assert!(matches!(s.answer(ticket), Some(Answer::Granted(granted)) if !granted.warm));
    s.report();
    assert_eq!(s.phases(), ["Visible"]);
    s.machine.confirm(&interface(1), "0000:01:01.0").unwrap();
    assert_eq!(s.phases(), ["InUse"]);
    let ticket = s.detach(1);
    assert_eq!(s.phases(), ["Releasing"]);
    assert_eq!(s.answer(ticket), None, "answered before the guard was closed");
    s.step(0, false);
    assert_eq!(s.answer(ticket), Some(&Answer::Detached { existed: true }));
    assert_eq!(s.phases(), ["Unplugging"]);
    s.settle();
    assert!(s.ledger.is_empty() && s.links.is_empty() && s.devices.is_empty());
    assert_eq!(s.released.len(), 1);
}

#[test]
fn a_burst_of_the_pool_s_size_waits_for_no_plug() {
    let mut s = Simulation::new(limits(64, 8));
    for _ in 0..4 {
        s.settle();
        s.report();
    }
    s.settle();
    s.report();
    assert_eq!(s.phases(), ["Spare"; 8]);
    let tickets: Vec<_> = (0..8).map(|n| s.attach(3 * n)).collect();
    let guards = |s: &Simulation| s.queue.iter().filter(|order| matches!(order.step, Step::Guard(_))).count();
    assert_eq!(guards(&s), 8);
    // Only the guards are carried out; the refill stays in the queue.
    while guards(&s) > 0 {
        let at = s.queue.iter().position(|order| matches!(order.step, Step::Guard(_))).unwrap();
        s.step(at, false);
    }
    for ticket in tickets {
        assert!(matches!(s.answer(ticket), Some(Answer::Granted(granted)) if granted.warm));
    }
}

#[test]
fn a_nic_given_back_is_spare_and_its_addresses_rest() {
    let mut s = Simulation::new(limits(8, 1));
    s.settle();
    s.report();
    let ticket = s.attach(1);
    s.settle();
    let Some(Answer::Granted(granted)) = s.answer(ticket).cloned() else { panic!("not granted") };
    s.machine.confirm(&interface(1), "").unwrap();
    s.detach(1);
    s.settle();
    assert_eq!(s.released, std::slice::from_ref(&granted.purpose));
    let phase = |s: &Simulation| s.machine.nic(granted.nic).unwrap().phase();
    assert_eq!(phase(&s), Phase::Releasing, "the guest has not said that it waits");
    s.report();
    assert_eq!(phase(&s), Phase::Spare);
    assert_eq!(s.links[&granted.nic].guard, Some(Guarding::Closed));
}

#[test]
fn the_same_request_again_gets_the_same_answer_and_another_is_refused() {
    let mut s = Simulation::new(limits(8, 0));
    let (first, again) = (s.attach(1), s.attach(1));
    s.settle();
    let third = s.attach(1);
    assert_eq!(s.answer(first), s.answer(again));
    assert_eq!(s.answer(first), s.answer(third));
    assert_eq!(s.devices.len(), 1);
    let other = s.machine.admits(
        &interface(1),
        &"other".parse().unwrap(),
        &network(),
        &Wish::Pod(AddressRequest::default()),
    );
    assert_eq!(other, Err(AttachRefusal::AlreadyAttached { attachment: interface(1) }));
}

#[test]
fn a_failed_step_refuses_and_leaves_nothing() {
    for failing in 0..4 {
        let mut s = Simulation::new(limits(8, 0));
        let ticket = s.attach(1);
        for _ in 0..failing {
            s.step(0, false);
        }
        s.step(0, true);
        s.settle();
        assert!(
            matches!(s.answer(ticket), Some(Answer::Refused(AttachRefusal::StepFailed { .. }))),
            "step {failing}"
        );
        assert!(s.ledger.is_empty() && s.links.is_empty() && s.devices.is_empty(), "step {failing}");
        assert_eq!(s.released.len(), 1);
    }
}

#[test]
fn a_guest_that_does_not_let_go_keeps_its_nic_in_quarantine() {
    let mut s = Simulation::new(limits(2, 0));
    s.attach(1);
    s.settle();
    s.report();
    s.detach(1);
    s.step(0, false);
    s.step(0, true);
    assert_eq!(s.phases(), ["Quarantined"]);
    assert!(s.queue.is_empty() && s.released.is_empty(), "address given back while the guest has the NIC");
    s.crash();
    assert_eq!(s.phases(), ["Quarantined"]);
    s.settle();
    assert_eq!(s.released.len(), 1);
    assert!(s.ledger.is_empty());
}

#[test]
fn quarantine_ends_when_the_guest_is_reset() {
    let mut s = Simulation::new(limits(2, 0));
    s.attach(1);
    s.settle();
    s.detach(1);
    s.step(0, false);
    s.step(0, true);
    s.decide(|m, _| m.happened(VmEvent::Reset));
    assert!(matches!(s.queue[..], [StepOrder { step: Step::Unplug, .. }]));
}

#[test]
fn at_the_limit_the_next_is_refused_with_the_reason() {
    let mut s = Simulation::new(limits(2, 0));
    s.attach(1);
    s.attach(2);
    s.settle();
    let ticket = s.attach(3);
    let Some(Answer::Refused(refusal)) = s.answer(ticket) else { panic!("not refused") };
    assert_eq!(refusal.to_string(), "all 2 NICs of the VM are taken (the operator's nic_limit)");
}

#[test]
fn a_guest_that_shows_no_more_nics_is_not_asked_again() {
    let mut s = Simulation::new(limits(100, 0));
    for n in 0..3 {
        s.attach(n);
    }
    s.settle();
    s.report();
    // The fourth is plugged, but the guest has no interrupt vector for it.
    s.attach(4);
    s.settle();
    s.now_ms += 10_000;
    s.detach(4);
    s.settle();
    let ticket = s.attach(5);
    let Some(Answer::Refused(refusal)) = s.answer(ticket) else { panic!("not refused") };
    assert!(
        refusal
            .to_string()
            .contains("all 3 NICs of the VM are taken (as many as the guest has interrupt vectors"),
        "{refusal}"
    );
    s.hello("boot-2");
    s.settle();
    s.attach(6);
    assert_eq!(s.machine.capacity().limit, 100, "a new boot starts afresh");
}

#[test]
fn a_reboot_ends_every_attachment() {
    let mut s = Simulation::new(limits(8, 0));
    for n in 0..3 {
        s.attach(n);
    }
    s.settle();
    s.report();
    s.decide(|m, _| m.happened(VmEvent::Reset));
    s.hello("boot-2");
    s.settle();
    assert!(s.ledger.is_empty() && s.devices.is_empty());
    assert_eq!(s.released.len(), 3);
}

#[test]
fn a_restart_with_the_same_boot_keeps_every_attachment() {
    let mut s = Simulation::new(limits(8, 0));
    s.attach(1);
    s.settle();
    s.report();
    s.machine.confirm(&interface(1), "").unwrap();
    let before = s.machine.serving(&interface(1)).unwrap().record.clone();
    s.ledger.insert(before.nic, before.clone());
    s.crash();
    s.hello("boot-1");
    s.settle();
    assert_eq!(s.machine.serving(&interface(1)).unwrap().record, before);
    assert_eq!(s.phases(), ["InUse"]);
}

#[test]
fn a_nic_that_vanishes_under_a_pod_is_told_not_replaced() {
    let mut s = Simulation::new(limits(8, 0));
    s.attach(1);
    s.settle();
    s.devices.clear();
    s.links.clear();
    assert_eq!(s.observe(), ["nic 1: gone from the VM while a pod uses it"]);
    assert!(s.observe().is_empty(), "told once");
    assert!(s.queue.is_empty());
    s.detach(1);
    s.settle();
    assert!(s.ledger.is_empty());
}

#[test]
fn a_port_that_fell_off_its_bridge_is_put_back_with_its_guard() {
    let mut s = Simulation::new(limits(8, 0));
    s.attach(1);
    s.settle();
    for link in s.links.values_mut() {
        (link.enslaved, link.guard) = (false, None);
    }
    assert_eq!(s.observe(), ["nic 1: put back in place on the host"]);
    let steps: Vec<String> = s.queue.iter().map(|order| order.step.to_string()).collect();
    assert_eq!(steps, ["open guard"]);
    s.settle();
    assert!(s.links.values().all(|link| link.enslaved));
}

#[test]
fn a_device_that_the_ledger_does_not_know_is_unplugged() {
    let mut s = Simulation::new(limits(8, 0));
    s.devices.insert(crate::identity::NicId(77));
    assert_eq!(s.observe(), ["nic 4d: plugged, but not in the ledger; unplugging it"]);
    s.settle();
    assert!(s.devices.is_empty() && s.ledger.is_empty());
}

#[test]
fn an_old_observation_says_nothing_about_a_newer_nic() {
    let mut s = Simulation::new(limits(8, 0));
    let stale = World {
        as_of: s.machine.generation(),
        state: VmState::Running,
        slots: None,
        plugged: Default::default(),
        halves: Default::default(),
        host_ends: Default::default(),
    };
    let ticket = s.attach(1);
    s.settle();
    s.decide(|m, c| {
        let mut out = Outcome::default();
        assert!(m.observed(&stale, c, &mut out).is_empty());
        out
    });
    assert_eq!(s.phases(), ["Plugged"]);
    assert!(matches!(s.answer(ticket), Some(Answer::Granted(_))));
}

#[test]
fn a_vm_that_died_took_its_pods_along() {
    let mut s = Simulation::new(limits(8, 0));
    s.attach(1);
    s.settle();
    s.links.clear();
    s.devices.clear();
    let world = World {
        as_of: s.machine.generation(),
        state: VmState::Down,
        slots: None,
        plugged: Default::default(),
        halves: Default::default(),
        host_ends: Default::default(),
    };
    s.decide(|m, c| {
        let mut out = Outcome::default();
        assert_eq!(m.observed(&world, c, &mut out), ["nic 1: gone with its VM"]);
        out
    });
    assert!(s.ledger.is_empty());
    assert_eq!(s.released.len(), 1);
    let ticket = s.attach(2);
    assert_eq!(s.answer(ticket), Some(&Answer::Refused(AttachRefusal::VmDown)));
}

#[test]
fn failures_have_words() {
    assert_eq!(failure(&Step::Plug).to_string(), "refused");
}

#[test]
fn after_a_restart_nothing_is_touched_before_the_hypervisor_answers() {
    let mut s = Simulation::new(limits(8, 0));
    s.attach(1);
    s.settle();
    s.machine = VmNics::new("vm1".parse().unwrap(), limits(8, 0), s.remembered());
    let silent = World {
        as_of: s.machine.generation(),
        state: VmState::Down,
        slots: None,
        plugged: Default::default(),
        halves: Default::default(),
        host_ends: s
            .links
            .keys()
            .map(|&nic| {
                (
                    nic,
                    HostEndState {
                        enslaved: true,
                        isolated: false,
                        guarded: true,
                        reflected: false,
                        overtaken: false,
                    },
                )
            })
            .collect(),
    };
    s.decide(|m, c| {
        let mut out = Outcome::default();
        m.observed(&silent, c, &mut out);
        out
    });
    assert!(s.queue.is_empty(), "{:?}", s.queue);
    s.observe();
    s.settle();
    assert_eq!(s.phases(), ["Plugged"]);
}

/// A VM with a pool of two that its guest shows.
fn with_pool() -> Simulation {
    let mut s = Simulation::new(limits(4, 2));
    s.settle();
    s.report();
    assert_eq!(s.phases(), ["Spare"; 2]);
    s
}

#[test]
fn spare_nics_outlast_a_boot_that_takes_its_time() {
    let mut s = with_pool();
    s.decide(|m, _| m.happened(VmEvent::Reset));
    s.now_ms += 120_000;
    s.decide(|m, c| m.tick(c));
    assert!(s.queue.is_empty(), "asked a booting guest to let go: {:?}", s.queue);
    s.hello("boot-2");
    s.decide(|m, c| m.tick(c));
    assert!(s.queue.is_empty(), "the guest had no time to show them: {:?}", s.queue);
    s.now_ms += 20_000;
    s.decide(|m, c| m.tick(c));
    assert!(!s.queue.is_empty(), "the guest does not show them");
}

#[test]
fn spare_nics_outlast_a_pause_and_an_agent_that_is_away() {
    let mut s = with_pool();
    let mut world = World {
        as_of: s.machine.generation(),
        state: VmState::Paused,
        slots: None,
        plugged: s.devices.clone(),
        halves: Default::default(),
        host_ends: s
            .links
            .keys()
            .map(|&nic| {
                (
                    nic,
                    HostEndState {
                        enslaved: true,
                        isolated: false,
                        guarded: true,
                        reflected: false,
                        overtaken: false,
                    },
                )
            })
            .collect(),
    };
    s.decide(|m, _| m.happened(VmEvent::Reset));
    s.hello("boot-2");
    for state in [VmState::Paused, VmState::Running] {
        world.state = state;
        s.decide(|m, c| {
            let mut out = Outcome::default();
            m.observed(&world, c, &mut out);
            out
        });
        s.decide(|m, c| m.tick(c));
        assert!(s.queue.is_empty(), "{state:?}: {:?}", s.queue);
        s.now_ms += 120_000;
    }
    s.crash();
    s.settle();
    s.now_ms += 120_000;
    s.decide(|m, c| m.tick(c));
    assert!(s.queue.is_empty(), "nobody has spoken for the guest yet: {:?}", s.queue);
}

#[test]
fn room_that_was_made_is_left_to_whoever_needed_it() {
    let mut s = Simulation::new(limits(2, 2));
    s.settle();
    s.report();
    let (network, request) = ("blue".parse().unwrap(), "r".parse().unwrap());
    let wish = Wish::Pod(AddressRequest::default());
    let full = s.machine.admits(&interface(1), &request, &network, &wish);
    assert!(matches!(full, Err(AttachRefusal::NoCapacity { evicting: true, .. })), "{full:?}");
    s.decide(VmNics::evict);
    s.settle();
    assert_eq!(s.machine.admits(&interface(1), &request, &network, &wish), Ok(Admission::New));
}

#[test]
fn spare_nics_of_an_earlier_configuration_are_not_given_out_and_go() {
    let mut s = with_pool();
    s.limits.mtu = crate::identity::Mtu::new(1400).unwrap();
    s.crash();
    s.hello("boot-1");
    s.report();
    let ticket = s.attach(1);
    s.settle();
    assert!(matches!(s.answer(ticket), Some(Answer::Granted(granted)) if !granted.warm));
    s.decide(|m, c| m.tick(c));
    s.settle();
    s.report();
    s.settle();
    let spares: Vec<u32> = s
        .machine
        .nics()
        .filter(|nic| nic.record.goal == Goal::Spare)
        .map(|nic| nic.record.mtu.bytes())
        .collect();
    assert_eq!(spares, [1400, 1400]);
}

#[test]
fn whoever_waits_for_a_nic_that_is_gone_is_told() {
    let mut s = Simulation::new(limits(4, 0));
    s.attach(1);
    s.settle();
    s.decide(|m, _| m.confirm(&interface(1), "").unwrap());
    // Its guard falls off, and is being put back while the agent repeats its request.
    s.links.values_mut().for_each(|link| link.guard = None);
    s.observe();
    let again = s.attach(1);
    assert_eq!(s.answer(again), None);
    s.step(0, true);
    s.devices.clear();
    s.links.clear();
    s.observe();
    let refused = AttachRefusal::AlreadyAttached { attachment: interface(1) };
    assert_eq!(s.answer(again), Some(&Answer::Refused(refused)));
}

#[test]
fn repetitions_that_wait_are_bounded() {
    let mut s = Simulation::new(limits(4, 0));
    let tickets: Vec<_> = (0..100).map(|_| s.attach(1)).collect();
    let refused = tickets.iter().filter(|&&ticket| s.answer(ticket).is_some()).count();
    assert_eq!(refused, 84);
    s.settle();
    assert_eq!(s.answers.len(), 100);
}

#[test]
fn a_guest_that_was_merely_slow_gets_its_capacity_back() {
    let mut s = Simulation::new(limits(100, 0));
    for n in 0..2 {
        s.attach(n);
        s.settle();
        if n == 0 {
            s.report();
        }
    }
    s.now_ms += 10_000;
    s.detach(1);
    assert_eq!(s.machine.capacity().limit, 1);
    s.report();
    assert_eq!(s.machine.capacity().limit, 100, "the late NIC has shown");
    s.detach(0);
    s.settle();
    s.attach(3);
    s.settle();
    s.now_ms += 10_000;
    s.detach(3);
    assert_eq!(s.machine.capacity().limit, 1);
    s.now_ms += 600_000;
    s.decide(|m, c| m.tick(c));
    assert_eq!(s.machine.capacity().limit, 100, "tried again after a while");
}

#[test]
fn a_back_end_without_its_device_is_no_nic() {
    let mut s = Simulation::new(limits(8, 0));
    let ticket = s.attach(1);
    s.settle();
    assert!(matches!(s.answer(ticket), Some(Answer::Granted(_))));
    // The daemon died between the two commands that plug a NIC, so nothing was answered.
    s.halves = s.devices.clone();
    s.machine = VmNics::new("vm1".parse().unwrap(), limits(8, 0), s.remembered());
    assert_eq!(s.observe(), ["nic 1: plugged in part only; starting over"]);
    assert_eq!(s.queue.iter().map(|order| &order.step).collect::<Vec<_>>(), [&Step::Unplug]);
    s.settle();
    assert!(s.halves.is_empty() && s.devices.len() == 1);
    assert!(s.observe().is_empty());
}

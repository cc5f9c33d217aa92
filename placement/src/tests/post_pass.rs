//! The post-pass over a placement that is given.

use super::{GIB, any_catalogue, any_client, linear};
use crate::hostlo::over;
use crate::strategy::{Rules, Strategy as _, Task};
use crate::{
    Catalogue, Client, Fraction, Kubernetes, PlacementError, Plan, PlannedVm, Pod, Price, Resources,
    Violation, VmSize, verify,
};
use proptest::prelude::*;

fn alone(pods: &[Pod]) -> Plan {
    let vm = |(pod, of): (usize, &Pod)| PlannedVm {
        size: 0,
        host: None,
        fractions: vec![Fraction { pod, containers: (0..of.containers.len()).collect() }],
    };
    Plan { vms: pods.iter().enumerate().map(vm).collect() }
}

#[test]
fn a_pod_that_had_a_vm_for_itself_is_moved_into_room_of_others() {
    let pod = |name: &str, cpu: &[u64]| Pod::of(name, cpu.iter().map(|&cpu| Resources::new(cpu, GIB)));
    let pods = vec![pod("web", &[3200]), pod("api", &[3200]), pod("job", &[700, 700])];
    let before = alone(&pods);
    let (client, catalogue) = (Client { name: "client".into(), pods }, linear(&[4]));
    let task = Task { client: &client, catalogue: &catalogue, rules: Rules::SPLIT };
    let after = over(task, &before).expect("a sound placement");
    assert_eq!(verify(task, &after), Ok(()));
    assert_eq!((after.vms.len(), after.score(&catalogue).split_pods), (2, 1));
    let whole = over(Task { rules: Rules::WHOLE, ..task }, &before).expect("a sound placement");
    assert_eq!(whole, before, "whole pods stay where they are");
}

#[test]
fn a_placement_that_breaks_a_rule_is_refused() {
    let pods = vec![Pod::of("web", [Resources::new(3200, GIB)]), Pod::of("api", [Resources::new(3200, GIB)])];
    let mut placement = alone(&pods);
    let moved = placement.vms.remove(1).fractions;
    placement.vms[0].fractions.extend(moved);
    let (client, catalogue) = (Client { name: "client".into(), pods }, linear(&[4]));
    let refusal = over(Task { client: &client, catalogue: &catalogue, rules: Rules::SPLIT }, &placement);
    let overfull = Violation::Overfull { vm: 0, what: "CPU or memory" };
    assert_eq!(refusal, Err(PlacementError::NoPlan { client: "client".into(), source: overfull }));
}

#[test]
fn a_price_that_bounds_cannot_be_computed_with_is_refused() {
    let size = |price| VmSize::of("vm", Price(price), Resources::new(1000, GIB));
    assert!(Catalogue::new(vec![size(Price::MOST.micro_dollars())]).is_ok());
    let refusal = Catalogue::new(vec![size(Price::MOST.micro_dollars() + 1)]);
    assert_eq!(refusal, Err(PlacementError::SizeTooDear { size: "vm".into() }));
}

proptest! {
    #[test]
    fn the_pass_saves_or_leaves_things_as_they_are(client in any_client(12, 3), catalogue in any_catalogue()) {
        let task = Task { client: &client, catalogue: &catalogue, rules: Rules::SPLIT };
        let before = Kubernetes.place(task).map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
        let after = over(task, &before).map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
        prop_assert_eq!(verify(task, &after), Ok(()));
        prop_assert!(after.cost(&catalogue) <= before.cost(&catalogue));
    }
}

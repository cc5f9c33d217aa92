//! Pods that seek and avoid each other, at random: every plan keeps what they demand, and local search pays off.

use proptest::prelude::*;

use super::{GIB, any_client};
use crate::compare::{Terms, compare, strategies};
use crate::constraint::{HOSTNAME, Operator, PodSelector, PodTerm, Requirement, Spread};
use crate::kubernetes::as_it_is;
use crate::local_search::search;
use crate::problem::Problem;
use crate::strategy::{Rules, Task};
use crate::{Catalogue, Client, Pod, Price, Resources, VmSize, verify};

const ZONE: &str = "topology.kubernetes.io/zone";

/// Two sizes in each of three zones.
fn zones() -> Catalogue {
    let size = |zone: &str, vcpu: u64| {
        let capacity = Resources::new(1000 * vcpu, 4 * GIB * vcpu);
        let mut size = VmSize::of(format!("vm.{vcpu}-{zone}"), Price(48_000 * vcpu), capacity);
        size.labels.insert(ZONE.into(), zone.into());
        size
    };
    let all = ["a", "b", "c"].iter().flat_map(|zone| [size(zone, 8), size(zone, 32)]);
    Catalogue::new(all.collect()).expect("distinct sizes with room")
}

fn labelled(app: u8) -> PodSelector {
    PodSelector(vec![Requirement {
        key: "app".into(),
        operator: Operator::In,
        values: vec![app.to_string()],
    }])
}

/// What pods of one application demand: nothing, or of their own kind, or of another.
fn demand(pod: &mut Pod, app: u8, kind: u8) {
    let term = |app: u8, key: &str| PodTerm { selector: labelled(app), topology_key: key.into() };
    let spread = |key: &str| Spread {
        selector: labelled(app),
        topology_key: key.into(),
        max_skew: 1 + u32::from(app % 2),
    };
    pod.labels.insert("app".into(), app.to_string());
    let constraints = &mut pod.constraints;
    match kind {
        1 => constraints.anti_affinity.push(term(app, HOSTNAME)),
        2 => constraints.anti_affinity.push(term((app + 1) % 3, HOSTNAME)),
        3 => constraints.spread.push(spread(HOSTNAME)),
        4 => constraints.spread.push(spread(ZONE)),
        5 => constraints.affinity.push(term(app, ZONE)),
        6 => constraints.anti_affinity.push(term((app + 1) % 3, ZONE)),
        _ => {}
    }
}

fn related_client() -> impl Strategy<Value = Client> {
    (any_client(14, 3), proptest::collection::vec(0_u8..8, 3), any::<u64>()).prop_map(
        |(mut client, kinds, seed)| {
            for (index, pod) in client.pods.iter_mut().enumerate() {
                let app = ((seed >> (2 * (index % 32))) % 3) as u8;
                demand(pod, app, kinds[usize::from(app)]);
            }
            client
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_plan_keeps_what_pods_demand_of_each_other(client in related_client(), split in any::<bool>()) {
        let catalogue = zones();
        let rules = if split { Rules::SPLIT } else { Rules::WHOLE };
        let task = Task { client: &client, catalogue: &catalogue, rules };
        for strategy in strategies() {
            let Ok(plan) = strategy.place(task) else { continue };
            prop_assert_eq!(verify(task, &plan), Ok(()), "{}", strategy.name());
            prop_assert_eq!(strategy.place(task), Ok(plan), "{} twice", strategy.name());
        }
        if let Ok(comparison) = compare(&client, &catalogue, Terms::default()) {
            let whole = Task { rules: Rules::WHOLE, ..task };
            let split = Task { rules: Rules::SPLIT, ..task };
            prop_assert_eq!(verify(whole, &comparison.as_is), Ok(()));
            prop_assert_eq!(verify(whole, &comparison.whole), Ok(()));
            prop_assert_eq!(verify(split, &comparison.as_is_hostlo), Ok(()));
            prop_assert_eq!(verify(split, &comparison.split), Ok(()));
            let cost = |plan: &crate::Plan| plan.cost(&catalogue);
            prop_assert!(cost(&comparison.whole) <= cost(&comparison.as_is));
            prop_assert!(cost(&comparison.split) <= cost(&comparison.whole));
            prop_assert!(comparison.split_bound.cost <= cost(&comparison.split));
        }
    }
}

#[test]
fn local_search_mends_what_the_order_of_arrival_spoils() {
    // Small pods come first, three to a VM; then each of the large ones, which avoid their own kind, needs a VM of its own.
    let small = (0..8).map(|index| Pod::of(format!("small-{index}"), [Resources::new(2500, GIB)]));
    let large = (0..8).map(|index| {
        let mut pod = Pod::of(format!("large-{index}"), [Resources::new(5500, GIB)]);
        demand(&mut pod, 1, 1);
        pod
    });
    let client = Client { name: "client".into(), pods: small.chain(large).collect() };
    let size = VmSize::of("vm", Price(384_000), Resources::new(8000, 32 * GIB));
    let catalogue = Catalogue::new(vec![size]).expect("one size with room");
    let task = Task { client: &client, catalogue: &catalogue, rules: Rules::WHOLE };
    let problem = Problem::new(task).expect("every pod fits a VM");
    let mut packing = as_it_is(&problem).expect("VMs without end");
    assert_eq!(packing.vms.len(), 11);
    search(&mut packing);
    let plan = packing.finish();
    assert_eq!(verify(task, &plan), Ok(()));
    assert_eq!(plan.vms.len(), 8, "a small and a large pod fill a VM");
}

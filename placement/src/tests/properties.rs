//! No strategy overfills a VM, loses a container, goes below the bound, or gives two answers.

use proptest::prelude::*;

use super::{GIB, any_catalogue, any_client, linear};
use crate::compare::{Comparison, Terms, compare, strategies};
use crate::strategy::{HostModel, Rules, Splitting, Task};
use crate::{Catalogue, Client, Pod, Resources, VmSize, verify};

fn any_rules() -> impl Strategy<Value = Rules> {
    let splitting = prop_oneof![
        Just(Splitting::Whole),
        Just(Splitting::ANY),
        (1_u32..4).prop_map(|most| Splitting::Split { max_fractions: Some(most) }),
    ];
    let hosts = prop_oneof![
        Just(HostModel::OnePerClient),
        Just(HostModel::Sized(Resources::new(40_000, 80 * GIB))),
        Just(HostModel::Sized(Resources::new(80_000, 160 * GIB))),
    ];
    (splitting, hosts).prop_map(|(splitting, hosts)| Rules { splitting, hosts })
}

/// The same client with limits on what may be separated, and sizes with limits on pods and NICs.
fn narrowed(mut client: Client, catalogue: &Catalogue, most_pods: u32) -> (Client, Catalogue) {
    for pod in client.pods.iter_mut().filter(|pod| pod.containers.len() > 2) {
        pod.inseparable = vec![vec![0, 1]];
        pod.overhead = Resources::new(10, GIB / 64);
    }
    let sizes = catalogue.sizes().iter().cloned().map(|size| VmSize {
        max_pods: Some(most_pods),
        nics: Some(most_pods + 2),
        reserved: Resources::new(100, GIB / 8),
        ..size
    });
    (client, Catalogue::new(sizes.collect()).expect("distinct sizes with room"))
}

fn sound(task: Task<'_>) -> Result<(), TestCaseError> {
    for strategy in strategies() {
        let Ok(plan) = strategy.place(task) else { continue };
        prop_assert_eq!(verify(task, &plan), Ok(()), "{}", strategy.name());
        prop_assert_eq!(strategy.place(task), Ok(plan), "{} twice", strategy.name());
    }
    Ok(())
}

fn ordered(comparison: &Comparison, catalogue: &Catalogue) -> Result<(), TestCaseError> {
    let cost = |plan: &crate::Plan| plan.cost(catalogue);
    prop_assert!(cost(&comparison.whole) <= cost(&comparison.as_is));
    prop_assert!(cost(&comparison.split) <= cost(&comparison.whole));
    prop_assert!(cost(&comparison.split) <= cost(&comparison.as_is_hostlo));
    prop_assert!(cost(&comparison.as_is_hostlo) <= cost(&comparison.as_is));
    prop_assert!(comparison.whole_bound.cost <= cost(&comparison.whole));
    prop_assert!(comparison.split_bound.cost <= cost(&comparison.split));
    prop_assert!(comparison.split_bound.cost <= comparison.whole_bound.cost);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn every_strategy_gives_a_sound_plan(
        client in any_client(12, 3), catalogue in any_catalogue(), rules in any_rules()
    ) {
        sound(Task { client: &client, catalogue: &catalogue, rules })?;
    }

    #[test]
    fn plans_are_sound_under_limits(
        client in any_client(10, 4), catalogue in any_catalogue(), rules in any_rules(), pods in 2_u32..6
    ) {
        let (client, catalogue) = narrowed(client, &catalogue, pods);
        sound(Task { client: &client, catalogue: &catalogue, rules })?;
    }

    #[test]
    fn splitting_and_better_packing_never_cost_more(
        client in any_client(14, 3), catalogue in any_catalogue(), rules in any_rules()
    ) {
        let max_fractions = Some(rules.splitting.max_fractions());
        let terms = Terms { hosts: rules.hosts, max_fractions, ..Terms::default() };
        if let Ok(comparison) = compare(&client, &catalogue, terms) {
            let split = Rules { splitting: Splitting::Split { max_fractions }, ..rules };
            let whole = Rules { splitting: Splitting::Whole, ..rules };
            let plans = [
                (&comparison.as_is, whole), (&comparison.whole, whole),
                (&comparison.as_is_hostlo, split), (&comparison.split, split),
            ];
            for (plan, rules) in plans {
                prop_assert_eq!(verify(Task { client: &client, catalogue: &catalogue, rules }, plan), Ok(()));
            }
            ordered(&comparison, &catalogue)?;
        }
    }

    #[test]
    fn proportional_prices_change_nothing_of_that(client in any_client(14, 3)) {
        let catalogue = linear(&[2, 4, 8, 16, 32, 48]);
        let comparison = compare(&client, &catalogue, Terms::default()).expect("every pod fits the largest size");
        ordered(&comparison, &catalogue)?;
    }
}

#[test]
fn a_client_without_pods_buys_nothing() {
    let (client, catalogue) = (Client::default(), linear(&[2]));
    for strategy in strategies() {
        let plan = strategy.place(Task { client: &client, catalogue: &catalogue, rules: Rules::SPLIT });
        assert_eq!(plan.map(|plan| plan.vms.len()), Ok(0), "{}", strategy.name());
    }
}

#[test]
fn a_pod_too_large_for_any_vm_is_split_or_refused_by_name() {
    let pod = Pod::of("wide", [Resources::new(1500, GIB); 4]);
    let (client, catalogue) = (Client { name: "c".into(), pods: vec![pod] }, linear(&[2]));
    for strategy in strategies() {
        let whole = strategy.place(Task { client: &client, catalogue: &catalogue, rules: Rules::WHOLE });
        let refusal = whole.expect_err("the pod is larger than the VM").to_string();
        assert!(refusal.contains("pod wide") && refusal.contains("6000m CPU"), "{refusal}");
    }
    let task = Task { client: &client, catalogue: &catalogue, rules: Rules::SPLIT };
    for name in ["best-fit", "local-search", "exact"] {
        let plan = crate::strategy(name).expect("a known name").place(task).expect(name);
        assert_eq!(verify(task, &plan), Ok(()));
        assert_eq!(plan.vms.len(), 4);
    }
}

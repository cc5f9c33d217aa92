//! The exact strategy against trying everything.

use proptest::prelude::*;

use super::{any_catalogue, any_client, linear};
use crate::bound::Proof;
use crate::compare::{Terms, compare};
use crate::exact::Exact;
use crate::strategy::{Rules, Strategy as _, Task};
use crate::{Catalogue, Client, Resources};

/// The least price of VMs for `parts`, each put into every VM so far or a new one.
fn cheapest(parts: &[Resources], catalogue: &Catalogue) -> u64 {
    fn price(load: Resources, catalogue: &Catalogue) -> Option<u64> {
        let sizes = catalogue.sizes().iter().filter(|size| load.fits(size.allocatable()));
        sizes.map(|size| size.price.micro_dollars()).min()
    }
    fn place(parts: &[Resources], vms: &mut Vec<Resources>, catalogue: &Catalogue, best: &mut u64) {
        let Some((&part, rest)) = parts.split_first() else {
            let prices: Option<u64> = vms.iter().map(|&load| price(load, catalogue)).sum();
            *best = prices.map_or(*best, |prices| prices.min(*best));
            return;
        };
        for vm in 0..vms.len() {
            let before = vms[vm];
            vms[vm] = before + part;
            if price(vms[vm], catalogue).is_some() {
                place(rest, vms, catalogue, best);
            }
            vms[vm] = before;
        }
        vms.push(part);
        place(rest, vms, catalogue, best);
        vms.pop();
    }
    let mut best = u64::MAX;
    place(parts, &mut Vec::new(), catalogue, &mut best);
    best
}

fn agrees(client: &Client, catalogue: &Catalogue) -> Result<(), TestCaseError> {
    let whole: Vec<Resources> = client.pods.iter().map(|pod| pod.request()).collect();
    let units: Vec<Resources> =
        client.pods.iter().flat_map(|pod| pod.containers.iter().map(|container| container.request)).collect();
    for (rules, parts) in [(Rules::WHOLE, &whole), (Rules::SPLIT, &units)] {
        let plan = Exact::default().place(Task { client, catalogue, rules });
        let plan = plan.map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
        prop_assert_eq!(plan.cost(catalogue).micro_dollars(), cheapest(parts, catalogue), "{:?}", rules);
    }
    #[cfg(feature = "highs")]
    for (rules, parts) in [(Rules::WHOLE, &whole), (Rules::SPLIT, &units)] {
        let plan = crate::Highs::default().place(Task { client, catalogue, rules });
        let cost = plan.map(|plan| plan.cost(catalogue).micro_dollars());
        prop_assert_eq!(cost, Ok(cheapest(parts, catalogue)), "HiGHS, {:?}", rules);
    }
    let comparison = compare(client, catalogue, Terms::default())
        .map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
    prop_assert!(comparison.whole_is_optimal(catalogue) && comparison.split_is_optimal(catalogue));
    prop_assert!(comparison.whole_bound.proof <= Proof::Search);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn exact_is_as_cheap_as_trying_everything(client in any_client(4, 2), catalogue in any_catalogue()) {
        agrees(&client, &catalogue)?;
    }

    #[test]
    fn exact_is_as_cheap_with_proportional_prices(client in any_client(4, 2)) {
        agrees(&client, &linear(&[2, 4, 8, 16, 24, 48]))?;
    }
}

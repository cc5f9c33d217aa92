//! Properties that every plan must have, whoever made it.

mod brute_force;
mod constraints;
mod post_pass;
mod properties;
mod related;

use proptest::prelude::*;

use crate::catalogue::{Catalogue, VmSize};
use crate::pod::{Client, Pod};
use crate::price::Price;
use crate::resources::Resources;

const GIB: u64 = 1 << 30;

/// Sizes with prices in proportion, as clouds have them.
pub(super) fn linear(vcpus: &[u64]) -> Catalogue {
    let size = |&vcpu: &u64| {
        VmSize::of(format!("vm.{vcpu}"), Price(48_000 * vcpu), Resources::new(1000 * vcpu, 4 * GIB * vcpu))
    };
    Catalogue::new(vcpus.iter().map(size).collect()).expect("distinct sizes with room")
}

/// Sizes of no system at all.
pub(super) fn any_catalogue() -> impl Strategy<Value = Catalogue> {
    let size = (1_u64..20, 1_u64..40, 10_u64..400);
    proptest::collection::vec(size, 0..4).prop_map(|sizes| {
        // One size holds whatever the pods below need.
        let mut all = vec![VmSize::of("largest", Price(700_000), Resources::new(32_000, 64 * GIB))];
        for (index, (cpu, memory, price)) in sizes.into_iter().enumerate() {
            let capacity = Resources::new(1000 * cpu, memory * GIB);
            all.push(VmSize::of(format!("size-{index}"), Price(1000 * price), capacity));
        }
        Catalogue::new(all).expect("distinct sizes with room")
    })
}

/// A client of up to `pods` pods of up to `containers` containers.
pub(super) fn any_client(pods: usize, containers: usize) -> impl Strategy<Value = Client> {
    let container =
        (0_u64..90, 0_u64..180).prop_map(|(cpu, memory)| Resources::new(100 * cpu, memory * GIB / 10));
    let pod = proptest::collection::vec(container, 1..=containers);
    proptest::collection::vec(pod, 0..=pods).prop_map(|pods| Client {
        name: "client".into(),
        pods: pods
            .into_iter()
            .enumerate()
            .map(|(index, requests)| Pod::of(format!("pod-{index}"), requests))
            .collect(),
    })
}

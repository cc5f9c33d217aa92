//! What Kubernetes lets pods demand, strategy by strategy.

use super::{GIB, linear};
use crate::compare::{Terms, compare, strategies};
use crate::constraint::{
    HOSTNAME, Operator, PodSelector, PodTerm, Requirement, Spread, Taint, TaintEffect, Toleration,
};
use crate::strategy::{HostModel, Rules, Splitting, Task};
use crate::{
    Catalogue, Client, Container, ContainerKind, PlacementError, Plan, Pod, Price, Resources, Violation,
    VmSize, verify,
};

const ZONE: &str = "topology.kubernetes.io/zone";

fn pods(count: usize, cpu_milli: u64) -> Vec<Pod> {
    let pod = |index| {
        let mut pod = Pod::of(format!("pod-{index}"), [Resources::new(cpu_milli, GIB); 2]);
        pod.labels.insert("app".into(), "web".into());
        pod
    };
    (0..count).map(pod).collect()
}

fn web() -> PodSelector {
    let values = vec!["web".to_owned()];
    PodSelector(vec![Requirement { key: "app".into(), operator: Operator::In, values }])
}

fn zones() -> Catalogue {
    let size = |zone: &str| {
        let mut size = VmSize::of(format!("vm-{zone}"), Price(96_000), Resources::new(8000, 32 * GIB));
        size.labels.insert(ZONE.into(), zone.into());
        size
    };
    Catalogue::new(["a", "b", "c"].map(size).to_vec()).expect("distinct sizes with room")
}

/// Every strategy's plan, all of them verified.
fn plans(pods: Vec<Pod>, catalogue: &Catalogue, rules: Rules) -> Vec<Plan> {
    let client = Client { name: "client".into(), pods };
    let task = Task { client: &client, catalogue, rules };
    let plans = strategies().into_iter().map(|strategy| {
        let plan = strategy.place(task).unwrap_or_else(|refusal| panic!("{}: {refusal}", strategy.name()));
        assert_eq!(verify(task, &plan), Ok(()), "{}", strategy.name());
        plan
    });
    plans.collect()
}

#[test]
fn replicas_that_avoid_each_other_have_a_vm_each() {
    let mut pods = pods(4, 500);
    for pod in &mut pods {
        pod.constraints.anti_affinity.push(PodTerm { selector: web(), topology_key: HOSTNAME.into() });
    }
    for plan in plans(pods, &linear(&[2, 8]), Rules::SPLIT) {
        assert!(plan.vms.len() >= 4);
    }
}

#[test]
fn pods_that_seek_each_other_share_a_vm() {
    let mut pods = pods(3, 500);
    pods.push(Pod::of("other", [Resources::new(3500, GIB)]));
    for pod in &mut pods[..3] {
        pod.constraints.affinity.push(PodTerm { selector: web(), topology_key: HOSTNAME.into() });
    }
    for plan in plans(pods, &linear(&[4]), Rules::SPLIT) {
        let holds = |pod| plan.vms.iter().position(|vm| vm.fractions.iter().any(|f| f.pod == pod));
        assert_eq!((holds(0), holds(0)), (holds(1), holds(2)));
    }
}

#[test]
fn pods_are_spread_over_zones_and_vms() {
    for (key, catalogue) in [(ZONE, zones()), (HOSTNAME, linear(&[8]))] {
        let mut pods = pods(6, 500);
        for pod in &mut pods {
            pod.constraints.spread.push(Spread { selector: web(), topology_key: key.into(), max_skew: 1 });
        }
        plans(pods, &catalogue, Rules::SPLIT);
    }
}

#[test]
fn zone_affinity_and_anti_affinity_hold() {
    let mut together = pods(4, 3000);
    for pod in &mut together {
        pod.constraints.affinity.push(PodTerm { selector: web(), topology_key: ZONE.into() });
    }
    plans(together, &zones(), Rules::SPLIT);
    let mut apart = pods(3, 500);
    for pod in &mut apart {
        pod.constraints.anti_affinity.push(PodTerm { selector: web(), topology_key: ZONE.into() });
    }
    plans(apart.clone(), &zones(), Rules::SPLIT);
    apart.push(Pod { name: "pod-3".into(), ..apart[0].clone() });
    let client = Client { name: "client".into(), pods: apart };
    for strategy in strategies() {
        let refusal = strategy.place(Task { client: &client, catalogue: &zones(), rules: Rules::SPLIT });
        assert!(
            matches!(refusal, Err(PlacementError::Unsatisfiable { .. })),
            "{}: {refusal:?}",
            strategy.name()
        );
    }
}

#[test]
fn selectors_and_taints_choose_the_size() {
    let mut sizes = linear(&[4, 8]).sizes().to_vec();
    sizes[0].taints.push(Taint { key: "gpu".into(), value: "yes".into(), effect: TaintEffect::NoSchedule });
    sizes[1].labels.insert("disk".into(), "ssd".into());
    let catalogue = Catalogue::new(sizes).expect("distinct sizes with room");
    let mut pods = pods(2, 500);
    pods[0].constraints.node_selector.insert("disk".into(), "ssd".into());
    pods[1].constraints.tolerations.push(Toleration { key: Some("gpu".into()), ..Toleration::default() });
    plans(pods.clone(), &catalogue, Rules::SPLIT);
    pods[0].constraints.node_selector.insert("disk".into(), "tape".into());
    let client = Client { name: "client".into(), pods };
    let refusal = compare(&client, &catalogue, Terms::default()).expect_err("no size has tape");
    assert!(matches!(refusal, PlacementError::NoSizeAdmitted { .. }), "{refusal}");
}

#[test]
fn sizes_run_out() {
    let mut sizes = linear(&[2]).sizes().to_vec();
    sizes[0].available = Some(2);
    let catalogue = Catalogue::new(sizes).expect("distinct sizes with room");
    plans(pods(2, 1000), &catalogue, Rules::SPLIT);
    let client = Client { name: "client".into(), pods: pods(3, 1000) };
    for strategy in strategies() {
        let refusal = strategy.place(Task { client: &client, catalogue: &catalogue, rules: Rules::SPLIT });
        assert!(matches!(refusal, Err(PlacementError::Exhausted { .. })), "{}: {refusal:?}", strategy.name());
    }
}

#[test]
fn fractions_stay_on_one_host() {
    let catalogue = linear(&[4]);
    let rules =
        |host| Rules { splitting: Splitting::ANY, hosts: HostModel::Sized(Resources::new(host, 64 * GIB)) };
    let three = || {
        vec![
            Pod::of("a", [Resources::new(1300, GIB); 2]),
            Pod::of("b", [Resources::new(1300, GIB); 2]),
            Pod::of("c", [Resources::new(1300, GIB); 2]),
        ]
    };
    let client = Client { name: "client".into(), pods: three() };
    let cost = |host| {
        let task = Task { client: &client, catalogue: &catalogue, rules: rules(host) };
        let plan = crate::strategy("exact").expect("a known name").place(task).expect("pods fit");
        assert_eq!(verify(task, &plan), Ok(()));
        plan.vms.len()
    };
    assert_eq!((cost(4000), cost(8000)), (3, 2));
}

#[test]
fn init_containers_need_their_peak_only_once() {
    let container =
        |name: &str, cpu, kind| Container { name: name.into(), request: Resources::new(cpu, GIB), kind };
    let mut pod = Pod::of("pod", []);
    pod.containers = vec![
        container("init", 3000, ContainerKind::Init),
        container("side", 500, ContainerKind::Sidecar),
        container("late", 1000, ContainerKind::Init),
        container("app", 1000, ContainerKind::App),
        container("web", 1000, ContainerKind::App),
    ];
    assert_eq!(pod.request(), Resources::new(3000, 3 * GIB));
    assert_eq!(pod.units(), [vec![0, 2, 3], vec![1], vec![4]]);
}

#[test]
fn a_doctored_plan_is_found_out() {
    let client = Client { name: "client".into(), pods: pods(2, 1000) };
    let catalogue = linear(&[4]);
    let task = Task { client: &client, catalogue: &catalogue, rules: Rules::WHOLE };
    let plan = crate::strategy("best-fit").expect("a known name").place(task).expect("pods fit");
    let mut lost = plan.clone();
    lost.vms[0].fractions.pop();
    assert!(matches!(verify(task, &lost), Err(Violation::Lost { .. })));
    let mut doubled = plan.clone();
    doubled.vms.push(doubled.vms[0].clone());
    assert!(matches!(verify(task, &doubled), Err(Violation::Doubled { .. })));
    let mut overfull = plan;
    overfull.vms[0].size = 0;
    let small = linear(&[2]);
    let task = Task { catalogue: &small, ..task };
    assert!(matches!(verify(task, &overfull), Err(Violation::Overfull { .. })));
}

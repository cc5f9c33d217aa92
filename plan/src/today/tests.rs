//! Clusters of a few nodes, and what is left of them.

use super::*;
use crate::read::Ledger;
use crate::read::kubernetes::{Cluster, Objects, Payer};
use nestless_placement::{Terms, compare};

/// Three nodes of one kind. `web` is on the first, `api` on the second, and the two containers of `job` have the third
/// for themselves, though each of the others has room for one of them.
fn cluster(third: &str) -> Cluster {
    let node = |name: &str, kind: &str, memory: &str| {
        format!(
            "kind: Node\nmetadata: {{name: {name}, labels: {{node.kubernetes.io/instance-type: {kind}, \
             kubernetes.io/hostname: {name}, disk: ssd}}}}\nstatus:\n  capacity: {{cpu: 2, memory: {memory}}}\n  \
             allocatable: {{cpu: 1900m, memory: {memory}, pods: 29}}\n---\n"
        )
    };
    let pod = |name: &str, on: &str, requests: &[&str]| {
        let containers = requests.iter().enumerate().map(|(index, cpu)| {
            format!("{{name: c{index}, resources: {{requests: {{cpu: {cpu}, memory: 1Gi}}}}}}")
        });
        let containers = containers.collect::<Vec<_>>().join(", ");
        format!(
            "kind: Pod\nmetadata: {{name: {name}}}\nspec: {{nodeName: {on}, containers: [{containers}]}}\n---\n"
        )
    };
    let text = [
        node("n1", "m5.large", "7935908Ki"),
        node("n2", "m5.large", "7935912Ki"),
        node("n3", third, "7935908Ki"),
        pod("web", "n1", &["1400m"]),
        pod("api", "n2", &["1400m"]),
        pod("job", "n3", &["400m", "400m"]),
        pod("late", "''", &["100m"]),
    ];
    let mut objects = Objects::new(Payer::Cluster);
    let mut ledger = Ledger::strict();
    objects.read(text.concat().as_bytes(), &"cluster.yaml".into(), &mut ledger).unwrap();
    objects.finish(&mut ledger)
}

fn today_of(cluster: &Cluster) -> Today {
    let Cluster { fleet, daemons, nodes, homes } = cluster;
    today(fleet, Present { nodes, daemons, homes }, Rules::SPLIT)
}

#[test]
fn what_runs_where_and_what_the_pass_frees() {
    let today = today_of(&cluster("m5.large"));
    assert_eq!((today.nodes, today.nodes_used, today.pods, today.waiting), (3, 3, 3, 1));
    assert_eq!((today.usd_per_hour, today.unpriced), (0.288, 0));
    assert!((today.cpu_percent - 100.0 * 3.6 / 5.7).abs() < 1e-9, "{}", today.cpu_percent);
    let after = today.hostlo.expect(&today.note);
    assert_eq!((after.nodes, after.usd_per_hour, after.split_pods), (2, Some(0.192), 1));
}

#[test]
fn nodes_are_counted_where_a_price_is_not_known() {
    let today = today_of(&cluster("ours.small"));
    assert_eq!((today.usd_per_hour, today.unpriced), (0.192, 1));
    let after = today.hostlo.expect(&today.note);
    assert_eq!((after.nodes, after.usd_per_hour), (2, None));
}

#[test]
fn a_placement_that_breaks_a_rule_is_told_and_not_used() {
    let mut cluster = cluster("m5.large");
    cluster.homes.insert("default/api".into(), "n1".into());
    let today = today_of(&cluster);
    assert!(today.hostlo.is_none());
    assert!(today.note.contains("breaks a rule: VM 0 holds more CPU or memory"), "{}", today.note);
    cluster.homes.insert("default/api".into(), "n9".into());
    assert!(today_of(&cluster).note.contains("node n9"));
}

#[test]
fn nodes_that_are_alike_are_one_size_of_which_there_are_so_many() {
    let cluster = cluster("m5.large");
    let client = &cluster.fleet.clients()[0];
    let sizes = node_sizes(&cluster.nodes, client.pods.iter());
    let [size] = &sizes.offer.sizes[..] else { panic!("{:?}", sizes.offer.sizes) };
    assert_eq!((size.name.as_str(), size.available, size.price), ("m5.large", Some(3), Price(96_000)));
    assert!(size.labels.is_empty(), "nobody asks for a label");
    let catalogue = sizes.offer.catalogue(Reserve::None, &[]).unwrap();
    let best = compare(client, &catalogue, Terms::default()).unwrap();
    assert_eq!((best.whole.vms.len(), best.split.vms.len()), (3, 2));

    let mut picky = client.pods.clone();
    picky[0].constraints.node_selector.insert("disk".into(), "ssd".into());
    let mut nodes = cluster.nodes.clone();
    nodes[2].labels.insert("disk".into(), "tape".into());
    let sizes = node_sizes(&nodes, picky.iter());
    let names: Vec<_> = sizes.offer.sizes.iter().map(|size| (size.name.as_str(), size.available)).collect();
    assert_eq!(names, [("m5.large", Some(2)), ("m5.large #2", Some(1))]);
}

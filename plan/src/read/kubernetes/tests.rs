//! Objects as people write them and kubectl prints them.

use super::*;
use nestless_placement::ContainerKind;
use proptest::prelude::*;

const MANIFESTS: &str = r#"
# two documents, and an empty one
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web, version: 1.0}}
    spec:
      initContainers:
      - name: setup
        resources: {requests: {cpu: 2, memory: 1Gi}}
      - name: mesh
        restartPolicy: Always
        resources: {requests: {cpu: 100m, memory: 64Mi}}
      containers:
      - name: nginx
        resources: {requests: {cpu: 0.5}, limits: {memory: 1e9, nvidia.com/gpu: 1}}
        volumeMounts: [{name: cache, mountPath: /c}, {name: conf, mountPath: /e}]
      - name: log
        volumeMounts: [{name: cache, mountPath: /c}]
      - name: free
        volumeMounts: [{name: conf, mountPath: /e}]
      volumes:
      - {name: cache, emptyDir: {}}
      - {name: conf, configMap: {name: c}}
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - labelSelector: {matchLabels: {app: web}}
            topologyKey: kubernetes.io/hostname
      tolerations: [{key: spot, operator: Exists, effect: NoSchedule}]
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
---
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: kube-system}
spec: {template: {spec: {containers: [{name: a, resources: {requests: {cpu: 50m}}}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {parallelism: 3, completions: 2, template: {spec: {containers: [{name: a}]}}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}}
"#;

fn read(text: &str, payer: Payer, ledger: &mut Ledger) -> Result<Cluster, Fault> {
    let mut objects = Objects::new(payer);
    objects.read(text.as_bytes(), &"input".into(), ledger)?;
    Ok(objects.finish(ledger))
}

#[test]
fn manifests() {
    let mut ledger = Ledger::strict();
    let cluster = read(MANIFESTS, Payer::Namespace, &mut ledger).unwrap();
    let clients = cluster.fleet.clients();
    let names: Vec<_> = clients.iter().map(|client| (client.name.as_str(), client.pods.len())).collect();
    assert_eq!(names, [("shop", 2), ("default", 2)]);
    let web = &clients[0].pods[1];
    assert_eq!(web.name, "shop/web-1");
    let kinds: Vec<_> = web.containers.iter().map(|container| container.kind).collect();
    use ContainerKind::{App, Init, Sidecar};
    assert_eq!(kinds, [Init, Sidecar, App, App, App]);
    assert_eq!(web.containers[2].request, Resources::new(500, 1_000_000_000));
    assert_eq!(web.inseparable, [vec![2, 3]]);
    assert_eq!(web.labels["version"], "1");
    assert_eq!(web.constraints.anti_affinity.len() + web.constraints.spread.len(), 2);
    assert_eq!(cluster.daemons[0].request(), Resources::new(50, 0));
    assert_eq!(ledger.skipped()[&Skip::OtherKind], 1);
    assert_eq!(ledger.ignored()["nvidia.com/gpu"], 1);
}

#[test]
fn a_list_of_pods_nodes_and_their_owners() {
    let pod = |name: &str, owner: &str, phase: &str| {
        // As the DaemonSet controller ties its pods to nodes.
        let fields = serde_json::json!([{"key": "metadata.name", "operator": "In", "values": ["n1"]}]);
        let daemon = serde_json::json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchFields": fields}]}}});
        let affinity = if owner == "DaemonSet" { daemon } else { serde_json::Value::Null };
        serde_json::json!({
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "n", "labels": {"pod-template-hash": "5f", "team": "red"},
                         "ownerReferences": [{"kind": owner, "name": if owner == "Node" { "n1" } else { "x-5f" }, "controller": true}]},
            "spec": {"nodeName": "n1", "affinity": affinity,
                     "containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
            "status": {"phase": phase}
        })
    };
    let node = serde_json::json!({
        "kind": "Node",
        "metadata": {"name": "n1", "labels": {"node.kubernetes.io/instance-type": "m5.large"}},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "2", "memory": "8Gi"}, "allocatable": {"cpu": "1930m", "memory": "7Gi", "pods": "29"}}
    });
    let items = [
        pod("a", "ReplicaSet", "Running"),
        pod("b", "ReplicaSet", "Succeeded"),
        pod("c", "DaemonSet", "Running"),
        pod("d", "DaemonSet", "Running"),
        pod("e", "Node", "Running"),
        node,
    ];
    let list = serde_json::json!({"apiVersion": "v1", "items": items, "kind": "List"});
    let mut ledger = Ledger::strict();
    let text = serde_json::to_string_pretty(&list).unwrap();
    let cluster = read(&text, Payer::Label("team".into()), &mut ledger).unwrap();
    assert_eq!((cluster.fleet.pods(), cluster.daemons.len()), (1, 1));
    assert_eq!(cluster.fleet.clients()[0].name, "red");
    assert_eq!((ledger.skipped()[&Skip::Ended], ledger.skipped()[&Skip::Daemon]), (1, 2));
    let node = &cluster.nodes[0];
    assert_eq!((node.fixed, ledger.skipped()[&Skip::Static]), (Resources::new(1000, 1 << 30), 1));
    assert_eq!((node.instance_type.as_deref(), node.max_pods), (Some("m5.large"), Some(29)));
    assert_eq!(node.allocatable, Resources::new(1930, 7 << 30));
    assert_eq!(cluster.homes["n/a"], "n1");
    assert_eq!(cluster.daemons[0].constraints.node_affinity, [[]; 0]);

    let mut both = Objects::new(Payer::Cluster);
    let deployment = r#"{"kind":"Deployment","metadata":{"name":"x","namespace":"n"},
        "spec":{"replicas":5,"template":{"spec":{"containers":[{"name":"a"}]}}}}"#;
    both.read(text.as_bytes(), &"pods".into(), &mut ledger).unwrap();
    both.read(deployment.as_bytes(), &"deployment".into(), &mut ledger).unwrap();
    assert_eq!(both.finish(&mut ledger).fleet.pods(), 5, "a pod and its Deployment are one");
    assert_eq!(ledger.skipped()[&Skip::Owned], 1);
}

#[test]
fn what_may_not_be_separated() {
    let sets = |spec: &str, annotation: &str| {
        let text = format!(
            "kind: Pod\nmetadata: {{name: p, annotations: {{nestless.io/inseparable: '{annotation}'}}}}\n\
             spec: {{containers: [{{name: a}}, {{name: b}}, {{name: c}}], {spec}}}\n"
        );
        read(&text, Payer::Cluster, &mut Ledger::strict())
            .map(|cluster| cluster.fleet.clients()[0].pods[0].inseparable.clone())
    };
    for whole in ["shareProcessNamespace: true", "hostIPC: true", "hostPID: true", "hostNetwork: true"] {
        assert_eq!(sets(whole, "").unwrap(), [vec![0, 1, 2]], "{whole}");
    }
    assert_eq!(sets("", "a,c").unwrap(), [vec![0, 2]]);
    assert_eq!(sets("", "all").unwrap(), [vec![0, 1, 2]]);
    assert_eq!(sets("", "").unwrap(), [[0; 0]; 0]);
    let fault = sets("", "a,nobody").unwrap_err().sentence();
    assert!(fault.contains("nobody") && fault.contains("nestless.io/inseparable"), "{fault}");
}

/// As `istioctl kube-inject` and `linkerd inject` leave pods, and as they find them.
#[test]
fn a_service_mesh_keeps_its_pods_whole() {
    let sets = |annotation: &str, context: &str| {
        let text = format!(
            "kind: Pod\nmetadata: {{name: p, annotations: {{{annotation}}}}}\n\
             spec: {{initContainers: [{{name: i, securityContext: {context}}}], containers: [{{name: a}}, {{name: b}}]}}\n"
        );
        let cluster = read(&text, Payer::Cluster, &mut Ledger::strict()).unwrap();
        cluster.fleet.clients()[0].pods[0].inseparable.clone()
    };
    let rights = |what: &str| format!("{{capabilities: {{add: [{what}]}}}}");
    for whole in [&rights("NET_RAW, NET_ADMIN"), &rights("CAP_NET_ADMIN"), "{privileged: true}"] {
        assert_eq!(sets("", whole), [vec![0, 1, 2]], "{whole}");
    }
    for whole in
        ["sidecar.istio.io/status: '{}'", "linkerd.io/inject: enabled", "kuma.io/sidecar-injected: 'true'"]
    {
        assert_eq!(sets(whole, "null"), [vec![0, 1, 2]], "{whole}");
    }
    for free in ["linkerd.io/inject: disabled", "sidecar.istio.io/inject: 'false'", ""] {
        assert_eq!(sets(free, &rights("CHOWN")), [[0; 0]; 0], "{free}");
    }
}

#[test]
fn faults_name_line_and_field() {
    let json = |cpu: &str| {
        format!(
            "{{\n\"items\": [\n{{\"kind\": \"Pod\", \"metadata\": {{\"name\": \"a\"}},\n\"spec\": {{\"containers\": [\n\
             {{\"name\": \"a\", \"resources\": {{\"requests\": {{\n\"cpu\": {cpu}}}}}}}]}}}}\n]}}"
        )
    };
    let yaml = "kind: Service\n---\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    \
                resources:\n      requests:\n        memory: ";
    let mut sentences = String::new();
    for text in [
        json("\"1 core\""),
        json("-1"),
        json("\"1e9\""),
        json("[]"),
        json("1")[..120].to_owned(),
        format!("{yaml}lots\n"),
        format!("{yaml}-1\n"),
        "kind: Pod\nspec: [\n".to_owned(),
        "kind: Pod\nspec: {}\n".to_owned(),
        "kind: Pod\nspec: {containers: []}\n".to_owned(),
        "name: x\n".to_owned(),
        "kind: Deployment\nspec: {replicas: 4000000000, template: {spec: {containers: [{name: a}]}}}"
            .to_owned(),
    ] {
        let fault = read(&text, Payer::Cluster, &mut Ledger::strict()).unwrap_err();
        sentences += &format!("{}\n", fault.sentence());
    }
    insta::assert_snapshot!(sentences);
}

#[test]
fn lenient_goes_on_after_a_bad_object() {
    let mut ledger = Ledger::lenient();
    let text = format!("kind: Pod\nspec: 3\n---\n{MANIFESTS}");
    assert_eq!(read(&text, Payer::Cluster, &mut ledger).unwrap().fleet.pods(), 4);
    assert_eq!(ledger.faults(), 1);
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut objects = Objects::new(Payer::Cluster);
        let mut ledger = Ledger::lenient();
        let _ = objects.read(&bytes[..], &"x".into(), &mut ledger);
        objects.finish(&mut ledger);
    }

    #[test]
    fn broken_manifests_never_panic(cut in 0..MANIFESTS.len(), byte in any::<u8>()) {
        let mut bytes = MANIFESTS.as_bytes().to_vec();
        bytes[cut] = byte;
        let mut objects = Objects::new(Payer::Cluster);
        let mut ledger = Ledger::lenient();
        let _ = objects.read(&bytes[..], &"x".into(), &mut ledger);
        let _ = objects.read(&bytes[..cut], &"x".into(), &mut ledger);
        objects.finish(&mut ledger);
    }
}

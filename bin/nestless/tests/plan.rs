//! `nestless plan` as a user runs it: what it refuses and in which words, what `--lenient` lists, and what it makes of a
//! cluster's own nodes and of a number of hosts.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

fn plan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nestless")).arg("plan").args(arguments).output().unwrap()
}

fn report(arguments: &[&str]) -> Value {
    let output = plan(&[arguments, &["--json"]].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} ended with {}:\n{told}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What stderr says of a refusal.
fn refusal(arguments: &[&str]) -> String {
    let output = plan(arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?} was accepted");
    assert!(output.stdout.is_empty(), "{arguments:?} printed a plan");
    assert!(!told.contains("panicked"), "{told}");
    told
}

const GOOGLE: &str = "0,,1,0,,0,anna,0,0,0.5,0.25,0.001,0\n";

#[test]
fn a_fault_names_file_line_and_field() {
    let folder = Folder::new();
    let google = |rest: &str| format!("{GOOGLE}{rest}");
    let manifest = |cpu: &str| {
        format!(
            "kind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - name: a\n    resources:\n      requests:\n        \
             cpu: {cpu}\n"
        )
    };
    let cases: [(&str, String, &str); 14] = [
        ("--csv", "pod,cpu,memory\np,lots,1Gi\n".into(), "line 2, field cpu"),
        ("--csv", "pod,cpu,memory\np,-1,1Gi\n".into(), "line 2, field cpu"),
        ("--csv", "pod,cpu,memory\np,1,2000Pi\n".into(), "line 2, field memory"),
        ("--csv", "pod,cpu,memory\na,1,1Gi\np,1\n".into(), "line 3, field (row)"),
        ("--csv", "pod,cpu\np,1\n".into(), "line 1, field memory"),
        ("--csv", "pod,cpu,memory\na,1,1Gi\nb,1,1Gi\na,1,1Gi\n".into(), "line 4, field pod"),
        ("--google-2011", google("0,,1,1,,0,anna,0,0,-0.5,0.25,,\n"), "line 2, field CPU request"),
        ("--google-2011", google("0,,1,1,,0,anna,0,0,0.5,7,,\n"), "line 2, field memory request"),
        ("--google-2011", google("0,,one,1,,0,anna,0,0,0.5,0.5,,\n"), "line 2, field job ID"),
        ("--google-2011", google("1,2,3\n"), "line 2, field (row)"),
        ("--kubernetes", manifest("1 core"), "line 8, field spec.containers[0].resources.requests.cpu"),
        ("--kubernetes", manifest("-1"), "line 8, field spec.containers[0].resources.requests.cpu"),
        ("--kubernetes", "{\"items\": [\n{\"kind\": \"Pod\",\n".into(), "line 3, field (document)"),
        ("--alibaba-2023", "name,cpu\na,1\n".into(), "line 1, field (header)"),
    ];
    for (format, text, place) in cases {
        let file = folder.file("input", &text);
        let told = refusal(&[format, &file]);
        assert!(told.contains(&format!("{file}, {place}")), "{format} {text:?}: {told}");
    }
}

/// A gzip file that promises more than it holds: a stored block (RFC 1951, 3.2.4) of 1000 bytes.
fn truncated_gzip(text: &str) -> Vec<u8> {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    [&header[..], &1000_u16.to_le_bytes(), &(!1000_u16).to_le_bytes(), text.as_bytes()].concat()
}

#[test]
fn a_truncated_gzip_is_told_at_its_line() {
    let folder = Folder::new();
    let file = folder.file("part.csv.gz", truncated_gzip(&GOOGLE.repeat(3)));
    let told = refusal(&["--google-2011", &file]);
    assert!(told.contains(&format!("{file}, line 4, field (line)")), "{told}");
    let report = report(&["--google-2011", &file, "--lenient"]);
    assert_eq!((&report["input"]["rows"], &report["input"]["faults"]), (&3.into(), &1.into()));
}

#[test]
fn lenient_counts_lists_and_goes_on() {
    let folder = Folder::new();
    let text = "client,pod,cpu,memory\na,good,1,1Gi\na,bad,lots,1Gi\nb,huge,500,1Gi\nb,fine,100m,1e9\nb,odd,0.5,-1\n";
    let file = folder.file("pods.csv", text);
    let told = refusal(&["--csv", &file]);
    assert!(told.contains("line 3, field cpu"), "{told}");
    let report = report(&["--csv", &file, "--lenient"]);
    let listed: Vec<&str> =
        report["input"]["listed"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap()).collect();
    assert_eq!(report["input"]["faults"], 2);
    assert!(listed[0].contains(&format!("{file}, line 3, field cpu")), "{listed:?}");
    assert!(listed[1].contains(&format!("{file}, line 6, field memory")), "{listed:?}");
    let unplaced = report["unplaced"].as_array().unwrap();
    assert_eq!(unplaced.len(), 1);
    assert!(unplaced[0].as_str().unwrap().contains("pod huge needs 500000m CPU"), "{unplaced:?}");
    assert_eq!(report["plan"].as_array().unwrap().len(), 2);
    let printed = String::from_utf8(plan(&["--csv", &file, "--lenient"]).stdout).unwrap();
    for words in ["2 faults in the input", "line 3, field cpu", "line 6, field memory", "pod huge"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
}

#[test]
fn a_pod_that_no_vm_can_hold_and_a_catalogue_without_sizes() {
    let folder = Folder::new();
    let file = folder.file("pods.csv", "client,pod,cpu,memory\nanna,huge,500,1Gi\n");
    let told = refusal(&["--csv", &file]);
    assert!(told.contains("client anna: all of pod huge needs 500000m CPU"), "{told}");
    let empty = folder.file("empty.toml", "# nothing\n");
    let told = refusal(&["--csv", &file, "--catalogue", &empty]);
    assert!(told.contains("the catalogue is empty"), "{told}");
    let none = folder.file("none.csv", "name,price,cpu,memory\n");
    assert!(refusal(&["--csv", &file, "--catalogue", &none]).contains("the catalogue is empty"));
    let bad =
        folder.file("bad.toml", "[[size]]\nname = \"a\"\nprice = \"dear\"\ncpu = 1\nmemory = \"1Gi\"\n");
    let told = refusal(&["--csv", &file, "--catalogue", &bad]);
    assert!(told.contains(&format!("{bad}: price of size a")), "{told}");
    let nothing = folder.file("nothing.csv", "pod,cpu,memory\n");
    assert!(refusal(&["--csv", &nothing]).contains("nothing to plan"));
}

#[test]
fn units() {
    let folder = Folder::new();
    let text = "pod,cpu,memory\na,100m,1Gi\nb,0.5,1e3\nc,1,0.5Gi\nd,2,1000k\n";
    let sizes = "[[size]]\nname = 'vm'\nprice = 1\ncpu = 3.6\nmemory = '1611613736'\n";
    let (pods, sizes) = (folder.file("pods.csv", text), folder.file("sizes.toml", sizes));
    let report = report(&["--csv", &pods, "--catalogue", &sizes]);
    assert_eq!(
        report["plan"].as_array().unwrap().len(),
        1,
        "1 GiB, 1000, half a GiB and 1,000,000 bytes fill it"
    );
    let split = report["stranded"].as_array().unwrap().iter().find(|plan| plan["plan"] == "split").unwrap();
    assert_eq!((&split["cpu_percent"], &split["memory_percent"]), (&0.0.into(), &0.0.into()));
}

const CLUSTER: &str = "\
kind: Node
metadata: {name: n1, labels: {node.kubernetes.io/instance-type: m5.large}}
status: {capacity: {cpu: 2, memory: 8Gi}, allocatable: {cpu: 1900m, memory: 7Gi, pods: 29}}
---
kind: Node
metadata: {name: n2, labels: {node.kubernetes.io/instance-type: m5.large}}
status: {capacity: {cpu: 2, memory: 8Gi}, allocatable: {cpu: 1900m, memory: 7Gi, pods: 29}}
---
kind: Node
metadata: {name: n3, labels: {node.kubernetes.io/instance-type: m5.large}}
status: {capacity: {cpu: 2, memory: 8Gi}, allocatable: {cpu: 1900m, memory: 7Gi, pods: 29}}
---
kind: Pod
metadata: {name: web}
spec: {nodeName: n1, containers: [{name: a, resources: {requests: {cpu: 1400m, memory: 1Gi}}}]}
---
kind: Pod
metadata: {name: api}
spec: {nodeName: n2, containers: [{name: a, resources: {requests: {cpu: 1400m, memory: 1Gi}}}]}
---
kind: Pod
metadata: {name: job}
spec:
  nodeName: n3
  containers:
  - {name: a, resources: {requests: {cpu: 400m, memory: 1Gi}}}
  - {name: b, resources: {requests: {cpu: 400m, memory: 1Gi}}}
";

#[test]
fn a_cluster_s_own_nodes_are_what_can_be_used() {
    let folder = Folder::new();
    let cluster = folder.file("cluster.yaml", CLUSTER);
    let report = report(&["--kubernetes", &cluster, "--catalogue", "nodes"]);
    let today = &report["today"];
    assert_eq!(
        (&today["nodes"], &today["nodes_used"], &today["usd_per_hour"]),
        (&3.into(), &3.into(), &0.288.into())
    );
    assert_eq!((&today["hostlo"]["nodes"], &today["hostlo"]["split_pods"]), (&2.into(), &1.into()));
    assert_eq!(report["totals"]["whole"], 0.288);
    assert_eq!(report["totals"]["split"], 0.192);
    let fourth = format!("{CLUSTER}---\n{}", CLUSTER.split("---\n").nth(3).unwrap().replace("web", "more"));
    let fifth = format!("{fourth}---\n{}", CLUSTER.split("---\n").nth(3).unwrap().replace("web", "most"));
    let full = folder.file("full.yaml", fifth);
    let told = refusal(&["--kubernetes", &full, "--catalogue", "nodes"]);
    assert!(told.contains("no VM is left that could hold pod default/"), "{told}");
    let pods = folder.file("pods.csv", "pod,cpu,memory\na,1,1Gi\n");
    assert!(refusal(&["--csv", &pods, "--catalogue", "nodes"]).contains("no node is in the input"));
}

#[test]
fn zones_and_the_usual_labels_are_there() {
    let folder = Folder::new();
    let pod = |name: &str| {
        format!(
            "kind: Pod\nmetadata: {{name: {name}, labels: {{app: web}}}}\nspec:\n  nodeSelector: {{kubernetes.io/os: linux}}\n  \
             topologySpreadConstraints: [{{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, \
             labelSelector: {{matchLabels: {{app: web}}}}}}]\n  containers: [{{name: a, resources: {{requests: {{cpu: 1}}}}}}]\n"
        )
    };
    let pods = folder.file("pods.yaml", [pod("a"), pod("b"), pod("c")].join("---\n"));
    assert!(refusal(&["--kubernetes", &pods]).contains("--zones"));
    let report = report(&["--kubernetes", &pods, "--zones", "a,b,c"]);
    let sizes: Vec<&str> =
        report["plan"].as_array().unwrap().iter().map(|vm| vm["size"].as_str().unwrap()).collect();
    assert_eq!(sizes.len(), 3, "one pod in each zone: {sizes:?}");
    assert!(sizes.iter().any(|size| size.ends_with(" in a")), "{sizes:?}");
}

#[test]
fn a_private_cloud_has_so_many_hosts() {
    let folder = Folder::new();
    let rows: String = (0..3).map(|pod| format!("p{pod},1300m,1Gi\np{pod},1300m,1Gi\n")).collect();
    let pods = folder.file("pods.csv", format!("pod,cpu,memory\n{rows}"));
    let cloud = |count: u32| {
        let text = format!(
            "[host]\ncount = {count}\ncpu = 4\nmemory = \"16Gi\"\nprice = 1\n[[size]]\nname = \"vm\"\ncpu = 4\nmemory = \"16Gi\"\n"
        );
        folder.file(&format!("{count}.toml"), text)
    };
    let (three, two) = (cloud(3), cloud(2));
    let enough = report(&["--csv", &pods, "--catalogue", &three]);
    assert_eq!((&enough["hosts"]["split"], &enough["hosts"]["count"]), (&3.into(), &3.into()));
    let told = refusal(&["--csv", &pods, "--catalogue", &two]);
    assert!(told.contains("it needs 3 hosts, and there are 2"), "{told}");
    let listed = report(&["--csv", &pods, "--catalogue", &two, "--lenient"]);
    let unplaced = listed["unplaced"].as_array().unwrap();
    assert_eq!(unplaced.len(), 1);
    assert!(unplaced[0].as_str().unwrap().contains("a host is not left for VM"), "{unplaced:?}");
    let hosts = ["--host-cpu", "8", "--host-memory", "32Gi", "--host-count", "1"];
    let larger = report(&[&["--csv", &pods, "--catalogue", &two][..], &hosts].concat());
    assert_eq!((&larger["hosts"]["split"], &larger["totals"]["split"]), (&1.into(), &2.0.into()));
}

#[test]
fn every_strategy_prints_four_numbers_and_the_files_are_written() {
    let folder = Folder::new();
    let cluster = folder.file("cluster.yaml", CLUSTER);
    for strategy in ["kubernetes", "hostlo", "best-fit", "dot-product", "local-search", "exact"] {
        let report = report(&["--kubernetes", &cluster, "--strategy", strategy]);
        let totals = &report["totals"];
        let [as_is, split, bound] =
            ["as_is", "split", "bound"].map(|number| totals[number].as_f64().unwrap());
        assert!(bound > 0.0 && bound <= split && split <= as_is, "{strategy}: {totals}");
    }
    let (page, text) = (folder.0.path().join("plan.html"), folder.0.path().join("plan.md"));
    let path = |path: &Path| path.display().to_string();
    report(&[
        "--kubernetes",
        &cluster,
        "--catalogue",
        "dsv5",
        "--html",
        &path(&page),
        "--markdown",
        &path(&text),
    ]);
    assert!(std::fs::read_to_string(page).unwrap().contains("Azure AKS"));
    assert!(std::fs::read_to_string(text).unwrap().contains("| proven lower bound | $"));
    assert!(refusal(&["--kubernetes", &cluster, "--strategy", "best"]).contains("known are kubernetes"));
}

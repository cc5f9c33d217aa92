//! The benches and the demonstration, with namespaces for VMs: every row is there, and nothing is left. What the clock
//! says is for people to read.

use serde_json::Value;
use std::process::{Command, Stdio};

const NESTLESS: &str = env!("CARGO_BIN_EXE_nestless");

fn run(arguments: &[&str]) -> Value {
    let output = Command::new(NESTLESS).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "`nestless {}` ended with {}:\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Metric, side and number of samples.
fn rows(report: &Value) -> Vec<(String, String, usize)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut rows = Vec::new();
    for metric in report["metrics"].as_array().unwrap() {
        for side in metric["sides"].as_array().unwrap() {
            let samples = side["samples"].as_array().unwrap();
            assert!(samples.iter().all(|sample| sample.as_f64().unwrap() > 0.0), "{side}");
            rows.push((text(&metric["name"]), text(&side["side"]), samples.len()));
        }
    }
    rows
}

fn expected(metrics: &[&str], sides: &[&str], count: usize) -> Vec<(String, String, usize)> {
    let of = |metric: &&str| {
        sides.iter().map(|side| ((*metric).to_owned(), (*side).to_owned(), count)).collect::<Vec<_>>()
    };
    metrics.iter().flat_map(of).collect()
}

const WAYS: [&str; 3] = ["single", "nested", "brfusion"];

/// One transfer each way a round, and so many series of requests.
fn traffic(rounds: usize, series: usize) -> Vec<(String, String, usize)> {
    let mut all = expected(&["throughput-out", "throughput-in"], &WAYS, rounds);
    all.extend(expected(&["tcp-p50", "tcp-p99", "udp-p50", "udp-p99"], &WAYS, rounds * series));
    all
}

#[test]
fn attach_measures_every_plugin_and_the_burst_is_warm() {
    let report =
        run(&["bench", "attach", "--vmm", "namespace", "--rounds", "2", "--bursts", "1", "--json", "-"]);
    let mut all = expected(&["add", "del"], &["warm", "cold", "reference"], 2);
    all.extend(expected(&["burst"], &["warm", "reference"], 1));
    assert_eq!(sorted(rows(&report)), sorted(all));
    assert_eq!(report["counts"]["burst-pods"], 8);
    assert_eq!(report["counts"]["burst-pods-warm"], 8);
    assert_eq!(report["bench"], "attach");
}

#[test]
fn files_hold_what_the_table_sums_up() {
    let folder = tempfile::tempdir().unwrap();
    let [json, html] = ["report.json", "report.html"].map(|name| folder.path().join(name));
    let output = Command::new(NESTLESS)
        .args(["bench", "attach", "--vmm", "namespace", "--rounds", "1", "--bursts", "0", "--json"])
        .args([json.as_os_str(), "--html".as_ref(), html.as_os_str()])
        .output()
        .unwrap();
    let (table, progress) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && table.starts_with("METRIC"), "{table}{progress}");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(rows(&report).len(), 6);
    let page = std::fs::read_to_string(html).unwrap();
    let sample = &report["metrics"][0]["sides"][0]["samples"][0];
    assert!(page.contains("nestless bench attach") && page.contains(&sample.to_string()), "{page}");
}

#[test]
fn a_folder_that_is_not_there_is_told_before_the_run() {
    for option in ["--json", "--html"] {
        let output = Command::new(NESTLESS)
            .args(["bench", "nic", "--vmm", "namespace", option, "/nowhere/report"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("there is no folder /nowhere"), "{told}");
        assert!(!told.contains("build"), "nothing was begun: {told}");
    }
}

#[test]
fn nic_measures_every_way() {
    let arguments = [
        "bench",
        "nic",
        "--vmm",
        "namespace",
        "--rounds",
        "1",
        "--transfer",
        "1",
        "--series",
        "4",
        "--requests",
        "50",
        "--json",
        "-",
    ];
    let report = run(&arguments);
    assert_eq!(sorted(rows(&report)), sorted(traffic(1, 4)));
    let ratios = report["metrics"][0]["ratios"].as_array().unwrap();
    let pairs: Vec<_> =
        ratios.iter().map(|r| (r["side"].as_str().unwrap(), r["to"].as_str().unwrap())).collect();
    assert_eq!(pairs, [("brfusion", "single"), ("nested", "single"), ("brfusion", "nested")]);
}

#[test]
fn loopback_measures_every_way() {
    let arguments = ["bench", "loopback", "--vmm", "namespace", "--rounds", "1", "--series", "2"];
    let report = run(&[&arguments[..], &["--requests", "50", "--fractions", "5", "--json", "-"]].concat());
    let ways = ["lo", "lo-steered", "hostlo", "nic", "brfusion", "nat", "overlay", "hostlo-many"];
    let mut all = expected(&["throughput-1", "throughput-8"], &ways, 1);
    all.extend(expected(&["tcp-p50", "tcp-p99", "udp-p50", "udp-p99", "connections"], &ways, 2));
    assert_eq!(sorted(rows(&report)), sorted(all));
    assert_eq!(report["bench"], "loopback");
}

#[test]
fn bandwidth_measures_every_rate_in_each_direction() {
    let arguments =
        ["bench", "bandwidth", "--vmm", "namespace", "--rounds", "1", "--transfer", "1", "--json", "-"];
    let report = run(&arguments);
    let rates = ["1-mbit", "10-mbit", "100-mbit", "1000-mbit"];
    assert_eq!(sorted(rows(&report)), sorted(expected(&["out-1", "out-8", "in-1", "in-8"], &rates, 1)));
    assert_eq!(report["bench"], "bandwidth");
}

#[test]
fn the_demonstration_shows_the_ways_and_what_they_cost() {
    let demo = run(&["lab", "demo", "--vmm", "namespace", "--json"]);
    let mut all = traffic(3, 3);
    all.extend(expected(&["add"], &["warm", "cold"], 5));
    assert_eq!(sorted(rows(&demo)), sorted(all));
    let kinds = |side: &str| -> Vec<String> {
        let way = demo["ways"].as_array().unwrap().iter().find(|way| way["side"] == side).unwrap();
        way["hops"].as_array().unwrap().iter().map(|hop| hop["kind"].as_str().unwrap().to_owned()).collect()
    };
    let count = |side: &str, kind: &str| kinds(side).iter().filter(|k| *k == kind).count();
    assert_eq!((count("nested", "bridge"), count("nested", "nat")), (2, 1));
    assert_eq!(count("brfusion", "bridge"), 1);
}

/// A lab that a command has left; it goes with this.
struct Kept(String);

impl Drop for Kept {
    fn drop(&mut self) {
        Command::new(NESTLESS).args(["lab", "down", "--name", &self.0]).output().unwrap();
    }
}

#[test]
fn a_split_pod_answers_from_three_vms_and_goes_on_when_it_is_kept() {
    let mut command = Command::new(NESTLESS);
    command.args(["lab", "demo", "--split", "--vmm", "namespace", "--keep", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let kept = Kept(format!("split{}", child.id()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let demo: Value = serde_json::from_slice(&output.stdout).unwrap();
    let answer = &demo["answer"];
    let of = |container: &str| answer[container].as_str().unwrap();
    assert_eq!((of("web"), of("application"), of("database")), ("vm1", "vm2", "vm3"));
    assert_eq!(answer["visits"], 3);
    assert!(demo["way"]["hops"].as_array().unwrap().iter().all(|hop| hop["seen"] == true), "{demo}");

    let again =
        ["lab", "exec", "--name", &kept.0, "host", "--", "curl", "-sS", demo["url"].as_str().unwrap()];
    assert_eq!(run(&again)["visits"], 4);
}

fn sorted<T: Ord>(mut rows: Vec<T>) -> Vec<T> {
    rows.sort();
    rows
}

//! `nestless bench compare` on files as they come: what is no comparison is refused, and says why.

use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn compare(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nestless")).args(["bench", "compare"]).args(arguments).output().unwrap()
}

/// A run of `bench nic` of so many rounds, whose pods' NICs take `times` as long as the VM's own.
fn report(rounds: u32, times: f64) -> Value {
    let series = |side: &str, times: f64| {
        let samples: Vec<f64> = (0..rounds).map(|round| times * (100.0 + f64::from(round * 7 % 5))).collect();
        let summary = json!({"count": rounds, "p50": times, "p99": times, "min": times, "max": times});
        json!({"side": side, "summary": summary, "samples": samples})
    };
    let summary = json!({"count": rounds, "p50": times, "p99": times, "min": times, "max": times});
    // As it was written before an interval could be missing.
    let ratio = json!({
        "side": "brfusion", "to": "single", "of_medians": times, "by_round": summary,
        "interval_95": [times, times], "rounds": vec![times; rounds as usize],
    });
    let sides = [series("single", 1.0), series("brfusion", times)];
    json!({
        "bench": "nic", "version": "0.1.0", "revision": {"commit": "", "changed": false},
        "machine": {
            "cpu": "x", "cores": 2, "kernel": "6.1", "vmm": "qemu", "qemu": "10.0.2", "accelerator": "tcg",
            "load_before": 0.1,
        },
        "began_unix_s": 1, "took_s": 1.0, "rounds": rounds, "parameters": {}, "counts": {},
        "metrics": [{"name": "tcp-p50", "unit": "us", "sides": sides, "ratios": [ratio]}],
    })
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn what_changed_is_called_so_and_what_did_not_is_not() {
    let files = Files::new();
    let before = files.write("before", report(10, 1.0).to_string());
    let after = files.write("after", report(10, 1.5).to_string());
    let output = compare(&[&before, &after, Path::new("--json")]);
    assert!(output.status.success(), "{}", told(&output));
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |key: &str| -> Vec<Value> {
        comparison["changes"].as_array().unwrap().iter().map(|change| change[key].clone()).collect()
    };
    assert_eq!(of("side"), ["single", "brfusion"]);
    assert_eq!(of("verdict"), ["yardstick", "changed"]);
    assert_eq!(of("significant"), [false, true]);
    let again = compare(&[&before, &before]);
    assert!(
        again.status.success() && told(&again).lines().nth(2).unwrap().ends_with(" no"),
        "{}",
        told(&again)
    );
}

#[test]
fn two_rounds_are_too_few_and_that_is_no_success() {
    let files = Files::new();
    let [before, after] =
        [1.0, 3.0].map(|times| files.write(&format!("{times}"), report(2, times).to_string()));
    let output = compare(&[&before, &after]);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told.contains("too few samples (2 and 2 rounds)") && told.contains("--rounds 6 or more"),
        "{told}"
    );
    assert!(!told.contains("yes"), "{told}");
}

#[test]
fn what_cannot_be_compared_is_refused_and_named() {
    let files = Files::new();
    let run = files.write("run.json", report(10, 1.0).to_string());
    let changed = |key: &str, value: Value| {
        let mut report = report(10, 1.0);
        *report.pointer_mut(key).unwrap() = value;
        files.write(&key.replace('/', "-"), report.to_string())
    };
    let cases = [
        (files.write("empty.json", ""), "empty.json is empty"),
        (files.write("blank.json", " \n"), "blank.json is empty"),
        (files.write("other.json", r#"{"version": 1}"#), "is not what `nestless bench --json` writes"),
        (files.write("text.json", "METRIC SIDE"), "is not what `nestless bench --json` writes"),
        (files.write("half.json", &report(10, 1.0).to_string()[..400]), "is not what"),
        (files.0.path().join("none.json"), "none.json: No such file"),
        (
            changed("/bench", json!("loopback")),
            "`nestless bench nic`, the second one of `nestless bench loopback`",
        ),
        (
            changed("/metrics/0/unit", json!("ms")),
            "tcp-p50 is in us in the first file, and in ms in the second",
        ),
        (changed("/metrics", json!([])), "the second file has no samples"),
        (changed("/metrics/0/name", json!("udp-p50")), "no metric and side is in both"),
        (changed("/machine/cpu", json!("y")), "processor: \"x\" before, \"y\" after"),
    ];
    for (other, expected) in cases {
        let output = compare(&[&run, &other]);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(expected) && output.stdout.is_empty(), "no {expected:?} in: {told}");
    }
    let output = compare(&[&run, &files.0.path().join("-machine-cpu"), Path::new("--unlike")]);
    assert!(output.status.success() && told(&output).contains("note: processor"), "{}", told(&output));
}

#[test]
fn to_measure_never_is_no_measurement() {
    for arguments in [
        ["attach", "--rounds", "0"],
        ["nic", "--rounds", "0"],
        ["nic", "--series", "0"],
        ["loopback", "--rounds", "0"],
        ["loopback", "--series", "0"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_nestless"))
            .args(["bench"])
            .args(arguments)
            .args(["--vmm", "namespace"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains("expected 1 or more"), "{}", told(&output));
    }
}

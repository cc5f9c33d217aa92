//! The demonstration on a terminal.

use super::{
    Demo,
    shown_way::{self, ShownWay},
};
use nestless_bench::{
    Metric,
    report::{number, quantity},
};
use nestless_page::Table;

const ROWS: [(&str, &str); 6] = [
    ("throughput-out", "vm1 to vm2"),
    ("throughput-in", "vm2 to vm1"),
    ("tcp-p50", "TCP round trip"),
    ("udp-p50", "UDP round trip"),
    ("cpu-out", "CPU, vm1 to vm2"),
    ("cpu-in", "CPU, vm2 to vm1"),
];

pub(super) fn draw(demo: &Demo) -> String {
    let ways = demo.ways.iter().map(ShownWay::draw).collect::<String>();
    format!(
        "\nTwo {} on one host. From a pod in vm1 to the host's bridge:\n\n{ways}\n{}\n{}took {:.0} s\n",
        shown_way::vms(&demo.machine),
        table(&demo.metrics),
        demo.metrics.iter().find(|metric| metric.name == "add").map(ready).unwrap_or_default(),
        demo.took_s,
    )
}

fn table(metrics: &[Metric]) -> String {
    let mut table = Table::new(["TRAFFIC", "SINGLE LAYER", "NESTED NAT", "", "BRFUSION", ""]);
    for (metric, label) in ROWS {
        let Some(metric) = metrics.iter().find(|known| known.name == metric) else { continue };
        let value =
            |side| metric.side(side).map(|s| quantity(s.summary.p50, metric.unit)).unwrap_or_default();
        let ratio = |side| {
            let ratio = metric.ratios.iter().find(|r| r.side == side && r.to == "single");
            ratio.map(|ratio| format!("x {}", number(ratio.of_medians))).unwrap_or_default()
        };
        table.add_row([
            label.to_owned(),
            value("single"),
            value("nested"),
            ratio("nested"),
            value("brfusion"),
            ratio("brfusion"),
        ]);
    }
    table.terminal()
}

fn ready(add: &Metric) -> String {
    let time = |side| add.side(side).map(|s| quantity(s.summary.p50, add.unit)).unwrap_or_default();
    format!(
        "NIC ready in {} (warm: a spare one), {} (cold: plugged when asked for)\n",
        time("warm"),
        time("cold")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Hop;
    use nestless_bench::{Machine, Recorder, Unit, nic};

    #[test]
    fn fits_on_a_screen() {
        let hop = |place: &str, device: &str, kind: &str| Hop {
            place: place.into(),
            device: device.into(),
            kind: kind.into(),
            detail: String::new(),
            seen: true,
        };
        let mut recorder = Recorder::default();
        for (side, throughput, latency) in
            [("single", 600.0, 300.0), ("nested", 420.0, 390.0), ("brfusion", 594.0, 303.0)]
        {
            recorder.keep("throughput-out", Unit::MegabitsPerSecond, side, throughput);
            recorder.keep("tcp-p50", Unit::Microseconds, side, latency);
        }
        recorder.keep("add", Unit::Milliseconds, "warm", 9.5);
        recorder.keep("add", Unit::Milliseconds, "cold", 61.0);
        let demo = Demo {
            machine: Machine {
                cpu: "x".into(),
                cores: 2,
                kernel: "6.1".into(),
                vmm: "qemu".into(),
                qemu: "10.0.2".into(),
                accelerator: "tcg".into(),
                load_before: 0.0,
            },
            took_s: 81.4,
            ways: vec![
                ShownWay {
                    side: "nested".into(),
                    hops: vec![
                        hop("pod", "eth0", "veth"),
                        hop("guest", "cni0", "bridge"),
                        hop("guest", "eth0", "virtio-net"),
                        hop("host", "nestless0", "bridge"),
                    ],
                },
                ShownWay {
                    side: "brfusion".into(),
                    hops: vec![hop("pod", "eth0", "virtio-net"), hop("host", "nestless0", "bridge")],
                },
            ],
            metrics: recorder.metrics(&nic::PAIRS, 1),
        };
        let drawn = draw(&demo);
        assert!(
            drawn.lines().count() <= 24 && drawn.lines().all(|line| line.chars().count() <= 120),
            "{drawn}"
        );
        assert!(
            drawn.contains("guest [ bridge cni0 -> virtio-net eth0 ] -> host [ bridge nestless0 ]"),
            "{drawn}"
        );
        let row =
            drawn.lines().find(|line| line.starts_with("vm1 to vm2")).expect("a row for a measured quantity");
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words[3..], ["600", "Mbit/s", "420", "Mbit/s", "x", "0.70", "594", "Mbit/s", "x", "0.99"]);
        assert!(drawn.contains("NIC ready in 9.50 ms (warm"), "{drawn}");
    }
}

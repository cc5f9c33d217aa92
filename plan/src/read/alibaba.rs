//! Alibaba's `openb_pod_list` (alibaba/clusterdata, cluster-trace-gpu-v2023): one row a pod, each of one container.
//! CPU is in thousandths of a vCPU, memory in MiB, times are in seconds. GPUs are counted as a request that is not planned.

use super::amount;
use super::fault::{Fault, Ledger, Problem, Skip};
use super::input::Lines;
use super::shorten;
use crate::fleet::{Fleet, Lifetime};
use nestless_placement::{Pod, Resources};
use std::io::BufRead;
use std::str::FromStr;
use std::sync::Arc;

const COLUMNS: [&str; 11] = [
    "name",
    "cpu_milli",
    "memory_mib",
    "num_gpu",
    "gpu_milli",
    "gpu_spec",
    "qos",
    "pod_phase",
    "creation_time",
    "deletion_time",
    "scheduled_time",
];
/// The trace names no users.
const CLIENT: &str = "alibaba";

/// Reads a pod list. With `at_s`, only pods alive at that second are kept.
///
/// # Errors
/// The first fault, unless `ledger` is lenient; always when the header is another.
pub fn read_pod_list(
    input: impl BufRead,
    file: &Arc<str>,
    at_s: Option<u64>,
    fleet: &mut Fleet,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let mut lines = Lines::new(input, file);
    loop {
        let (line, text) = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(fault) => return ledger.fault(fault),
        };
        let fault =
            |field: &str, problem| Fault { file: Arc::clone(file), line, field: field.to_owned(), problem };
        let text = String::from_utf8_lossy(text);
        let fields: Vec<&str> = text.split(',').collect();
        if line == 1 {
            if fields != COLUMNS {
                let wanted = "the header of openb_pod_list (name,cpu_milli,memory_mib,...)";
                return Err(fault("(header)", Problem::NotA { text: shorten(&text), wanted }));
            }
            continue;
        }
        ledger.row();
        match row(&fields) {
            Ok(Row { gpus, pod, lifetime }) => {
                if gpus > 0 {
                    ledger.ignore("GPU");
                }
                if at_s.is_none_or(|second| lifetime.covers(second.saturating_mul(1_000_000))) {
                    fleet.add(CLIENT, pod, lifetime);
                } else {
                    ledger.skip(Skip::NotAlive, 1);
                }
            }
            Err((column, problem)) => {
                ledger.fault(fault(COLUMNS.get(column).copied().unwrap_or("(row)"), problem))?;
            }
        }
    }
}

struct Row {
    gpus: u32,
    pod: Pod,
    lifetime: Lifetime,
}

fn row(fields: &[&str]) -> Result<Row, (usize, Problem)> {
    if fields.len() != COLUMNS.len() {
        let problem = Problem::Columns { found: fields.len(), expected: COLUMNS.len() };
        return Err((COLUMNS.len(), problem));
    }
    if fields[0].is_empty() {
        return Err((0, Problem::Missing));
    }
    let amount = |column: usize, suffix: &str, convert: fn(&str) -> Result<u64, Problem>| {
        if fields[column].is_empty() {
            return Err((column, Problem::Missing));
        }
        convert(&format!("{}{suffix}", fields[column])).map_err(|problem| (column, problem))
    };
    let request = Resources {
        cpu_milli: amount(1, "m", amount::cpu_milli)?,
        memory_bytes: amount(2, "Mi", amount::memory_bytes)?,
    };
    let seconds = |column: usize| {
        let text = Some(fields[column]).filter(|text| !text.is_empty());
        text.map(|text| number::<u64>(text, column)).transpose()
    };
    let lifetime = Lifetime {
        arrives_us: seconds(8)?.unwrap_or(0).saturating_mul(1_000_000),
        departs_us: seconds(9)?.map(|second| second.saturating_mul(1_000_000)),
    };
    Ok(Row { gpus: number(fields[3], 3)?, pod: Pod::of(fields[0], [request]), lifetime })
}

fn number<T: FromStr>(text: &str, column: usize) -> Result<T, (usize, Problem)> {
    text.parse().map_err(|_| (column, Problem::NotA { text: shorten(text), wanted: "a whole number" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,\
                          deletion_time,scheduled_time\n";

    fn read(text: &str, at_s: Option<u64>, ledger: &mut Ledger) -> Result<Fleet, Fault> {
        let mut fleet = Fleet::default();
        read_pod_list(text.as_bytes(), &"pods.csv".into(), at_s, &mut fleet, ledger)?;
        Ok(fleet)
    }

    #[test]
    fn pods() {
        let text =
            format!("{HEADER}a,12000,16384,1,1000,,LS,Running,0,100,0\nb,500,1,0,0,,BE,Running,50,,\n");
        let mut ledger = Ledger::strict();
        let fleet = read(&text, None, &mut ledger).unwrap();
        assert_eq!(fleet.clients()[0].pods[0].request(), Resources::new(12_000, 16 << 30));
        assert_eq!(ledger.ignored()["GPU"], 1);
        assert_eq!(read(&text, Some(10), &mut ledger).unwrap().pods(), 1);
        assert_eq!(read(&text, Some(100), &mut ledger).unwrap().clients()[0].pods[0].name, "b");
    }

    #[test]
    fn faults() {
        let mut sentences = String::new();
        for row in [
            "a,1,1",
            "a,-1,1,0,0,,LS,Running,0,1,0",
            "a,1,,0,0,,LS,Running,0,1,0",
            "a,1,1,0,0,,LS,Running,soon,1,0",
            ",1,1,0,0,,LS,Running,0,1,0",
        ] {
            let fault = read(&format!("{HEADER}{row}\n"), None, &mut Ledger::strict()).unwrap_err();
            sentences += &format!("{}\n", fault.sentence());
        }
        sentences += &read("name,cpu\n", None, &mut Ledger::lenient()).unwrap_err().sentence();
        insta::assert_snapshot!(sentences);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut text = HEADER.as_bytes().to_vec();
            text.extend(bytes);
            let _ = read_pod_list(&text[..], &"x".into(), None, &mut Fleet::default(), &mut Ledger::lenient());
        }
    }
}

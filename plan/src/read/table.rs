//! CSV with a header line, one row a container. `docs/plan.md` documents the columns for users.
//!
//! Columns: `pod` and `container` (names), `cpu` and `memory` (Kubernetes quantities); and, where wanted, `client`,
//! `replicas`, `kind` (`app`, `sidecar`, `init`), `together` (containers of a pod with the same word stay together),
//! `arrives_s` and `departs_s` (seconds, for simulation). Rows of one pod follow each other.

use super::amount;
use super::fault::{Fault, Ledger, Problem};
use super::shorten;
use crate::fleet::{Fleet, Lifetime};
use nestless_placement::{Container, ContainerKind, Pod, Resources};
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::sync::Arc;

const KNOWN: [&str; 10] =
    ["client", "pod", "container", "cpu", "memory", "replicas", "kind", "together", "arrives_s", "departs_s"];
/// The client of rows without one.
const DEFAULT_CLIENT: &str = "all";
const MAX_REPLICAS: u32 = 1_000_000;

/// Reads a table of containers.
///
/// # Errors
/// The first fault, unless `ledger` is lenient; always when a needed column is missing or a column is unknown.
pub fn read_table(
    input: impl Read,
    file: &Arc<str>,
    fleet: &mut Fleet,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(input);
    let columns = columns(&mut rows, file)?;
    let mut record = csv::StringRecord::new();
    let mut open: Option<Open> = None;
    let mut closed = HashSet::new();
    loop {
        let line = rows.position().line();
        match rows.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let (fault, fatal) = broken(error, line, file);
                ledger.fault(fault)?;
                if fatal {
                    break;
                }
                continue;
            }
        }
        ledger.row();
        let line = record.position().map_or(line, csv::Position::line);
        match row(&record, &columns) {
            Ok(row) => {
                let key = (row.client.clone(), row.pod.clone());
                if open.as_ref().is_some_and(|open| open.key != key) {
                    close(&mut open, fleet, &mut closed);
                }
                let added = if closed.contains(&key) {
                    Err(("pod", Problem::Scattered { pod: shorten(&row.pod) }))
                } else {
                    open.get_or_insert_with(|| Open::new(key, &row)).add(row)
                };
                if let Err((field, problem)) = added {
                    ledger.fault(Fault { file: Arc::clone(file), line, field: field.into(), problem })?;
                }
            }
            Err((field, problem)) => {
                ledger.fault(Fault { file: Arc::clone(file), line, field: field.into(), problem })?;
            }
        }
    }
    close(&mut open, fleet, &mut closed);
    Ok(())
}

type Bad = (&'static str, Problem);

fn columns<R: Read>(
    rows: &mut csv::Reader<R>,
    file: &Arc<str>,
) -> Result<BTreeMap<&'static str, usize>, Fault> {
    let fault =
        |field: &str, problem| Fault { file: Arc::clone(file), line: 1, field: field.to_owned(), problem };
    let header = match rows.headers() {
        Ok(header) => header,
        Err(error) => return Err(broken(error, 1, file).0),
    };
    let mut columns = BTreeMap::new();
    for (index, name) in header.iter().enumerate() {
        let Some(known) = KNOWN.into_iter().find(|known| *known == name) else {
            let wanted = "a column: client, pod, container, cpu, memory, replicas, kind, together, arrives_s, departs_s";
            return Err(fault("(header)", Problem::NotA { text: shorten(name), wanted }));
        };
        columns.insert(known, index);
    }
    match ["pod", "cpu", "memory"].into_iter().find(|name| !columns.contains_key(name)) {
        Some(missing) => Err(fault(missing, Problem::Missing)),
        None => Ok(columns),
    }
}

/// The fault, and whether nothing can be read after it.
fn broken(error: csv::Error, line: u64, file: &Arc<str>) -> (Fault, bool) {
    let line = error.position().map_or(line, csv::Position::line);
    let (problem, fatal) = match error.into_kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            (Problem::Columns { found: len as usize, expected: expected_len as usize }, false)
        }
        csv::ErrorKind::Utf8 { .. } => {
            (Problem::NotA { text: "the row".into(), wanted: "UTF-8 text" }, false)
        }
        csv::ErrorKind::Io(error) => (Problem::Unreadable(error), true),
        other => (Problem::Shape { message: format!("{other:?}") }, true),
    };
    (Fault { file: Arc::clone(file), line, field: "(row)".into(), problem }, fatal)
}

struct Row {
    client: String,
    pod: String,
    container: Option<String>,
    request: Resources,
    replicas: u32,
    kind: ContainerKind,
    together: String,
    lifetime: Lifetime,
}

fn row(record: &csv::StringRecord, columns: &BTreeMap<&'static str, usize>) -> Result<Row, Bad> {
    let get = |name| columns.get(name).and_then(|&index| record.get(index)).filter(|text| !text.is_empty());
    let need = |name| get(name).ok_or((name, Problem::Missing));
    let whole = |name: &'static str| {
        get(name)
            .map(|text| {
                let bad = |_| (name, Problem::NotA { text: shorten(text), wanted: "a whole number" });
                text.parse::<u64>().map_err(bad)
            })
            .transpose()
    };
    let replicas = whole("replicas")?.unwrap_or(1);
    let limit = "a million replicas";
    let replicas = u32::try_from(replicas).ok().filter(|&count| count <= MAX_REPLICAS);
    let kind = match get("kind") {
        None | Some("app") => ContainerKind::App,
        Some("sidecar") => ContainerKind::Sidecar,
        Some("init") => ContainerKind::Init,
        Some(other) => {
            return Err(("kind", Problem::NotA { text: shorten(other), wanted: "app, sidecar or init" }));
        }
    };
    let micros = |seconds: u64| seconds.saturating_mul(1_000_000);
    Ok(Row {
        client: get("client").unwrap_or(DEFAULT_CLIENT).to_owned(),
        pod: need("pod")?.to_owned(),
        container: get("container").map(str::to_owned),
        request: Resources {
            cpu_milli: amount::cpu_milli(need("cpu")?).map_err(|problem| ("cpu", problem))?,
            memory_bytes: amount::memory_bytes(need("memory")?).map_err(|problem| ("memory", problem))?,
        },
        replicas: replicas.ok_or_else(|| {
            ("replicas", Problem::Absurd { text: get("replicas").unwrap_or("").into(), limit })
        })?,
        kind,
        together: get("together").unwrap_or("").to_owned(),
        lifetime: Lifetime {
            arrives_us: whole("arrives_s")?.map_or(0, micros),
            departs_us: whole("departs_s")?.map(micros),
        },
    })
}

/// The pod whose rows are being read.
struct Open {
    key: (String, String),
    pod: Pod,
    together: BTreeMap<String, Vec<usize>>,
    replicas: u32,
    lifetime: Lifetime,
}

impl Open {
    fn new(key: (String, String), row: &Row) -> Self {
        let pod = Pod::of(row.pod.clone(), []);
        Self { key, pod, together: BTreeMap::new(), replicas: row.replicas, lifetime: row.lifetime }
    }

    fn add(&mut self, row: Row) -> Result<(), Bad> {
        let index = self.pod.containers.len();
        let name = row.container.unwrap_or_else(|| index.to_string());
        let same = |text: String| Problem::NotA { text, wanted: "what the pod's first row says" };
        if row.replicas != self.replicas {
            return Err(("replicas", same(row.replicas.to_string())));
        }
        if row.lifetime != self.lifetime {
            return Err(("arrives_s, departs_s", same(format!("{:?}", row.lifetime))));
        }
        if self.pod.containers.iter().any(|container| container.name == name) {
            return Err(("container", Problem::NotA { text: name, wanted: "a name that this pod has once" }));
        }
        if !row.together.is_empty() {
            self.together.entry(row.together).or_default().push(index);
        }
        self.pod.containers.push(Container { name, request: row.request, kind: row.kind });
        Ok(())
    }
}

fn close(open: &mut Option<Open>, fleet: &mut Fleet, closed: &mut HashSet<(String, String)>) {
    let Some(Open { key, mut pod, together, replicas, lifetime }) = open.take() else { return };
    pod.inseparable = together.into_values().filter(|set| set.len() > 1).collect();
    for replica in 0..replicas {
        let mut copy = pod.clone();
        if replicas > 1 {
            copy.name = format!("{}-{replica}", pod.name);
        }
        fleet.add(&key.0, copy, lifetime);
    }
    closed.insert(key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, ledger: &mut Ledger) -> Result<Fleet, Fault> {
        let mut fleet = Fleet::default();
        read_table(text.as_bytes(), &"pods.csv".into(), &mut fleet, ledger)?;
        Ok(fleet)
    }

    #[test]
    fn pods_replicas_and_sets() {
        let text = "# ours\nclient,pod,container,cpu,memory,replicas,together,kind\n\
                    a,web,nginx,500m,1Gi,2,x,\na,web,log,0.1,64Mi,2,x,sidecar\nb,db,,1e0,1e9,,,\n";
        let fleet = read(text, &mut Ledger::strict()).unwrap();
        assert_eq!((fleet.clients().len(), fleet.pods(), fleet.containers()), (2, 3, 5));
        let web = &fleet.clients()[0].pods[1];
        assert_eq!((web.name.as_str(), &web.inseparable[..]), ("web-1", &[vec![0, 1]][..]));
        assert_eq!(web.containers[1].kind, ContainerKind::Sidecar);
        assert_eq!(fleet.clients()[1].pods[0].request(), Resources::new(1000, 1_000_000_000));
    }

    #[test]
    fn faults() {
        let mut sentences = String::new();
        for text in [
            "pod,cpu\n",
            "pod,cpu,memory,cost\n",
            "pod,cpu,memory\na,1\n",
            "pod,cpu,memory\na,-1,1Gi\n",
            "pod,cpu,memory\na,1,1 GB\n",
            "pod,cpu,memory\na,1e9,1Gi\n",
            "pod,cpu,memory\n,1,1Gi\n",
            "pod,cpu,memory\na,1,1\nb,1,1\na,1,1\n",
            "pod,container,cpu,memory\na,x,1,1\na,x,1,1\n",
            "pod,cpu,memory,replicas\na,1,1,many\n",
            "pod,cpu,memory,kind\na,1,1,job\n",
            "",
        ] {
            let fault = read(text, &mut Ledger::strict()).unwrap_err();
            sentences += &format!("{}\n", fault.sentence());
        }
        insta::assert_snapshot!(sentences);
    }

    proptest! {
        #[test]
        fn never_panics(body in "(([a-c]|),([a-c]|),(-?[0-9.]{0,4}m?|),(1Gi|[0-9]{0,3}),([0-9]|),\"?\n){0,20}") {
            let text = format!("client,pod,cpu,memory,replicas,together\n{body}");
            let _ = read(&text, &mut Ledger::strict());
            let _ = read(&text, &mut Ledger::lenient());
        }

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_table(&bytes[..], &"x".into(), &mut Fleet::default(), &mut Ledger::lenient());
        }
    }
}

//! Which input, and what is known of its format: who pays, what is assumed, what it must not be taken for.

use super::progress;
use anyhow::Context as _;
use nestless_placement::{Pod, Rules};
use nestless_plan::read::google::{LargeJobs, Tasks, Window, read_task_events};
use nestless_plan::read::kubernetes::{Node, Objects, Payer};
use nestless_plan::read::{Fault, Ledger, Problem, alibaba, decompressed, table};
use nestless_plan::today::{Present, Today, label_keys, today};
use nestless_plan::{Fleet, Lifetime};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where pods come from. `-` is standard input; gzip is recognised.
#[derive(Debug, clap::Args)]
#[group(id = "source", required = true, multiple = false)]
pub(super) struct Which {
    /// Parts of Google ClusterData 2011's task events, in order.
    #[arg(long, value_name = "PART", num_args = 1..)]
    google_2011: Vec<PathBuf>,
    /// What `kubectl get pods,nodes -A -o json` prints, or manifests in YAML.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    kubernetes: Vec<PathBuf>,
    /// Tables of containers: pod, cpu, memory and, where wanted, client, container, replicas, kind, together, arrives_s, departs_s.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    csv: Vec<PathBuf>,
    /// Alibaba's openb pod list.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    alibaba_2023: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Sources {
    #[command(flatten)]
    which: Which,
    /// Plan for the pods alive at this second of a trace. Google's begins at 0; the others count all pods by default.
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
    /// Who pays in a Kubernetes cluster: cluster, namespace, or label=KEY.
    #[arg(long, value_name = "WHO", default_value = "cluster", value_parser = payer)]
    client_by: Payer,
    /// What becomes of Google jobs larger than a machine: drop, or separate (every task a pod).
    #[arg(long, value_name = "RULE", default_value = "drop", value_parser = large_jobs)]
    large_jobs: LargeJobs,
}

fn payer(text: &str) -> Result<Payer, String> {
    match text {
        "cluster" => Ok(Payer::Cluster),
        "namespace" => Ok(Payer::Namespace),
        _ => match text.strip_prefix("label=") {
            Some(key) if !key.is_empty() => Ok(Payer::Label(key.to_owned())),
            _ => Err("known are cluster, namespace and label=KEY".into()),
        },
    }
}

fn large_jobs(text: &str) -> Result<LargeJobs, String> {
    match text {
        "drop" => Ok(LargeJobs::Drop),
        "separate" => Ok(LargeJobs::Separate),
        _ => Err("known are drop and separate".into()),
    }
}

/// What was read, and how it is to be understood.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) format: &'static str,
    pub(super) files: Vec<String>,
    /// The moment that is planned.
    pub(super) fleet: Fleet,
    /// All of the time, where it is replayed.
    pub(super) timed: Fleet,
    pub(super) daemons: Vec<Pod>,
    /// A cluster's nodes of today.
    pub(super) nodes: Vec<Node>,
    /// The node of each pod that runs.
    homes: BTreeMap<String, String>,
    pub(super) ledger: Ledger,
    pub(super) assumptions: Vec<String>,
    pub(super) caveats: Vec<String>,
}

impl Input {
    pub(super) fn is_google(&self) -> bool {
        self.format == "google-2011"
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.format == "kubernetes"
    }

    /// Whether any pod asks for a label of nodes.
    pub(super) fn asks_for(&self, label: &str) -> bool {
        let pods = self.fleet.clients().iter().flat_map(|client| &client.pods);
        label_keys(pods.chain(&self.daemons)).contains(label)
    }

    /// The cluster as it runs today, where the input has its nodes.
    pub(super) fn today(&self, rules: Rules) -> Option<Today> {
        let present = Present { nodes: &self.nodes, daemons: &self.daemons, homes: &self.homes };
        (!self.nodes.is_empty()).then(|| today(&self.fleet, present, rules))
    }

    fn new(format: &'static str, files: &[PathBuf], lenient: bool) -> Self {
        Self {
            format,
            files: files.iter().map(|file| file.display().to_string()).collect(),
            fleet: Fleet::default(),
            timed: Fleet::default(),
            daemons: Vec::new(),
            nodes: Vec::new(),
            homes: BTreeMap::new(),
            ledger: if lenient { Ledger::lenient() } else { Ledger::strict() },
            assumptions: Vec::new(),
            caveats: Vec::new(),
        }
    }
}

impl Sources {
    /// `timed` keeps every pod of a trace with its lifetime, for a replay.
    pub(super) fn read(&self, lenient: bool, timed: bool) -> anyhow::Result<Input> {
        let Which { google_2011, kubernetes, csv, alibaba_2023 } = &self.which;
        if !google_2011.is_empty() {
            self.google(Input::new("google-2011", google_2011, lenient), google_2011, timed)
        } else if !kubernetes.is_empty() {
            self.cluster(Input::new("kubernetes", kubernetes, lenient), kubernetes)
        } else if !csv.is_empty() {
            self.table(Input::new("csv", csv, lenient), csv)
        } else {
            self.alibaba(Input::new("alibaba-2023", alibaba_2023, lenient), alibaba_2023)
        }
    }

    fn google(&self, mut input: Input, parts: &[PathBuf], timed: bool) -> anyhow::Result<Input> {
        let at_us = self.at.unwrap_or(0).saturating_mul(1_000_000);
        let mut now = Tasks::new(Window::At(at_us));
        let mut all = timed.then(|| Tasks::new(Window::Always));
        for part in parts {
            with_file(part, &mut input.ledger, |text, file, ledger| {
                read_task_events(text, file, ledger, |event| {
                    now.apply(event);
                    if let Some(all) = &mut all {
                        all.apply(event);
                    }
                })
            })?;
        }
        let census = now.census();
        input.fleet = now.into_fleet(self.large_jobs, &mut input.ledger);
        if let Some(all) = all {
            // What is left out of the replay is told by the plan's own ledger for the moment it is made for.
            input.timed = all.into_fleet(self.large_jobs, &mut Ledger::lenient());
        }
        input.assumptions = vec![
            format!(
                "tasks alive {} s after the trace begins: {} users, {} jobs, {} tasks with requests",
                self.at.unwrap_or(0),
                census.users,
                census.jobs,
                census.tasks
            ),
            "a user is a client, a job is a pod, a task is a container; 1.0 is 96 vCPU and 384 GiB (m5.24xlarge)".into(),
            "a task's requests are those of its latest event".into(),
        ];
        input.caveats = vec![
            "a Google job is mostly identical replicas of one program, which Kubernetes would run as many pods: taking it \
             for one pod overstates what splitting saves"
                .into(),
            "requests are shares of Google's largest machine, whose size is not public".into(),
        ];
        if self.large_jobs == LargeJobs::Separate {
            input.assumptions.push("jobs larger than a machine are taken apart: every task is a pod".into());
        }
        Ok(input)
    }

    fn cluster(&self, mut input: Input, files: &[PathBuf]) -> anyhow::Result<Input> {
        let mut objects = Objects::new(self.client_by.clone());
        for file in files {
            with_file(file, &mut input.ledger, |text, file, ledger| objects.read(text, file, ledger))?;
        }
        let cluster = objects.finish(&mut input.ledger);
        input.assumptions.push(match &self.client_by {
            Payer::Cluster => {
                "all pods of the cluster share VMs (--client-by namespace or label=KEY separates them)".into()
            }
            Payer::Namespace => "every namespace has VMs of its own".into(),
            Payer::Label(key) => format!("every value of the label {key} has VMs of its own"),
        });
        input.caveats.push(
            "containers of a split pod share loopback TCP and UDP only; say so with the annotation nestless.io/inseparable \
             where they use System V IPC, POSIX shared memory or abstract unix sockets, which no manifest shows"
                .into(),
        );
        (input.fleet, input.daemons) = (cluster.fleet, cluster.daemons);
        (input.nodes, input.homes) = (cluster.nodes, cluster.homes);
        Ok(input)
    }

    fn table(&self, mut input: Input, files: &[PathBuf]) -> anyhow::Result<Input> {
        let mut fleet = Fleet::default();
        for file in files {
            with_file(file, &mut input.ledger, |text, file, ledger| {
                table::read_table(text, file, &mut fleet, ledger)
            })?;
        }
        (input.fleet, input.timed) = (self.alive(&fleet, &mut input.ledger), fleet);
        Ok(input)
    }

    fn alibaba(&self, mut input: Input, files: &[PathBuf]) -> anyhow::Result<Input> {
        let mut fleet = Fleet::default();
        for file in files {
            with_file(file, &mut input.ledger, |text, file, ledger| {
                alibaba::read_pod_list(text, file, None, &mut fleet, ledger)
            })?;
        }
        (input.fleet, input.timed) = (self.alive(&fleet, &mut input.ledger), fleet);
        input.assumptions.push("the trace names no users: one client has all pods".into());
        input.caveats = vec![
            "every pod has one container, so nothing can be split: this trace shows what better packing saves".into(),
            "GPUs are not planned".into(),
        ];
        Ok(input)
    }

    /// The pods of the asked second, or all of them.
    fn alive(&self, fleet: &Fleet, ledger: &mut Ledger) -> Fleet {
        let Some(second) = self.at else { return fleet.clone() };
        let at_us = second.saturating_mul(1_000_000);
        let mut alive = Fleet::default();
        let mut others = 0;
        for (index, client) in fleet.clients().iter().enumerate() {
            for (pod, life) in client.pods.iter().zip(fleet.lifetimes(index)) {
                if life.covers(at_us) {
                    alive.add(&client.name, pod.clone(), Lifetime::default());
                } else {
                    others += 1;
                }
            }
        }
        ledger.skip(nestless_plan::read::Skip::NotAlive, others);
        alive
    }
}

/// Opens a file, decompresses it, and shows how far it has been read.
fn with_file(
    path: &Path,
    ledger: &mut Ledger,
    read: impl FnOnce(Box<dyn BufRead + '_>, &Arc<str>, &mut Ledger) -> Result<(), Fault>,
) -> anyhow::Result<()> {
    let name: Arc<str> = path.display().to_string().into();
    let (bytes, size): (Box<dyn Read>, _) = if path == Path::new("-") {
        (Box::new(std::io::stdin().lock()), None)
    } else {
        let file = File::open(path).with_context(|| format!("open {name}"))?;
        let size = file.metadata().map(|about| about.len()).ok();
        (Box::new(file), size)
    };
    let bar = progress::bytes(&name, size);
    let done = match decompressed(bar.wrap_read(bytes)) {
        Ok(text) => read(text, &name, ledger),
        Err(error) => ledger.fault(Fault {
            file: Arc::clone(&name),
            line: 1,
            field: "(file)".into(),
            problem: Problem::Unreadable(error),
        }),
    };
    bar.finish_and_clear();
    Ok(done?)
}

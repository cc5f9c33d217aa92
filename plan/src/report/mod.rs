//! What the planner says: one [`Report`], printed as JSON, table, Markdown or a page.

mod build;
mod html;
mod markdown;
mod money;
mod present;
mod terminal;

pub use build::{Inputs, build};
pub use html::html;
pub use markdown::markdown;
pub use terminal::terminal;

use crate::limits::HostsNeeded;
use crate::today::Today;
use schemars::JsonSchema;
use serde::Serialize;

/// `nestless plan --json`. All amounts of money are dollars an hour.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// Version of the planner.
    pub version: String,
    /// What was read.
    pub input: Input,
    /// What could be bought.
    pub catalogue: CatalogueUsed,
    /// What the figures rest on.
    pub assumptions: Vec<String>,
    /// What they must not be taken for.
    pub caveats: Vec<String>,
    /// The sum over all clients.
    pub totals: Costs,
    /// What better packing saves, and what splitting saves: never mixed.
    pub savings: Savings,
    /// The cluster's nodes and placement of today, where the input tells.
    pub today: Option<Today>,
    /// The physical hosts that the plans need, where a host's size is given.
    pub hosts: Option<HostsNeeded>,
    /// The paper's claim, where the input is the trace it used.
    pub paper: Option<Paper>,
    /// Capacity that is bought and not requested, for each way to place.
    pub stranded: Vec<Stranded>,
    /// Each client, in the order of the input.
    pub clients: Vec<ClientCosts>,
    /// Pods that no plan holds, and VMs of the split plan for which nothing is left, with the reason.
    pub unplaced: Vec<String>,
    /// The replay over time, where it was asked for.
    pub simulation: Option<Simulation>,
    /// The best split plan, VM by VM.
    pub plan: Vec<Vm>,
}

/// What was read.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Input {
    /// "google-2011", "kubernetes", "csv", "alibaba-2023", "generated"
    pub format: String,
    /// Files, as they were named.
    pub files: Vec<String>,
    /// Rows or objects.
    pub rows: u64,
    /// Clients with at least one pod.
    pub clients: usize,
    /// Pods.
    pub pods: usize,
    /// Containers.
    pub containers: usize,
    /// What was left out by rule, and how often.
    pub skipped: Vec<Count>,
    /// Requests that are not planned, by resource.
    pub ignored: Vec<Count>,
    /// Faults that were tolerated.
    pub faults: u64,
    /// The first hundred of them, with file, line and field.
    pub listed: Vec<String>,
}

/// How often something was met.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Count {
    /// In words.
    pub what: String,
    /// Times.
    pub count: u64,
}

/// A price list.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct CatalogueUsed {
    /// Built-in name, or file.
    pub name: String,
    /// "aws", "gcp", "azure", or empty.
    pub provider: String,
    /// Where the prices hold.
    pub region: String,
    /// When they were read.
    pub as_of: String,
    /// Where they were read.
    pub source: String,
    /// The sizes.
    pub sizes: Vec<Size>,
}

/// A VM size.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Size {
    /// Name.
    pub name: String,
    /// Price.
    pub usd_per_hour: f64,
    /// All CPU, in thousandths of a vCPU.
    pub cpu_milli: u64,
    /// All memory.
    pub memory_bytes: u64,
    /// CPU that pods do not get.
    pub reserved_cpu_milli: u64,
    /// Memory that pods do not get.
    pub reserved_memory_bytes: u64,
}

/// The four numbers, and those that explain them. Dollars an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Costs {
    /// Kubernetes' scheduler, whole pods.
    pub as_is: f64,
    /// Hostlo as a pass over that placement, as in the paper.
    pub as_is_hostlo: f64,
    /// The best plan found with whole pods.
    pub whole: f64,
    /// The best plan found with split pods.
    pub split: f64,
    /// No plan with whole pods costs less: proven.
    pub whole_bound: f64,
    /// No plan costs less: proven.
    pub bound: f64,
}

/// What is saved, by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Savings {
    /// As it is, less the best whole-pod plan: better packing alone.
    pub packing: f64,
    /// In percent of what it costs as it is.
    pub packing_percent: f64,
    /// The best whole-pod plan, less the best split plan: splitting alone.
    pub splitting: f64,
    /// In percent of the best whole-pod plan.
    pub splitting_percent: f64,
    /// Clients whose split plan costs less than their whole-pod plan.
    pub clients_cheaper_by_splitting: usize,
    /// Clients whose split plan costs less than any whole-pod plan can: proven.
    pub clients_proven_cheaper_by_splitting: usize,
    /// The most that one client saves by splitting, in percent.
    pub most_by_splitting_percent: f64,
    /// As it is, less the paper's post-pass.
    pub post_pass: f64,
    /// In percent of what it costs as it is.
    pub post_pass_percent: f64,
    /// Clients for whom the post-pass costs less.
    pub clients_cheaper_by_post_pass: usize,
    /// The most that one client saves by the post-pass, in percent.
    pub most_by_post_pass_percent: f64,
    /// Clients whose whole-pod plan is proven to be the best there is.
    pub clients_whole_proven_best: usize,
    /// Clients whose split plan is proven to be the best there is.
    pub clients_split_proven_best: usize,
}

/// What the Hostlo paper reports for this trace, beside ours.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Paper {
    /// Its words.
    pub claim: String,
    /// Share of clients that pay less, in percent: over this.
    pub clients_cheaper_percent: f64,
    /// The most that one saves, in percent.
    pub most_percent: f64,
    /// Ours, in the paper's setting (the scheduler, then the post-pass).
    pub ours_clients_cheaper_percent: f64,
    /// Ours.
    pub ours_most_percent: f64,
}

/// Capacity that is bought and not requested.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Stranded {
    /// "as-is", "as-is-hostlo", "whole", "split"
    pub plan: String,
    /// VMs bought.
    pub vms: usize,
    /// Share of the CPU pods could have, in percent.
    pub cpu_percent: f64,
    /// Share of the memory.
    pub memory_percent: f64,
    /// By VM size; sizes that are not bought are left out.
    pub sizes: Vec<StrandedSize>,
}

/// The part of one VM size.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StrandedSize {
    /// Its name.
    pub size: String,
    /// How many are bought.
    pub vms: usize,
    /// In vCPUs.
    pub cpu: f64,
    /// In GiB.
    pub memory_gib: f64,
}

/// One client.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ClientCosts {
    /// Name.
    pub name: String,
    /// Pods.
    pub pods: usize,
    /// Containers.
    pub containers: usize,
    /// What it pays.
    pub costs: Costs,
    /// VMs as it is, in the best whole-pod plan, and in the best split plan.
    pub vms: [usize; 3],
    /// Pods that the best split plan splits.
    pub split_pods: usize,
    /// Their fractions.
    pub fractions: usize,
    /// Whether pods of this client seek or avoid each other (affinity, spread): such plans are found by local search,
    /// and the bound knows nothing of those demands.
    pub related: bool,
    /// What proves the bound: "continuous", "configuration", "search"
    pub proof: String,
}

/// One VM of the plan.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Vm {
    /// Whose.
    pub client: String,
    /// Number within the client, from 0.
    pub vm: usize,
    /// VM size.
    pub size: String,
    /// VMs of a client with the same number share split pods, and so must be on one host.
    pub host: Option<usize>,
    /// What runs in it.
    pub pods: Vec<Placed>,
}

/// A pod, or a fraction of one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Placed {
    /// Name of the pod.
    pub pod: String,
    /// Names of its containers that run here.
    pub containers: Vec<String>,
    /// Whether the rest of the pod runs in other VMs.
    pub split: bool,
}

/// The replay: what the clients pay over the whole time.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Simulation {
    /// "hour" or "second": the unit VMs are paid by.
    pub billing: String,
    /// Seconds that were replayed.
    pub seconds: u64,
    /// Pods that arrived.
    pub arrivals: u64,
    /// Pods that left.
    pub departures: u64,
    /// Kubernetes' scheduler, whole pods. Dollars.
    pub as_is_usd: f64,
    /// The same with split pods. Dollars.
    pub split_usd: f64,
    /// What splitting saves, in percent.
    pub splitting_percent: f64,
    /// The cheapest rate at which every moment's requests could be bought, over the time. Dollars.
    pub bound_usd: f64,
    /// VMs bought, as it is and with split pods.
    pub vms_bought: [u64; 2],
    /// The most VMs at once, as it is and with split pods.
    pub vms_at_once: [u64; 2],
    /// Pods that no VM could hold.
    pub refused: u64,
}

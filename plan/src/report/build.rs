//! From plans to a report.

use super::money::percent;
use super::{
    CatalogueUsed, ClientCosts, Costs, Count, Input, Paper, Placed, Report, Savings, Simulation, Size,
    Stranded, StrandedSize, Vm,
};
use crate::analysis::Outcome;
use crate::catalogue::Offer;
use crate::fleet::Fleet;
use crate::limits::{Homeless, HostsNeeded};
use crate::read::Ledger;
use crate::today::Today;
use nestless_placement::{Catalogue, Plan, Resources};
use std::collections::BTreeMap;

/// The Hostlo paper's result for this trace.
const PAPER_CLIENTS_PERCENT: f64 = 11.0;
const PAPER_MOST_PERCENT: f64 = 40.0;

/// One of a client's plans.
type PlanOf = fn(&Outcome) -> &Plan;

/// Everything a report is made of.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// "google-2011", "kubernetes", "csv", "alibaba-2023", "generated"
    pub format: &'a str,
    /// As the user named them.
    pub files: Vec<String>,
    /// What was read.
    pub fleet: &'a Fleet,
    /// What was left out of it.
    pub ledger: &'a Ledger,
    /// The price list.
    pub offer: &'a Offer,
    /// What the planner bought from.
    pub catalogue: &'a Catalogue,
    /// One for each client.
    pub outcomes: &'a [Outcome],
    /// What the figures rest on.
    pub assumptions: Vec<String>,
    /// What they must not be taken for.
    pub caveats: Vec<String>,
    /// The replay, where there was one.
    pub simulation: Option<Simulation>,
    /// The cluster as it runs today, where the input tells.
    pub today: Option<Today>,
    /// The hosts that plans need, where their size is known.
    pub hosts: Option<HostsNeeded>,
    /// VMs of the split plan for which nothing is left.
    pub homeless: Vec<Homeless>,
}

/// Puts a report together.
pub fn build(inputs: Inputs<'_>) -> Report {
    let Inputs { catalogue, outcomes, .. } = inputs;
    let clients: Vec<ClientCosts> = outcomes.iter().map(|outcome| client_costs(outcome, catalogue)).collect();
    let totals = clients.iter().fold(Costs::default(), |sum, client| sum.plus(client.costs));
    let savings = savings(totals, &clients);
    let unplaced = outcomes.iter().flat_map(|outcome| &outcome.unplaced).map(ToString::to_string);
    let is_google = inputs.format == "google-2011";
    let kinds: [(&str, PlanOf); 4] = [
        ("as-is", |outcome| &outcome.comparison.as_is),
        ("as-is-hostlo", |outcome| &outcome.comparison.as_is_hostlo),
        ("whole", |outcome| &outcome.comparison.whole),
        ("split", |outcome| &outcome.comparison.split),
    ];
    Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        input: input(&inputs),
        catalogue: catalogue_used(inputs.offer, catalogue),
        paper: is_google.then(|| paper(savings, clients.len())),
        stranded: kinds.iter().map(|(name, plan)| stranded(name, *plan, outcomes, catalogue)).collect(),
        today: inputs.today,
        hosts: inputs.hosts,
        unplaced: unplaced.chain(inputs.homeless.iter().map(ToString::to_string)).collect(),
        plan: outcomes.iter().flat_map(|outcome| vms(outcome, catalogue)).collect(),
        assumptions: inputs.assumptions,
        caveats: inputs.caveats.into_iter().chain(not_proven(&clients)).collect(),
        simulation: inputs.simulation,
        totals,
        savings,
        clients,
    }
}

/// That the proofs do not reach clients whose pods seek or avoid each other.
fn not_proven(clients: &[ClientCosts]) -> Option<String> {
    let related = clients.iter().filter(|client| client.related);
    let open = related.filter(|client| less(client.costs.bound, client.costs.split)).count();
    (open > 0).then(|| {
        format!(
            "pods of {open} clients seek or avoid each other (affinity, spread) and their plans are not proven to be the \
             best: they come from local search, and the bound leaves those demands out"
        )
    })
}

impl Costs {
    fn plus(self, other: Self) -> Self {
        Self {
            as_is: self.as_is + other.as_is,
            as_is_hostlo: self.as_is_hostlo + other.as_is_hostlo,
            whole: self.whole + other.whole,
            split: self.split + other.split,
            whole_bound: self.whole_bound + other.whole_bound,
            bound: self.bound + other.bound,
        }
    }
}

fn input(inputs: &Inputs<'_>) -> Input {
    let Inputs { fleet, ledger, .. } = inputs;
    let count = |(what, count): (String, u64)| Count { what, count };
    Input {
        format: inputs.format.to_owned(),
        files: inputs.files.clone(),
        rows: ledger.rows(),
        clients: fleet.clients().len(),
        pods: fleet.pods(),
        containers: fleet.containers(),
        skipped: ledger.skipped().iter().map(|(why, &times)| count((why.to_string(), times))).collect(),
        ignored: ledger.ignored().iter().map(|(what, &times)| count((what.clone(), times))).collect(),
        faults: ledger.faults(),
        listed: ledger.listed().iter().map(crate::read::Fault::sentence).collect(),
    }
}

fn catalogue_used(offer: &Offer, catalogue: &Catalogue) -> CatalogueUsed {
    let size = |size: &nestless_placement::VmSize| Size {
        name: size.name.clone(),
        usd_per_hour: size.price.dollars(),
        cpu_milli: size.capacity.cpu_milli,
        memory_bytes: size.capacity.memory_bytes,
        reserved_cpu_milli: size.reserved.cpu_milli,
        reserved_memory_bytes: size.reserved.memory_bytes,
    };
    CatalogueUsed {
        name: offer.name.clone(),
        provider: offer.provider.clone(),
        region: offer.region.clone(),
        as_of: offer.as_of.clone(),
        source: offer.source.clone(),
        sizes: catalogue.sizes().iter().map(size).collect(),
    }
}

fn client_costs(outcome: &Outcome, catalogue: &Catalogue) -> ClientCosts {
    let Outcome { client, comparison, .. } = outcome;
    let cost = |plan: &Plan| plan.cost(catalogue).dollars();
    let score = comparison.split.score(catalogue);
    let proof = serde_json::to_value(comparison.split_bound.proof).ok();
    ClientCosts {
        name: client.name.clone(),
        pods: client.pods.len(),
        containers: client.pods.iter().map(|pod| pod.containers.len()).sum(),
        costs: Costs {
            as_is: cost(&comparison.as_is),
            as_is_hostlo: cost(&comparison.as_is_hostlo),
            whole: cost(&comparison.whole),
            split: cost(&comparison.split),
            whole_bound: comparison.whole_bound.cost.dollars(),
            bound: comparison.split_bound.cost.dollars(),
        },
        vms: [&comparison.as_is, &comparison.whole, &comparison.split].map(|plan| plan.vms.len()),
        split_pods: score.split_pods,
        fractions: score.fractions,
        related: client.pods.iter().any(|pod| !pod.constraints.is_unary()),
        proof: proof.and_then(|proof| proof.as_str().map(str::to_owned)).unwrap_or_default(),
    }
}

/// Dollars are exact multiples of a millionth, so that half of one tells them apart.
fn less(one: f64, other: f64) -> bool {
    one + 5e-7 < other
}

fn savings(totals: Costs, clients: &[ClientCosts]) -> Savings {
    let count = |holds: fn(&Costs) -> bool| clients.iter().filter(|client| holds(&client.costs)).count();
    let most =
        |saved: fn(&Costs) -> f64| clients.iter().map(|client| saved(&client.costs)).fold(0.0, f64::max);
    Savings {
        packing: totals.as_is - totals.whole,
        packing_percent: percent(totals.as_is - totals.whole, totals.as_is),
        splitting: totals.whole - totals.split,
        splitting_percent: percent(totals.whole - totals.split, totals.whole),
        clients_cheaper_by_splitting: count(|c| less(c.split, c.whole)),
        clients_proven_cheaper_by_splitting: count(|c| less(c.split, c.whole_bound)),
        most_by_splitting_percent: most(|c| percent(c.whole - c.split, c.whole)),
        post_pass: totals.as_is - totals.as_is_hostlo,
        post_pass_percent: percent(totals.as_is - totals.as_is_hostlo, totals.as_is),
        clients_cheaper_by_post_pass: count(|c| less(c.as_is_hostlo, c.as_is)),
        most_by_post_pass_percent: most(|c| percent(c.as_is - c.as_is_hostlo, c.as_is)),
        clients_whole_proven_best: count(|c| !less(c.whole_bound, c.whole)),
        clients_split_proven_best: count(|c| !less(c.bound, c.split)),
    }
}

fn paper(savings: Savings, clients: usize) -> Paper {
    Paper {
        claim: "over 11 % of clients pay less, up to 40 % less".to_owned(),
        clients_cheaper_percent: PAPER_CLIENTS_PERCENT,
        most_percent: PAPER_MOST_PERCENT,
        ours_clients_cheaper_percent: percent(savings.clients_cheaper_by_post_pass as f64, clients as f64),
        ours_most_percent: savings.most_by_post_pass_percent,
    }
}

fn stranded(name: &str, plan: PlanOf, outcomes: &[Outcome], catalogue: &Catalogue) -> Stranded {
    let mut by_size: BTreeMap<usize, (usize, Resources)> = BTreeMap::new();
    let (mut vms, mut room, mut left) = (0, Resources::ZERO, Resources::ZERO);
    for outcome in outcomes {
        for vm in &plan(outcome).vms {
            let pods = &outcome.client.pods;
            let used: Resources = vm
                .fractions
                .iter()
                .map(|part| {
                    pods[part.pod].overhead + pods[part.pod].request_of(part.containers.iter().copied())
                })
                .sum();
            let all = catalogue.sizes()[vm.size].allocatable();
            let free = all.saturating_sub(used);
            let (count, sum) = by_size.entry(vm.size).or_default();
            *count += 1;
            *sum += free;
            vms += 1;
            room += all;
            left += free;
        }
    }
    let sizes = by_size.into_iter().map(|(size, (vms, free))| StrandedSize {
        size: catalogue.sizes()[size].name.clone(),
        vms,
        cpu: free.cpu_milli as f64 / 1e3,
        memory_gib: free.memory_bytes as f64 / f64::from(1 << 30),
    });
    Stranded {
        plan: name.to_owned(),
        vms,
        cpu_percent: percent(left.cpu_milli as f64, room.cpu_milli as f64),
        memory_percent: percent(left.memory_bytes as f64, room.memory_bytes as f64),
        sizes: sizes.collect(),
    }
}

fn vms<'a>(outcome: &'a Outcome, catalogue: &'a Catalogue) -> impl Iterator<Item = Vm> + 'a {
    let Outcome { client, comparison, .. } = outcome;
    let mut parts = vec![0_usize; client.pods.len()];
    for fraction in comparison.split.vms.iter().flat_map(|vm| &vm.fractions) {
        parts[fraction.pod] += 1;
    }
    comparison.split.vms.iter().enumerate().map(move |(number, vm)| Vm {
        client: client.name.clone(),
        vm: number,
        size: catalogue.sizes()[vm.size].name.clone(),
        host: vm.host,
        pods: vm
            .fractions
            .iter()
            .map(|fraction| {
                let pod = &client.pods[fraction.pod];
                let name = |&index: &usize| pod.containers[index].name.clone();
                let containers = fraction.containers.iter().map(name).collect();
                Placed { pod: pod.name.clone(), containers, split: parts[fraction.pod] > 1 }
            })
            .collect(),
    })
}

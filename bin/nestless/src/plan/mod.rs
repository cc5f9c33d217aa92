//! `nestless plan`: how many VMs, at what cost, with and without split pods.

mod bench;
mod fetch;
mod input;
mod progress;

pub(crate) use bench::Report as BenchReport;

use crate::output;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use input::{Input, Sources};
use nestless_model::placement::{Catalogue, HostModel, Resources, Strategy, Terms, strategies, strategy};
use nestless_plan::analysis::{Question, analyse, use_threads};
use nestless_plan::catalogue::{CatalogueError, Offer, Reserve, builtin, names, read_csv, read_toml};
use nestless_plan::read::Quantity;
use nestless_plan::report::{self, Inputs, Report, Simulation};
use nestless_plan::simulate::{Billing, simulate};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Plan how many VMs a cluster or a trace needs, and what splitting pods over VMs saves.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Fetch(fetch::Args),
    Bench(bench::Args),
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    sources: Sources,
    /// What can be bought: a built-in price list (m5, m5-2019, c5, r5, m6i, m7i, c7i, r7i, n2), or a file ending in .toml or .csv.
    #[arg(long, value_name = "NAME|FILE", default_value = "m5")]
    catalogue: String,
    /// What a VM keeps for itself beside DaemonSets. With --kubernetes the default is eks, otherwise none.
    #[arg(long, value_enum)]
    reserve: Option<Kept>,
    /// CPU that every VM keeps, such as 100m, instead of --reserve.
    #[arg(long, value_name = "QUANTITY", requires = "reserve_memory", conflicts_with = "reserve")]
    reserve_cpu: Option<Quantity>,
    /// Memory that every VM keeps, such as 500Mi.
    #[arg(long, value_name = "QUANTITY", requires = "reserve_cpu")]
    reserve_memory: Option<Quantity>,
    /// Whether a VM's limits on pods and NICs count. `auto` ignores them for the Google trace only.
    #[arg(long, value_enum, default_value_t)]
    pod_limits: PodLimits,
    /// Place with one strategy instead of the best of all.
    #[arg(long, value_name = "NAME", value_parser = known_strategy)]
    strategy: Option<String>,
    /// The most VMs one pod may be over.
    #[arg(long, value_name = "COUNT")]
    max_fractions: Option<NonZeroU32>,
    /// CPU of a physical host: VMs that share split pods fit one together. Without it, all VMs of a client are on one host.
    #[arg(long, value_name = "QUANTITY", requires = "host_memory")]
    host_cpu: Option<Quantity>,
    /// Memory of a physical host.
    #[arg(long, value_name = "QUANTITY", requires = "host_cpu")]
    host_memory: Option<Quantity>,
    /// Replay arrivals and departures too, with VMs paid by the hour or the second.
    #[arg(long, value_enum, value_name = "BILLING", num_args = 0..=1, default_missing_value = "hour")]
    simulate: Option<Paid>,
    /// Threads; all processors by default.
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroU32>,
    /// Count and list what cannot be read or placed, and go on.
    #[arg(long)]
    lenient: bool,
    /// Print JSON (`nestless schema plan`), the plan itself included.
    #[arg(long)]
    json: bool,
    /// Write a page for a browser.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kept {
    None,
    /// As nodes of Amazon EKS.
    Eks,
    /// As nodes of Google GKE.
    Gke,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum PodLimits {
    #[default]
    Auto,
    Keep,
    Ignore,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Paid {
    Hour,
    Second,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Some(Command::Fetch(args)) => args.run(),
            Some(Command::Bench(args)) => args.run(),
            None => self.run.run(),
        }
    }
}

impl Run {
    fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(threads) = self.threads {
            use_threads(threads.get() as usize)?;
        }
        let offer = offer(&self.catalogue)?;
        let mut input = self.sources.read(self.lenient, self.simulate.is_some())?;
        if input.fleet.pods() == 0 {
            bail!("nothing to plan: no pod was found in {}", input.files.join(", "));
        }
        let catalogue = self.bought_from(&offer, &mut input)?;
        let report = self.report(&input, &offer, &catalogue)?;
        if let Some(file) = &self.html {
            write(file, &report::html(&report)?)?;
        }
        if let Some(file) = &self.markdown {
            write(file, &report::markdown(&report))?;
        }
        if self.json {
            output::print_json(&report)?
        } else {
            output::print(&report::terminal(&report))?
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The sizes with what each keeps, and the assumptions that follow.
    fn bought_from(&self, offer: &Offer, input: &mut Input) -> anyhow::Result<Catalogue> {
        let (reserve, words) = match (self.reserve, self.reserve_cpu, self.reserve_memory) {
            (_, Some(cpu), Some(memory)) => {
                let kept = resources(cpu, memory)?;
                (Reserve::Fixed(kept), format!("every VM keeps {kept} for itself"))
            }
            (Some(Kept::Eks), ..) => (Reserve::Eks, "VMs keep what nodes of Amazon EKS keep".into()),
            (Some(Kept::Gke), ..) => (Reserve::Gke, "VMs keep what nodes of Google GKE keep".into()),
            (None, ..) if input.is_cluster() => {
                (Reserve::Eks, "VMs keep what nodes of Amazon EKS keep".into())
            }
            _ => (Reserve::None, "VMs keep nothing for kubelet, system and eviction".into()),
        };
        input.assumptions.push(words);
        if !input.daemons.is_empty() {
            let count = input.daemons.len();
            input.assumptions.push(format!("every VM keeps room for the {count} DaemonSets that select it"));
        }
        let catalogue = offer.catalogue(reserve, &input.daemons)?;
        let ignored = match self.pod_limits {
            PodLimits::Auto => input.is_google(),
            PodLimits::Keep => false,
            PodLimits::Ignore => true,
        };
        if ignored {
            input
                .assumptions
                .push("a VM holds any number of pods and NICs (--pod-limits keep counts them)".into());
        }
        Ok(if ignored { catalogue.without_pod_limits() } else { catalogue })
    }

    fn report(&self, input: &Input, offer: &Offer, catalogue: &Catalogue) -> anyhow::Result<Report> {
        let hosts = match (self.host_cpu, self.host_memory) {
            (Some(cpu), Some(memory)) => HostModel::Sized(resources(cpu, memory)?),
            _ => offer.host_model(),
        };
        let max_fractions = self.max_fractions.map(NonZeroU32::get);
        let chosen: Option<Box<dyn Strategy>> = self.strategy.as_deref().and_then(strategy);
        let question = Question {
            catalogue,
            terms: Terms { hosts, max_fractions, ..Terms::default() },
            strategy: chosen.as_deref(),
            lenient: self.lenient,
        };
        let bar = progress::clients(input.fleet.clients().len());
        let outcomes = analyse(&input.fleet, question, &|| bar.inc(1));
        bar.finish_and_clear();
        let simulation =
            self.simulate.map(|paid| replay(input, catalogue, paid, max_fractions)).transpose()?;
        let mut assumptions = input.assumptions.clone();
        assumptions.push(match hosts {
            HostModel::OnePerClient => {
                "all VMs of a client are on one physical host, as in the Hostlo paper (--host-cpu and --host-memory \
                 give hosts a size)"
                    .into()
            }
            HostModel::Sized(size) => format!("VMs that share split pods fit one physical host of {size} together"),
        });
        if let Some(most) = max_fractions {
            assumptions.push(format!("a pod is over at most {most} VMs"));
        }
        if let Some(name) = &self.strategy {
            assumptions.push(format!("only the strategy {name} was used; the best plans may be cheaper"));
        }
        Ok(report::build(Inputs {
            format: input.format,
            files: input.files.clone(),
            fleet: &input.fleet,
            ledger: &input.ledger,
            offer,
            catalogue,
            outcomes: &outcomes?,
            assumptions,
            caveats: input.caveats.clone(),
            simulation,
        }))
    }
}

fn known_strategy(name: &str) -> Result<String, String> {
    let known: Vec<_> = strategies().iter().map(|strategy| strategy.name()).collect();
    if known.contains(&name) { Ok(name.to_owned()) } else { Err(format!("known are {}", known.join(", "))) }
}

fn replay(
    input: &Input,
    catalogue: &Catalogue,
    paid: Paid,
    max_fractions: Option<u32>,
) -> anyhow::Result<Simulation> {
    let (billing, word) = match paid {
        Paid::Hour => (Billing::Hour, "hour"),
        Paid::Second => (Billing::Second, "second"),
    };
    let bar = progress::working("replaying");
    let replay = simulate(&input.timed, catalogue, billing, max_fractions)?;
    bar.finish_and_clear();
    let saved = replay.as_is.usd - replay.split.usd;
    Ok(Simulation {
        billing: word.to_owned(),
        seconds: replay.seconds,
        arrivals: replay.arrivals,
        departures: replay.departures,
        as_is_usd: replay.as_is.usd,
        split_usd: replay.split.usd,
        splitting_percent: if replay.as_is.usd > 0.0 { saved / replay.as_is.usd * 100.0 } else { 0.0 },
        bound_usd: replay.bound_usd,
        vms_bought: [replay.as_is.bought, replay.split.bought],
        vms_at_once: [replay.as_is.at_once, replay.split.at_once],
        refused: replay.refused,
    })
}

/// A built-in price list, or a file's.
fn offer(name: &str) -> anyhow::Result<Offer> {
    let path = Path::new(name);
    let extension = path.extension().and_then(|extension| extension.to_str());
    match (builtin(name), extension) {
        (Some(offer), _) => Ok(offer),
        (None, Some("toml")) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
            Ok(read_toml(&text, name)?)
        }
        (None, Some("csv")) => {
            let file = std::fs::File::open(path).with_context(|| format!("open {name}"))?;
            Ok(read_csv(file, name)?)
        }
        _ => {
            let known = names().collect::<Vec<_>>().join(", ");
            Err(CatalogueError::Unknown { name: name.to_owned(), known }.into())
        }
    }
}

fn resources(cpu: Quantity, memory: Quantity) -> anyhow::Result<Resources> {
    let cpu_milli = cpu.milli_ceil().with_context(|| format!("{cpu} is no amount of CPU"))?;
    let memory_bytes = memory.ceil().with_context(|| format!("{memory} is no amount of memory"))?;
    Ok(Resources { cpu_milli, memory_bytes })
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

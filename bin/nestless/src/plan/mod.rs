//! `nestless plan`: how many VMs, at what cost, with and without split pods.

mod fetch;
mod input;
mod progress;
mod purchase;
mod strategy;
mod timing;

pub(crate) use timing::Report as TimingReport;

use crate::output;
use anyhow::bail;
use clap::ValueEnum;
use input::{Input, Sources};
use nestless_placement::{Catalogue, HostModel, Rules, Splitting, Terms};
use nestless_plan::analysis::{Outcome, Question, analyse, use_threads};
use nestless_plan::limits::{self, Homeless, HostsNeeded};
use nestless_plan::report::{self, Inputs, Report, Simulation};
use nestless_plan::simulate::{Billing, simulate};
use purchase::{Bought, Purchase};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use strategy::Only;

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
    #[command(name = "bench")]
    Timing(timing::Args),
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    purchase: Purchase,
    #[command(flatten)]
    only: Only,
    /// The most VMs one pod may be over.
    #[arg(long, value_name = "COUNT")]
    max_fractions: Option<NonZeroU32>,
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
    #[arg(long, value_name = "FILE", value_parser = output::destination)]
    html: Option<PathBuf>,
    /// Write Markdown.
    #[arg(long, value_name = "FILE", value_parser = output::destination)]
    markdown: Option<PathBuf>,
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
            Some(Command::Timing(args)) => args.run(),
            None => self.run.run(),
        }
    }
}

impl Run {
    fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(threads) = self.threads {
            use_threads(threads.get() as usize)?;
        }
        let offer = self.purchase.offer()?;
        let mut input = self.sources.read(self.lenient, self.simulate.is_some())?;
        if input.fleet.pods() == 0 {
            bail!("nothing to plan: no pod was found in {}", input.files.join(", "));
        }
        let bought = self.purchase.decide(offer, &mut input)?;
        let report = self.report(&input, &bought)?;
        if self.json {
            output::print_json(&report)?
        } else {
            output::print(&report::terminal(&report))?
        }
        if let Some(file) = &self.html {
            output::write(file, &report::html(&report)?)?;
        }
        if let Some(file) = &self.markdown {
            output::write(file, &report::markdown(&report))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, input: &Input, bought: &Bought) -> anyhow::Result<Report> {
        let Bought { offer, catalogue, hosts } = bought;
        let host_model = hosts.map_or(HostModel::OnePerClient, |hosts| HostModel::Sized(hosts.size));
        let max_fractions = self.max_fractions.map(NonZeroU32::get);
        let chosen = self.only.strategy();
        let question = Question {
            catalogue,
            terms: Terms { hosts: host_model, max_fractions, ..Terms::default() },
            strategy: chosen.as_deref(),
            lenient: self.lenient,
        };
        let bar = progress::clients(input.fleet.clients().len());
        let outcomes = analyse(&input.fleet, question, &|| bar.inc(1));
        bar.finish_and_clear();
        let outcomes = outcomes.map_err(|error| match self.purchase.hint(input) {
            Some(hint) => anyhow::Error::new(error).context(hint),
            None => error.into(),
        })?;
        let (needed, homeless) = limits_kept(&outcomes, bought, self.lenient)?;
        let rules = Rules { splitting: Splitting::Split { max_fractions }, hosts: host_model };
        let simulation =
            self.simulate.map(|paid| replay(input, catalogue, paid, max_fractions)).transpose()?;
        let mut assumptions = input.assumptions.clone();
        assumptions.push(match host_model {
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
        if let Some(name) = self.only.name() {
            assumptions.push(format!("only the strategy {name} was used; the best plans may be cheaper"));
        }
        Ok(report::build(Inputs {
            format: input.format,
            files: input.files.clone(),
            fleet: &input.fleet,
            ledger: &input.ledger,
            offer,
            catalogue,
            outcomes: &outcomes,
            assumptions,
            caveats: input.caveats.clone(),
            simulation,
            today: input.today(rules),
            hosts: needed,
            homeless,
        }))
    }
}

/// The hosts that the plans need, and the VMs of the split plan for which nothing is left: an error unless they are to be
/// listed.
fn limits_kept(
    outcomes: &[Outcome],
    bought: &Bought,
    lenient: bool,
) -> anyhow::Result<(Option<HostsNeeded>, Vec<Homeless>)> {
    let mut homeless = limits::sizes(outcomes, &bought.catalogue);
    let needed = bought.hosts.map(|hosts| {
        let (needed, without) = limits::hosts(outcomes, &bought.catalogue, hosts.size, hosts.count);
        homeless.extend(without);
        needed
    });
    match (homeless.first(), &needed) {
        (Some(first), needed) if !lenient => {
            let hosts = needed.as_ref().and_then(|hosts| hosts.count.map(|count| (hosts.split, count)));
            let hosts = hosts.filter(|(split, count)| *split > *count as usize);
            let hosts =
                hosts.map(|(split, count)| format!("; it needs {split} hosts, and there are {count}"));
            bail!(
                "{first}, nor for {} more{}; --lenient lists all of them and goes on",
                homeless.len() - 1,
                hosts.unwrap_or_default()
            )
        }
        _ => Ok((needed, homeless)),
    }
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

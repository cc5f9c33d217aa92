//! What the planner reads: traces, tables, Kubernetes objects, price lists.

use nestless_placement::{BestFit, Effort, Hostlo, Kubernetes, Rules, Strategy, Task, lower_bound, verify};
use nestless_plan::Fleet;
use nestless_plan::catalogue::{Reserve, builtin, read_csv, read_toml};
use nestless_plan::read::google::{LargeJobs, Tasks, Window, read_task_events};
use nestless_plan::read::kubernetes::{Objects, Payer};
use nestless_plan::read::{Fault, Ledger, alibaba, decompressed, table};
use std::error::Error;

/// Of larger inputs only the reading is tried: planning is bounded, but not to a fuzzer's patience.
const MOST_PODS: usize = 12;

/// The first byte says which format, the rest is it, compressed or not. Whatever is read leniently must be reported, and
/// the strict reader stops exactly where the lenient one counts its first fault.
pub(crate) fn attack(input: &[u8]) {
    let Some((format, bytes)) = input.split_first() else { return };
    match format {
        b'c' => return price_list(bytes),
        b'a' | b'g' | b'k' | b't' => {}
        _ => return,
    }
    let mut lenient = Ledger::lenient();
    let fleet = read(*format, bytes, &mut lenient);
    let strict = read(*format, bytes, &mut Ledger::strict());
    if let Err(fault) = &strict {
        told(fault);
    }
    if let Ok(fleet) = fleet {
        assert_eq!(lenient.faults() == 0, strict.is_ok(), "a fault that only one way of reading finds");
        lenient.listed().iter().for_each(told);
        plan(&fleet);
    }
}

fn read(format: u8, bytes: &[u8], ledger: &mut Ledger) -> Result<Fleet, Fault> {
    let file = "input".into();
    let mut fleet = Fleet::default();
    let Ok(text) = decompressed(bytes) else { return Ok(fleet) };
    match format {
        b'a' => alibaba::read_pod_list(text, &file, None, &mut fleet, ledger)?,
        b'g' => {
            let mut tasks = Tasks::new(Window::Always);
            read_task_events(text, &file, ledger, |event| tasks.apply(event))?;
            fleet = tasks.into_fleet(LargeJobs::Separate, ledger);
        }
        b'k' => {
            let mut objects = Objects::new(Payer::Namespace);
            objects.read(text, &file, ledger)?;
            fleet = objects.finish(ledger).fleet;
        }
        _ => table::read_table(text, &file, &mut fleet, ledger)?,
    }
    Ok(fleet)
}

/// A fault names the file and the field, and does not grow with the input.
fn told(fault: &Fault) {
    let sentence = fault.sentence();
    assert!(sentence.starts_with("input, line "), "{sentence}");
    assert!(!fault.field.is_empty() && sentence.len() <= 4096, "{} bytes: {sentence}", sentence.len());
}

fn price_list(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for offer in [read_toml(&text, "input"), read_csv(bytes, "input")] {
        match offer {
            Ok(offer) => {
                for reserve in [Reserve::None, Reserve::Eks, Reserve::Gke, Reserve::Aks] {
                    let _ = offer.catalogue(reserve, &[]);
                }
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                assert!(error.to_string().contains("input") && !cause.is_empty(), "{error}: {cause}");
            }
        }
    }
}

/// Whatever was read can be planned, or is refused in words.
fn plan(fleet: &Fleet) {
    let catalogue = builtin("m5").and_then(|offer| offer.catalogue(Reserve::None, &[]).ok());
    let catalogue = catalogue.expect("a built-in price list");
    let nothing_searched = Effort { columns: 0, ..Effort::DEFAULT };
    for client in fleet.clients().iter().filter(|client| client.pods.len() <= MOST_PODS) {
        let task = Task { client, catalogue: &catalogue, rules: Rules::SPLIT };
        for strategy in [&Kubernetes as &dyn Strategy, &BestFit, &Hostlo] {
            match strategy.place(task) {
                Ok(plan) => {
                    assert_eq!(verify(task, &plan), Ok(()), "{}", strategy.name());
                    let bound = lower_bound(task, nothing_searched).expect("there is a plan");
                    assert!(bound.cost <= plan.cost(&catalogue), "{} is below the bound", strategy.name());
                }
                Err(refusal) => assert!(!refusal.to_string().is_empty()),
            }
        }
    }
}

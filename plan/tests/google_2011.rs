//! The first part of the Google trace, where it is at hand: `NESTLESS_DATA`, or `../shared/data` beside the repository.

mod trial;

use nestless_plan::read::google::{Census, LargeJobs, Tasks, Window, read_task_events};
use nestless_plan::read::{Ledger, Skip, decompressed};
use std::fs::File;
use std::path::PathBuf;

const PART: &str = "google-2011/task_events-part-00000-of-00500.csv.gz";

/// The trace's path. Where there is none, the test that asks is listed as ignored by name, and fails under `CI=true`.
fn part() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("NESTLESS_DATA").map_or_else(beside, PathBuf::from);
    Some(data.join(PART)).filter(|part| part.is_file())
}

fn tasks(window: Window, ledger: &mut Ledger) -> Tasks {
    let part = part().expect("main runs no test without the trace");
    let input = decompressed(File::open(&part).unwrap()).unwrap();
    let mut tasks = Tasks::new(window);
    read_task_events(input, &part.to_string_lossy().into(), ledger, |event| tasks.apply(event)).unwrap();
    tasks
}

fn the_trace_at_its_beginning() {
    let mut ledger = Ledger::strict();
    let tasks = tasks(Window::At(0), &mut ledger);
    assert_eq!(tasks.census(), Census { users: 507, jobs: 3_981, tasks: 144_339 });
    let fleet = tasks.into_fleet(LargeJobs::Drop, &mut ledger);
    assert_eq!((fleet.clients().len(), fleet.pods(), fleet.containers()), (492, 3_515, 11_861));
    assert_eq!(ledger.rows(), 450_146);
    assert_eq!(ledger.skipped()[&Skip::LargerThanMachine], 466);
}

fn large_jobs_as_separate_pods() {
    let mut ledger = Ledger::strict();
    let fleet = tasks(Window::At(0), &mut ledger).into_fleet(LargeJobs::Separate, &mut ledger);
    assert_eq!((fleet.clients().len(), fleet.containers()), (507, 144_339));
}

fn lifetimes() {
    let mut ledger = Ledger::strict();
    let fleet = tasks(Window::Always, &mut ledger).into_fleet(LargeJobs::Drop, &mut ledger);
    let ended = (0..fleet.clients().len())
        .flat_map(|client| fleet.lifetimes(client))
        .filter(|l| l.departs_us.is_some());
    assert_eq!((fleet.pods(), ended.count()), (4_359, 837));
}

fn main() -> std::process::ExitCode {
    let why = "no Google trace: set NESTLESS_DATA, or fetch it with `nestless plan fetch google-2011`";
    let tests: &[(&'static str, fn())] = &[
        ("the_trace_at_its_beginning", the_trace_at_its_beginning),
        ("large_jobs_as_separate_pods", large_jobs_as_separate_pods),
        ("lifetimes", lifetimes),
    ];
    trial::run(part().is_some(), why, 2, tests)
}

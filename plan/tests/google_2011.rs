//! The first part of the Google trace, where it is at hand: `NESTLESS_DATA`, or `../shared/data` beside the repository.

#[path = "../../page/tests/trial/mod.rs"]
mod trial;

use nestless_placement::{Catalogue, Effort, Price, Rules, Task, Terms, lower_bound, verify};
use nestless_plan::analysis::{Outcome, Question, analyse};
use nestless_plan::catalogue::{Reserve, builtin};
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

/// What a mixed integer solver reached with half a minute for each client: whole pods, split pods, clients proven cheaper.
struct ToBeat(f64, f64, usize);

fn the_four_numbers(catalogue: &str, beat: ToBeat) {
    let mut ledger = Ledger::strict();
    let fleet = tasks(Window::At(0), &mut ledger).into_fleet(LargeJobs::Drop, &mut ledger);
    let offer = builtin(catalogue).unwrap();
    let sizes = offer.catalogue(Reserve::None, &[]).unwrap().without_pod_limits();
    let question = Question { catalogue: &sizes, terms: Terms::default(), strategy: None, lenient: false };
    let outcomes = analyse(&fleet, question, &|| ()).unwrap();
    for Outcome { client, comparison, .. } in &outcomes {
        let whole = Task { client, catalogue: &sizes, rules: Rules::WHOLE };
        let split = Task { rules: Rules::SPLIT, ..whole };
        assert_eq!(verify(whole, &comparison.as_is), Ok(()));
        assert_eq!(verify(whole, &comparison.whole), Ok(()));
        assert_eq!(verify(split, &comparison.as_is_hostlo), Ok(()));
        assert_eq!(verify(split, &comparison.split), Ok(()));
        let floor = lower_bound(split, Effort { columns: 0, ..Effort::DEFAULT }).unwrap().cost;
        let [as_is, pass, whole, split] =
            [&comparison.as_is, &comparison.as_is_hostlo, &comparison.whole, &comparison.split]
                .map(|plan| plan.cost(&sizes));
        assert!(
            floor <= comparison.split_bound.cost && comparison.split_bound.cost <= split,
            "{}",
            client.name
        );
        assert!(split <= whole && whole <= as_is && split <= pass && pass <= as_is, "{}", client.name);
    }
    let sum = |cost: fn(&Outcome, &Catalogue) -> Price| -> f64 {
        outcomes.iter().map(|outcome| cost(outcome, &sizes)).sum::<Price>().dollars()
    };
    let whole = sum(|outcome, sizes| outcome.comparison.whole.cost(sizes));
    let split = sum(|outcome, sizes| outcome.comparison.split.cost(sizes));
    let proven = outcomes.iter().filter(|outcome| outcome.comparison.splitting_pays(&sizes)).count();
    assert!(whole <= beat.0 && split <= beat.1 && proven >= beat.2, "{whole} {split} {proven}");
}

fn the_floor_of_eight_sizes() {
    let mut ledger = Ledger::strict();
    let fleet = tasks(Window::At(0), &mut ledger).into_fleet(LargeJobs::Drop, &mut ledger);
    let sizes = builtin("m5").unwrap().catalogue(Reserve::None, &[]).unwrap().without_pod_limits();
    let floor = |client| {
        let task = Task { client, catalogue: &sizes, rules: Rules::SPLIT };
        lower_bound(task, Effort { columns: 0, ..Effort::DEFAULT }).unwrap().cost
    };
    let floor = fleet.clients().iter().map(floor).sum::<Price>().dollars();
    assert!((floor - 1669.73).abs() < 0.005, "{floor}");
}

fn eight_sizes() {
    the_four_numbers("m5", ToBeat(1757.95, 1723.01, 63));
}

fn six_sizes() {
    the_four_numbers("m5-2019", ToBeat(1830.53, 1743.17, 90));
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
        ("the_floor_of_eight_sizes", the_floor_of_eight_sizes),
        ("eight_sizes", eight_sizes),
        ("six_sizes", six_sizes),
    ];
    trial::run(part().is_some(), why, 2, tests)
}

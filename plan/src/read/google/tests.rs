//! Traces of a few rows, good and bad.

use super::*;
use crate::fleet::Lifetime;
use crate::read::fault::{Fault, Ledger, Skip};
use nestless_placement::Resources;
use proptest::prelude::*;

fn read(text: &str, window: Window, ledger: &mut Ledger) -> Result<Tasks, Fault> {
    let mut tasks = Tasks::new(window);
    read_task_events(text.as_bytes(), &"events.csv".into(), ledger, |event| tasks.apply(event))?;
    Ok(tasks)
}

fn event(time: u64, job: u64, task: u32, kind: u8, requests: &str) -> String {
    format!("{time},,{job},{task},,{kind},user,0,0,{requests},0.001,0\n")
}

#[test]
fn the_latest_word_up_to_the_instant_counts() {
    let text = [
        event(0, 1, 0, 0, "0.5,0.5"),
        event(0, 1, 0, 1, "0.25,0.125"),
        event(0, 1, 1, 0, ","),
        event(7, 1, 0, 8, "0.125,0.125"),
        event(9, 1, 0, 4, "0.125,0.125"),
    ]
    .concat();
    let mut ledger = Ledger::strict();
    let at_start = read(&text, Window::At(0), &mut ledger).unwrap();
    assert_eq!(at_start.census(), Census { users: 1, jobs: 1, tasks: 1 });
    let fleet = at_start.into_fleet(LargeJobs::Drop, &mut ledger);
    assert_eq!(fleet.clients()[0].pods[0].containers[0].request, Resources::new(24_000, 48 << 30));
    assert_eq!(ledger.skipped()[&Skip::NoRequest], 1);
    assert_eq!(read(&text, Window::At(9), &mut Ledger::strict()).unwrap().census().tasks, 0);
    let always = read(&text, Window::Always, &mut Ledger::strict()).unwrap();
    let fleet = always.into_fleet(LargeJobs::Drop, &mut Ledger::strict());
    assert_eq!(fleet.lifetimes(0), [Lifetime { arrives_us: 0, departs_us: Some(9) }]);
}

#[test]
fn what_is_held_grows_with_the_tasks_alive_and_not_with_the_events() {
    let mut tasks = Tasks::new(Window::At(u64::MAX));
    let mut most = 0;
    for round in 0..2_000 {
        let come = event(round, round, 0, 0, "0.5,0.5");
        let gone = round.checked_sub(10).map_or(String::new(), |job| event(round, job, 0, 4, "0.5,0.5"));
        read_task_events(format!("{come}{gone}").as_bytes(), &"x".into(), &mut Ledger::strict(), |event| {
            tasks.apply(event)
        })
        .unwrap();
        most = most.max(tasks.lives.len());
    }
    assert_eq!((most, tasks.users.len()), (10, 1));
}

#[test]
fn large_jobs_are_dropped_or_separated_but_never_lost() {
    let text =
        [event(0, 1, 0, 0, "0.6,0.1"), event(0, 1, 1, 0, "0.6,0.1"), event(0, 2, 0, 0, "1,1")].concat();
    let mut ledger = Ledger::strict();
    let fleet = |large, ledger: &mut _| {
        read(&text, Window::At(0), &mut Ledger::strict()).unwrap().into_fleet(large, ledger)
    };
    assert_eq!(fleet(LargeJobs::Drop, &mut ledger).pods(), 1);
    assert_eq!(ledger.skipped()[&Skip::LargerThanMachine], 1);
    assert_eq!(fleet(LargeJobs::Separate, &mut ledger).pods(), 3);
}

#[test]
fn faults_name_file_line_and_field() {
    let good = event(0, 1, 0, 0, "0.5,0.5");
    let mut sentences = String::new();
    for bad in [
        "1,2,3\n".to_owned(),
        event(0, 1, 0, 9, "0.5,0.5"),
        event(0, 1, 0, 0, "-0.5,0.5"),
        event(0, 1, 0, 0, "0.5,1.5"),
        event(0, 1, 0, 0, "0.5,"),
        event(0, 1, 0, 0, "half,0.5"),
        good.replace("user", ""),
        good.replace("0,,1,", "0,,one,"),
        good.replace("0,,1,", "1e3,,1,"),
    ] {
        let fault = read(&format!("{good}{bad}"), Window::At(0), &mut Ledger::strict()).unwrap_err();
        sentences += &format!("{}\n", fault.sentence());
    }
    insta::assert_snapshot!(sentences);
}

#[test]
fn lenient_counts_and_lists() {
    let text = format!("{}nonsense\n{}", event(0, 1, 0, 0, "0.5,0.5"), event(0, 2, 0, 0, "0.5,0.5"));
    let mut ledger = Ledger::lenient();
    assert_eq!(read(&text, Window::At(0), &mut ledger).unwrap().census().jobs, 2);
    assert_eq!((ledger.rows(), ledger.faults(), ledger.listed()[0].line), (3, 1, 2));
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut tasks = Tasks::new(Window::Always);
        let mut ledger = Ledger::lenient();
        read_task_events(&bytes[..], &"x".into(), &mut ledger, |event| tasks.apply(event)).unwrap();
        tasks.into_fleet(LargeJobs::Separate, &mut ledger);
    }

    #[test]
    fn rows_never_panic(rows in proptest::collection::vec("[0-9]{0,3},[0-9]?,[0-9]{1,2},[0-9],,[0-9],u?,0,0,[-0-9.e]{0,5},[0-9.]{0,4},,", 0..20)) {
        let mut ledger = Ledger::lenient();
        let tasks = read(&rows.join("\n"), Window::Always, &mut ledger).unwrap();
        prop_assert_eq!(ledger.rows(), rows.len() as u64);
        tasks.into_fleet(LargeJobs::Drop, &mut ledger);
    }
}

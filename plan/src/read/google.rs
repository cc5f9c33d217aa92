//! Google ClusterData 2011, version 2: the table of task events (Reiss, Wilkes, Hellerstein: "Google cluster-usage
//! traces: format + schema", section "Task events table").
//!
//! Mapping: user = client, job = pod, task = container, 1.0 = 96 vCPU and 384 GiB (m5.24xlarge, the largest machine the
//! clients could rent when the trace was first studied for split pods). A task's requests are what its latest event up to
//! the instant says: the SCHEDULE event of a task that runs when the trace begins corrects its SUBMIT event.

use super::amount::shorten;
use super::fault::{Fault, Ledger, Problem, Skip};
use super::input::Lines;
use super::quantity::Quantity;
use crate::fleet::{Fleet, Lifetime};
use nestless_placement::{Container, ContainerKind, Pod, Resources};
use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::str::FromStr;
use std::sync::Arc;

/// What 1.0 stands for.
pub const MACHINE: Resources = Resources::new(96_000, 384 << 30);

const COLUMNS: [&str; 13] = [
    "time",
    "missing info",
    "job ID",
    "task index",
    "machine ID",
    "event type",
    "user",
    "scheduling class",
    "priority",
    "CPU request",
    "memory request",
    "disk space request",
    "different-machines restriction",
];

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskEvent<'a> {
    /// Microseconds; 0 for what happened before the trace, 2^63 - 1 for what happened after it.
    pub time_us: u64,
    /// Job.
    pub job: u64,
    /// Task within the job.
    pub task: u32,
    /// What happened.
    pub change: Change,
    /// Hash of the user's name.
    pub user: &'a str,
    /// Share of the machine; `None` where the trace does not tell.
    pub request: Option<Resources>,
}

/// What an event means for the task's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// SUBMIT
    Arrives,
    /// SCHEDULE, UPDATE_PENDING, UPDATE_RUNNING
    Stays,
    /// EVICT, FAIL, FINISH, KILL, LOST
    Departs,
}

/// Reads one part, row by row.
///
/// # Errors
/// The first fault, unless `ledger` is lenient.
pub fn read_task_events(
    input: impl BufRead,
    file: &Arc<str>,
    ledger: &mut Ledger,
    mut each: impl FnMut(TaskEvent<'_>),
) -> Result<(), Fault> {
    let mut lines = Lines::new(input, file);
    loop {
        let (line, text) = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(fault) => return ledger.fault(fault),
        };
        ledger.row();
        match row(text) {
            Ok(event) => each(event),
            Err((column, problem)) => {
                let field = COLUMNS.get(column).copied().unwrap_or("(row)").to_owned();
                ledger.fault(Fault { file: Arc::clone(file), line, field, problem })?;
            }
        }
    }
}

/// The column at fault, or one past the last for the row as a whole.
type Bad = (usize, Problem);

fn row(text: &[u8]) -> Result<TaskEvent<'_>, Bad> {
    let mut fields: [&[u8]; 13] = [&[]; 13];
    let mut found = 0;
    for field in text.split(|&byte| byte == b',') {
        if let Some(place) = fields.get_mut(found) {
            *place = field;
        }
        found += 1;
    }
    if found != fields.len() {
        return Err((COLUMNS.len(), Problem::Columns { found, expected: fields.len() }));
    }
    let event: u8 = number(&fields, 5, "an event type from 0 to 8")?;
    let change = match event {
        0 => Change::Arrives,
        1 | 7 | 8 => Change::Stays,
        2..=6 => Change::Departs,
        _ => return Err((5, Problem::NotA { text: event.to_string(), wanted: "an event type from 0 to 8" })),
    };
    let user = text_of(&fields, 6)?;
    if user.is_empty() {
        return Err((6, Problem::Missing));
    }
    Ok(TaskEvent {
        time_us: number(&fields, 0, "a time in microseconds")?,
        job: number(&fields, 2, "a job ID")?,
        task: number(&fields, 3, "a task index")?,
        change,
        user,
        request: request(&fields)?,
    })
}

fn request(fields: &[&[u8]; 13]) -> Result<Option<Resources>, Bad> {
    if fields[9].is_empty() && fields[10].is_empty() {
        return Ok(None);
    }
    let cpu_milli = share(fields, 9, MACHINE.cpu_milli)?;
    let memory_bytes = share(fields, 10, MACHINE.memory_bytes)?;
    Ok(Some(Resources { cpu_milli, memory_bytes }))
}

/// A share of the largest machine, in its units, rounded up.
fn share(fields: &[&[u8]; 13], column: usize, machine: u64) -> Result<u64, Bad> {
    let text = text_of(fields, column)?;
    if text.is_empty() {
        return Err((column, Problem::Missing));
    }
    let at = |problem| (column, problem);
    let share = Quantity::from_str(text).map_err(|error| at(error.into()))?;
    if share.is_negative() {
        return Err(at(Problem::Negative { text: shorten(text) }));
    }
    if share > Quantity::whole(1) {
        return Err(at(Problem::Absurd { text: shorten(text), limit: "1.0, the largest machine" }));
    }
    share
        .times_ceil(machine)
        .ok_or_else(|| at(Problem::Absurd { text: shorten(text), limit: "1.0, the largest machine" }))
}

fn number<T: FromStr>(fields: &[&[u8]; 13], column: usize, wanted: &'static str) -> Result<T, Bad> {
    let text = text_of(fields, column)?;
    if text.is_empty() {
        return Err((column, Problem::Missing));
    }
    text.parse().map_err(|_| (column, Problem::NotA { text: shorten(text), wanted }))
}

fn text_of<'a>(fields: &[&'a [u8]; 13], column: usize) -> Result<&'a str, Bad> {
    std::str::from_utf8(fields[column]).map_err(|_| {
        let text = shorten(&String::from_utf8_lossy(fields[column]));
        (column, Problem::NotA { text, wanted: "UTF-8 text" })
    })
}

/// Which tasks are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Those alive at this instant, in microseconds. 0 is the beginning of the trace.
    At(u64),
    /// All of them, with their lifetimes; memory grows with the number of tasks.
    Always,
}

/// What becomes of a job whose tasks together exceed the largest machine, which no VM could hold as one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeJobs {
    /// It is left out, and counted.
    Drop,
    /// Its tasks become pods of their own.
    Separate,
}

#[derive(Clone, Copy, Debug)]
struct Life {
    user: u32,
    request: Option<Resources>,
    lifetime: Lifetime,
    alive: bool,
}

/// Tasks as the events so far leave them: at most one small record for each task in the window.
#[derive(Debug)]
pub struct Tasks {
    window: Window,
    users: Vec<String>,
    by_name: HashMap<String, u32>,
    lives: BTreeMap<(u64, u32), Life>,
}

impl Tasks {
    /// No task yet.
    pub fn new(window: Window) -> Self {
        Self { window, users: Vec::new(), by_name: HashMap::new(), lives: BTreeMap::new() }
    }

    /// Applies the next event. Parts must be given in their order.
    pub fn apply(&mut self, event: TaskEvent<'_>) {
        if matches!(self.window, Window::At(instant) if event.time_us > instant) {
            return;
        }
        let key = (event.job, event.task);
        match event.change {
            Change::Arrives => self.arrives(key, event),
            Change::Stays => {
                if let Some(life) = self.lives.get_mut(&key) {
                    life.request = event.request.or(life.request);
                }
            }
            Change::Departs => match self.window {
                Window::At(_) => drop(self.lives.remove(&key)),
                Window::Always => {
                    if let Some(life) = self.lives.get_mut(&key) {
                        life.alive = false;
                        life.lifetime.departs_us = Some(event.time_us);
                    }
                }
            },
        }
    }

    /// A task that is submitted again (after an eviction) is taken to have waited all the while.
    fn arrives(&mut self, key: (u64, u32), event: TaskEvent<'_>) {
        let user = self.user(event.user);
        let lifetime = Lifetime { arrives_us: event.time_us, departs_us: None };
        let life = self.lives.entry(key).or_insert(Life { user, request: None, lifetime, alive: true });
        life.alive = true;
        life.lifetime.departs_us = None;
        life.request = event.request.or(life.request);
    }

    fn user(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let index = self.users.len() as u32;
        self.by_name.insert(name.to_owned(), index);
        self.users.push(name.to_owned());
        index
    }

    /// Counts of what is in the window, before anything is left out.
    pub fn census(&self) -> Census {
        let known = || self.lives.iter().filter(|(_, life)| life.request.is_some());
        let mut users: Vec<u32> = known().map(|(_, life)| life.user).collect();
        users.sort_unstable();
        users.dedup();
        let mut jobs: Vec<u64> = known().map(|((job, _), _)| *job).collect();
        jobs.dedup();
        Census { users: users.len(), jobs: jobs.len(), tasks: known().count() }
    }

    /// Jobs become pods of their users. What is left out is counted in `ledger`.
    pub fn into_fleet(self, large: LargeJobs, ledger: &mut Ledger) -> Fleet {
        let mut fleet = Fleet::default();
        let mut job: Vec<((u64, u32), Life)> = Vec::new();
        let mut unknown = 0;
        for (key, life) in self.lives {
            if life.request.is_none() {
                unknown += 1;
                continue;
            }
            if job.first().is_some_and(|((first, _), _)| *first != key.0) {
                add_job(&mut fleet, &self.users, &job, large, ledger);
                job.clear();
            }
            job.push((key, life));
        }
        add_job(&mut fleet, &self.users, &job, large, ledger);
        ledger.skip(Skip::NoRequest, unknown);
        fleet
    }
}

/// How much a trace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Users with at least one task.
    pub users: usize,
    /// Jobs.
    pub jobs: usize,
    /// Tasks whose requests are known.
    pub tasks: usize,
}

fn add_job(
    fleet: &mut Fleet,
    users: &[String],
    job: &[((u64, u32), Life)],
    large: LargeJobs,
    ledger: &mut Ledger,
) {
    let Some(&((id, _), first)) = job.first() else { return };
    let user = &users[first.user as usize];
    let container = |&((_, task), life): &((u64, u32), Life)| Container {
        name: task.to_string(),
        request: life.request.unwrap_or_default(),
        kind: ContainerKind::App,
    };
    let total: Resources = job.iter().filter_map(|(_, life)| life.request).sum();
    if total.fits(MACHINE) {
        let arrives_us = job.iter().map(|(_, life)| life.lifetime.arrives_us).min().unwrap_or(0);
        let last = job.iter().map(|(_, life)| life.lifetime.departs_us.unwrap_or(u64::MAX)).max();
        let lifetime = Lifetime { arrives_us, departs_us: last.filter(|&end| end != u64::MAX) };
        let mut pod = Pod::of(id.to_string(), []);
        pod.containers = job.iter().map(container).collect();
        fleet.add(user, pod, lifetime);
    } else if large == LargeJobs::Separate {
        for task in job {
            let mut pod = Pod::of(format!("{id}-{}", task.0.1), []);
            pod.containers = vec![container(task)];
            fleet.add(user, pod, task.1.lifetime);
        }
    } else {
        ledger.skip(Skip::LargerThanMachine, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            read_task_events(
                format!("{come}{gone}").as_bytes(),
                &"x".into(),
                &mut Ledger::strict(),
                |event| tasks.apply(event),
            )
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
}

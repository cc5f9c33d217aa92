//! From events to the tasks that are there, and from tasks to pods.

use super::event::{Change, MACHINE, TaskEvent};
use crate::fleet::{Fleet, Lifetime};
use crate::read::fault::{Ledger, Skip};
use nestless_placement::{Container, ContainerKind, Pod, Resources};
use std::collections::{BTreeMap, HashMap};

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
pub(super) struct Life {
    user: u32,
    request: Option<Resources>,
    lifetime: Lifetime,
    alive: bool,
}

/// Tasks as the events so far leave them: at most one small record for each task in the window.
#[derive(Debug)]
pub struct Tasks {
    window: Window,
    pub(super) users: Vec<String>,
    by_name: HashMap<String, u32>,
    pub(super) lives: BTreeMap<(u64, u32), Life>,
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

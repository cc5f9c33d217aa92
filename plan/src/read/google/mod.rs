//! Google ClusterData 2011, version 2: the table of task events (Reiss, Wilkes, Hellerstein: "Google cluster-usage
//! traces: format + schema", section "Task events table").
//!
//! Mapping: user = client, job = pod, task = container, 1.0 = 96 vCPU and 384 GiB (m5.24xlarge, the largest machine the
//! clients could rent when the trace was first studied for split pods). A task's requests are what its latest event up to
//! the instant says: the SCHEDULE event of a task that runs when the trace begins corrects its SUBMIT event.

mod event;
mod tasks;

pub use event::{Change, MACHINE, TaskEvent, read_task_events};
pub use tasks::{Census, LargeJobs, Tasks, Window};

#[cfg(test)]
mod tests;

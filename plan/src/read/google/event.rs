//! Rows of the table, as events.

use crate::read::fault::{Fault, Ledger, Problem};
use crate::read::input::Lines;
use crate::read::quantity::Quantity;
use crate::read::shorten;
use nestless_placement::Resources;
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

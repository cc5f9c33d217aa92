//! The in-kernel tables, one row per link.

use super::{error::GuardError, pinned::Pinned};
use aya::{
    maps::{MapError, PerCpuValues},
    util::nr_cpus,
};
use nestless_bpf::guard::{Buckets, Counters, Entry, Instance};
use nestless_support::crash_point;

const ANY: u64 = 0;
/// `BPF_NOEXIST` (linux/bpf.h).
const NEW_ONLY: u64 = 1;

/// The link's entry.
pub(super) fn entry(pinned: &Pinned, ifindex: u32) -> Result<Option<Entry>, GuardError> {
    optional(pinned.entries.get(&ifindex, 0)).map_err(failed("read", "entries", ifindex))
}

/// Writes the entry whole; the buckets keep their level.
pub(super) fn write(pinned: &mut Pinned, ifindex: u32, entry: &Entry) -> Result<(), GuardError> {
    crash_point::reached("guard.entry.before");
    match pinned.buckets.insert(ifindex, Buckets::default(), NEW_ONLY) {
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => {}
        other => other.map_err(failed("write", "buckets", ifindex))?,
    }
    pinned.entries.insert(ifindex, entry, ANY).map_err(failed("write", "entries", ifindex))?;
    crash_point::reached("guard.entry.after");
    Ok(())
}

/// Takes the entry away first, and then what was counted under it: the link is closed.
pub(super) fn clear(pinned: &mut Pinned, ifindex: u32) -> Result<(), GuardError> {
    crash_point::reached("guard.clear.before");
    absent(pinned.entries.remove(&ifindex)).map_err(failed("write", "entries", ifindex))?;
    absent(pinned.buckets.remove(&ifindex)).map_err(failed("write", "buckets", ifindex))?;
    let cpus = nr_cpus()
        .map_err(|(_, source)| MapError::IoError(source))
        .map_err(failed("write", "counters", ifindex))?;
    PerCpuValues::try_from(vec![Counters::default(); cpus])
        .map_err(MapError::IoError)
        .and_then(|zeros| pinned.counters.insert(ifindex, zeros, ANY))
        .map_err(failed("write", "counters", ifindex))?;
    crash_point::reached("guard.clear.after");
    Ok(())
}

/// Takes every trace of the link away.
pub(super) fn remove(pinned: &mut Pinned, ifindex: u32) -> Result<(), GuardError> {
    crash_point::reached("guard.forget.before");
    absent(pinned.entries.remove(&ifindex)).map_err(failed("write", "entries", ifindex))?;
    absent(pinned.buckets.remove(&ifindex)).map_err(failed("write", "buckets", ifindex))?;
    absent(pinned.counters.remove(&ifindex)).map_err(failed("write", "counters", ifindex))?;
    crash_point::reached("guard.forget.after");
    Ok(())
}

/// The sum over all CPUs.
pub(super) fn counters(pinned: &Pinned, ifindex: u32) -> Result<Option<Counters>, GuardError> {
    let shares = optional(pinned.counters.get(&ifindex, 0)).map_err(failed("read", "counters", ifindex))?;
    Ok(shares.map(|shares| {
        let mut sum = Counters::default();
        for share in shares.iter() {
            sum.passed += share.passed;
            sum.passed_bytes += share.passed_bytes;
            sum.dropped.add(&share.dropped);
        }
        sum
    }))
}

/// Indexes with an entry or counters.
pub(super) fn indexes(pinned: &Pinned) -> Result<Vec<u32>, GuardError> {
    let entries =
        pinned.entries.keys().collect::<Result<Vec<_>, _>>().map_err(failed("read", "entries", 0))?;
    let counters =
        pinned.counters.keys().collect::<Result<Vec<_>, _>>().map_err(failed("read", "counters", 0))?;
    Ok(entries.into_iter().chain(counters).collect())
}

/// A number that no filter had. It is used up even if the caller dies before he uses it.
pub(super) fn next_generation(pinned: &mut Pinned) -> Result<u32, GuardError> {
    let last = pinned.instance.get(&0, 0).map_err(failed("read", "generations", 0))?.last_generation;
    // 0 is the class id of a filter that was given none.
    let next = last.checked_add(1).unwrap_or(1);
    pinned.instance.set(0, Instance { last_generation: next }, 0).map_err(failed(
        "write",
        "generations",
        0,
    ))?;
    Ok(next)
}

fn failed(operation: &'static str, table: &'static str, ifindex: u32) -> impl Fn(MapError) -> GuardError {
    move |source| GuardError::Table { operation, table, ifindex, source }
}

fn optional<T>(result: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn absent(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

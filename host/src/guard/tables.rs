//! The in-kernel tables, one row per link.

use super::pinned::{NAME, Pinned};
use crate::ebpf::{
    EbpfError,
    rows::{self, absent, optional},
};
use aya::maps::MapError;
use nestless_bpf::guard::{Buckets, Counters, Entry};
use nestless_support::crash_point;

const ANY: u64 = 0;
/// `BPF_NOEXIST` (linux/bpf.h).
const NEW_ONLY: u64 = 1;

/// The link's entry.
pub(super) fn entry(pinned: &Pinned, ifindex: u32) -> Result<Option<Entry>, EbpfError> {
    optional(pinned.entries.get(&ifindex, 0)).map_err(failed("read", "entries", ifindex))
}

/// Writes the entry whole; the buckets keep their level.
pub(super) fn write(pinned: &mut Pinned, ifindex: u32, entry: &Entry) -> Result<(), EbpfError> {
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
pub(super) fn clear(pinned: &mut Pinned, ifindex: u32) -> Result<(), EbpfError> {
    crash_point::reached("guard.clear.before");
    absent(pinned.entries.remove(&ifindex)).map_err(failed("write", "entries", ifindex))?;
    absent(pinned.buckets.remove(&ifindex)).map_err(failed("write", "buckets", ifindex))?;
    rows::shares(Counters::default())
        .and_then(|zeros| pinned.counters.insert(ifindex, zeros, ANY))
        .map_err(failed("write", "counters", ifindex))?;
    crash_point::reached("guard.clear.after");
    Ok(())
}

/// Takes every trace of the link away.
pub(super) fn remove(pinned: &mut Pinned, ifindex: u32) -> Result<(), EbpfError> {
    crash_point::reached("guard.forget.before");
    absent(pinned.entries.remove(&ifindex)).map_err(failed("write", "entries", ifindex))?;
    absent(pinned.buckets.remove(&ifindex)).map_err(failed("write", "buckets", ifindex))?;
    absent(pinned.counters.remove(&ifindex)).map_err(failed("write", "counters", ifindex))?;
    crash_point::reached("guard.forget.after");
    Ok(())
}

/// The sum over all CPUs.
pub(super) fn counters(pinned: &Pinned, ifindex: u32) -> Result<Option<Counters>, EbpfError> {
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
pub(super) fn indexes(pinned: &Pinned) -> Result<Vec<u32>, EbpfError> {
    let entries =
        pinned.entries.keys().collect::<Result<Vec<_>, _>>().map_err(failed("read", "entries", 0))?;
    let counters =
        pinned.counters.keys().collect::<Result<Vec<_>, _>>().map_err(failed("read", "counters", 0))?;
    Ok(entries.into_iter().chain(counters).collect())
}

fn failed(operation: &'static str, table: &'static str, ifindex: u32) -> impl Fn(MapError) -> EbpfError {
    // The tables have no row of a link 0: it is about all of them.
    rows::failed(operation, NAME, table, Some(ifindex).filter(|index| *index != 0))
}

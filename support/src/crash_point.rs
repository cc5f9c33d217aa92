//! Named places at which a test may kill the process. Does nothing without the feature `crash-points`.
//!
//! `NESTLESS_CRASH_TRACE=FILE` appends the name of every place passed to a file; `NESTLESS_CRASH_AT=NAME` kills the
//! process with SIGKILL at that place, and `NESTLESS_CRASH_AT=NAME#3` at its third passing. A test traces a run once and
//! then kills at each place of the trace, so that no list of places has to be kept.

/// Passes the place called `name`.
#[cfg(feature = "crash-points")]
pub fn reached(name: &str) {
    enabled::reached(name);
}

/// Passes the place called `name`: nothing happens in this build.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn reached(_name: &str) {}

#[cfg(feature = "crash-points")]
mod enabled {
    use std::{
        collections::BTreeMap,
        io::Write as _,
        sync::{LazyLock, Mutex},
    };

    static AT: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let text = std::env::var("NESTLESS_CRASH_AT").ok()?;
        let (name, nth) = text.split_once('#').unwrap_or((&text, "1"));
        Some((name.to_owned(), nth.parse().expect("NESTLESS_CRASH_AT=NAME#NUMBER")))
    });
    static PASSED: LazyLock<Mutex<BTreeMap<String, u64>>> = LazyLock::new(Mutex::default);

    pub(super) fn reached(name: &str) {
        let nth = {
            let mut passed = PASSED.lock().expect("no panic while counting");
            let count = passed.entry(name.to_owned()).or_default();
            *count += 1;
            *count
        };
        if let Some(path) = std::env::var_os("NESTLESS_CRASH_TRACE") {
            let mut file =
                std::fs::OpenOptions::new().create(true).append(true).open(path).expect("open crash trace");
            writeln!(file, "{name}#{nth}").expect("write crash trace");
        }
        if AT.as_ref().is_some_and(|(at, at_nth)| at == name && *at_nth == nth) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

//! Named places at which a test may kill the process. Only a build with debug assertions has them, so not what users
//! install: `scripts/sizes` shows it.
//!
//! `NESTLESS_CRASH_TRACE=FILE` appends the name of every place passed to a file; `NESTLESS_CRASH_AT=NAME` kills the
//! process with SIGKILL at that place, and `NESTLESS_CRASH_AT=NAME#3` at its third passing. A test traces a run once and
//! then kills at each place of the trace, so that no list of places has to be kept.
//!
//! With `NESTLESS_CRASH_CONTROL=FILE` places are counted and traced only while that file exists, from 1 again whenever it
//! appears, and the place to die at is what it holds: a test chooses the operation, and the start of the process is not
//! part of it.

/// Passes the place called `name`.
#[cfg(debug_assertions)]
pub fn reached(name: &str) {
    enabled::reached(name);
}

/// Passes the place called `name`: nothing happens in this build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn reached(_name: &str) {}

#[cfg(debug_assertions)]
mod enabled {
    use std::{
        collections::BTreeMap,
        io::Write as _,
        path::PathBuf,
        sync::{LazyLock, Mutex},
    };

    static WATCHED: LazyLock<bool> = LazyLock::new(|| {
        let mut names = ["NESTLESS_CRASH_AT", "NESTLESS_CRASH_TRACE", "NESTLESS_CRASH_CONTROL"].into_iter();
        names.any(|name| std::env::var_os(name).is_some())
    });
    static AT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("NESTLESS_CRASH_AT").ok());
    static CONTROL: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("NESTLESS_CRASH_CONTROL").map(PathBuf::from));
    static PASSED: LazyLock<Mutex<BTreeMap<String, u64>>> = LazyLock::new(Mutex::default);

    pub(super) fn reached(name: &str) {
        if !*WATCHED {
            return;
        }
        let mut passed = PASSED.lock().expect("no panic while counting");
        let at = match &*CONTROL {
            None => AT.clone(),
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(text.trim().to_owned()),
                Err(_) => return passed.clear(),
            },
        };
        let count = passed.entry(name.to_owned()).or_default();
        *count += 1;
        let place = format!("{name}#{count}");
        if let Some(path) = std::env::var_os("NESTLESS_CRASH_TRACE") {
            let mut file =
                std::fs::OpenOptions::new().create(true).append(true).open(path).expect("open crash trace");
            writeln!(file, "{place}").expect("write crash trace");
        }
        // Killed with the lock held: no other thread passes a place after this one.
        if at.is_some_and(|at| at == place || (*count == 1 && at == name)) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

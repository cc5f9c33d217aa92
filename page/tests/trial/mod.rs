//! Tests that need something which is not on every machine.

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// Runs the tests, `threads` at a time, where what they need is here. Elsewhere each is listed as ignored with the reason
/// `why`, and fails under `CI=true`.
pub(crate) fn run(here: bool, why: &'static str, threads: usize, tests: &[(&'static str, fn())]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(threads));
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let trial = |&(name, test): &(&'static str, fn())| {
        let run = move || {
            if !here {
                return Err(why.into());
            }
            test();
            Ok(())
        };
        let kind = if here { "" } else { why };
        Trial::test(name, run).with_kind(kind).with_ignored_flag(!here && !in_ci)
    };
    libtest_mimic::run(&arguments, tests.iter().map(trial).collect()).exit_code()
}

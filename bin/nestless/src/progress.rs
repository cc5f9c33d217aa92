//! Shows what a command is doing: a spinner on a terminal, plain lines elsewhere. Always on stderr.

use indicatif::{ProgressBar, ProgressStyle};
use nestless_lab::Progress;
use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// The display; it vanishes when dropped.
pub(crate) struct Display {
    spinner: Option<ProgressBar>,
    begun: Instant,
}

impl Display {
    pub(crate) fn new() -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
                .expect("a constant template, tested by every use");
            let spinner = ProgressBar::new_spinner().with_style(style);
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        Self { spinner, begun: Instant::now() }
    }

    /// For the lab to tell its steps to.
    pub(crate) fn watch(&self) -> Progress {
        let (spinner, begun) = (self.spinner.clone(), self.begun);
        Progress::to(move |step| match &spinner {
            Some(spinner) => spinner.set_message(step.to_owned()),
            None => line(begun, step),
        })
    }

    /// Leaves one line that stays.
    pub(crate) fn finish(&self, text: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        line(self.begun, text);
    }
}

/// A stderr that is closed is no reason to stop.
fn line(begun: Instant, text: &str) {
    let _ = writeln!(std::io::stderr(), "{:6.1} s  {text}", begun.elapsed().as_secs_f64());
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

//! What a person sees on stderr while it works; nothing where stderr is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(120);

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Bytes of a file, compressed ones as they lie on disk.
pub(super) fn bytes(what: &str, size: Option<u64>) -> ProgressBar {
    let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
    bar.set_style(style("{msg:<40!} {bar:24} {bytes:>10}/{total_bytes:<10} {bytes_per_sec:>12} {eta:>5}"));
    bar.set_message(what.to_owned());
    bar
}

/// Clients that are planned.
pub(super) fn clients(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    bar.set_style(style("planning clients {bar:40} {pos}/{len} {elapsed}"));
    bar.enable_steady_tick(TICK);
    bar
}

/// Work of unknown length.
pub(super) fn working(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    bar
}

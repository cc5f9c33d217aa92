//! `nestless plan fetch`: traces from their publishers.

use super::progress;
use crate::output;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use nestless_plan::fetch::{Dataset, FetchError, Fetched, Remote, checksums, download, text};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Download a trace from its publisher: resumed where it broke off, checked by SHA-256.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    dataset: Trace,
    /// Where to put it.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    to: PathBuf,
    /// Google has 500 parts; the first one holds all that is alive when the trace begins.
    #[arg(long, value_name = "FIRST-LAST", default_value = "0", value_parser = parts)]
    parts: (u32, u32),
    /// Another server with the same files.
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Trace {
    #[value(name = "google-2011")]
    Google2011,
    #[value(name = "alibaba-2023")]
    Alibaba2023,
}

fn parts(text: &str) -> Result<(u32, u32), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is not a part's number"));
    let (first, last) = (number(first)?, number(last)?);
    if first <= last { Ok((first, last)) } else { Err(format!("part {first} comes after part {last}")) }
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let dataset = match self.dataset {
            Trace::Google2011 => Dataset::Google2011,
            Trace::Alibaba2023 => Dataset::Alibaba2023,
        };
        let (first, last) = self.parts;
        if last >= dataset.parts() {
            bail!("there is no part {last}: the last one is {}", dataset.parts() - 1);
        }
        let base = self.mirror.as_deref().unwrap_or(dataset.base_url()).trim_end_matches('/');
        let sums = match dataset.checksums_path() {
            Some(path) => checksums(&text(&format!("{base}/{path}"))?),
            None => BTreeMap::new(),
        };
        std::fs::create_dir_all(&self.to).with_context(|| format!("make {}", self.to.display()))?;
        for index in first..=last {
            let path = dataset.remote_path(index);
            let known = sums.get(&path).cloned().or_else(|| dataset.known_sha256().map(str::to_owned));
            let sha256 =
                known.ok_or_else(|| FetchError::NoHash { url: base.to_owned(), file: path.clone() })?;
            let file = self.to.join(dataset.file_name(index));
            let remote = Remote { dataset, url: format!("{base}/{path}"), sha256, file };
            let bar = progress::bytes(&path, None);
            let fetched = download(&remote, &mut |bytes, size| {
                if let Some(size) = size {
                    bar.set_length(size);
                }
                bar.set_position(bytes);
            });
            bar.finish_and_clear();
            let word = match fetched? {
                Fetched::AlreadyHere => "was here",
                Fetched::Downloaded { resumed_at: 0 } => "downloaded",
                Fetched::Downloaded { .. } => "resumed and downloaded",
            };
            output::print(&format!("{} {word}\n", remote.file.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

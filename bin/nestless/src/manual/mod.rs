//! `nestless man`: pages of this command, made of the command itself and of `words.rs`, and those of the other programs and
//! of the configuration files, which are written by hand and checked beside what they are about.

mod page;
mod words;

use crate::output;
use anyhow::Context as _;
use nestless_model::refusal::Reason;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Pages of others: name, section, text.
const OTHERS: [(&str, &str, &str); 5] = [
    ("nestlessd", "8", include_str!("../../../../docs/man/nestlessd.8")),
    ("nestless-agent", "8", include_str!("../../../../docs/man/nestless-agent.8")),
    ("nestless-cni", "8", include_str!("../../../../docs/man/nestless-cni.8")),
    ("nestlessd.toml", "5", include_str!("../../../../docs/man/nestlessd.toml.5")),
    ("nestless.conflist", "5", include_str!("../../../../docs/man/nestless.conflist.5")),
];

/// Write the manual pages of all programs and configuration files into a directory, or the first one to stdout.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Where man1, man5 and man8 are, or are to be, such as /usr/local/share/man.
    directory: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, nestless: clap::Command) -> anyhow::Result<ExitCode> {
        let pages = page::all(nestless)?;
        match &self.directory {
            Some(directory) => {
                for (name, text) in &pages {
                    write(directory, name, "1", text)?;
                }
                for (name, section, text) in OTHERS {
                    write(directory, name, section, &text.replace("@codes@\n", &codes()))?;
                }
            }
            None => {
                let (_, first) = pages.first().context("there is a page")?;
                output::print(first)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The plugin's error codes, as lists of a page.
fn codes() -> String {
    let entry = |reason: Reason| {
        format!(".TP\n.B {}\n{}: {}.\n", reason.cni_code(), reason.meaning(), reason.advice())
    };
    Reason::all().map(entry).collect::<String>().replace('`', "")
}

fn write(directory: &Path, name: &str, section: &str, text: &str) -> anyhow::Result<()> {
    let folder = directory.join(format!("man{section}"));
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    output::write(&folder.join(format!("{name}.{section}")), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::CommandFactory as _;
    use std::process::Command;

    /// By the formatter that shows pages to people: a fault in a page is a warning of its.
    #[test]
    fn all_pages_are_written_and_read_well() {
        let folder = tempfile::tempdir().unwrap();
        let man = Man { directory: Some(folder.path().to_owned()) };
        man.run(Cli::command()).unwrap();
        let mut seen = 0;
        for section in ["man1", "man5", "man8"] {
            for entry in fs::read_dir(folder.path().join(section)).unwrap() {
                let path = entry.unwrap().path();
                let output =
                    Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&path).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
                seen += 1;
            }
        }
        assert!(seen > 30, "only {seen} pages");
        let plugin = fs::read_to_string(folder.path().join("man8/nestless-cni.8")).unwrap();
        assert!(plugin.contains(".B 107\n") && !plugin.contains("@codes@"), "{plugin}");
    }
}

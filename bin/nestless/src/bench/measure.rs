//! Any suite, from its flags to its figures.

use crate::{output, progress::Display, shutdown::Shutdown};
use clap::ValueEnum;
use nestless_bench::{Suite, report, run};
use nestless_lab::Vmm;
use std::{fmt::Debug, path::PathBuf, process::ExitCode};

// What is said of it is the suite's own documentation.
#[derive(Debug, clap::Args)]
pub(crate) struct Measure<S: Suite + clap::Args + Debug> {
    /// What runs the VM.
    #[arg(long, value_enum, default_value_t)]
    vmm: VmmName,
    /// Write everything, with each sample, to this file; "-": to stdout, instead of the table.
    #[arg(long, value_name = "FILE", value_parser = output::destination)]
    json: Option<PathBuf>,
    /// Write a page for a browser, with each sample in a chart.
    #[arg(long, value_name = "FILE", value_parser = output::destination)]
    html: Option<PathBuf>,
    #[command(flatten)]
    suite: S,
}

/// As on the command line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum VmmName {
    /// Real virtual machines.
    #[default]
    Qemu,
    /// Namespaces of this machine: up in a moment, and no guest kernel. For trying out, not for figures.
    Namespace,
}

impl From<VmmName> for Vmm {
    fn from(name: VmmName) -> Self {
        match name {
            VmmName::Qemu => Self::Qemu,
            VmmName::Namespace => Self::Namespace,
        }
    }
}

impl<S: Suite + clap::Args + Debug> Measure<S> {
    /// Measures until the end or an interruption, and shows what came out.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let display = Display::new();
        let mut shutdown = Shutdown::watch()?;
        // No other bench of this process's is in the way, and those of other processes are not either.
        let (lab, progress) = (format!("bench{}", std::process::id()), display.watch());
        let report = tokio::select! {
            report = Box::pin(run(&self.suite, self.vmm.into(), &lab, &progress)) => report?,
            () = shutdown.asked() => {
                display.finish("interrupted: everything was removed");
                return Ok(Shutdown::exit_code());
            }
        };
        display.finish("done: the lab is removed");
        // Shown before any file is written: what took minutes is not lost with a disk that is full.
        let file = match &self.json {
            Some(file) if file.as_os_str() == "-" => {
                output::print_json(&report)?;
                None
            }
            file => {
                output::print(&report::terminal(&report))?;
                file.as_ref()
            }
        };
        let json = file.map(|file| output::write(file, &output::json(&report)?));
        let html = self.html.as_ref().map(|file| output::write(file, &report::html(&report)?));
        // One file that cannot be written keeps no other from being written.
        json.into_iter().chain(html).collect::<anyhow::Result<()>>()?;
        Ok(ExitCode::SUCCESS)
    }
}

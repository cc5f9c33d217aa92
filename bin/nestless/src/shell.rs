//! `nestless completion` and `nestless schema`: what is derived from the command itself.

use crate::{connectivity, doctor, lab, loopback, output, plan, report, topology, vm};
use anyhow::Context as _;
use clap::ValueEnum;
use clap_complete::env::{self, EnvCompleter};
use std::process::ExitCode;

/// Print a completion script for a shell. Names of labs, VMs and pods are completed by asking this program.
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    Power,
    Zsh,
}

impl Shell {
    fn completer(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &env::Bash,
            Self::Elvish => &env::Elvish,
            Self::Fish => &env::Fish,
            Self::Power => &env::Powershell,
            Self::Zsh => &env::Zsh,
        }
    }

    fn script(self) -> anyhow::Result<String> {
        let mut script = Vec::new();
        self.completer().write_registration("COMPLETE", "nestless", "nestless", "nestless", &mut script)?;
        String::from_utf8(script).context("a completion script is text")
    }
}

impl Completion {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        output::print(&self.shell.script()?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print the JSON Schema of what a command prints with `--json`.
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    #[arg(value_enum)]
    command: Documented,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Documented {
    Status,
    Trace,
    LoopbackLs,
    LoopbackShow,
    Doctor,
    ConnectivityTest,
    VmLs,
    Topology,
    Plan,
    #[value(name = "plan-bench")]
    PlanTiming,
    BenchAttach,
    BenchNic,
    BenchLoopback,
    BenchBandwidth,
    BenchCompare,
    Demo,
    DemoSplit,
}

impl Documented {
    fn schema(self) -> schemars::Schema {
        match self {
            Self::Status => schemars::schema_for!(report::Status),
            Self::Trace => schemars::schema_for!(report::Trace),
            Self::LoopbackLs => schemars::schema_for!(loopback::Groups),
            Self::LoopbackShow => schemars::schema_for!(loopback::GroupFlows),
            Self::Doctor => schemars::schema_for!(doctor::Report),
            Self::ConnectivityTest => schemars::schema_for!(connectivity::Report),
            Self::VmLs => schemars::schema_for!(vm::Vms),
            Self::Topology => schemars::schema_for!(topology::Report),
            Self::Plan => schemars::schema_for!(nestless_plan::report::Report),
            Self::BenchAttach | Self::BenchNic | Self::BenchLoopback | Self::BenchBandwidth => {
                schemars::schema_for!(nestless_bench::Report)
            }
            Self::BenchCompare => schemars::schema_for!(nestless_bench::Comparison),
            Self::Demo => schemars::schema_for!(lab::Demo),
            Self::DemoSplit => schemars::schema_for!(lab::SplitDemo),
            Self::PlanTiming => schemars::schema_for!(plan::TimingReport),
        }
    }
}

impl Schema {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        output::print_json(&self.command.schema())?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::CommandFactory as _;

    /// `NESTLESS_WRITE_SCHEMAS=1 cargo test -p nestless schemas` writes them anew.
    #[test]
    fn schemas_in_docs_are_those_of_the_code() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json");
        for command in Documented::value_variants() {
            let name = command.to_possible_value().expect("no variant is skipped").get_name().to_owned();
            let path = format!("{directory}/{name}.schema.json");
            let current = format!("{}\n", serde_json::to_string_pretty(&command.schema()).unwrap());
            if std::env::var_os("NESTLESS_WRITE_SCHEMAS").is_some() {
                std::fs::create_dir_all(directory).unwrap();
                std::fs::write(&path, &current).unwrap();
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), current, "{path} is out of date");
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shell_gets_a_script_that_asks_this_program() {
        for shell in Shell::value_variants() {
            let script = shell.script().unwrap();
            assert!(script.contains("COMPLETE") && script.contains("nestless"), "{shell:?}");
        }
    }
}

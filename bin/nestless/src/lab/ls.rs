//! `nestless lab ls`

use crate::output;
use nestless_lab::Listed;
use nestless_page::Table;
use std::process::ExitCode;

/// List the labs of this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let labs = nestless_lab::list()?;
        if self.json {
            output::print_json(&labs)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(["LAB", "VMM", "CONDITION", "VMS"]);
        for lab in &labs {
            table.add_row(row(lab));
        }
        output::print(&table.terminal())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn row(listed: &Listed) -> [String; 4] {
    let (vmm, vms) = listed.state.as_ref().map_or_else(
        || ("-".to_owned(), "-".to_owned()),
        |state| {
            let names: Vec<_> = state.vms.iter().map(|vm| vm.name.as_str()).collect();
            (state.vmm.to_string(), names.join(","))
        },
    );
    let mut condition = listed.condition.to_owned();
    if !listed.missing.is_empty() {
        condition = format!("{condition}: {}", listed.missing.join(", "));
    }
    [listed.lab.to_string(), vmm, condition, vms]
}

//! `nestless loopback`: the localhosts of split pods.

mod release;
mod report;
mod table;

pub(crate) use report::{GroupFlows, Groups};

use crate::{
    complete,
    operator::{Daemon, refused},
    output,
};
use clap::Subcommand;
use clap_complete::ArgValueCandidates;
use nestless_proto::{ListGroupsRequest, ShowGroupRequest};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(Ls),
    Show(Show),
    Release(release::Release),
}

/// List the loopback groups and their fractions.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    daemon: Daemon,
    /// Print JSON (`nestless schema loopback-ls`).
    #[arg(long)]
    json: bool,
}

/// Show one group: fractions, flows, open questions and counters.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// GROUP, or OWNER/GROUP where several are called so; `nestless loopback ls` shows it.
    #[arg(add = ArgValueCandidates::new(complete::groups))]
    group: String,
    #[command(flatten)]
    daemon: Daemon,
    /// Print JSON (`nestless schema loopback-show`).
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Ls(args) => args.run().await,
            Self::Show(args) => args.run().await,
            Self::Release(args) => args.run().await,
        }
    }
}

impl Ls {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let mut client = self.daemon.connect().await?;
        let groups =
            Groups::from(client.list_groups(ListGroupsRequest {}).await.map_err(refused)?.into_inner());
        if self.json {
            output::print_json(&groups)?;
        } else {
            output::print(&table::groups(&groups))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let mut client = self.daemon.connect().await?;
        let request = ShowGroupRequest { name: self.group };
        let answer = GroupFlows::from(client.show_group(request).await.map_err(refused)?.into_inner());
        if self.json {
            output::print_json(&answer)?;
        } else {
            output::print(&table::group_flows(&answer))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

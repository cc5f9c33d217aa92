//! `nestless loopback release`: takes a fraction out of its group by the names that the tables show.

use crate::{
    operator::{Daemon, refused},
    output,
};
use anyhow::Context as _;
use nestless_proto::{Group, ReleaseRequest, ShowGroupRequest};
use std::process::ExitCode;

/// Take a fraction out of its group when its VM will not: its connections are reset, and its name is free.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// GROUP, or OWNER/GROUP where several are called so.
    group: String,
    /// The fraction.
    fraction: String,
    #[command(flatten)]
    daemon: Daemon,
}

impl Release {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut client = self.daemon.connect().await?;
        let request = ShowGroupRequest { name: self.group };
        let shown = client.show_group(request).await.map_err(refused)?.into_inner();
        let request = releasing(&shown.group.unwrap_or_default(), &self.fraction)?;
        let vm = request.vm.clone();
        let existed = client.release(request).await.map_err(refused)?.into_inner().existed;
        let what = format!("fraction {} of VM {vm}", self.fraction);
        output::print(&if existed {
            format!("released {what}\n")
        } else {
            format!("{what} has left already\n")
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn releasing(group: &Group, fraction: &str) -> anyhow::Result<ReleaseRequest> {
    let found = group.fractions.iter().find(|there| there.name == fraction).with_context(|| {
        let there = group.fractions.iter().map(|fraction| fraction.name.as_str());
        format!(
            "group {} has no fraction {fraction:?}; it has {}",
            group.name,
            there.collect::<Vec<_>>().join(", ")
        )
    })?;
    Ok(ReleaseRequest { vm: found.vm.clone(), attachment: found.attachment.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nestless_proto::{AttachmentId, Fraction};

    #[test]
    fn a_fraction_is_found_by_its_name() {
        let attachment = Some(AttachmentId { container_id: "c1".into(), interface: "hostlo0".into() });
        let web = Fraction {
            name: "web".into(),
            vm: "vm1".into(),
            attachment: attachment.clone(),
            ..Default::default()
        };
        let group = Group { name: "shop".into(), fractions: vec![web], ..Default::default() };
        let expected = ReleaseRequest { vm: "vm1".into(), attachment };
        assert_eq!(releasing(&group, "web").unwrap(), expected);
        let none = releasing(&group, "app").unwrap_err().to_string();
        assert_eq!(none, "group shop has no fraction \"app\"; it has web");
    }
}

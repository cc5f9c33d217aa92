//! The lab that a demonstration is shown in.

use nestless_lab::{Lab, LabBuilder, LabName, Progress, Vmm};

/// Which, and what becomes of it.
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) vmm: Vmm,
    /// It is left as it is.
    pub(super) keep: bool,
}

impl Stage {
    /// Builds it. One that is kept stays after a failure too.
    pub(super) async fn build(&self, builder: LabBuilder) -> anyhow::Result<Lab> {
        let builder = builder.vmm(self.vmm);
        Ok(if self.keep { Box::pin(builder.up_detached()).await? } else { Box::pin(builder.up()).await? })
    }

    /// Removes it, unless it is kept.
    pub(super) async fn strike(&self, lab: Lab, progress: &Progress) -> anyhow::Result<()> {
        if self.keep {
            return Ok(());
        }
        progress.step("remove the lab");
        Ok(lab.down().await?)
    }

    /// What is there at the end.
    pub(super) fn left(&self) -> String {
        let stands = self.keep && LabName::new(self.name.clone()).is_ok_and(|name| Lab::open(&name).is_ok());
        if stands { format!("lab {} is kept", self.name) } else { "the lab is removed".to_owned() }
    }

    /// What can be done with a lab that is kept.
    pub(super) fn next_steps(&self) -> String {
        if !self.keep {
            return String::new();
        }
        let name = &self.name;
        format!(
            "\ntry:  nestless status --lab {name}\n      nestless lab pod ls --name {name}\n      \
             nestless lab exec --name {name} vm1 -- ip link\n      nestless lab down --name {name}\n"
        )
    }
}

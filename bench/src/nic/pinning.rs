//! Keeps the scheduler out of the figures: each virtual processor has a processor of this machine to itself, and all else
//! shares the others. Without it a series is slow or fast as its threads happen to meet on one processor.

use anyhow::Context as _;
use nestless_lab::{Lab, Vmm};
use nestless_support::qmp::{DEADLINE, QmpClient, schema};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use std::fs;

/// Which processors are for what.
pub(super) struct Pinning {
    vcpus: Vec<usize>,
    rest: Vec<usize>,
}

impl Pinning {
    /// With one processor for each of `vcpus`; `None` when that would leave none for the rest.
    pub(super) fn plan(vcpus: usize) -> anyhow::Result<Option<Self>> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("ask which processors are ours")?;
        let usable: Vec<usize> =
            (0..CpuSet::count()).filter(|&number| allowed.is_set(number).unwrap_or(false)).collect();
        Ok(divide(usable, vcpus))
    }

    /// Keeps this process, and whatever it starts from now on, to its share.
    pub(super) fn confine_this_process(&self) -> anyhow::Result<()> {
        for thread in fs::read_dir("/proc/self/task").context("look for this process's threads")? {
            let id = thread?.file_name().to_str().and_then(|name| name.parse().ok());
            pin(id.context("a thread without a number")?, &self.rest)?;
        }
        Ok(())
    }

    /// Gives the virtual processors of a lab's VMs theirs.
    pub(super) async fn spread(&self, lab: &Lab) -> anyhow::Result<()> {
        if lab.state().vmm == Vmm::Namespace {
            return Ok(());
        }
        let mut free = self.vcpus.iter();
        for vm in lab.vms() {
            let qmp = QmpClient::connect(&vm.qmp_socket(), DEADLINE).await?;
            for vcpu in qmp.execute(&schema::query_cpus_fast {}).await? {
                let schema::CpuInfoFast::x86_64(vcpu) = vcpu else {
                    anyhow::bail!("{} runs on another architecture than x86-64", vm.name());
                };
                let processor = free.next().context("more virtual processors than were planned for")?;
                pin(i32::try_from(vcpu.thread_id)?, &[*processor])?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Pinning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "virtual processors on {:?}, all else on {:?}", self.vcpus, self.rest)
    }
}

/// The last ones for the VMs: devices interrupt the first one by default.
fn divide(mut usable: Vec<usize>, vcpus: usize) -> Option<Pinning> {
    let rest = usable.len().checked_sub(vcpus).filter(|rest| *rest > 0)?;
    let vcpus = usable.split_off(rest);
    Some(Pinning { vcpus, rest: usable })
}

fn pin(thread: i32, processors: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(*processor)?;
    }
    sched_setaffinity(Pid::from_raw(thread), &set)
        .with_context(|| format!("keep thread {thread} on processors {processors:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_has_at_least_one() {
        let shares = |usable: &[usize], vcpus| {
            divide(usable.to_vec(), vcpus).map(|pinning| (pinning.rest, pinning.vcpus))
        };
        assert_eq!(shares(&[0, 1], 1), Some((vec![0], vec![1])));
        assert_eq!(shares(&[0, 2, 5, 7], 2), Some((vec![0, 2], vec![5, 7])));
        assert_eq!(shares(&[3], 1), None);
        assert_eq!(shares(&[0, 1], 3), None);
    }
}

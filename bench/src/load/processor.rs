//! Processor time of the VMs: per byte moved it is the figure that other load on the machine disturbs least.

use nestless_lab::{Lab, Vmm};
use std::{fs, time::Duration};

const GIB: f64 = (1u64 << 30) as f64;

/// The processes that are the VMs.
pub(crate) struct ProcessorTime {
    pids: Vec<u32>,
    ticks_per_second: f64,
}

impl ProcessorTime {
    /// Of a lab's VMs. Namespace VMs work in the host's kernel, which no process is charged for.
    pub(crate) fn of(lab: &Lab) -> Self {
        let pids = match lab.state().vmm {
            Vmm::Qemu => lab.vms().iter().filter_map(|vm| Some(vm.process()?.pid)).collect(),
            Vmm::Namespace => Vec::new(),
        };
        let told = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
        // USER_HZ of every architecture that QEMU's KVM knows.
        #[expect(clippy::cast_precision_loss, reason = "about a hundred")]
        let ticks_per_second = told.unwrap_or(100) as f64;
        Self { pids, ticks_per_second }
    }

    /// User and system time of all threads so far; `None` without VMs that are processes.
    pub(crate) fn now(&self) -> Option<Duration> {
        let ticks: Vec<u64> = self.pids.iter().filter_map(|&pid| ticks(pid)).collect();
        #[expect(clippy::cast_precision_loss, reason = "2^52 ticks are a million years")]
        let seconds = ticks.iter().sum::<u64>() as f64 / self.ticks_per_second;
        (!ticks.is_empty()).then(|| Duration::from_secs_f64(seconds))
    }
}

/// What moving `bytes` took, in seconds for each GiB.
pub(crate) fn seconds_per_gib(before: Duration, after: Duration, bytes: f64) -> f64 {
    after.saturating_sub(before).as_secs_f64() / bytes * GIB
}

/// Fields 14 and 15 of proc_pid_stat(5). The name before them, in parentheses, may hold anything.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_some_time() {
        let before = ticks(std::process::id()).unwrap();
        // Until the kernel has charged us for a tick.
        while ticks(std::process::id()).unwrap() == before {}
    }
}

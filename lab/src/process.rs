//! Processes that outlive whoever started them: recorded so that a reused process id is never mistaken for one of them,
//! and ended without a race.
#![expect(
    unsafe_code,
    reason = "pidfd_open and pidfd_send_signal have no wrapper in nix; a child is set up before exec"
)]

use crate::guest::Exec;
use nestless_support::netns::{Namespace, NamespaceId};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns},
    sys::{prctl, signal::Signal},
    unistd::setsid,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// Who a process is, for as long as the host is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Its id.
    pub pid: u32,
    /// In clock ticks since boot (/proc/PID/stat, field 22): another one for whoever gets the id next.
    pub start_time: u64,
}

impl ProcessRecord {
    /// The process that has this id now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_time) = parse_stat(&stat)?;
        (state != 'Z').then_some(Self { pid, start_time })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends SIGKILL and waits for the end. A process that is gone is done.
    ///
    /// # Errors
    /// When it does not end within `deadline`. Blocks meanwhile.
    pub fn kill(self, deadline: Duration) -> io::Result<()> {
        let Some(descriptor) = self.open()? else { return Ok(()) };
        // SAFETY: the descriptor is open; without siginfo the kernel fills in its own.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                descriptor.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match Errno::result(sent) {
            Ok(_) => wait(&descriptor, deadline),
            Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within `deadline`. Blocks meanwhile.
    pub fn wait(self, deadline: Duration) -> io::Result<()> {
        self.open()?.map_or(Ok(()), |descriptor| wait(&descriptor, deadline))
    }

    /// A descriptor that means this process even if the id goes to another one; `None` when it is gone.
    fn open(self) -> io::Result<Option<OwnedFd>> {
        // SAFETY: takes two integers and gives a new descriptor, or -1.
        let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        let raw = match Errno::result(raw) {
            Ok(raw) => i32::try_from(raw).map_err(io::Error::other)?,
            // EINVAL: the id leads no process, as when its own has just been reaped and the id not yet given back.
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        // SAFETY: the kernel just made it for us.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        // Checked afterwards: from now on the id cannot change its meaning for us.
        Ok(self.is_alive().then_some(descriptor))
    }
}

fn wait(descriptor: &OwnedFd, deadline: Duration) -> io::Result<()> {
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// State and start time. The command's name, in parentheses, may hold anything.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Every process in one of the namespaces, but this one.
pub(crate) fn inside(namespaces: &[NamespaceId]) -> io::Result<Vec<ProcessRecord>> {
    let own = std::process::id();
    let pids =
        std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_inside = |pid: &u32| {
        *pid != own
            && Namespace::of_process(*pid).and_then(|n| n.id()).is_ok_and(|id| namespaces.contains(&id))
    };
    Ok(pids.filter(is_inside).filter_map(ProcessRecord::of).collect())
}

/// How long a started process may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Not longer than the thread that starts it.
    Ours,
    /// Until it is ended.
    Detached,
}

/// Starts `command` in `namespace`, in a session of its own, with `passed` open, its output appended to `log`.
pub(crate) fn start(
    mut command: Command,
    namespace: &Namespace,
    lifetime: Lifetime,
    passed: Vec<OwnedFd>,
    log: &Path,
) -> io::Result<(Child, ProcessRecord)> {
    let log = File::options().create(true).append(true).open(log)?;
    command.stdout(log.try_clone()?).stderr(log);
    let namespace = namespace.clone();
    let parent = nix::unistd::getpid();
    let setup = move || -> io::Result<()> {
        setsid()?;
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        for descriptor in &passed {
            nix::fcntl::fcntl(descriptor, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))?;
        }
        if lifetime == Lifetime::Ours {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // It may have died before the line above.
            if nix::unistd::getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(setup) };
    let child = command.spawn()?;
    let gone = || io::Error::other("it ended at once");
    let record = child.id().and_then(ProcessRecord::of).ok_or_else(gone)?;
    Ok((child, record))
}

/// A program of this machine, as `exec` has it.
pub(crate) fn command(exec: &Exec) -> Command {
    let (program, arguments) = exec.argv().split_first().map_or(("true", &[][..]), |(p, a)| (p.as_str(), a));
    let mut command = Command::new(program);
    command.args(arguments).envs(exec.environment()).kill_on_drop(true);
    command
}

/// Lets `command` run inside `namespace`, and not longer than the thread that starts it.
pub(crate) fn enter_and_die_with_us(command: &mut Command, namespace: &Namespace) {
    enter(command, namespace);
    let setup = || -> io::Result<()> { Ok(prctl::set_pdeathsig(Signal::SIGKILL)?) };
    // SAFETY: between fork and exec it makes one system call.
    unsafe { command.pre_exec(setup) };
}

/// Lets `command` run inside `namespace`.
pub(crate) fn enter(command: &mut Command, namespace: &Namespace) {
    let namespace = namespace.clone();
    let setup = move || -> io::Result<()> { Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?) };
    // SAFETY: between fork and exec it makes one system call.
    unsafe { command.pre_exec(setup) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_nasty_command_name() {
        let stat = format!("7 (a) b (c) S {}4242 0", "1 ".repeat(18));
        assert_eq!(parse_stat(&stat), Some(('S', 4242)));
    }

    #[test]
    fn kills_who_was_recorded_and_nobody_else() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let record = ProcessRecord::of(child.id()).unwrap();
        let other = ProcessRecord { start_time: record.start_time + 1, ..record };
        other.kill(Duration::from_secs(5)).unwrap();
        assert!(record.is_alive());
        record.kill(Duration::from_secs(5)).unwrap();
        assert!(!record.is_alive());
        child.wait().unwrap();
        record.kill(Duration::from_secs(5)).unwrap();
    }
}

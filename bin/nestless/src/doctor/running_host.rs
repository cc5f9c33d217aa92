//! What serves pods on this host, asked now: a program that is installed says nothing of one that runs.

use super::check::Check;
use crate::{report::Status, status::amiss};

/// The daemon as [`super::ask`] found it.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// What it answers, or why it does not.
    pub(super) status: Option<Result<Status, String>>,
    pub(super) configuration: Configuration,
}

/// What `nestlessd --check` says of the file that the daemon is started with.
#[derive(Debug, Default)]
pub(super) enum Configuration {
    Right {
        file: String,
    },
    Wrong {
        /// In its words, with the file.
        why: String,
    },
    Unknown {
        why: String,
    },
    #[default]
    None,
}

/// Whether pods are served now.
pub(super) fn judge(running: &Running) -> Vec<Check> {
    let mut checks = vec![configuration(&running.configuration)];
    match &running.status {
        Some(Ok(status)) => {
            checks.push(Check::ok("nestlessd", format!("version {} answers", status.version)));
            checks.extend(status.vms.iter().map(|vm| {
                let name = format!("vm {}", vm.name);
                match amiss(vm) {
                    None => Check::ok(
                        name,
                        format!("{}, its agent is connected, {} NICs at most", vm.state, vm.nic_limit),
                    ),
                    Some(why) => {
                        Check::missing(name, why, "mend what is said here; `nestless vm ls` shows it again")
                    }
                }
            }));
            if status.vms.is_empty() {
                let mend = "add a [[vm]] to the configuration, and `systemctl reload nestlessd`";
                checks.push(Check::missing("vms", "no VM is configured: no pod can be served", mend));
            }
            let full =
                |network: &&crate::report::Network| network.subnets.iter().any(|subnet| subnet.free == 0);
            checks.extend(status.networks.iter().filter(full).map(|network| {
                let found = "no address is free: the next pod waits until one has cooled down";
                Check::optional(format!("network {}", network.name), found, "give it a larger subnet")
            }));
        }
        Some(Err(why)) => {
            checks.push(Check::missing("nestlessd", why, "journalctl -u nestlessd says why it does not run"));
        }
        None => {}
    }
    checks
}

fn configuration(configuration: &Configuration) -> Check {
    match configuration {
        Configuration::Right { file } => Check::ok("configuration", format!("{file} is right")),
        Configuration::Wrong { why } => {
            Check::missing("configuration", why, "mend it, and repeat `nestlessd --check`")
        }
        Configuration::Unknown { why } => {
            Check::optional("configuration", why, "--config FILE names what nestlessd is started with")
        }
        Configuration::None => Check::missing(
            "configuration",
            "there is no /etc/nestless/nestlessd.toml",
            "write it (docs/host.md), or name another with --config FILE",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};
    use nestless_proto as proto;

    fn status(change: impl FnOnce(&mut proto::StatusResponse)) -> Running {
        let vm = proto::VmStatus {
            name: "vm1".into(),
            state: "running".into(),
            channel: "connected".into(),
            nic_limit: 31,
            ..Default::default()
        };
        let mut response =
            proto::StatusResponse { version: "0.1.0".into(), vms: vec![vm], ..Default::default() };
        change(&mut response);
        Running {
            status: Some(Ok(response.into())),
            configuration: Configuration::Right { file: "/etc/nestless/nestlessd.toml".into() },
        }
    }

    fn missing(running: &Running) -> Vec<String> {
        let missing = judge(running).into_iter().filter(|check| check.verdict == Verdict::Missing);
        missing.map(|check| check.name.into_owned()).collect()
    }

    #[test]
    fn a_host_that_serves() {
        assert!(judge(&status(|_| {})).iter().all(|check| check.verdict == Verdict::Ok));
    }

    #[test]
    fn nothing_is_ok_that_does_not_answer() {
        let dead = Running { status: Some(Err("no nestlessd listens".into())), ..status(|_| {}) };
        assert_eq!(missing(&dead), ["nestlessd"]);
        let wrong = Configuration::Wrong { why: "/f: nic_limit must be 1 to 1024".into() };
        assert_eq!(missing(&Running { configuration: wrong, ..status(|_| {}) }), ["configuration"]);
        assert_eq!(missing(&status(|s| s.vms.clear())), ["vms"]);
        assert_eq!(missing(&status(|s| s.vms[0].state = "down".into())), ["vm vm1"]);
        assert_eq!(missing(&status(|s| s.vms[0].channel = "waiting".into())), ["vm vm1"]);
        assert_eq!(missing(&status(|s| s.vms[0].trouble = "no hot-plug port".into())), ["vm vm1"]);
        assert_eq!(missing(&Running::default()), ["configuration"]);
    }
}

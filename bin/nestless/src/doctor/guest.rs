//! What a guest needs.

use super::{
    bpf_helpers::{self, Helper},
    check::{Check, kernel_at_least},
};

/// A guest as [`super::look`] found it.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// uname -r
    pub(super) kernel: String,
    /// PCI slots that the ACPI or PCIe hot-plug driver offers.
    pub(super) hotplug_slots: usize,
    /// Built in or loaded.
    pub(super) virtio_net: bool,
    pub(super) serial_channel: bool,
    pub(super) vsock: bool,
    pub(super) agent_socket: bool,
    /// /opt/cni/bin/nestless-cni
    pub(super) cni_plugin: bool,
    /// Network services that run here and have no drop-in of ours.
    pub(super) meddlers: Vec<&'static str>,
    /// As [`bpf_helpers::lacking`] says.
    pub(super) lacking_helpers: Option<Vec<Helper>>,
}

/// All checks.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    vec![
        if kernel_at_least(&facts.kernel, (6, 1)) {
            Check::ok("kernel", format!("Linux {}", facts.kernel))
        } else {
            Check::missing("kernel", format!("Linux {}", facts.kernel), "boot Linux 6.1 or later")
        },
        match facts.hotplug_slots {
            0 => Check::missing(
                "hot-plug",
                "no hot-plug slot",
                "start the VM with the arguments that `nestless topology --nics COUNT` prints on its host",
            ),
            n => Check::ok("hot-plug", format!("{n} slots")),
        },
        if facts.virtio_net {
            Check::ok("virtio-net", "driver is there")
        } else {
            Check::missing("virtio-net", "no driver", "modprobe virtio_net")
        },
        channel(facts),
        if facts.agent_socket {
            Check::ok("agent", "/run/nestless/agent.sock")
        } else {
            Check::missing("agent", "no /run/nestless/agent.sock", "systemctl enable --now nestless-agent")
        },
        if facts.cni_plugin {
            Check::ok("cni", "/opt/cni/bin/nestless-cni")
        } else {
            Check::optional(
                "cni",
                "no /opt/cni/bin/nestless-cni; Docker works without",
                "install -D nestless-cni /opt/cni/bin/nestless-cni",
            )
        },
        if facts.meddlers.is_empty() {
            Check::ok("drop-ins", "no network service touches the NICs")
        } else {
            let found = format!("{} would configure hot-plugged NICs", facts.meddlers.join(", "));
            Check::missing("drop-ins", found, "install the drop-ins of deploy/guest")
        },
        bpf_helpers::check("steer", facts.lacking_helpers.as_deref()),
    ]
}

fn channel(facts: &Facts) -> Check {
    match (facts.serial_channel, facts.vsock) {
        (true, _) => Check::ok("channel", "virtio-serial port org.nestless.channel.0"),
        (false, true) => Check::ok("channel", "/dev/vsock"),
        (false, false) => Check::missing(
            "channel",
            "neither the virtio-serial port org.nestless.channel.0 nor /dev/vsock",
            "give the VM a channel: docs/channel.md has the arguments; in the guest, modprobe virtio_console",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    type Spoil = fn(&mut Facts);

    fn healthy() -> Facts {
        Facts {
            kernel: "6.1.0".into(),
            hotplug_slots: 31,
            virtio_net: true,
            serial_channel: true,
            vsock: false,
            agent_socket: true,
            cni_plugin: true,
            meddlers: Vec::new(),
            lacking_helpers: Some(Vec::new()),
        }
    }

    #[test]
    fn a_healthy_guest() {
        assert!(judge(&healthy()).iter().all(|check| check.verdict == Verdict::Ok));
    }

    #[test]
    fn each_need() {
        let cases: [(&str, Spoil); 6] = [
            ("kernel", |f| f.kernel = "4.19.0".into()),
            ("hot-plug", |f| f.hotplug_slots = 0),
            ("virtio-net", |f| f.virtio_net = false),
            ("channel", |f| f.serial_channel = false),
            ("agent", |f| f.agent_socket = false),
            ("drop-ins", |f| f.meddlers = vec!["NetworkManager"]),
        ];
        for (name, spoil) in cases {
            let mut facts = healthy();
            spoil(&mut facts);
            let missing: Vec<_> =
                judge(&facts).into_iter().filter(|c| c.verdict == Verdict::Missing).map(|c| c.name).collect();
            assert_eq!(missing, [name]);
        }
    }
}

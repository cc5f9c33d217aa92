//! What a guest needs.

use super::{
    bpf_helpers::{self, Helper},
    check::{Check, Device, kernel_at_least},
};

/// A guest as [`super::look`] found it.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// uname -r
    pub(super) kernel: String,
    /// PCI slots that the ACPI or PCIe hot-plug driver offers.
    pub(super) hotplug_slots: usize,
    pub(super) virtio_net: Driver,
    pub(super) serial_channel: bool,
    pub(super) vsock: Device,
    /// /opt/cni/bin/nestless-cni
    pub(super) cni_plugin: bool,
    /// Network services that run here and have no drop-in of ours.
    pub(super) meddlers: Vec<&'static str>,
    /// As [`bpf_helpers::lacking`] says.
    pub(super) lacking_helpers: Option<Vec<Helper>>,
}

/// A driver of the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Driver {
    /// Built in, or loaded.
    There,
    /// A module that the first device loads.
    Loadable,
    #[default]
    Missing,
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
        match facts.virtio_net {
            Driver::There => Check::ok("virtio-net", "driver is there"),
            Driver::Loadable => Check::ok("virtio-net", "a module of this kernel, which the first NIC loads"),
            Driver::Missing => Check::missing(
                "virtio-net",
                "neither built into this kernel nor among its modules",
                "install the kernel's modules, on Debian linux-image-amd64 instead of a cut-down one",
            ),
        },
        channel(facts),
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
        (false, Device::Open) => Check::ok("channel", "/dev/vsock"),
        (false, Device::NoPermission) => Check::missing(
            "channel",
            "no permission for /dev/vsock, and no virtio-serial port",
            "repeat as root",
        ),
        (false, Device::Missing | Device::Dead) => Check::missing(
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
            virtio_net: Driver::There,
            serial_channel: true,
            vsock: Device::Missing,
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
    fn a_module_that_the_first_nic_loads_is_there() {
        let loadable = Facts { virtio_net: Driver::Loadable, ..healthy() };
        assert!(judge(&loadable).iter().all(|check| check.verdict == Verdict::Ok));
    }

    #[test]
    fn each_need() {
        let cases: [(&str, Spoil); 5] = [
            ("kernel", |f| f.kernel = "4.19.0".into()),
            ("hot-plug", |f| f.hotplug_slots = 0),
            ("virtio-net", |f| f.virtio_net = Driver::Missing),
            ("channel", |f| f.serial_channel = false),
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

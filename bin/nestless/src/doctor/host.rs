//! What a host needs.

use super::{
    bpf_helpers::{self, Helper},
    check::{Check, Device, kernel_at_least},
};

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// A host as [`super::look`] found it.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// uname -r
    pub(super) kernel: String,
    /// CapEff of /proc/self/status.
    pub(super) capabilities: u64,
    pub(super) tun: Device,
    pub(super) bpffs: bool,
    pub(super) btf: bool,
    pub(super) nft: Option<String>,
    /// First line of its --version.
    pub(super) qemu: Option<String>,
    pub(super) kvm_device: Device,
    /// A guest instruction ran under KVM; None where it could not be tried.
    pub(super) kvm_runs: Option<bool>,
    pub(super) vhost_net: Device,
    pub(super) vhost_vsock: Device,
    /// As [`bpf_helpers::lacking`] says.
    pub(super) lacking_helpers: Option<Vec<Helper>>,
    /// net.bridge.bridge-nf-call-iptables
    pub(super) bridge_netfilter: bool,
    /// An nftables base chain at the forward hook drops by default.
    pub(super) forward_drops: bool,
}

/// All checks, the needed ones first.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    vec![
        kernel(facts),
        capabilities(facts),
        match facts.tun.amiss("/dev/net/tun", "modprobe tun") {
            None => Check::ok("tun", "/dev/net/tun"),
            Some((found, mend)) => Check::missing("tun", found, mend),
        },
        present("bpffs", "/sys/fs/bpf", facts.bpffs, "mount -t bpf bpf /sys/fs/bpf"),
        present(
            "btf",
            "/sys/kernel/btf/vmlinux",
            facts.btf,
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF (every current distribution's)",
        ),
        match &facts.nft {
            Some(version) => Check::ok("nft", version),
            None => Check::missing("nft", "not found; the uplink `nat` needs it", "apt-get install nftables"),
        },
        qemu(facts),
        kvm(facts),
        faster("vhost-net", "/dev/vhost-net", facts.vhost_net, "modprobe vhost_net"),
        faster("vhost-vsock", "/dev/vhost-vsock", facts.vhost_vsock, "modprobe vhost_vsock"),
        forwarding(facts),
        bpf_helpers::check("the reflector", facts.lacking_helpers.as_deref()),
    ]
}

fn kernel(facts: &Facts) -> Check {
    if kernel_at_least(&facts.kernel, (6, 1)) {
        Check::ok("kernel", format!("Linux {}", facts.kernel))
    } else {
        Check::missing("kernel", format!("Linux {}", facts.kernel), "boot Linux 6.1 or later")
    }
}

fn capabilities(facts: &Facts) -> Check {
    let has = |bit: u32| facts.capabilities >> bit & 1 == 1;
    // Before Linux 5.8, and for those who have it anyway, CAP_SYS_ADMIN includes CAP_BPF.
    let lacking: Vec<_> =
        [("CAP_NET_ADMIN", has(CAP_NET_ADMIN)), ("CAP_BPF", has(CAP_BPF) || has(CAP_SYS_ADMIN))]
            .into_iter()
            .filter_map(|(name, there)| (!there).then_some(name))
            .collect();
    if lacking.is_empty() {
        Check::ok("capabilities", "CAP_NET_ADMIN and CAP_BPF")
    } else {
        Check::missing("capabilities", format!("{} lacking", lacking.join(" and ")), "repeat as root")
    }
}

fn qemu(facts: &Facts) -> Check {
    let Some(line) = &facts.qemu else {
        return Check::missing("qemu", "qemu-system-x86_64 not found", "apt-get install qemu-system-x86");
    };
    let version = line.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    if kernel_at_least(version.unwrap_or_default(), (6, 2)) {
        Check::ok("qemu", line)
    } else {
        Check::missing(
            "qemu",
            format!("{line}: 6.2 is the first that hot-plugs q35 by ACPI and reports a failed unplug"),
            "install a newer QEMU, on Debian from its backports suite",
        )
    }
}

fn kvm(facts: &Facts) -> Check {
    const TCG: &str = "VMs run under TCG, several times slower";
    match (facts.kvm_device, facts.kvm_runs) {
        (Device::Open, Some(true)) => Check::ok("kvm", "a boot sector ran under it (no kernel was tried)"),
        (Device::Open, Some(false)) => Check::optional(
            "kvm",
            format!("/dev/kvm exists, but a stock guest does not run under it; {TCG}"),
            "use a machine with hardware virtualization (VMX or SVM), or nested virtualization switched on",
        ),
        (Device::Open, None) => {
            Check::optional("kvm", "/dev/kvm exists; could not be tried without QEMU", "install QEMU")
        }
        (Device::NoPermission, _) => Check::optional(
            "kvm",
            "no permission for /dev/kvm: whether VMs run under it cannot be tried",
            "repeat as root, or as a member of the group kvm",
        ),
        (Device::Missing, _) => {
            Check::optional("kvm", format!("no /dev/kvm; {TCG}"), "modprobe kvm_intel || modprobe kvm_amd")
        }
        (Device::Dead, _) => Check::optional(
            "kvm",
            format!("/dev/kvm is there and does not open; {TCG}"),
            "modprobe kvm_intel || modprobe kvm_amd, and look into `dmesg`",
        ),
    }
}

fn forwarding(facts: &Facts) -> Check {
    match (facts.forward_drops, facts.bridge_netfilter) {
        (true, true) => Check::missing(
            "forward-policy",
            "frames of bridges are handed to iptables (br_netfilter), whose forward policy is drop: pods cannot \
             reach each other",
            "sysctl -w net.bridge.bridge-nf-call-iptables=0, or accept the bridge in the forward chain",
        ),
        (true, false) => Check::optional(
            "forward-policy",
            "the forward policy is drop: pods reach each other, but the uplink `nat` reaches nothing",
            "nft insert rule ip filter FORWARD iifname BRIDGE accept, and the same for oifname",
        ),
        (false, _) => Check::ok("forward-policy", "forwarding is not dropped by default"),
    }
}

fn present(name: &'static str, path: &str, there: bool, mend: &str) -> Check {
    if there { Check::ok(name, path) } else { Check::missing(name, format!("no {path}"), mend) }
}

fn faster(name: &'static str, path: &str, device: Device, mend: &str) -> Check {
    match device.amiss(path, mend) {
        None => Check::ok(name, path),
        Some((found, mend)) => Check::optional(name, format!("{found}; works without"), mend),
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
            capabilities: u64::MAX,
            tun: Device::Open,
            bpffs: true,
            btf: true,
            nft: Some("nftables v1.0.6".into()),
            qemu: Some("QEMU emulator version 10.0.2 (Debian)".into()),
            kvm_device: Device::Open,
            kvm_runs: Some(true),
            vhost_net: Device::Open,
            vhost_vsock: Device::Open,
            lacking_helpers: Some(Vec::new()),
            bridge_netfilter: false,
            forward_drops: false,
        }
    }

    fn verdict_of(name: &str, facts: &Facts) -> Verdict {
        judge(facts).into_iter().find(|check| check.name == name).unwrap().verdict
    }

    #[test]
    fn a_healthy_host() {
        assert!(judge(&healthy()).iter().all(|check| check.verdict == Verdict::Ok));
    }

    #[test]
    fn whatever_is_amiss_says_how_to_mend_it() {
        for check in judge(&Facts::default()) {
            assert_eq!(check.verdict == Verdict::Ok, check.mend.is_empty(), "{}", check.name);
        }
    }

    #[test]
    fn each_need() {
        let cases: [(&str, Spoil); 6] = [
            ("kernel", |f| f.kernel = "5.10.0".into()),
            ("capabilities", |f| f.capabilities = 1 << CAP_SYS_ADMIN),
            ("tun", |f| f.tun = Device::Missing),
            ("bpffs", |f| f.bpffs = false),
            ("nft", |f| f.nft = None),
            ("qemu", |f| f.qemu = Some("QEMU emulator version 5.2.0".into())),
        ];
        for (name, spoil) in cases {
            let mut facts = healthy();
            spoil(&mut facts);
            assert_eq!(verdict_of(name, &facts), Verdict::Missing, "{name}");
        }
    }

    #[test]
    fn what_this_user_may_not_open_is_not_called_missing() {
        let barred = Facts {
            tun: Device::NoPermission,
            kvm_device: Device::NoPermission,
            vhost_net: Device::NoPermission,
            kvm_runs: None,
            ..healthy()
        };
        let found = |name: &str| judge(&barred).into_iter().find(|check| check.name == name).unwrap().found;
        for (name, path) in [("tun", "/dev/net/tun"), ("kvm", "/dev/kvm"), ("vhost-net", "/dev/vhost-net")] {
            assert!(found(name).starts_with(&format!("no permission for {path}")), "{}", found(name));
        }
        assert_eq!(verdict_of("tun", &barred), Verdict::Missing);
    }

    #[test]
    fn a_kvm_device_alone_proves_nothing() {
        assert_eq!(verdict_of("kvm", &Facts { kvm_runs: Some(false), ..healthy() }), Verdict::Optional);
    }

    #[test]
    fn a_forward_policy_of_drop_matters_most_with_br_netfilter() {
        let drops = Facts { forward_drops: true, ..healthy() };
        assert_eq!(verdict_of("forward-policy", &drops), Verdict::Optional);
        assert_eq!(
            verdict_of("forward-policy", &Facts { bridge_netfilter: true, ..drops }),
            Verdict::Missing
        );
    }
}

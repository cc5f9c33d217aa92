//! Gathers facts about this machine. What cannot be read counts as not there.

use super::{bpf_helpers, check::Device, guest, host};
use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::Path,
    process::{Command, Stdio},
};

/// This machine as a host.
pub(super) fn host() -> host::Facts {
    let qemu = first_line("qemu-system-x86_64", &["--version"]);
    let kvm_device = device("/dev/kvm");
    host::Facts {
        kernel: read("/proc/sys/kernel/osrelease"),
        capabilities: effective_capabilities(),
        tun: device("/dev/net/tun"),
        bpffs: mounted("/sys/fs/bpf", "bpf"),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        nft: first_line("nft", &["--version"]),
        // PVM runs firmware, but only kernels that were made for it.
        kvm_runs: (kvm_device.is_open() && qemu.is_some())
            .then(|| !Path::new("/sys/module/kvm_pvm").exists() && kvm_runs()),
        qemu,
        kvm_device,
        vhost_net: device("/dev/vhost-net"),
        vhost_vsock: device("/dev/vhost-vsock"),
        lacking_helpers: bpf_helpers::lacking(&bpf_helpers::REFLECTOR),
        bridge_netfilter: read("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1",
        forward_drops: forward_drops(&stdout("nft", &["--json", "list", "chains"]).unwrap_or_default()),
    }
}

/// This machine as a guest.
pub(super) fn guest() -> guest::Facts {
    let entries = |path: &str| fs::read_dir(path).map(|dir| dir.flatten().count()).unwrap_or(0);
    let services = [
        ("systemd-networkd", "/run/systemd/netif/state", "systemd/network/05-nestless.network"),
        ("NetworkManager", "/run/NetworkManager", "NetworkManager/conf.d/nestless.conf"),
    ];
    guest::Facts {
        kernel: read("/proc/sys/kernel/osrelease"),
        hotplug_slots: entries("/sys/bus/pci/slots"),
        virtio_net: virtio_net(),
        serial_channel: serial_channel(),
        vsock: device("/dev/vsock"),
        cni_plugin: ["/opt/cni/bin", "/usr/lib/cni"]
            .iter()
            .any(|dir| Path::new(dir).join("nestless-cni").exists()),
        meddlers: services
            .into_iter()
            .filter(|(_, running, drop_in)| Path::new(running).exists() && !is_dropped_in(drop_in))
            .map(|(name, ..)| name)
            .collect(),
        lacking_helpers: bpf_helpers::lacking(&bpf_helpers::STEER),
    }
}

/// By an administrator, or by a package.
fn is_dropped_in(file: &str) -> bool {
    ["/etc", "/usr/lib"].iter().any(|dir| Path::new(dir).join(file).exists())
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn device(path: &str) -> Device {
    match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Device::Open,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Device::NoPermission,
        Err(error) if error.kind() == ErrorKind::NotFound => Device::Missing,
        Err(_) => Device::Dead,
    }
}

fn effective_capabilities() -> u64 {
    let status = read("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

fn mounted(at: &str, kind: &str) -> bool {
    read("/proc/self/mounts").lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some(at) && words.next() == Some(kind)
    })
}

fn stdout(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    stdout(program, arguments)?.lines().next().map(str::to_owned)
}

/// Runs two instructions under KVM: a boot sector that writes to the debug-exit port, which gives QEMU an exit code of
/// its own. `/dev/kvm` alone proves nothing, because a nested one may refuse a stock guest; and an end without that
/// code proves nothing, because a triple fault ends QEMU too.
fn kvm_runs() -> bool {
    const WRITTEN: u8 = 0x31;
    const EXIT_CODE: i32 = (WRITTEN as i32) << 1 | 1;
    // mov al, WRITTEN; out 0xf4, al; hlt
    let mut sector = vec![0xb0, WRITTEN, 0xe6, 0xf4, 0xf4];
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    let path = std::env::temp_dir().join(format!("nestless-doctor-{}.img", std::process::id()));
    let written = fs::File::create_new(&path).and_then(|mut file| file.write_all(&sector));
    let drive = format!("file={},format=raw,if=ide", path.display());
    let ran = written.is_ok()
        && Command::new("timeout")
            .args(["--kill-after=1", "10", "qemu-system-x86_64", "-accel", "kvm", "-m", "32", "-nodefaults"])
            .args(["-display", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
            .args(["-boot", "c", "-drive", &drive])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.code() == Some(EXIT_CODE));
    // Nothing depends on it any more; a file left in /tmp would only be untidy.
    let _ = fs::remove_file(&path);
    ran
}

/// Reads `nft --json list chains`.
fn forward_drops(json: &str) -> bool {
    let Ok(ruleset) = serde_json::from_str::<serde_json::Value>(json) else { return false };
    let chains = ruleset["nftables"].as_array().into_iter().flatten().map(|item| &item["chain"]);
    chains.into_iter().any(|chain| chain["hook"] == "forward" && chain["policy"] == "drop")
}

/// A driver that no device has asked for yet is in no list of drivers: it is looked for among those that the kernel has
/// (kmod: modules.builtin and modules.dep).
fn virtio_net() -> guest::Driver {
    let modules = Path::new("/lib/modules").join(read("/proc/sys/kernel/osrelease"));
    let lists = |list: &str| driver_is_in(&read(modules.join(list)));
    if Path::new("/sys/bus/virtio/drivers/virtio_net").exists() || lists("modules.builtin") {
        guest::Driver::There
    } else if lists("modules.dep") {
        guest::Driver::Loadable
    } else {
        guest::Driver::Missing
    }
}

fn driver_is_in(list: &str) -> bool {
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        path.rsplit('/').next().is_some_and(|file| file.starts_with("virtio_net.ko"))
    })
}

fn serial_channel() -> bool {
    let Ok(ports) = fs::read_dir("/sys/class/virtio-ports") else { return false };
    ports.flatten().any(|port| read(port.path().join("name")) == "org.nestless.channel.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_forward_policy_of_drop() {
        let chains = |policy: &str| {
            format!(
                r#"{{"nftables":[{{"metainfo":{{}}}},{{"chain":{{"family":"ip","table":"filter","name":"FORWARD",
                "type":"filter","hook":"forward","prio":0,"policy":"{policy}"}}}}]}}"#
            )
        };
        assert!(forward_drops(&chains("drop")));
        assert!(!forward_drops(&chains("accept")));
        assert!(!forward_drops("no JSON"));
    }

    #[test]
    fn a_driver_is_found_in_the_kernels_lists() {
        assert!(driver_is_in("kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko.xz\n"));
        assert!(driver_is_in("kernel/fs/a.ko\nkernel/drivers/net/virtio_net.ko\n"));
        assert!(
            !driver_is_in("kernel/drivers/a.ko: kernel/drivers/net/virtio_net.ko\n"),
            "only needed by it"
        );
        assert!(!driver_is_in(""));
    }

    #[test]
    fn this_process_has_a_kernel_under_it() {
        assert!(super::super::check::kernel_at_least(&host().kernel, (3, 0)));
    }
}

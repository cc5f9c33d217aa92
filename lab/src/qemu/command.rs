//! QEMU's command line.

use super::Accelerator;
use crate::guest::{PORTS, port_name, port_socket};
use nestless_model::{identity::Mac, topology::Topology};
use std::{ffi::OsString, os::fd::RawFd, path::Path};

/// The channel to the host daemon, as the agent looks for it.
const CHANNEL_PORT: &str = "org.nestless.channel.0";

/// Our own programs first.
const SEARCH_PATH: &str = "/opt/nestless/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A VM to start.
#[derive(Clone, Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) name: &'a str,
    pub(crate) accelerator: Accelerator,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u32,
    /// Its slots for hot-plugged NICs.
    pub(crate) topology: &'a Topology,
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    /// Words for the guest's init.
    pub(crate) settings: String,
    /// Its own NICs: an open TAP, and the address.
    pub(crate) nics: Vec<(RawFd, Mac)>,
    /// For its sockets and its console.
    pub(crate) dir: &'a Path,
}

/// What QEMU is called with.
pub(crate) fn arguments(machine: &Machine<'_>) -> Vec<OsString> {
    let mut list = Arguments::default();
    let Machine { cpus, memory_mib, .. } = machine;
    list.pair("-name", machine.name);
    for flag in ["-nodefaults", "-no-user-config"] {
        list.0.push(flag.into());
    }
    list.pair("-display", "none");
    list.pair("-machine", format!("q35,accel={}", machine.accelerator));
    list.pair("-cpu", if machine.accelerator == Accelerator::Kvm { "host" } else { "max" });
    list.pair("-smp", cpus.to_string());
    list.pair("-m", format!("{memory_mib}M"));
    list.path("-kernel", "", machine.kernel);
    list.path("-initrd", "", machine.initramfs);
    // What the kernel does not know it puts into init's environment. A guest that is emulated on a busy machine may see no tick in
    // the time in which the kernel tests whether its timer works, and would panic.
    let environment = format!("HOME=/root PATH={SEARCH_PATH}");
    list.pair(
        "-append",
        format!("console=ttyS0 loglevel=4 no_timer_check mitigations=off {environment} {}", machine.settings),
    );
    list.path("-chardev", "file,id=console,append=on,path=", &machine.dir.join("console.log"));
    list.pair("-serial", "chardev:console");
    for (id, file) in [("qmp", "qmp.sock"), ("labqmp", "lab.qmp.sock")] {
        list.socket(id, &machine.dir.join(file));
        list.pair("-mon", format!("chardev={id},mode=control"));
    }
    list.pair("-device", "virtio-rng-pci,disable-legacy=on,addr=3");
    list.pair("-device", "virtio-serial-pci,id=serial,disable-legacy=on,addr=4");
    list.socket("nlch", &machine.dir.join("channel.sock"));
    list.pair("-device", format!("virtserialport,bus=serial.0,chardev=nlch,name={CHANNEL_PORT}"));
    for number in 0..PORTS {
        list.socket(&format!("lab{number}"), &port_socket(machine.dir, number));
        let name = port_name(number);
        list.pair("-device", format!("virtserialport,bus=serial.0,chardev=lab{number},name={name}"));
    }
    for (slot, (descriptor, mac)) in (5..).zip(&machine.nics) {
        list.pair("-netdev", format!("tap,id=own{slot},fd={descriptor}"));
        let device =
            format!("virtio-net-pci,netdev=own{slot},mac={mac},disable-legacy=on,romfile=,addr={slot}");
        list.pair("-device", device);
    }
    list.0.extend(machine.topology.qemu_args().into_iter().map(OsString::from));
    list.0
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.extend([option.into(), value.into()]);
    }

    fn path(&mut self, option: &str, prefix: &str, path: &Path) {
        let mut value = OsString::from(prefix);
        value.push(path);
        self.pair(option, value);
    }

    fn socket(&mut self, id: &str, path: &Path) {
        self.path("-chardev", &format!("socket,id={id},server=on,wait=off,path="), path);
    }
}

//! Builds a lab, from the host outwards. Every part is found by its name when it is removed, so that this can stop
//! anywhere.

use crate::{
    builder::{LabBuilder, gateway},
    cache::Cache,
    daemon,
    error::LabError,
    guest::{APPLETS, Channel, GuestConfig},
    image::{
        Initramfs, Program, Programs,
        kernel::{self, Kernel},
    },
    lab::{Lab, Ownership},
    last_words,
    names::absent_is_fine,
    own_nic,
    process::{self, Lifetime},
    qemu::{self, Accelerator, Machine},
    state::{LabState, Vmm},
    vm::{self, Vm},
};
use futures_util::future::try_join_all;
use nestless_model::{identity::VmName, topology::Topology};
use nestless_support::{
    netlink::{HardwareAddress, Netlink, VethEnd},
    netns::Namespace,
    tap,
};
use std::{
    ffi::OsString,
    os::{fd::AsRawFd as _, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::{Child, Command};

impl Lab {
    /// Describes a lab called `name`.
    pub fn builder(name: impl Into<String>) -> LabBuilder {
        LabBuilder::new(name)
    }
}

impl LabBuilder {
    /// Builds it for this process: it is removed when the [`Lab`] is dropped, and its processes die with this one.
    /// Dropping the future half-way removes what there is.
    ///
    /// # Errors
    /// When any part cannot be built; nothing is left then.
    pub async fn up(self) -> Result<Lab, LabError> {
        build(&self, Lifetime::Ours).await
    }

    /// Builds it to stay when this process ends, until [`crate::remove`].
    ///
    /// # Errors
    /// When any part cannot be built; nothing is left then.
    pub async fn up_detached(self) -> Result<Lab, LabError> {
        let mut lab = build(&self, Lifetime::Detached).await?;
        if let Some(ownership) = lab.ownership.take() {
            ownership.release()?;
        }
        Ok(lab)
    }
}

/// What every VM of the lab is started from.
struct Kit<'a> {
    builder: &'a LabBuilder,
    host: &'a Namespace,
    lifetime: Lifetime,
    programs: Programs,
    boot: Option<Boot>,
}

/// For QEMU's VMs.
#[derive(Clone, Debug)]
struct Boot {
    kernel: PathBuf,
    initramfs: PathBuf,
    accelerator: Accelerator,
    topology: Topology,
}

async fn build(builder: &LabBuilder, lifetime: Lifetime) -> Result<Lab, LabError> {
    let state = builder.plan()?;
    // A namespace has room for any number.
    let topology = (state.vmm == Vmm::Qemu).then(|| builder.topology()).transpose()?;
    check_this_machine(state.vmm)?;
    let programs = Programs::locate();
    let daemon_program = builder.with_daemon.then(|| programs.find(Program::Nestlessd));
    let daemon_program = daemon_program.transpose().map_err(daemon::DaemonError::from)?;
    let ownership = Some(Ownership::take(&state.name)?);
    make_directories(&state)?;
    let kept = state.name.kept_logs();
    absent_is_fine(std::fs::remove_dir_all(&kept)).map_err(|source| LabError::Files {
        operation: "remove",
        path: kept,
        source,
    })?;
    state.write()?;
    let host = Namespace::create(state.name.host_namespace())?;
    let mut lab = Lab { state, host, vms: Vec::new(), children: Vec::new(), daemon: None, ownership };
    match furnish(builder, &mut lab, lifetime, programs, topology, daemon_program).await {
        Ok(()) => Ok(lab),
        // Before it is removed, which it is when it is dropped here.
        Err(error) => Err(last_words::explained(&lab.state, error, lifetime == Lifetime::Detached)),
    }
}

/// All that is in it.
async fn furnish(
    builder: &LabBuilder,
    lab: &mut Lab,
    lifetime: Lifetime,
    programs: Programs,
    topology: Option<Topology>,
    daemon_program: Option<PathBuf>,
) -> Result<(), LabError> {
    let netlink = Netlink::inside(&lab.host).await?;
    netlink.set_up(&netlink.link("lo").await?).await?;

    let boot = match topology {
        Some(topology) => Some(prepare_boot(builder, &lab.state, &programs, topology).await?),
        None => None,
    };
    let host = lab.host.clone();
    let kit = Kit { builder, host: &host, lifetime, programs, boot };
    for number in 0..lab.state.vms.len() {
        builder.progress.step(format!("start {}", lab.state.vms[number].name));
        let (child, record) = start_vm(&kit, &lab.state, number, &netlink).await?;
        lab.state.vms[number].process = Some(record);
        lab.children.push(child);
        lab.state.write()?;
    }
    if let Some(program) = daemon_program {
        builder.progress.step("start nestlessd");
        lab.daemon = Some(daemon::Restart { program, settings: builder.settings(), lifetime });
        lab.start_daemon(&[]).await?;
    } else {
        own_nic::make_bridge(&netlink, &lab.state, builder).await?;
    }
    own_nic::enslave(&netlink, &lab.state, builder).await?;
    lab.vms = lab.state.vms.iter().map(|vm| Vm::new(&lab.state.name, lab.state.vmm, vm)).collect();
    builder.progress.step(format!("boot {}", builder.vms.join(", ")));
    try_join_all(lab.vms.iter().map(Vm::wait_ready)).await?;
    lab.state.ready = true;
    Ok(lab.state.write()?)
}

fn check_this_machine(vmm: Vmm) -> Result<(), LabError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    if vmm == Vmm::Qemu {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|dir| dir.join(qemu::PROGRAM).is_file()) {
            return Err(LabError::NoQemu { program: qemu::PROGRAM });
        }
        if !Path::new("/dev/net/tun").exists() {
            return Err(LabError::NoTun);
        }
    }
    Ok(())
}

fn make_directories(state: &LabState) -> Result<(), LabError> {
    for vm in &state.vms {
        let path = state.name.vm_dir(&vm.name);
        std::fs::create_dir_all(&path).map_err(|source| LabError::Files {
            operation: "make",
            path,
            source,
        })?;
    }
    Ok(())
}

async fn prepare_boot(
    builder: &LabBuilder,
    state: &LabState,
    programs: &Programs,
    topology: Topology,
) -> Result<Boot, LabError> {
    let cache = Cache::open()?;
    let image = Initramfs {
        with_agent: builder.with_daemon,
        own_programs: builder.own_programs.clone(),
        extra_programs: builder.programs.clone(),
        extra_packages: builder.packages.clone(),
        extra_files: builder.files.clone(),
        hosts: state
            .vms
            .iter()
            .flat_map(|vm| vm.addresses.iter().map(|a| (a.addr().to_string(), vm.name.to_string())))
            .collect(),
    };
    let path = state.name.dir().join("initramfs");
    let (initramfs, programs, progress, its_cache) =
        (path.clone(), programs.clone(), builder.progress.clone(), cache.clone());
    let making = tokio::task::spawn_blocking(move || {
        let kernel: Kernel =
            kernel::prepare(&its_cache, &progress).map_err(crate::image::ImageError::from)?;
        progress.step("make the guests' image");
        image.write(&path, &kernel, &programs, &its_cache)?;
        Ok::<_, LabError>(kernel)
    });
    let kernel =
        making.await.map_err(|_| LabError::Panicked { task: "the making of the guests' image" })??;
    builder.progress.step("see whether KVM works");
    let accelerator = qemu::choose(&cache, &kernel.image, &initramfs).await?;
    tracing::debug!(%accelerator, "boot");
    Ok(Boot { kernel: kernel.image, initramfs, accelerator, topology })
}

async fn start_vm(
    kit: &Kit<'_>,
    state: &LabState,
    number: usize,
    netlink: &Netlink,
) -> Result<(Child, process::ProcessRecord), LabError> {
    let vm = &state.vms[number];
    let mut config = GuestConfig {
        name: vm.name.clone(),
        mac: None,
        addresses: vm.addresses.clone(),
        gateways: state.subnets.iter().copied().map(gateway).collect(),
        channel: None,
    };
    match &kit.boot {
        Some(boot) => {
            config.channel = kit.builder.with_daemon.then_some(Channel::Serial);
            start_machine(kit, boot, state, number, config).await
        }
        None => {
            let socket = state.name.vm_dir(&vm.name).join("channel.sock");
            config.channel = kit.builder.with_daemon.then_some(Channel::Unix(socket));
            start_namespaces(kit, state, number, &config, netlink).await
        }
    }
}

async fn start_machine(
    kit: &Kit<'_>,
    boot: &Boot,
    state: &LabState,
    number: usize,
    mut config: GuestConfig,
) -> Result<(Child, process::ProcessRecord), LabError> {
    let name = config.name.clone();
    let mac = own_nic::mac(number);
    config.mac = Some(mac);
    let mut nics = vec![(own_nic::link(number), mac)];
    if kit.builder.second_nic {
        nics.push((own_nic::second_link(number), own_nic::second_mac(number)));
    }
    let (links, macs): (Vec<_>, Vec<_>) = nics.into_iter().unzip();
    let descriptors: Vec<_> = kit
        .host
        .run(move || links.iter().map(|link| tap::create(link, 1)).collect::<Result<Vec<_>, _>>())
        .await?
        .map_err(|source| LabError::Tap { vm: name.clone(), source })?
        .into_iter()
        .flatten()
        .collect();
    let dir = state.name.vm_dir(&name);
    let machine = Machine {
        name: name.as_str(),
        accelerator: boot.accelerator,
        cpus: kit.builder.cpus,
        memory_mib: kit.builder.memory_mib,
        topology: &boot.topology,
        kernel: &boot.kernel,
        initramfs: &boot.initramfs,
        settings: std::iter::once(config.to_string())
            .chain(kit.builder.kernel_words.iter().cloned())
            .collect::<Vec<_>>()
            .join(" "),
        nics: descriptors.iter().map(|d| d.as_raw_fd()).zip(macs).collect(),
        dir: &dir,
    };
    let mut command = Command::new(qemu::PROGRAM);
    command.args(qemu::arguments(&machine)).stdin(Stdio::null());
    let log = dir.join("qemu.log");
    process::start(command, kit.host, kit.lifetime, descriptors, &log)
        .map_err(|source| LabError::Start { vm: name, source })
}

async fn start_namespaces(
    kit: &Kit<'_>,
    state: &LabState,
    number: usize,
    config: &GuestConfig,
    netlink: &Netlink,
) -> Result<(Child, process::ProcessRecord), LabError> {
    let name: &VmName = &config.name;
    let failed = |source| LabError::Start { vm: name.clone(), source };
    let namespace = Namespace::create(state.name.vm_namespace(name))?;
    let inside = VethEnd { namespace: Some(namespace.clone()), ..VethEnd::named("eth0") };
    netlink.create_veth(&VethEnd::named(own_nic::link(number)), &inside).await?;
    if kit.builder.second_nic {
        let mac = Some(HardwareAddress(own_nic::second_mac(number).bytes()));
        let inside = VethEnd { namespace: Some(namespace.clone()), mac, ..VethEnd::named("eth1") };
        netlink.create_veth(&VethEnd::named(own_nic::second_link(number)), &inside).await?;
    }
    let dir = state.name.vm_dir(name);
    // Listening before the VM is there, and through its reboots: a caller waits instead of being turned away.
    let listener = UnixListener::bind(vm::lab_socket(&dir)).map_err(failed)?;
    let program = kit.programs.find(Program::LabInit).map_err(crate::image::ImageError::from)?;
    let mut command = Command::new(&program);
    command
        .arg(&dir)
        .args(config.to_string().split(' '))
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    command.env("PATH", search_path(&program));
    process::start(command, &namespace, kit.lifetime, Vec::new(), &dir.join("console.log")).map_err(failed)
}

/// Our own programs, the host's, and what only busybox has.
fn search_path(program: &Path) -> OsString {
    let mut path = program.parent().map(|dir| dir.as_os_str().to_owned()).unwrap_or_default();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path.push(":");
    path.push(APPLETS);
    path
}

//! Process 1 of a lab's VM. In a QEMU guest it is the initramfs's `/init`, told what to do by the kernel's command line;
//! in a namespace VM the lab starts it as `nestless-lab-init DIR SETTING...`.

mod agent;
mod children;
mod exec;
mod machine;
mod measure;
mod namespace_vm;
mod network;
mod power;
mod serve;
mod service;

use agent::Agent;
use anyhow::{Context as _, Result};
use children::Children;
use nestless_lab::guest::GuestConfig;
use power::Power;
use service::Service;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const CNI_CONFIG: &str = "/etc/cni/net.d/10-nestless.conflist";

/// What process 1 this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Machine,
    Namespaces,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_machine =
        nix::unistd::getpid().as_raw() == 1 && arguments.first().is_none_or(|a| a != namespace_vm::INNER);
    let outcome = if is_machine { machine() } else { namespaces(&arguments) };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("nestless-lab-init: {error:#}");
            // A kernel whose process 1 ends panics; switched off, the lab sees the end at once.
            if is_machine { power::end_machine(power::End::Off) } else { ExitCode::FAILURE }
        }
    }
}

fn machine() -> Result<ExitCode> {
    machine::mount_all()?;
    let line = std::fs::read_to_string("/proc/cmdline").context("read the kernel's command line")?;
    let config: GuestConfig = line.parse()?;
    machine::set_name(config.name.as_str())?;
    machine::load_modules()?;
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the boot id")?;
    let end = run(&config, boot_id.trim(), Kind::Machine)?;
    Ok(power::end_machine(end))
}

fn namespaces(arguments: &[String]) -> Result<ExitCode> {
    match arguments {
        [inner, shared, settings @ ..] if inner == namespace_vm::INNER => {
            let shared = PathBuf::from(shared);
            let config: GuestConfig = settings.join(" ").parse()?;
            namespace_vm::inner(&shared, config.name.as_str())?;
            let boot_id =
                std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("make a boot id")?;
            let end = run(&config, boot_id.trim(), Kind::Namespaces)?;
            Ok(power::end_namespaces(end))
        }
        [shared, settings @ ..] => namespace_vm::outer(Path::new(shared), settings),
        [] => anyhow::bail!("labs start this program; start a lab with `nestless lab up`"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(config: &GuestConfig, boot_id: &str, kind: Kind) -> Result<power::End> {
    let children = Children::default();
    tokio::spawn(children.clone().reap(children::child_signals().context("watch for ended children")?));
    network::set_up(config).await?;
    write_cni_config().with_context(|| format!("write {CNI_CONFIG}"))?;
    let agent = Agent::keep(config.channel.clone(), children.clone());
    let power = Power::default();
    let service = Service { boot_id: boot_id.to_owned(), children, agent, power: power.clone() };
    match kind {
        Kind::Machine => serve::on_ports(&service)?,
        Kind::Namespaces => serve::on_standard_input(&service)?,
    }
    eprintln!("nestless-lab-init: {} is ready", config.name);
    Ok(power.asked().await)
}

/// For container runtimes inside the VM; labs' own pods bring theirs.
fn write_cni_config() -> std::io::Result<()> {
    std::fs::create_dir_all("/etc/cni/net.d")?;
    std::fs::write(CNI_CONFIG, nestless_lab::CNI_CONFIG)
}

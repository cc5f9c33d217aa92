//! What nestlessd keeps on a host.

use super::{
    found::{self, Found},
    removal::Removal,
};
use anyhow::Context as _;
use nestless_host::{
    fabric::{Fabric, FabricStep},
    hypervisor::vm_of_link,
};
use nestless_support::{
    former_settings,
    netlink::{Link, Netlink},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// What matters here of the daemon's configuration. The daemon itself reads it strictly; here a file that it would refuse
/// is no reason to leave anything behind.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Places {
    state_dir: PathBuf,
    run_dir: PathBuf,
    pin_dir: PathBuf,
    vm: Vec<Vm>,
}

#[derive(Debug, Deserialize)]
struct Vm {
    channel: Option<Channel>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    /// A socket that nestlessd makes; others are the hypervisor's.
    unix: Option<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/nestless".into(),
            run_dir: "/run/nestless".into(),
            pin_dir: "/sys/fs/bpf/nestless/host".into(),
            vm: Vec::new(),
        }
    }
}

impl Places {
    fn of(text: &str) -> Self {
        toml::from_str(text).unwrap_or_default()
    }

    /// As the daemon names itself to the kernel.
    fn instance(&self) -> String {
        self.pin_dir.file_name().map_or_else(|| "host".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The files of ours that may be there: never a whole folder whose name an operator chose.
    fn files(&self, config: &Path) -> Vec<PathBuf> {
        let sockets = self.vm.iter().filter_map(|vm| vm.channel.as_ref()?.unix.clone());
        let ours = ["nestlessd.sock", "former-settings.host"].map(|name| self.run_dir.join(name));
        sockets.chain(ours).chain([self.state_dir.join("ledger.redb"), config.to_owned()]).collect()
    }
}

/// Looks; changes nothing.
///
/// # Errors
/// When the kernel, or `nft`, does not answer.
pub(super) async fn look(config: &Path) -> anyhow::Result<Found> {
    let places = Places::of(&std::fs::read_to_string(config).unwrap_or_default());
    let fabric = Fabric::new(&places.instance(), Vec::new())?;
    let steps = fabric.steps_down().await?;
    let netlink = Netlink::here().context("ask the kernel for links")?;
    let links = netlink.links().await.context("ask the kernel for links")?;
    let record = places.run_dir.join("former-settings.host");
    let former = former_settings::read(&record).with_context(|| format!("read {}", record.display()))?;
    let runs = UnixStream::connect(places.run_dir.join("nestlessd.sock")).is_ok();
    let mut removals = of_the_kernel(&steps, &links, former);
    if places.pin_dir.exists() {
        removals.push(Removal::Pins(places.pin_dir.clone()));
    }
    let files = places.files(config).into_iter().filter(|path| path.symlink_metadata().is_ok());
    removals.extend(files.map(Removal::File));
    Ok(Found {
        removals,
        in_use: users(&links),
        running: runs.then_some("nestlessd"),
        afterwards: found::programs("nestless-host"),
    })
}

/// Links first: a bridge that goes leaves its ports behind. A setting of a bridge that goes needs no putting back.
fn of_the_kernel(steps: &[FabricStep], links: &[Link], former: BTreeMap<String, String>) -> Vec<Removal> {
    let is_veth = |link: &&Link| vm_of_link(link).is_some() && link.kind.as_deref() == Some("veth");
    let mut removals: Vec<_> =
        links.iter().filter(is_veth).map(|link| Removal::HostEnd(link.name.clone())).collect();
    let mut bridges = Vec::new();
    for step in steps {
        match step {
            FabricStep::DeleteBridge { bridge } => {
                bridges.push(bridge.to_string());
                removals.push(Removal::Bridge(bridge.to_string()));
            }
            FabricStep::DeleteRules { table } => removals.push(Removal::Table(table.clone())),
            _ => {}
        }
    }
    let stays = |key: &str| !bridges.iter().any(|bridge| key.split('/').any(|part| part == bridge));
    let settings = former.into_iter().filter(|(key, _)| stays(key));
    removals.extend(settings.map(|(key, former)| Removal::Setting { key, former }));
    removals
}

/// The VMs that have NICs of ours: those run.
fn users(links: &[Link]) -> Vec<String> {
    let mut nics = BTreeMap::new();
    for vm in links.iter().filter_map(vm_of_link) {
        *nics.entry(vm).or_insert(0) += 1;
    }
    nics.into_iter().map(|(vm, count)| format!("VM {vm}, with {count} NICs")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_where_things_are_even_one_that_the_daemon_refuses() {
        let places = Places::of(
            "state_dir = \"/srv/nestless\"\npin_dir = \"/sys/fs/bpf/nestless/two\"\nno_such_key = 1\n\
             [[vm]]\nname = \"a\"\nchannel = { unix = \"/run/vms/a.sock\" }\n\
             [[vm]]\nname = \"b\"\nchannel = { serial = \"/run/vms/b.sock\" }\n",
        );
        assert_eq!(places.instance(), "two");
        let files = places.files(Path::new("/etc/nestless/nestlessd.toml"));
        let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        let expected = [
            "/run/vms/a.sock",
            "/run/nestless/nestlessd.sock",
            "/run/nestless/former-settings.host",
            "/srv/nestless/ledger.redb",
            "/etc/nestless/nestlessd.toml",
        ];
        assert_eq!(files, expected, "and not the serial socket, which is the hypervisor's");
        assert_eq!(Places::of("not TOML").instance(), "host");
    }

    #[test]
    fn settings_of_a_bridge_that_goes_are_not_put_back() {
        let bridge = "nestless0".parse().unwrap();
        let steps =
            [FabricStep::DeleteBridge { bridge }, FabricStep::DeleteRules { table: "nestless-host".into() }];
        let former =
            ["net/ipv4/conf/nestless0/arp_ignore", "net/ipv4/conf/br0/arp_ignore", "net/ipv4/ip_forward"];
        let former = former.map(|key| (key.to_owned(), "0".to_owned())).into();
        let lines: Vec<_> = of_the_kernel(&steps, &[], former).iter().map(ToString::to_string).collect();
        let expected = [
            "bridge nestless0",
            "nftables table inet nestless-host",
            "setting net.ipv4.conf.br0.arp_ignore, back to 0",
            "setting net.ipv4.ip_forward, back to 0",
        ];
        assert_eq!(lines, expected);
    }
}

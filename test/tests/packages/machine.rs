//! A guest in which dpkg and systemd run. Its process 1 is the lab's; systemd is process 1 of a PID namespace with the
//! machine's own network, and mounts that only its services see.

use super::build::Packages;
use nestless_lab::{Exec, Vmm};
use nestless_test::{Site, eventually, lab};
use std::collections::BTreeSet;

const VM: &str = "vm1";
/// What dpkg, the packages' scripts, and systemd need.
const NEEDED: [&str; 10] = [
    "dpkg",
    "tar",
    "libc-bin",
    "perl-base",
    "init-system-helpers",
    "systemd",
    "mount",
    "util-linux",
    "nftables",
    "iproute2",
];
const PROGRAMS: [&str; 1] = ["bash"];
/// The image is in memory, twice at boot, and so are the packages, packed and unpacked.
const MEMORY_MIB: u32 = 2048;
const PACKAGES: &str = "/root/packages";
const SYSTEMD: &str =
    "mount --make-rshared / && exec env container=lab /lib/systemd/systemd --unit=basic.target";

/// `sh CALL COMMAND POD`: a call of the plugin, as a container runtime makes it: what may succeed later (code 11) is tried again.
pub(super) const CALL: &str = "/root/cni";
const CALLS: &str = r#"
export CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/run/netns/$2 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin
stored=/root/$2.result previous=
[ ! -s "$stored" ] || previous=", \"prevResult\": $(cat "$stored")"
for try in $(seq 120); do
    if echo "{\"cniVersion\": \"1.0.0\", \"name\": \"pods\", \"type\": \"nestless-cni\"$previous}" |
        /opt/cni/bin/nestless-cni >/root/answer; then
        [ "$1" != ADD ] || cp /root/answer "$stored"
        exit 0
    fi
    grep -q '"code": *11[,}]' /root/answer || break
    sleep 1
done
cat /root/answer
exit 1
"#;

pub(super) struct Machine {
    site: Site,
}

/// What there is on the machine, one thing a line.
#[derive(Debug)]
pub(super) struct Snapshot(BTreeSet<String>);

impl Machine {
    pub(super) async fn up(name: &str, packages: &Packages) -> Self {
        let builder =
            lab(name, Vmm::Qemu).without_daemon().size(1, MEMORY_MIB).programs(PROGRAMS).packages(NEEDED);
        let builder = packages
            .files
            .iter()
            .fold(builder, |builder, (name, content)| {
                builder.file(format!("{PACKAGES}/{name}"), content.clone())
            })
            .file(CALL, CALLS)
            .file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        let machine = Self { site: Site::up(builder).await };
        let start = format!(
            "setsid unshare --pid --fork --mount --mount-proc sh -c '{SYSTEMD}' >/run/systemd.log 2>&1 &"
        );
        machine.site.exec(VM, &Exec::shell(&start)).await.unwrap().success(&start).unwrap();
        eventually("systemd", || async {
            match machine.try_run("systemctl is-active basic.target").await {
                Ok(_) => Ok(()),
                Err(told) => Err(format!("{told}\n{}", machine.root("cat /run/systemd.log").await)),
            }
        })
        .await;
        // The lab's own, as labs' containerd reads it.
        machine.run("rm /etc/cni/net.d/10-nestless.conflist").await;
        // The first makes the folder of all.
        machine.run("ip netns add first && ip netns del first").await;
        machine
    }

    /// The same packages by another number, with another sample of the configuration.
    pub(super) async fn make_older(&self, newer: &str, older: &str) {
        for side in ["host", "guest"] {
            self.run(&format!(
                "cd {PACKAGES} && dpkg-deb -R nestless-{side}_{newer}_amd64.deb tree && \
                 sed -i 's/^Version: .*/Version: {older}/' tree/DEBIAN/control && \
                 for file in tree/etc/*/*; do echo '# As it was.' >>$file; done && \
                 dpkg-deb -Znone -b tree nestless-{side}_{older}_amd64.deb && rm -r tree"
            ))
            .await;
        }
    }

    /// What dpkg and the scripts said.
    pub(super) async fn install(&self, sides: &[&str], version: &str) -> String {
        let files: String =
            sides.iter().map(|side| format!(" {PACKAGES}/nestless-{side}_{version}_amd64.deb")).collect();
        // As apt does where nobody can be asked.
        self.run(&format!("dpkg --force-confold -i{files} 2>&1")).await
    }

    /// Beside systemd's services.
    pub(super) async fn run(&self, line: &str) -> String {
        self.try_run(line).await.unwrap_or_else(|told| panic!("{line}: {told}"))
    }

    pub(super) async fn fails(&self, line: &str) -> String {
        match self.try_run(line).await {
            Ok(told) => panic!("{line} succeeded: {told}"),
            Err(told) => told,
        }
    }

    async fn try_run(&self, line: &str) -> Result<String, String> {
        let inside = "exec nsenter --target \"$(pidof systemd)\" --mount --pid -- env \
                      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin DPKG_COLORS=never /bin/sh";
        let exec = Exec::shell(inside).stdin(line);
        let output = self.site.exec(VM, &exec).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.exit.is_success() {
            return Ok(text(&output.stdout));
        }
        Err(format!("{}\n{}", text(&output.stdout), text(&output.stderr)))
    }

    async fn root(&self, line: &str) -> String {
        self.site.exec(VM, &Exec::shell(line)).await.unwrap().text()
    }

    pub(super) async fn write(&self, path: &str, text: &str) {
        self.run(&format!("mkdir -p \"$(dirname {path})\" && cat >{path} <<'END'\n{}\nEND", text.trim()))
            .await;
    }

    pub(super) async fn snapshot(&self) -> Snapshot {
        // Without logs, what systemd and dpkg note for themselves, and folders that others may use as well.
        let others = "/proc /sys/[a-eg-z]* /sys/firmware /sys/fs/[ac-z]* /dev /var/log /run/systemd /run/log /root /var/lib/dpkg/status-old \
                      /var/lib/dpkg/available /var/lib/dpkg/triggers /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend \
                      /var/lib/dpkg/diversions* /var/lib/dpkg/statoverride* /var/lib/dpkg/cmethopt /run/dpkg /var/lib/systemd/timers";
        let pruned = format!("-path {}", others.split_whitespace().collect::<Vec<_>>().join(" -o -path "));
        let told = self
            .run(&format!(
                "set -f; find / \\( {pruned} \\) -prune -o \\( ! -type d -o -name '*nestless*' \\) -print; set +f
                 ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/link \\1/'
                 ip -o address | sed 's/^[0-9]*: *\\([^ ]* *[^ ]* *[^ ]*\\).*/address \\1/'
                 nft list ruleset | sed 's/^/nft /'
                 sed 's/^[^ ]* \\([^ ]*\\).*/mount \\1/' /proc/self/mounts | grep -v credentials
                 grep -H . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv*/conf/*/* 2>/dev/null | grep -v stable_secret"
            ))
            .await;
        Snapshot(told.lines().map(ToOwned::to_owned).collect())
    }

    pub(super) async fn is_as(&self, before: &Snapshot) {
        let now = self.snapshot().await;
        let left: Vec<_> = now.0.difference(&before.0).collect();
        let gone: Vec<_> = before.0.difference(&now.0).collect();
        assert!(left.is_empty() && gone.is_empty(), "left behind: {left:#?}\ngone: {gone:#?}");
    }

    pub(super) async fn down(self) {
        self.site.down().await;
    }
}

impl Snapshot {
    /// Links, addresses, rules and settings.
    pub(super) fn network(&self) -> BTreeSet<&String> {
        let of_a_network = |line: &&String| {
            ["link ", "address ", "nft ", "/proc/sys/net"].iter().any(|kind| line.starts_with(kind))
        };
        self.0.iter().filter(of_a_network).collect()
    }
}

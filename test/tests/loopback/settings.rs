//! What a loopback group changes on a machine, and that it changes it back.

use nestless_guest::loopback_endpoint::{self, LoopbackEndpoint, PortSlice};
use nestless_model::{
    identity::Mtu,
    loopback::{GroupSize, Place},
};
use nestless_support::{
    clsact::Hook,
    hook::{self, Way},
    netns::Namespace,
};
use nestless_test::fractions::{Fraction, Fractions, Sandbox};
use std::{collections::BTreeMap, fs, path::Path, process::Command};

const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const ROUTE_LOCALNET: &str = "/proc/sys/net/ipv4/conf/lo/route_localnet";
const ACCEPT_LOCAL: &str = "/proc/sys/net/ipv4/conf/lo/accept_local";

type Settings = BTreeMap<String, String>;

/// All that can be read below /proc/sys/net, but for links that come and go.
fn settings(namespace: &Namespace) -> Settings {
    namespace
        .run_blocking(|| {
            let mut found = Settings::new();
            ["core", "ipv4", "ipv6"]
                .iter()
                .for_each(|part| walk(&Path::new("/proc/sys/net").join(part), &mut found));
            found
        })
        .unwrap()
}

fn walk(dir: &Path, found: &mut Settings) {
    let of_links = dir.file_name().is_some_and(|name| name == "conf" || name == "neigh");
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !of_links || ["all", "default", "lo"].iter().any(|known| name == *known) {
                walk(&path, found);
            }
        } else if let Ok(value) = fs::read_to_string(&path) {
            found.insert(path.display().to_string(), value);
        }
    }
}

const LO: [&str; 4] = [
    "ip link show lo",
    "tc qdisc show dev lo",
    "tc filter show dev lo egress",
    "tc filter show dev lo ingress",
];

/// `lo` of a sandbox: MTU, alias, qdiscs, filters, and steer.
fn lo(sandbox: &Sandbox) -> String {
    let shown = LO.map(|command| {
        let words: Vec<_> = command.split(' ').collect();
        let output = sandbox.inside(|| Command::new(words[0]).args(&words[1..]).output()).unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let steer =
        sandbox.inside(|| hook::look(Way::of_kernel().unwrap(), 1, Hook::Egress, &["steer_out"])).unwrap();
    format!("{}{}", shown.concat(), if steer.program_id.is_some() { "steer" } else { "" })
}

#[tokio::test]
async fn only_the_sandboxes_of_the_group_change() {
    let root = Namespace::current().unwrap();
    let mut fractions = Fractions::new().await;
    let (lonely, other) = (Sandbox::new(), fractions.join(2).await);
    // The host's links keep quiet from here on.
    fractions.plug().await;
    let spaces = [
        root,
        fractions.host.clone(),
        fractions.vm.clone(),
        lonely.namespace.clone(),
        other.namespace.clone(),
    ];
    let parking = fractions.parking.namespace().clone();
    let watch = || spaces.iter().chain([&parking]).map(settings).collect::<Vec<_>>();
    let before = watch();
    assert!(before.iter().all(|found| found.len() > 100), "settings are read");
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    let listener = two.listen("127.0.0.1:80");
    one.connect("127.0.0.1:80").unwrap();
    listener.accept().unwrap();
    assert_eq!(watch(), before, "while two are joined");
    fractions.leave(one).await;
    fractions.die(two).await;
    assert_eq!(watch(), before, "and after");
}

#[tokio::test]
async fn a_sandbox_gets_its_own_settings_back() {
    let mut fractions = Fractions::new().await;
    let _peer = fractions.join(1).await;
    let [plain, odd, hooked, filtered] = std::array::from_fn(|_| Sandbox::new());
    odd.write(PORTS, "40000 50000");
    odd.write(ROUTE_LOCALNET, "1");
    odd.ip("link set lo mtu 9000");
    name(&odd, "of a pod,  alias lo ");
    for sandbox in [&hooked, &filtered] {
        tc(sandbox, "qdisc add dev lo clsact");
    }
    tc(&filtered, "filter add dev lo egress pref 7 protocol ip u32 match u32 0 0 flowid 1:1");
    for sandbox in [plain, odd, hooked, filtered] {
        let before = (settings(&sandbox.namespace), lo(&sandbox));
        let fraction = fractions.join_with(1, sandbox).await;
        assert_eq!(fraction.read(PORTS).split_whitespace().next(), Some("34532"), "the slice of place 1");
        assert_eq!([ROUTE_LOCALNET, ACCEPT_LOCAL].map(|path| fraction.read(path)), ["1\n", "1\n"]);
        // The second follows the link's own MTU.
        let ours = [PORTS, "/proc/sys/net/ipv6/conf/lo/mtu", ROUTE_LOCALNET, ACCEPT_LOCAL];
        let changed = changed(&before.0, &settings(&fraction.namespace));
        assert!(changed.iter().all(|path| ours.contains(&path.as_str())), "{changed:?}");
        let nic = fraction.nic;
        let (sandbox, _) = fractions.leave(fraction).await;
        assert_eq!((settings(&sandbox.namespace), lo(&sandbox)), before);
        // Leaving again does not touch what the pod sets later.
        sandbox.write(PORTS, "45000 46000");
        assert!(!loopback_endpoint::leave(&fractions.parking, &sandbox.namespace, nic).await.unwrap());
        assert_eq!(sandbox.read(PORTS), "45000\t46000\n");
    }
}

fn tc(sandbox: &Sandbox, arguments: &str) {
    let status = sandbox.inside(|| Command::new("tc").args(arguments.split(' ')).status());
    assert!(status.is_ok_and(|status| status.success()), "tc {arguments}");
}

fn name(sandbox: &Sandbox, alias: &str) {
    let status = sandbox.inside(|| Command::new("ip").args(["link", "set", "lo", "alias", alias]).status());
    assert!(status.is_ok_and(|status| status.success()), "alias {alias:?}");
}

/// Somebody else's filter needs the qdisc, though it was made for ours.
#[tokio::test]
async fn a_filter_that_came_later_stays() {
    let mut fractions = Fractions::new().await;
    let fraction = fractions.join(1).await;
    // On kernels without TCX it is there already, for steer.
    let _ = fraction.inside(|| Command::new("tc").args(["qdisc", "add", "dev", "lo", "clsact"]).status());
    assert!(lo(&fraction).contains("steer"));
    tc(&fraction, "filter add dev lo ingress pref 7 protocol ip u32 match u32 0 0 flowid 1:1");
    let (sandbox, _) = fractions.leave(fraction).await;
    let found = lo(&sandbox);
    assert!(found.contains("clsact") && found.contains("pref 7 u32"), "{found}");
    assert!(!found.contains("steer"), "{found}");
}

/// What cannot be noted could not be given back.
#[tokio::test]
async fn an_alias_that_leaves_no_room_is_told_and_nothing_changes() {
    let mut fractions = Fractions::new().await;
    let sandbox = Sandbox::new();
    name(&sandbox, &"x".repeat(255));
    let before = (settings(&sandbox.namespace), lo(&sandbox));
    let (nic_mac, _) = fractions.plug().await;
    let ports = PortSlice::of_place(Place::new(0).unwrap(), GroupSize::MAX).unwrap();
    let endpoint = LoopbackEndpoint { nic_mac, mtu: Mtu::MAX, ports };
    let refused = loopback_endpoint::join(&fractions.parking, &sandbox.namespace, &endpoint).await;
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("an alias of 255 bytes") && words.contains("shorten it"), "{words}");
    assert_eq!((settings(&sandbox.namespace), lo(&sandbox)), before);
    fractions.parking.wait_for_return(nic_mac, nestless_test::PATIENCE).await;
    assert!(fractions.parking.holds(nic_mac).await, "the NIC is back");
}

fn changed(before: &Settings, after: &Settings) -> Vec<String> {
    after
        .iter()
        .filter(|(path, value)| before.get(*path) != Some(value))
        .map(|(path, _)| path.clone())
        .collect()
}

#[tokio::test]
async fn fractions_choose_their_ports_from_slices_that_never_meet() {
    let mut fractions = Fractions::new().await;
    let all: [Fraction; 3] = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    let mut last = 32767;
    for fraction in &all {
        let text = fraction.read(PORTS);
        let mut ends = text.split_whitespace().map(|port| port.parse::<u32>().unwrap());
        let (first, end) = (ends.next().unwrap(), ends.next().unwrap());
        assert!(first > last && end > first, "{text}");
        last = end;
        for _ in 0..100 {
            let port = fraction.udp("127.0.0.1:0").local_addr().unwrap().port();
            assert!((first..=end).contains(&port.into()), "{port}");
        }
    }
}

//! What must not pass: forged frames, those of a NIC in no group, and whatever goes to another localhost.

use nestless_lab::Exec;
use nestless_support::{
    clsact::Hook,
    hook::{self, Way},
    netns::Namespace,
};
use nestless_test::{
    Serving, cni, eventually,
    frame::Raw,
    localhost,
    loopback_frame::{LO, datagram, forged, steered},
    operator,
    spare::Spare,
    split::{Fraction, Packets, grown},
};
use serde_json::Value;
use std::net::{TcpListener, UdpSocket};

const HOSTLO: &str = "hostlo0";
const OTHER_GROUP: &str = "books";
const PORT: u16 = 7400;

/// Packets that came in by the endpoint, but for probes of the host's that are answered: one that is not yet is too many.
async fn received(fraction: &Fraction<'_>) -> u64 {
    let groups = operator::groups(fraction.site).await.groups;
    let all = groups.into_iter().flat_map(|group| group.fractions);
    let own =
        all.into_iter().find(|own| (own.vm.as_str(), own.name.as_str()) == (fraction.vm, fraction.name));
    let heard = own.unwrap().counters.unwrap().packets["heard"];
    let table = fraction.runs("cat /proc/net/dev").await.success("count packets").unwrap().text();
    let line = table.lines().find_map(|line| line.trim().strip_prefix("hostlo0:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() - heard
}

async fn received_by<const N: usize>(fractions: [&Fraction<'_>; N]) -> Vec<u64> {
    let mut counts = Vec::new();
    for fraction in fractions {
        counts.push(received(fraction).await);
    }
    counts
}

/// Once no probe is under way.
async fn received_so_far<const N: usize>(fractions: [&Fraction<'_>; N]) -> Vec<u64> {
    eventually("no probe under way", || async {
        let (first, second) = (received_by(fractions).await, received_by(fractions).await);
        if first == second { Ok(second) } else { Err(format!("{first:?}, then {second:?}")) }
    })
    .await
}

async fn have_received<const N: usize>(fractions: [&Fraction<'_>; N], expected: &[u64]) {
    eventually("as many packets as were sent", || async {
        let now = received_by(fractions).await;
        if now == expected { Ok(()) } else { Err(format!("{now:?} instead of {expected:?}")) }
    })
    .await;
}

/// A fraction of another group, in the same VM.
async fn other_group<'a>(beside: &Fraction<'a>) -> Fraction<'a> {
    let other = Fraction { name: "other", ..*beside };
    cni::sandbox(other.site, other.vm, other.name).await.unwrap();
    other.in_group("ADD", OTHER_GROUP, other.name).insist(other.site, other.vm).await.unwrap();
    other
}

async fn goes(other: Fraction<'_>) {
    assert_eq!(other.call("DEL").run(other.site, other.vm).await, Ok(Value::Null));
    cni::drop_sandbox(other.site, other.vm, other.name).await.unwrap();
}

pub(super) async fn forgeries_are_dropped_and_counted([web, app, database]: [&Fraction<'_>; 3]) {
    let other = other_group(web).await;
    let (before, sent) = (received_so_far([app, database, &other]).await, web.packets().await);
    let mut expected = Packets::new();
    let mut frames = Vec::new();
    for (reason, frame) in forged() {
        *expected.entry(reason.to_owned()).or_default() += 1;
        frames.push(frame);
    }
    Raw::send(web.site, web.vm, Some(web.name), HOSTLO, &frames).await;
    counted(web, &sent, &expected).await;
    // Nobody hears what is forged.
    have_received([app, database, &other], &before).await;

    let honest = steered(0x0800, &datagram(LO, LO, (1000, 2000)));
    Raw::send(web.site, web.vm, Some(web.name), HOSTLO, &[honest]).await;
    expected.insert("asked".to_owned(), 1);
    counted(web, &sent, &expected).await;
    let heard = [before[0] + 1, before[1] + 1, before[2]];
    have_received([app, database, &other], &heard).await;
    goes(other).await;
}

async fn counted(from: &Fraction<'_>, before: &Packets, expected: &Packets) {
    eventually("the judgements", || async {
        let now = grown(before, &from.packets().await);
        if now == *expected { Ok(()) } else { Err(format!("{now:?} instead of {expected:?}")) }
    })
    .await;
}

/// The same port is served at 127.0.0.1 of the host, of every VM, and of another group.
pub(super) async fn localhost_ends_at_the_group(web: &Fraction<'_>) {
    let site = web.site;
    let other = other_group(web).await;
    let bind = || (TcpListener::bind((LO, PORT)).unwrap(), UdpSocket::bind((LO, PORT)).unwrap());
    let _on_host = site.host().run_blocking(bind).unwrap();
    let mut servers = vec![other.serves_as(other.name, PORT).await];
    for vm in site.vms() {
        let exec = Exec::new([localhost::PROGRAM.name(), "serve-as", "vm", &PORT.to_string()]);
        servers.push(Serving::start(site, vm.name().as_str(), exec).await);
    }
    web.meets_nobody(PORT).await;
    assert_eq!(other.meets(PORT, 1).await, [("tcp other".to_owned(), 1), ("udp other".to_owned(), 1)].into());
    for server in servers {
        server.end().await;
    }
    goes(other).await;
}

/// What `left` had for an endpoint is spare now. Even with the reflector before the guard, as at the moment between leaving
/// and being closed, its frames go nowhere.
pub(super) async fn a_nic_in_no_group_reaches_nobody(
    web: &Fraction<'_>,
    app: &Fraction<'_>,
    left: &Fraction<'_>,
) {
    let site = left.site;
    let spare = Spare::raise(site, left.vm).await;
    let before = received_so_far([web, app]).await;
    let frames = [steered(0x0800, &datagram(LO, LO, (1000, 2000))), steered(0x0806, &[0; 28])];
    let dropped = spare.dropped().await;
    spare.send(&frames).await;
    eventually("the guard's drops", || async {
        let now = spare.dropped().await - dropped;
        if now >= frames.len() as u64 { Ok(()) } else { Err(format!("{now} drops")) }
    })
    .await;

    // Where the guard is asked before all filters, it is taken off, until the daemon's next look.
    let (host, link) = (format!("/run/netns/nl-{}", site.name()), spare.nic.link.clone());
    let clear = || hook::clear(Way::of_kernel().unwrap(), &link, Hook::Ingress, &["guard_sent"]);
    Namespace::open(host).unwrap().run_blocking(clear).unwrap().unwrap();
    on_host(left, &format!("tc qdisc add dev {link} clsact || :")).await;
    let at = format!("dev {link} ingress protocol all pref 1 handle 1 bpf");
    let program = format!("/sys/fs/bpf/nestless/lab-{}/loopback/programs-*/reflector_reflect", site.name());
    on_host(left, &format!("tc filter add {at} da object-pinned {program}")).await;
    let strangers = strangers(left).await;
    spare.send(&frames).await;
    let expected: Packets = [("closed".to_owned(), frames.len() as u64)].into();
    eventually("strangers", || async {
        let now = grown(&strangers, &self::strangers(left).await);
        if now == expected { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    on_host(left, &format!("tc filter del {at}")).await;
    have_received([web, app], &before).await;
    spare.lower().await;
}

async fn strangers(of: &Fraction<'_>) -> Packets {
    operator::groups(of.site).await.strangers.unwrap().packets.into_iter().collect()
}

async fn on_host(of: &Fraction<'_>, line: &str) {
    of.site.host_exec(&Exec::shell(line)).await.unwrap().success(line).unwrap();
}

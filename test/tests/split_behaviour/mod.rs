//! The localhost of a pod in three VMs behaves as one machine's: what `test/tests/loopback` shows by sockets in plain
//! namespaces, here with daemon, agents and plugin, and in real guests.

mod isolation;
mod listeners;
mod settings;

use nestless_lab::Vmm;
use nestless_test::{
    Site, agree, cni,
    frame::Raw,
    lab,
    localhost::{self, BEHAVIOURS, Behaviour},
    split::{self, Fraction, grown},
};
use settings::Settings;

/// In a healthy group none of them counts anything.
const AMISS: [&str; 4] = ["clash", "malformed", "foreign", "unsupported"];
/// Of its many segments some are sent again where the machine is slow.
const SHORT: &str = "short-connections";

async fn three_vms_share_one_localhost(vmm: Vmm) {
    let builder = lab("behave", vmm).vms(3).own_program(localhost::PROGRAM).own_program(Raw::PROGRAM);
    let site = Site::up(builder).await;
    let [web, app, database] = split::fractions(&site);
    let outside = Settings::outside(&site).await;
    cni::sandbox(&site, web.vm, web.name).await.unwrap();
    let inside = Settings::of(&web).await;
    web.joins_again().await;
    app.joins().await;
    database.joins().await;

    every_behaviour_holds([&web, &app, &database]).await;
    listeners::two_at_one_port_serve_their_own(&web, &app, &database).await;
    listeners::one_that_moves_is_found([&web, &app, &database]).await;
    listeners::one_that_joins_late_serves_at_once(&web, &app).await;
    isolation::forgeries_are_dropped_and_counted([&web, &app, &database]).await;
    isolation::localhost_ends_at_the_group(&web).await;
    assert_eq!(Settings::outside(&site).await, outside, "while three are joined");
    assert_ne!(Settings::of(&web).await, inside, "a fraction has settings of its own");

    database.leaves().await;
    isolation::a_nic_in_no_group_reaches_nobody(&web, &app, &database).await;
    web.leaves().await;
    app.leaves().await;
    assert_eq!(Settings::outside(&site).await, outside, "when all have left");
    assert_eq!(Settings::of(&web).await, inside, "a fraction gets its settings back");
    for fraction in [web, app, database] {
        cni::drop_sandbox(&site, fraction.vm, fraction.name).await.unwrap();
    }
    agree(&site).await;
    site.down().await;
}

async fn every_behaviour_holds([web, app, database]: [&Fraction<'_>; 3]) {
    let mut serving = web.serves_all().await;
    app.finds_all(&mut serving, &[]).await;
    for fraction in [web, app, database] {
        let sent = fraction.packets().await;
        assert!(AMISS.iter().all(|name| sent[*name] == 0), "{}: {sent:?}", fraction.name);
    }
    // The first packet is refused: had one been lost, or refused late, there would be more.
    let nobody = BEHAVIOURS.iter().filter(|behaviour| behaviour.name.starts_with("nobody"));
    let chosen: Vec<_> = nobody.clone().map(|behaviour| behaviour.name).collect();
    let before = database.packets().await;
    database.finds_all(&mut serving, &chosen).await;
    let questions = nobody.map(|behaviour| behaviour.refused).sum();
    assert_eq!(grown(&before, &database.packets().await), [("asked".to_owned(), questions)].into());

    // At home nothing leaves but what nobody there serves.
    for Behaviour { name, refused, .. } in BEHAVIOURS {
        let (before, resent) = (web.packets().await, resent(web).await);
        web.finds_all(&mut serving, &[name]).await;
        let mut sent = grown(&before, &web.packets().await);
        if name == SHORT {
            // One that comes again when its receiver is gone is nobody's here: the guest has no room for so many in TIME_WAIT.
            let (late, resent) = (sent.remove("asked").unwrap_or(0), self::resent(web).await - resent);
            assert!(late <= resent, "{late} packets left, and {resent} were sent again");
        }
        let expected = [("asked".to_owned(), refused)].into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(sent, expected, "at home, {name}");
    }
    serving.end().await;
}

/// TCP segments that this fraction has sent again.
async fn resent(fraction: &Fraction<'_>) -> u64 {
    let lines = fraction.runs("grep ^Tcp: /proc/net/snmp").await.success("count segments").unwrap().text();
    let mut rows = lines.lines().map(str::split_whitespace);
    let (names, counts) = (rows.next().unwrap(), rows.next().unwrap());
    let (_, count) = names.zip(counts).find(|(name, _)| *name == "RetransSegs").unwrap();
    count.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_namespace_vms_share_one_localhost() {
    three_vms_share_one_localhost(Vmm::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_qemu_vms_share_one_localhost() {
    three_vms_share_one_localhost(Vmm::Qemu).await;
}

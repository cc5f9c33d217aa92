//! Who serves a port: two at once, one that moves, one that comes late.

use nestless_lab::{
    Exec,
    image::{Program, Programs},
};
use nestless_test::{
    cni, eventually,
    split::{self, Fraction, GROUP},
};
use std::collections::BTreeMap;

const PORT: u16 = 7300;
const QUESTIONS: usize = 50;

/// All questions, by either protocol, were answered by one server.
fn only(name: &str, count: usize) -> BTreeMap<String, usize> {
    ["tcp", "udp"].map(|protocol| (format!("{protocol} {name}"), count)).into()
}

pub(super) async fn two_at_one_port_serve_their_own(
    web: &Fraction<'_>,
    app: &Fraction<'_>,
    database: &Fraction<'_>,
) {
    let servers = [web.serves_as("web", PORT).await, app.serves_as("app", PORT).await];
    for own in [web, app] {
        assert_eq!(own.meets(PORT, 9).await, only(own.name, 9));
    }
    assert_eq!(clashes(web).await, 0, "who has a server of its own asks nobody else");
    let met = database.meets(PORT, QUESTIONS).await;
    for protocol in ["tcp", "udp"] {
        let by = |name: &str| met.get(&format!("{protocol} {name}")).copied().unwrap_or(0);
        assert_eq!(by("web") + by("app"), QUESTIONS, "{met:?}");
    }
    eventually("the clashes", || async {
        // One for each connection and each first datagram, and more when a half-open one is tried again. A connection that is over
        // by then is forgotten.
        let counted = clashes(web).await + counted(web, "stray").await;
        if counted >= 2 * QUESTIONS as u64 { Ok(()) } else { Err(format!("{counted} clashes")) }
    })
    .await;
    let flows = split::group(web.site).await.flows;
    let of_ours = flows
        .iter()
        .filter(|flow| flow.asker == database.name && flow.destination.ends_with(&PORT.to_string()));
    let answerers: Vec<_> = of_ours.map(|flow| flow.answerer.as_str()).collect();
    let both = ["web", "app"];
    assert!(!answerers.is_empty() && answerers.iter().all(|name| both.contains(name)), "{answerers:?}");
    is_shown(web, "clash").await;
    for server in servers {
        server.end().await;
    }
    for fraction in [web, app, database] {
        fraction.meets_nobody(PORT).await;
    }
}

/// Of the whole group.
async fn clashes(of: &Fraction<'_>) -> u64 {
    counted(of, "clash").await
}

async fn counted(of: &Fraction<'_>, counter: &str) -> u64 {
    let counters = split::group(of.site).await.group.unwrap().counters.unwrap();
    counters.packets[counter]
}

/// The command names the counter, which is not zero.
async fn is_shown(of: &Fraction<'_>, counter: &str) {
    let program = Programs::locate().find(Program::Nestless).unwrap().display().to_string();
    let socket = of.site.operator_socket().display().to_string();
    let show = Exec::new([&program, "loopback", "show", GROUP, "--socket", &socket].map(str::to_owned));
    let shown = of.site.host_exec(&show).await.unwrap().success("nestless loopback show").unwrap().text();
    let counted = shown.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = counted.collect();
    let told =
        words.windows(2).any(|pair| pair[0] == counter && pair[1].parse().is_ok_and(|count: u64| count > 0));
    assert!(told, "{counter} in {shown}");
}

pub(super) async fn one_that_moves_is_found(all: [&Fraction<'_>; 3]) {
    for server in all {
        let serving = server.serves_as(server.name, PORT).await;
        for asker in all {
            assert_eq!(asker.meets(PORT, 3).await, only(server.name, 3), "in {}", asker.name);
        }
        serving.end().await;
        all[0].meets_nobody(PORT).await;
    }
}

pub(super) async fn one_that_joins_late_serves_at_once(web: &Fraction<'_>, app: &Fraction<'_>) {
    let late = Fraction { name: "late", ..*web };
    cni::sandbox(late.site, late.vm, late.name).await.unwrap();
    let serving = late.serves_as(late.name, PORT).await;
    for asker in [web, app] {
        asker.meets_nobody(PORT).await;
    }
    late.joins_again().await;
    for asker in [web, app, &late] {
        assert_eq!(asker.meets(PORT, 3).await, only(late.name, 3), "in {}", asker.name);
    }
    late.leaves().await;
    for asker in [web, app] {
        asker.meets_nobody(PORT).await;
    }
    serving.end().await;
    cni::drop_sandbox(late.site, late.vm, late.name).await.unwrap();
}

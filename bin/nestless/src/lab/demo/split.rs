//! `nestless lab demo --split`: one pod, a container in each of three VMs, talking over localhost with the configuration
//! that Debian's packages bring.

use super::{
    shown_way::{self, ShownWay},
    stage::Stage,
};
use crate::report::Trace;
use anyhow::{Context as _, ensure};
use nestless_bench::{Machine, Operator};
use nestless_lab::{Exec, Lab, Pod, PodNetwork, PodOptions, Progress, Server};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Instant;

const GROUP: &str = "shop";
/// VM, fraction, and what runs in it: each asks the next.
const FRACTIONS: [(&str, &str, Server); 3] = [
    ("vm1", "web", Server::Nginx),
    ("vm2", "application", Server::Gunicorn),
    ("vm3", "database", Server::Postgres),
];
/// Where the web server is in front of the application.
const SITE_PORT: u16 = 8080;
const VISITS: u64 = 3;

/// `nestless lab demo --split --json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SplitDemo {
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Building and removing the lab included.
    pub(crate) took_s: f64,
    /// The pod's parts, each of which asks the next.
    pub(crate) fractions: Vec<ShownFraction>,
    /// What was asked, from outside.
    pub(crate) url: String,
    /// What the last of three visits was told.
    pub(crate) answer: Answer,
    /// Device by device, from the application's localhost to the database's.
    pub(crate) way: ShownWay,
}

/// A part of the pod.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownFraction {
    pub(crate) vm: String,
    pub(crate) name: String,
    pub(crate) server: String,
    /// On 127.0.0.1.
    pub(crate) port: u16,
}

/// Each container says where it runs.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Answer {
    /// VM of the web server.
    #[serde(default)]
    pub(crate) web: String,
    /// VM of the application.
    pub(crate) application: String,
    /// VM of the database.
    pub(crate) database: String,
    /// PostgreSQL's version.
    pub(crate) database_version: String,
    /// Rows in the database's table, one a visit.
    pub(crate) visits: u64,
}

pub(super) async fn show(stage: &Stage, progress: Progress) -> anyhow::Result<SplitDemo> {
    let clock = Instant::now();
    let lab = Lab::builder(&stage.name)
        .progress(progress.clone())
        .vm_names(FRACTIONS.map(|(vm, ..)| vm))
        .servers(&FRACTIONS.map(|(.., server)| server));
    let lab = stage.build(lab).await?;
    let machine = Machine::look(&lab);
    let shown = visit(stage, &lab, &progress).await;
    stage.strike(lab, &progress).await?;
    let (url, answer, way) = shown?;
    let fractions = FRACTIONS.map(|(vm, name, server)| ShownFraction {
        vm: vm.into(),
        name: name.into(),
        server: server.to_string(),
        port: server.port(),
    });
    let took_s = clock.elapsed().as_secs_f64();
    Ok(SplitDemo { machine, took_s, fractions: fractions.into(), url, answer, way })
}

/// Builds the pod, and asks it from outside; the last answer, and the way that it took.
async fn visit(stage: &Stage, lab: &Lab, progress: &Progress) -> anyhow::Result<(String, Answer, ShownWay)> {
    progress.step("put one pod's containers into three VMs");
    let web = split(lab).await?;
    let mut serving = Vec::new();
    for (vm, name, server) in FRACTIONS.into_iter().rev() {
        progress.step(format!("start {server} in {vm}"));
        if stage.keep {
            lab.serve_on(vm, name, server).await?;
        } else {
            serving.push(lab.serve(vm, name, server).await?);
        }
    }
    let url = format!("http://{}:{SITE_PORT}/visits", web.ipv4()?);
    progress.step(format!("visit {url}"));
    let mut last = None;
    for _ in 0..VISITS {
        last = Some(ask(lab, &url).await?);
    }
    let answer = last.context("no visit was made")?;
    let [web, application, database] = FRACTIONS.map(|(vm, ..)| vm);
    ensure!(
        (answer.web.as_str(), answer.application.as_str(), answer.database.as_str(), answer.visits)
            == (web, application, database, VISITS),
        "the containers of the pod are not where they were put: {answer:?}"
    );
    let (_, asker, _) = FRACTIONS[1];
    let trace = Operator::of(lab).await?.trace(&format!("loopback:{GROUP}/{asker}")).await?;
    drop(serving);
    Ok((url, answer, ShownWay { side: asker.to_owned(), hops: Trace::from(trace).hops }))
}

/// The web server's container has the pod's interface; the others need none.
async fn split(lab: &Lab) -> anyhow::Result<Pod> {
    let [(vm, web, _), others @ ..] = FRACTIONS;
    let outer = PodOptions { network: PodNetwork::Nestless, ..PodOptions::fraction(GROUP, web) };
    let pod = lab.pod_add(vm, web, outer).await?;
    for (vm, name, _) in others {
        lab.pod_add(vm, name, PodOptions::fraction(GROUP, name)).await?;
    }
    Ok(pod)
}

async fn ask(lab: &Lab, url: &str) -> anyhow::Result<Answer> {
    let curl =
        Exec::new(["curl", "--silent", "--show-error", "--fail", "--max-time", "60", "--include", url]);
    let output = lab.host_exec(&curl).await?.success(curl.line())?.text();
    read(&output).with_context(|| format!("{url} answered: {output}"))
}

fn read(output: &str) -> anyhow::Result<Answer> {
    let (head, body) = output.split_once("\r\n\r\n").context("no HTTP header")?;
    let web = head.lines().find_map(|line| line.strip_prefix("X-Web-Server: "));
    let mut answer: Answer = serde_json::from_str(body).context("no JSON of the application's")?;
    answer.web = web.context("no header of the web server's")?.trim().to_owned();
    Ok(answer)
}

pub(super) fn draw(demo: &SplitDemo) -> String {
    let fractions = demo.fractions.iter().map(|fraction| {
        let ShownFraction { vm, name, server, port } = fraction;
        format!("  {vm}  {name:<12} {server:<9} 127.0.0.1:{port}\n")
    });
    let Answer { web, application, database, database_version, visits } = &demo.answer;
    format!(
        "\nOne pod in three {}, on one localhost:\n\n{}\n{}\n{}\n  \
         passed on by the web server in {web}, answered by the application in {application},\n  \
         counted by PostgreSQL {database_version} in {database}: {visits} visits\n\ntook {:.0} s\n",
        shown_way::vms(&demo.machine),
        fractions.collect::<String>(),
        demo.way.draw(),
        demo.url,
        demo.took_s,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_all_three() {
        let body = r#"{"application": "vm2", "visits": 3, "database": "vm3", "database_version": "15.1"}"#;
        let told = read(&format!("HTTP/1.1 200 OK\r\nX-Web-Server: vm1\r\n\r\n{body}\n")).unwrap();
        let expected = Answer {
            web: "vm1".into(),
            application: "vm2".into(),
            database: "vm3".into(),
            database_version: "15.1".into(),
            visits: 3,
        };
        assert_eq!(told, expected);
        assert!(read(&format!("HTTP/1.1 200 OK\r\n\r\n{body}")).is_err(), "without the web server's name");
        assert!(read("HTTP/1.1 502 Bad Gateway\r\nX-Web-Server: vm1\r\n\r\n<html>").is_err());
    }
}

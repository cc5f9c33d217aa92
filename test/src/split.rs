//! A pod whose fractions are in several VMs, by way of plugin, agent and daemon.

use crate::{
    Call, Serving, Site, cni, eventually,
    localhost::{self, BEHAVIOURS},
    operator,
};
use nestless_lab::{Exec, Output};
use nestless_proto::ShowGroupResponse;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The pod's loopback group.
pub const GROUP: &str = "shop";
/// How many fractions it is made for.
pub const SIZE: u16 = 4;

/// A fraction: its container has its name.
#[derive(Clone, Copy)]
pub struct Fraction<'a> {
    /// Where all this happens.
    pub site: &'a Site,
    /// Its VM.
    pub vm: &'static str,
    /// Its own.
    pub name: &'static str,
}

/// One for each of three VMs; none has joined.
pub fn fractions(site: &Site) -> [Fraction<'_>; 3] {
    [("vm1", "web"), ("vm2", "app"), ("vm3", "database")].map(|(vm, name)| Fraction { site, vm, name })
}

/// The pod's group, and its flows.
///
/// # Panics
/// When nobody has joined.
pub async fn group(site: &Site) -> ShowGroupResponse {
    operator::group(site, GROUP).await.expect("the pod's loopback group")
}

/// What a fraction has sent, by how it was judged; bytes aside.
pub type Packets = BTreeMap<String, u64>;

/// By how much each counter has grown that has.
pub fn grown(before: &Packets, after: &Packets) -> Packets {
    let now = after.iter().map(|(name, count)| (name.clone(), count - before.get(name).unwrap_or(&0)));
    now.filter(|(_, count)| *count > 0).collect()
}

impl Fraction<'_> {
    /// A call of the plugin as that of this fraction.
    pub fn call(&self, command: &str) -> Call {
        self.named(command, self.name)
    }

    /// A call of the plugin for this container as that of the fraction `fraction`.
    pub fn named(&self, command: &str, fraction: &str) -> Call {
        self.in_group(command, GROUP, fraction)
    }

    /// The same in a group.
    pub fn in_group(&self, command: &str, group: &str, fraction: &str) -> Call {
        let loopback = json!({"group": group, "fraction": fraction, "size": SIZE});
        Call::new(command, self.name).conf("mode", json!("loopback")).conf("loopback", loopback)
    }

    /// Joins, in a new sandbox; what the plugin says.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn joins(&self) -> Value {
        cni::sandbox(self.site, self.vm, self.name).await.expect("a new sandbox");
        self.joins_again().await
    }

    /// Joins, in the sandbox that is there.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn joins_again(&self) -> Value {
        let added = self.call("ADD").insist(self.site, self.vm).await;
        added.unwrap_or_else(|failure| panic!("{}: {failure}", self.name))
    }

    /// Leaves; the sandbox stays.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn leaves(&self) {
        assert_eq!(self.call("DEL").run(self.site, self.vm).await, Ok(Value::Null), "{}", self.name);
    }

    /// Runs a line of shell in it, to its end.
    ///
    /// # Panics
    /// When that cannot be started.
    pub async fn runs(&self, line: &str) -> Output {
        self.site.pod_exec(self.vm, self.name, Exec::shell(line)).await.expect("a shell runs")
    }

    /// Waits until somebody listens at a TCP port in it.
    ///
    /// # Panics
    /// When nobody does.
    pub async fn listens(&self, port: u16) {
        // As proc(5) has it: the local port in hexadecimal, the remote end, and state 0A.
        let look = format!("cat /proc/net/tcp /proc/net/tcp6 | grep -q ':{port:04X} [0-9A-F:]* 0A '");
        eventually("a listener", || async {
            let found = self.runs(&look).await.exit.is_success();
            if found { Ok(()) } else { Err(format!("nobody listens at {port} in {}", self.name)) }
        })
        .await;
    }

    /// Has the servers of all behaviours.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn serves_all(&self) -> Serving {
        let exec = Exec::new([localhost::PROGRAM.name(), "serve"]).in_pod(self.name);
        Serving::start(self.site, self.vm, exec).await
    }

    /// Has a server of that name at a port.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn serves_as(&self, name: &str, port: u16) -> Serving {
        let exec =
            Exec::new([localhost::PROGRAM.name(), "serve-as", name, &port.to_string()]).in_pod(self.name);
        Serving::start(self.site, self.vm, exec).await
    }

    /// Tries behaviours, all when none is named, with the services wherever they are: all hold.
    ///
    /// # Panics
    /// When one does not; it is told which.
    pub async fn finds_all(&self, serving: &mut Serving, chosen: &[&str]) {
        let exec = Exec::new([&[localhost::PROGRAM.name(), "ask"], chosen].concat());
        let output = self.site.pod_exec(self.vm, self.name, exec).await.expect("the asker runs");
        let said = output.success(format!("ask in {}", self.name));
        let said = said.unwrap_or_else(|error| panic!("{error}; the server: {}", serving.complaints()));
        let names = BEHAVIOURS.iter().map(|behaviour| behaviour.name);
        let expected: Vec<_> = names
            .filter(|name| chosen.is_empty() || chosen.contains(name))
            .map(|name| format!("ok {name}"))
            .collect();
        assert_eq!(said.text().lines().collect::<Vec<_>>(), expected, "in {}", self.name);
        assert_eq!(serving.complaints(), "", "of the server that {} asks", self.name);
    }

    /// Asks so many times by TCP and by UDP who serves a port, and counts them: "tcp NAME".
    ///
    /// # Panics
    /// When nobody does, or connections mix.
    pub async fn meets(&self, port: u16, count: usize) -> BTreeMap<String, usize> {
        let said = self.tries(&["meet", &port.to_string(), &count.to_string()]).await;
        let lines = said.lines().map(|line| line.rsplit_once(' ').expect("a name and a count"));
        lines.map(|(who, times)| (who.to_owned(), times.parse().expect("a count"))).collect()
    }

    /// Asks who serves a port, by TCP and UDP: that nobody does is said.
    ///
    /// # Panics
    /// When somebody does.
    pub async fn meets_nobody(&self, port: u16) {
        self.tries(&["nobody", &port.to_string()]).await;
    }

    async fn tries(&self, what: &[&str]) -> String {
        let exec = Exec::new([&[localhost::PROGRAM.name()], what].concat());
        let output = self.site.pod_exec(self.vm, self.name, exec).await.expect("the asker runs");
        let said = output.success(format!("{} in {}", what.join(" "), self.name));
        said.unwrap_or_else(|error| panic!("{error}")).text()
    }

    /// What it has sent, by how it was judged.
    ///
    /// # Panics
    /// When it is not in the group.
    pub async fn packets(&self) -> Packets {
        let fractions = group(self.site).await.group.expect("a group").fractions;
        let own = fractions.into_iter().find(|fraction| fraction.name == self.name);
        let counters = own.expect("it has joined").counters.expect("a fraction's counters");
        // The host asks now and then who answers.
        counters.packets.into_iter().filter(|(name, _)| name != "heard").collect()
    }
}

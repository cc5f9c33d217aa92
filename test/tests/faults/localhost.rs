//! Fractions of a pod in two VMs, which talk over its localhost.

use super::drill::{Given, RESIDENT, join};
use nestless_lab::{LabBuilder, Vmm};
use nestless_test::{Call, Conversation, Echo, End, Serving, Site, cni, echo, lab, operator};
use serde_json::json;

const GROUP: &str = "shop";
/// In the other VM.
const SERVER: &str = "server";
/// Those that come and go are one fraction: its name and its place must be free each time.
const VISITOR: &str = "visitor";
/// Of the server, of whoever visits, and of connections that stay open.
const SERVED: u16 = 7000;
const VISITED: u16 = 7001;
const TALKING: u16 = 7002;
const TIED: u16 = 7003;

/// Those that live through everything.
pub(crate) struct Localhost {
    server: Serving,
    /// One connection from the beginning to the end.
    talk: Conversation,
}

impl Given for Localhost {
    type Tie = Conversation;

    fn lab(what: &str, vmm: Vmm) -> LabBuilder {
        lab(what, vmm).vms(2).own_program(Echo::PROGRAM)
    }

    fn call(command: &str, container: &str) -> Call {
        let fraction = if [RESIDENT, SERVER].contains(&container) { container } else { VISITOR };
        let loopback = json!({"group": GROUP, "fraction": fraction});
        Call::new(command, container).conf("mode", json!("loopback")).conf("loopback", loopback)
    }

    async fn begin(site: &Site) -> Self {
        join::<Self>(site, "vm2", SERVER).await;
        let server = Echo::serve(site, "vm2", SERVER, SERVED, SERVED).await;
        let (resident, answerer) = (End { vm: "vm1", pod: RESIDENT }, End { vm: "vm2", pod: SERVER });
        let talk = Conversation::begin(site, resident, answerer, TALKING).await;
        Self { server, talk }
    }

    async fn serves(&mut self, site: &Site, container: &str) {
        echo::answers_at_home(site, "vm1", container, SERVED).await;
        let visited = Echo::serve(site, "vm1", container, VISITED, VISITED).await;
        echo::answers_at_home(site, "vm1", RESIDENT, VISITED).await;
        visited.end().await;
        is_whole(site, &[(RESIDENT, "vm1"), (SERVER, "vm2"), (VISITOR, "vm1")]).await;
    }

    async fn tied(&mut self, site: &Site, container: &str) -> Conversation {
        let (asker, answerer) = (End { vm: "vm2", pod: SERVER }, End { vm: "vm1", pod: container });
        Conversation::begin(site, asker, answerer, TIED).await
    }

    async fn is_untied(&mut self, tie: Conversation) {
        tie.is_cut().await;
    }

    async fn lives_on(&mut self, site: &Site) {
        self.talk.goes_on().await;
        echo::answers_at_home(site, "vm1", RESIDENT, SERVED).await;
        operator::settled(site).await;
        // Everybody in the group has refused it, so nobody is in it who is not there.
        echo::refuses_at_home(site, "vm1", RESIDENT, VISITED).await;
        is_whole(site, &[(RESIDENT, "vm1"), (SERVER, "vm2")]).await;
    }

    async fn end(self, site: &Site) {
        self.talk.end().await;
        self.server.end().await;
        Self::call("DEL", SERVER).insist(site, "vm2").await.unwrap();
        cni::drop_sandbox(site, "vm2", SERVER).await.unwrap();
    }
}

/// These are in the group, in ledger and kernel, and nobody else.
async fn is_whole(site: &Site, expected: &[(&str, &str)]) {
    let group = operator::group(site, GROUP).await.unwrap().group.unwrap();
    assert!(group.fractions.iter().all(|fraction| fraction.reflected), "{group:?}");
    let there: Vec<_> = group.fractions.iter().map(|f| (f.name.as_str(), f.vm.as_str())).collect();
    assert_eq!(there, expected);
}

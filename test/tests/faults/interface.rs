//! Pods with an interface of their own, on the host's bridge.

use super::drill::{Given, RESIDENT};
use nestless_lab::{LabBuilder, Vmm};
use nestless_test::{
    Call, Site, lab,
    traffic::{self, GATEWAYS},
};

pub(crate) struct Interface;

impl Given for Interface {
    type Tie = ();

    fn lab(what: &str, vmm: Vmm) -> LabBuilder {
        lab(what, vmm)
    }

    fn call(command: &str, container: &str) -> Call {
        Call::new(command, container)
    }

    async fn begin(_: &Site) -> Self {
        Self
    }

    async fn serves(&mut self, site: &Site, container: &str) {
        for gateway in GATEWAYS {
            let output = site.pod_exec("vm1", container, traffic::ping(gateway)).await.unwrap();
            output.success(format!("{container} pings {gateway}")).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    async fn tied(&mut self, _: &Site, _: &str) {}

    async fn is_untied(&mut self, (): ()) {}

    async fn lives_on(&mut self, site: &Site) {
        self.serves(site, RESIDENT).await;
    }

    async fn end(self, _: &Site) {}
}

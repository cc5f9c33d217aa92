//! The sides: each a way between the same two VMs, with a server that runs at its far end only.

use crate::{
    Watch,
    load::{MAPPED_PORTS, Station},
};
use anyhow::Context as _;
use nestless_lab::{Lab, Way, WayEnds};

/// A way that is measured.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) asker: Station,
    pub(super) server: Station,
}

/// Builds all of them.
pub(super) async fn build(lab: &Lab, vms: [&str; 2], watch: Watch<'_>) -> anyhow::Result<Vec<Side>> {
    let mut sides = Vec::new();
    for way in Way::ALL {
        watch(&format!("build the way {way}"));
        let ends = lab.way(way, vms, MAPPED_PORTS).await?;
        let side = between(lab, way.name(), &ends).await;
        sides.push(side.with_context(|| format!("serve on the way {way}"))?);
    }
    Ok(sides)
}

async fn between(lab: &Lab, name: &'static str, ends: &WayEnds) -> anyhow::Result<Side> {
    let server = Station::pod(lab.vm(&ends.server.vm)?, &ends.server.pod, ends.address).await?;
    let asker = Station::asking(lab.vm(&ends.asker.vm)?, &ends.asker.pod).await?;
    Ok(Side { name, asker, server })
}

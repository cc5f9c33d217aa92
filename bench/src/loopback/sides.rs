//! The sides: each a way between the same two VMs, with a server that runs at its far end only.

use crate::load::{MAPPED_PORTS, Side, Station};
use anyhow::Context as _;
use nestless_lab::{Lab, Progress, Way, WayEnds};
use std::sync::Arc;

/// As [`Way::Hostlo`], with further fractions that neither ask nor listen.
pub(super) const MANY: &str = "hostlo-many";

/// Those that are asked for.
pub(super) async fn build(
    lab: &Lab,
    vms: [&str; 2],
    ways: &[Way],
    progress: &Progress,
) -> anyhow::Result<Vec<Side>> {
    let mut sides = Vec::new();
    for &way in ways {
        progress.step(format!("build the way {way}"));
        let ends = lab.way(way, vms, MAPPED_PORTS).await?;
        let side = between(lab, way.name(), &ends).await;
        sides.push(side.with_context(|| format!("serve on the way {way}"))?);
    }
    Ok(sides)
}

/// A split pod of more than two fractions.
pub(super) async fn many(
    lab: &Lab,
    vms: [&str; 2],
    fractions: usize,
    progress: &Progress,
) -> anyhow::Result<Side> {
    progress.step(format!("split a pod into {fractions} fractions"));
    let ends = lab.split_way(vms, MANY, fractions).await?;
    between(lab, MANY, &ends).await.context("serve in one of many fractions")
}

async fn between(lab: &Lab, name: &'static str, ends: &WayEnds) -> anyhow::Result<Side> {
    let server = Station::pod(lab.vm(&ends.server.vm)?, &ends.server.pod, ends.address).await?;
    let asker = Station::asking(lab.vm(&ends.asker.vm)?, &ends.asker.pod).await?;
    Ok(Side { name, asker: Arc::new(asker), server: Arc::new(server) })
}

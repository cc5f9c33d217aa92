//! The sides: each a way between the same two VMs, with a server that runs at its far end only.

use super::Options;
use crate::{
    Watch,
    load::{MAPPED_PORTS, Station},
};
use anyhow::Context as _;
use nestless_lab::{Lab, WayEnds};

/// As [`nestless_lab::Way::Hostlo`], with further fractions that neither ask nor listen.
pub(super) const MANY: &str = "hostlo-many";

/// A way that is measured.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) asker: Station,
    pub(super) server: Station,
}

/// Builds those that are asked for; [`MANY`] with more than two fractions.
pub(super) async fn build(
    lab: &Lab,
    vms: [&str; 2],
    options: &Options,
    watch: Watch<'_>,
) -> anyhow::Result<Vec<Side>> {
    let mut sides = Vec::new();
    for &way in &options.ways {
        watch(&format!("build the way {way}"));
        let ends = lab.way(way, vms, MAPPED_PORTS).await?;
        let side = between(lab, way.name(), &ends).await;
        sides.push(side.with_context(|| format!("serve on the way {way}"))?);
    }
    let fractions = options.fractions;
    if fractions > 2 {
        watch(&format!("split a pod into {fractions} fractions"));
        let ends = lab.split_way(vms, MANY, fractions).await?;
        sides.push(between(lab, MANY, &ends).await.context("serve in one of many fractions")?);
    }
    Ok(sides)
}

async fn between(lab: &Lab, name: &'static str, ends: &WayEnds) -> anyhow::Result<Side> {
    let server = Station::pod(lab.vm(&ends.server.vm)?, &ends.server.pod, ends.address).await?;
    let asker = Station::asking(lab.vm(&ends.asker.vm)?, &ends.asker.pod).await?;
    Ok(Side { name, asker, server })
}

//! `nestless trace`: the way of a pod's packets, device by device.

use crate::{
    complete,
    operator::{Daemon, refused},
    output,
    report::Trace,
};
use clap_complete::ArgValueCandidates;
use nestless_page::Table;
use nestless_proto::TraceRequest;
use std::process::ExitCode;

/// Show the way of a pod's packets, device by device.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// "namespace/name", "name", the beginning of a container id, an address, or a split pod's "loopback:GROUP/FRACTION".
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pod: String,
    #[command(flatten)]
    daemon: Daemon,
    /// Print JSON (`nestless schema trace`).
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Exit code 1 when the daemon misses a device on the way.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut client = self.daemon.connect().await?;
        let answer = client.trace(TraceRequest { pod: self.pod }).await.map_err(refused)?.into_inner();
        let trace = Trace::from(answer);
        if self.json {
            output::print_json(&trace)?;
        } else {
            output::print(&render(&trace))?;
        }
        Ok(if trace.hops.iter().all(|hop| hop.seen) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn render(trace: &Trace) -> String {
    let pod = match (&trace.pod, &trace.attachment) {
        (Some(pod), _) if !pod.name.is_empty() => format!("pod {}/{}", pod.namespace, pod.name),
        (_, Some(id)) => format!("container {}, interface {}", id.container_id, id.interface),
        _ => "pod".into(),
    };
    let mut table = Table::new(["PLACE", "DEVICE", "KIND", "SEEN", "DETAIL"]);
    for hop in &trace.hops {
        let seen = if hop.seen { "yes" } else { "MISSING" };
        table.add_row([&hop.place, &hop.device, &hop.kind, seen, &hop.detail]);
    }
    format!("{pod} in VM {}\n\n{}", trace.vm, table.terminal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nestless_proto as proto;

    #[test]
    fn from_the_pod_outwards() {
        let hop = |place: &str, device: &str, kind: &str, detail: &str, seen| proto::Hop {
            place: place.into(),
            device: device.into(),
            kind: kind.into(),
            detail: detail.into(),
            seen,
        };
        let trace = proto::TraceResponse {
            vm: "vm1".into(),
            attachment: Some(proto::AttachmentId {
                container_id: "0123456789ab".into(),
                interface: "eth0".into(),
            }),
            pod: Some(proto::PodRef { namespace: "default".into(), name: "web".into(), uid: String::new() }),
            hops: vec![
                hop("pod", "eth0", "virtio-net", "10.78.0.7/16, MTU 1500", true),
                hop("host", "nla", "tap", "guard: 120 passed, 0 dropped", true),
                hop("host", "nlbr0", "bridge", "10.78.0.1/16", false),
            ],
        };
        insta::assert_snapshot!(render(&trace.into()), @r"
        pod default/web in VM vm1

        PLACE  DEVICE  KIND        SEEN     DETAIL
        pod    eth0    virtio-net  yes      10.78.0.7/16, MTU 1500
        host   nla     tap         yes      guard: 120 passed, 0 dropped
        host   nlbr0   bridge      MISSING  10.78.0.1/16
        ");
    }
}

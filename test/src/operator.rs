//! What the operator asks of the lab's daemon.

use crate::eventually;
use nestless_lab::Lab;
use nestless_proto::{
    AttachmentId, ListGroupsRequest, ListGroupsResponse, NicStatus, ReconcileRequest, ReconcileResponse,
    ReleaseRequest, ShowGroupRequest, ShowGroupResponse, StatusRequest, StatusResponse, TraceRequest,
    TraceResponse, VmStatus,
    connection::{self, ConnectError},
    operator_client::OperatorClient,
};
use tonic::{Status, transport::Channel};

/// A connection of its own: the daemon may have been another one a moment ago.
pub async fn connect(lab: &Lab) -> Result<OperatorClient<Channel>, ConnectError> {
    connection::operator(&lab.operator_socket()).await
}

async fn client(lab: &Lab) -> OperatorClient<Channel> {
    connect(lab).await.expect("the daemon runs")
}

/// The daemon's state.
pub async fn status(lab: &Lab) -> StatusResponse {
    client(lab).await.status(StatusRequest {}).await.expect("status").into_inner()
}

/// One VM's.
pub async fn vm(lab: &Lab, name: &str) -> VmStatus {
    let found = status(lab).await.vms.into_iter().find(|vm| vm.name == name);
    found.expect("the daemon knows every VM of the lab")
}

/// The NIC that serves a container's eth0.
pub async fn nic_of(lab: &Lab, container: &str) -> Option<NicStatus> {
    let nics = status(lab).await.vms.into_iter().flat_map(|vm| vm.nics);
    nics.into_iter().find(|nic| serves(nic, container))
}

/// The NIC that serves one of several interfaces of a container.
pub async fn nic_of_interface(lab: &Lab, container: &str, interface: &str) -> Option<NicStatus> {
    let nics = status(lab).await.vms.into_iter().flat_map(|vm| vm.nics);
    let is_it = |nic: &NicStatus| nic.attachment.as_ref().is_some_and(|id| id.interface == interface);
    nics.filter(|nic| serves(nic, container)).find(is_it)
}

/// Waits until a NIC serves a container's eth0, and its agent has said so.
///
/// # Panics
/// When none does.
pub async fn confirmed(lab: &Lab, container: &str) -> NicStatus {
    eventually("a confirmed NIC", || async {
        let found = nic_of(lab, container).await.filter(|nic| nic.phase == "InUse");
        found.ok_or_else(|| format!("no NIC serves {container}"))
    })
    .await
}

/// Waits until no NIC serves a container's eth0.
///
/// # Panics
/// When one goes on.
pub async fn is_over(lab: &Lab, container: &str) {
    eventually("the attachment's end", || async {
        nic_of(lab, container).await.map_or(Ok(()), |nic| Err(format!("{nic:?}")))
    })
    .await;
}

/// Whether the NIC serves that container.
pub fn serves(nic: &NicStatus, container: &str) -> bool {
    nic.attachment.as_ref().is_some_and(|id| id.container_id == container)
}

/// Has kernel and hypervisor looked at now.
pub async fn reconcile(lab: &Lab) -> ReconcileResponse {
    client(lab).await.reconcile(ReconcileRequest {}).await.expect("reconcile").into_inner()
}

/// The path of a pod's packets.
pub async fn trace(lab: &Lab, pod: &str) -> TraceResponse {
    client(lab).await.trace(TraceRequest { pod: pod.to_owned() }).await.expect("trace").into_inner()
}

/// One loopback group with its flows.
///
/// # Errors
/// When there is none of that name.
pub async fn group(lab: &Lab, name: &str) -> Result<ShowGroupResponse, Status> {
    let request = ShowGroupRequest { name: name.to_owned() };
    client(lab).await.show_group(request).await.map(tonic::Response::into_inner)
}

/// All loopback groups, and what came from links in none.
pub async fn groups(lab: &Lab) -> ListGroupsResponse {
    client(lab).await.list_groups(ListGroupsRequest {}).await.expect("groups").into_inner()
}

/// Takes a pod's eth0 away; whether there was one.
pub async fn release(lab: &Lab, vm: &str, container: &str) -> bool {
    let attachment = AttachmentId { container_id: container.to_owned(), interface: "eth0".to_owned() };
    let request = ReleaseRequest { vm: vm.to_owned(), attachment: Some(attachment) };
    client(lab).await.release(request).await.expect("release").into_inner().existed
}

/// Waits until nothing is under way: every NIC is spare or in use, every running VM's agent is there and its pool full.
pub async fn settled(lab: &Lab) -> StatusResponse {
    eventually("nothing under way", || async {
        let status = status(lab).await;
        match status.vms.iter().find_map(unsettled) {
            None => Ok(status),
            Some(reason) => Err(reason),
        }
    })
    .await
}

fn unsettled(vm: &VmStatus) -> Option<String> {
    if let Some(nic) = vm.nics.iter().find(|nic| !matches!(nic.phase.as_str(), "Spare" | "InUse")) {
        return Some(format!("{}: NIC {} is {}", vm.name, nic.nic_id, nic.phase));
    }
    let wanted = vm.warm_pool.min(vm.nic_limit.saturating_sub(vm.in_use));
    let lacks = vm.state == "running" && vm.spare < wanted;
    let absent = vm.state != "down" && (vm.channel != "connected" || vm.state == "booting");
    (lacks || absent)
        .then(|| format!("{}: {}, channel {}, {} of {wanted} spare", vm.name, vm.state, vm.channel, vm.spare))
}

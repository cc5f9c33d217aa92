//! Whoever calls the daemon.

use nestless_proto::{
    HelloRequest, StatusRequest, StatusResponse, connection, guest_client::GuestClient,
    operator_client::OperatorClient,
};
use std::path::Path;
use tonic::{Status, transport::Channel};

pub(crate) async fn unix(path: &Path) -> Channel {
    connection::channel(path).await.unwrap()
}

/// Which VM the daemon takes the caller for.
pub(crate) async fn hello(channel: Channel) -> Result<String, Status> {
    let request = HelloRequest {
        agent_version: "test".to_owned(),
        boot_id: "boot-1".to_owned(),
        ..HelloRequest::default()
    };
    Ok(GuestClient::new(channel).hello(request).await?.into_inner().vm)
}

/// What may change by nobody's doing, the time, is left out.
pub(crate) async fn status(operator: &Channel) -> StatusResponse {
    let answer = OperatorClient::new(operator.clone()).status(StatusRequest {}).await.unwrap();
    StatusResponse { uptime_s: 0, ..answer.into_inner() }
}

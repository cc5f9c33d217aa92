//! Raw bytes on a VM's channel, by the very server that guests meet: HTTP/2, gRPC, and the messages within.

use nestless_proto::{
    AttachRequest, AttachResponse, CapacityRequest, CapacityResponse, CheckRequest, CheckResponse,
    ConfirmRequest, ConfirmResponse, DetachRequest, DetachResponse, HelloRequest, HelloResponse, JoinRequest,
    JoinResponse, ListRequest, ListResponse, ReleaseAddressRequest, ReleaseAddressResponse, ReportRequest,
    ReportResponse, ReserveAddressRequest, ReserveAddressResponse, guest_server::Guest,
};
use nestlessd::{Refusal, input};
use std::sync::LazyLock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::{Builder, Runtime},
};
use tonic::{Request, Response, Status};

/// What a client's connection begins with, and its empty settings (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

/// The first byte says whether the rest comes behind the preface, and in pieces of what size. Whatever comes, the server ends
/// the channel after the guest has.
pub(crate) fn attack(input: &[u8]) {
    let Some((&how, bytes)) = input.split_first() else { return };
    let preface = if how & 1 == 0 { PREFACE } else { &[] };
    let piece = 1 << (how >> 4);
    RUNTIME.block_on(async move {
        let (mut guest, host) = tokio::io::duplex(1 << 16);
        let vm = "vm1".parse().expect("a VM's name");
        let server = tokio::spawn(nestlessd::serve_channel(Checked, host, vm));
        let (mut answers, mut requests) = tokio::io::split(&mut guest);
        let talk = async {
            // A server that has ended the channel reads no more.
            for piece in std::iter::once(preface).chain(bytes.chunks(piece)) {
                if requests.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _ = requests.shutdown().await;
        };
        let mut heard = Vec::new();
        let (_, _) = tokio::join!(talk, answers.read_to_end(&mut heard));
        drop(guest);
        server.await.expect("the server panicked");
    });
}

/// Checks requests as nestlessd does, and does nothing.
struct Checked;

fn nothing<T: Default>(checked: Result<impl Sized, Refusal>) -> Result<Response<T>, Status> {
    checked.map(|_| Response::new(T::default())).map_err(Status::from)
}

#[tonic::async_trait]
impl Guest for Checked {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        nothing(input::hello(request.into_inner()))
    }

    async fn attach(&self, request: Request<AttachRequest>) -> Result<Response<AttachResponse>, Status> {
        nothing(input::attach_request(request.into_inner()))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        nothing(input::join_request(request.into_inner()))
    }

    async fn confirm(&self, request: Request<ConfirmRequest>) -> Result<Response<ConfirmResponse>, Status> {
        nothing(input::confirm(request.into_inner()))
    }

    async fn detach(&self, request: Request<DetachRequest>) -> Result<Response<DetachResponse>, Status> {
        nothing(input::attachment_id(request.into_inner().attachment))
    }

    async fn reserve_address(
        &self,
        request: Request<ReserveAddressRequest>,
    ) -> Result<Response<ReserveAddressResponse>, Status> {
        nothing(input::reserve(request.into_inner()))
    }

    async fn release_address(
        &self,
        request: Request<ReleaseAddressRequest>,
    ) -> Result<Response<ReleaseAddressResponse>, Status> {
        nothing(input::release(request.into_inner()))
    }

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        nothing(input::attachment_id(request.into_inner().attachment))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(ListResponse::default()))
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        nothing(input::report(request.into_inner()))
    }

    async fn capacity(
        &self,
        request: Request<CapacityRequest>,
    ) -> Result<Response<CapacityResponse>, Status> {
        nothing(input::capacity(request.into_inner()))
    }
}

//! What a guest can do with its channel, and what it cannot.

use crate::daemon::{
    Site,
    client::{hello, status, unix},
    http2::{END_HEADERS, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, call_fields, frame},
    inside,
};
use nestless_proto::{
    AttachRequest, AttachmentId, DetachRequest, HelloRequest, ListRequest, MAX_REQUEST_BYTES, Refusal,
    ReleaseAddressRequest, ReserveAddressRequest, StatusRequest, guest_client::GuestClient,
    operator_client::OperatorClient, refusal::Reason,
};
use std::{fs, os::unix::fs::PermissionsExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

/// A VM with a unix channel of its own.
fn vm(site: &mut Site, name: &str) -> String {
    let socket = site.path(&format!("{name}.sock"));
    site.vm(name, &format!("unix = \"{}\"", socket.display()))
}

fn two_vms(site: &mut Site) -> String {
    ["vm1", "vm2"].map(|name| vm(site, name)).concat()
}

async fn is_serving(channel: &Channel, service: &str) -> bool {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
    answer.status() == ServingStatus::Serving
}

async fn services(channel: &Channel) -> Vec<String> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    match answers.next().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|s| s.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_servers_tell_their_health_and_the_operator_s_its_api() {
    inside(|| async {
        let mut site = Site::new();
        let vms = two_vms(&mut site);
        site.start(&vms);
        for (socket, service) in
            [("vm1.sock", "nestless.v1.Guest"), ("run/nestlessd.sock", "nestless.v1.Operator")]
        {
            let channel = unix(&site.path(socket)).await;
            assert!(is_serving(&channel, service).await && is_serving(&channel, "").await, "{socket}");
        }
        let known = services(&unix(&site.path("run/nestlessd.sock")).await).await;
        assert!(known.iter().any(|name| name == "nestless.v1.Operator"), "{known:?}");
    });
}

#[test]
fn the_channel_says_who_calls_and_leads_to_no_operator() {
    inside(|| async {
        let mut site = Site::new();
        let vms = two_vms(&mut site);
        site.start(&vms);
        for vm in ["vm1", "vm2"] {
            let channel = unix(&site.path(&format!("{vm}.sock"))).await;
            assert_eq!(hello(channel.clone()).await.unwrap(), vm);
            let refused = OperatorClient::new(channel).status(StatusRequest {}).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented);
        }
        let operator = unix(&site.path("run/nestlessd.sock")).await;
        let refused = GuestClient::new(operator).list(ListRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
    });
}

/// What a VM asks about addresses.
struct Keeper(GuestClient<Channel>);

impl Keeper {
    async fn of(site: &Site, vm: &str) -> Self {
        let channel = unix(&site.path(&format!("{vm}.sock"))).await;
        hello(channel.clone()).await.unwrap();
        Self(GuestClient::new(channel))
    }

    async fn reserve(&mut self, request: &str, address: &str) -> Result<String, (Reason, String)> {
        let (request_id, address) = (request.to_owned(), address.to_owned());
        let request = ReserveAddressRequest { request_id, address, ..ReserveAddressRequest::default() };
        self.ask(request).await
    }

    async fn ask(&mut self, request: ReserveAddressRequest) -> Result<String, (Reason, String)> {
        let answer = self.0.reserve_address(request).await;
        answer.map(|answer| answer.into_inner().address).map_err(refused)
    }

    async fn release(&mut self, address: &str) -> Result<bool, (Reason, String)> {
        let (request_id, address) = ("release".to_owned(), address.to_owned());
        let request = ReleaseAddressRequest { request_id, address, ..ReleaseAddressRequest::default() };
        let answer = self.0.release_address(request).await;
        answer.map(|answer| answer.into_inner().existed).map_err(refused)
    }

    async fn attach(&mut self, container: &str, address: &str) -> Result<Vec<String>, (Reason, String)> {
        let id = AttachmentId { container_id: container.to_owned(), interface: "eth0".to_owned() };
        let request = AttachRequest {
            request_id: format!("attach-{container}"),
            attachment: Some(id),
            addresses: vec![address.to_owned()],
            ..AttachRequest::default()
        };
        self.0.attach(request).await.map(|answer| answer.into_inner().addresses).map_err(refused)
    }

    async fn detach(&mut self, container: &str) {
        let id = AttachmentId { container_id: container.to_owned(), interface: "eth0".to_owned() };
        let request = DetachRequest { request_id: "detach".to_owned(), attachment: Some(id) };
        assert!(self.0.detach(request).await.unwrap().into_inner().existed);
    }
}

fn refused(status: Status) -> (Reason, String) {
    (Refusal::from_status(&status).unwrap().reason(), status.message().to_owned())
}

async fn reserved(site: &Site) -> Vec<u32> {
    let operator = unix(&site.path("run/nestlessd.sock")).await;
    status(&operator).await.vms.iter().map(|vm| vm.reserved_addresses).collect()
}

#[test]
fn an_address_is_kept_for_the_vm_that_reserved_it() {
    inside(|| async {
        let mut site = Site::new();
        let first = vm(&mut site, "vm1");
        let vms = first.clone() + &vm(&mut site, "vm2");
        site.start(&vms);
        let (mut own, mut other) = (Keeper::of(&site, "vm1").await, Keeper::of(&site, "vm2").await);
        let any = own.reserve("r1", "").await.unwrap();
        assert_eq!(own.reserve("r1", "").await.unwrap(), any, "the same request again");
        assert_eq!(own.reserve("r2", "10.78.0.77").await.unwrap(), "10.78.0.77/16");
        // By whom is none of its business.
        let text =
            "network pods: 10.78.0.77 is reserved for another VM; ask for another address, or for none";
        let held = (Reason::AddressInUse, text.to_owned());
        assert_eq!(other.reserve("r1", "10.78.0.77").await.unwrap_err(), held);
        assert_eq!(other.attach("thief", "10.78.0.77").await.unwrap_err(), held);
        assert!(!other.release("10.78.0.77").await.unwrap(), "another VM's is not its to release");
        assert_eq!(reserved(&site).await, [2, 0]);

        site.kill();
        site.start(&vms);
        let (mut own, mut other) = (Keeper::of(&site, "vm1").await, Keeper::of(&site, "vm2").await);
        assert_eq!(own.reserve("r1", "").await.unwrap(), any, "after a crash");
        assert_eq!(other.attach("thief", "10.78.0.77").await.unwrap_err(), held);
        assert_eq!(own.attach("pod", "10.78.0.77").await.unwrap(), ["10.78.0.77/16"]);
        let (reason, text) = own.attach("second", "10.78.0.77").await.unwrap_err();
        assert_eq!(reason, Reason::AddressInUse, "{text}");
        own.detach("pod").await;
        assert_eq!(own.attach("third", "10.78.0.77").await.unwrap(), ["10.78.0.77/16"], "it was kept");
        assert!(own.release("10.78.0.77/16").await.unwrap());
        assert!(!own.release("10.78.0.77").await.unwrap());
        let (reason, text) = other.attach("thief", "10.78.0.77").await.unwrap_err();
        assert_eq!((reason, text.contains("in use by another pod")), (Reason::AddressInUse, true), "{text}");
        own.detach("third").await;
        assert_eq!(reserved(&site).await, [1, 0]);

        // Another boot of the guest, and a VM that is configured no more, keep nothing.
        own.0.hello(HelloRequest { boot_id: "boot-2".to_owned(), ..HelloRequest::default() }).await.unwrap();
        assert_eq!(reserved(&site).await, [0, 0]);
        assert_eq!(other.reserve("r2", "10.78.0.99").await.unwrap(), "10.78.0.99/16");
        site.kill();
        site.start(&first);
        let (reason, text) = Keeper::of(&site, "vm1").await.reserve("r3", "10.78.0.99").await.unwrap_err();
        assert_eq!((reason, text.contains("cools down")), (Reason::RateLimited, true), "{text}");
    });
}

#[test]
fn a_guest_that_reserves_without_measure_or_sense_is_refused() {
    inside(|| async {
        let mut site = Site::new();
        let vms = two_vms(&mut site);
        site.start(&vms);
        let (mut greedy, mut modest) = (Keeper::of(&site, "vm1").await, Keeper::of(&site, "vm2").await);
        for (request, address) in [
            ("", "10.78.0.7"),
            ("r", "10.78.0.1"),
            ("r", "10.99.0.1"),
            ("r", "moon"),
            ("r", "10.78.0.7%eth0"),
            ("r", &"9".repeat(10_000)),
        ] {
            let (reason, text) = greedy.reserve(request, address).await.unwrap_err();
            assert_eq!((reason, text.len() < 400), (Reason::Invalid, true), "{text}");
        }
        let six = ReserveAddressRequest { request_id: "r".to_owned(), ipv6: true, ..Default::default() };
        assert_eq!(greedy.ask(six.clone()).await.unwrap_err().0, Reason::Invalid);
        let moon = ReserveAddressRequest { network: "moon".to_owned(), ipv6: false, ..six };
        assert_eq!(greedy.ask(moon).await.unwrap_err().0, Reason::UnknownNetwork);
        assert_eq!(greedy.release("").await.unwrap_err().0, Reason::Invalid);
        assert!(!greedy.release("10.99.0.1").await.unwrap());

        // As many as it may have NICs; and whoever gives back and takes anew leaves addresses to the others.
        for n in 0..4 {
            greedy.reserve(&format!("r{n}"), "").await.unwrap();
        }
        let (reason, text) = greedy.reserve("r4", "").await.unwrap_err();
        assert_eq!(reason, Reason::NoCapacity, "{text}");
        assert_eq!(reserved(&site).await, [4, 0]);
        modest.reserve("r", "").await.unwrap();
    });
}

#[test]
fn an_oversize_message_is_refused_and_changes_nothing() {
    inside(|| async {
        let mut site = Site::new();
        let vms = two_vms(&mut site);
        site.start(&vms);
        let operator = unix(&site.path("run/nestlessd.sock")).await;
        let channel = unix(&site.path("vm1.sock")).await;
        let mut guest = GuestClient::new(channel);
        guest.list(ListRequest {}).await.unwrap();
        let before = status(&operator).await;
        let request =
            AttachRequest { sandbox: "x".repeat(MAX_REQUEST_BYTES + 1), ..AttachRequest::default() };
        let refused = guest.attach(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
        assert_eq!(status(&operator).await, before);
        guest.list(ListRequest {}).await.unwrap();
    });
}

#[test]
fn more_streams_than_allowed_are_refused_and_the_daemon_lives() {
    inside(|| async {
        let mut site = Site::new();
        let vms = two_vms(&mut site);
        site.start(&vms);
        let mut socket = UnixStream::connect(site.path("vm1.sock")).await.unwrap();
        socket.write_all(PREFACE).await.unwrap();
        socket.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        // Calls that are begun and never ended. The daemon may have hung up before the last.
        let fields = call_fields("/nestless.v1.Guest/List");
        for number in 0..600 {
            let begun = frame(HEADERS, END_HEADERS, number * 2 + 1, &fields);
            if socket.write_all(&begun).await.is_err() {
                break;
            }
        }
        let refused = loop {
            let mut head = [0; 9];
            if socket.read_exact(&mut head).await.is_err() {
                break true;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            socket.read_exact(&mut payload).await.unwrap();
            if matches!(head[3], RST_STREAM | GOAWAY) {
                break true;
            }
        };
        assert!(refused);
        drop(socket);
        for vm in ["vm1", "vm2"] {
            assert_eq!(hello(unix(&site.path(&format!("{vm}.sock"))).await).await.unwrap(), vm);
        }
    });
}

#[test]
fn a_flood_is_refused_and_another_vm_is_served() {
    inside(|| async {
        let mut site = Site::new();
        let vms = two_vms(&mut site);
        site.start(&vms);
        let mut guest = GuestClient::new(unix(&site.path("vm1.sock")).await);
        // As an agent does, who thereby hears how many calls it may have under way.
        guest.list(ListRequest {}).await.unwrap();
        let neighbour = unix(&site.path("vm2.sock")).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let mut guest = guest.clone();
            calls.spawn(async move {
                // The cheapest call there is: it is counted before it is read.
                for _ in 0..500 {
                    let status = guest.detach(DetachRequest::default()).await.unwrap_err();
                    match Refusal::from_status(&status).unwrap().reason() {
                        Reason::RateLimited => return true,
                        reason => assert_eq!(reason, Reason::Invalid, "{status}"),
                    }
                }
                false
            });
        }
        let refused = calls.join_all().await;
        assert!(refused.contains(&true));
        assert_eq!(hello(neighbour).await.unwrap(), "vm2");
    });
}

#[test]
fn the_socket_is_the_owners_and_survives_a_crash_but_is_never_taken_from_another() {
    inside(|| async {
        let mut site = Site::new();
        let vms = two_vms(&mut site);
        site.start(&vms);
        for socket in ["vm1.sock", "vm2.sock", "run/nestlessd.sock"] {
            let mode = fs::metadata(site.path(socket)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{socket}");
        }
        site.kill();
        assert!(site.path("vm1.sock").exists(), "a killed daemon leaves its socket");
        site.start(&vms);
        assert_eq!(hello(unix(&site.path("vm1.sock")).await).await.unwrap(), "vm1");
        site.kill();
        fs::remove_file(site.path("vm1.sock")).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(site.path("vm1.sock")).unwrap();
        let (exit, text) = site.start_in_vain(&vms);
        assert!(!exit.success() && text.contains("is served by another process"), "{text}");
    });
}

//! What guests that mean harm have the daemon keep in memory.

use crate::daemon::{
    Site,
    client::{hello, unix},
    http2::{
        CONTINUATION, Deaf, END_HEADERS, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, call_fields, empty_call, field, frame,
    },
    inside,
};
use bytes::Bytes;
use nestless_proto::{AttachRequest, AttachmentId, HelloRequest, PodRef, guest_client::GuestClient};
use std::{fs, path::Path, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// For one VM, whatever it does.
const ALLOWED_KIB: usize = 8 << 10;
/// As many connections as a guest opens at once here; the daemon takes fewer.
const CONNECTIONS: usize = 8;
const PODS: usize = 48;
/// The window of a stream that is never closed (RFC 9113, 6.5.2), and a table for headers as large as can be said.
const GREEDY: [u8; 12] = [0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 1, 0xff, 0xff, 0xff, 0xff];

/// The daemon's memory.
struct Memory(u32);

impl Memory {
    fn kib(&self, key: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn now_kib(&self) -> usize {
        self.kib("VmRSS")
    }

    /// The most since the last time (proc(5), `clear_refs`).
    fn peak_kib(&self) -> usize {
        let peak = self.kib("VmHWM");
        fs::write(format!("/proc/{}/clear_refs", self.0), "5").unwrap();
        peak
    }

    /// Waits until it has not grown for a while; whatever is held back has been taken in by then.
    async fn rests(&self) {
        let (mut last, mut unchanged) = (0, 0);
        for _ in 0..100 {
            let now = self.now_kib();
            unchanged = if now > last { 0 } else { unchanged + 1 };
            last = now.max(last);
            if unchanged >= 10 {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Messages of 1 MiB, each sent but for its end.
async fn half_sent(socket: &Path, memory: &Memory) {
    const MESSAGE: usize = 1 << 20;
    let length = u32::try_from(MESSAGE).unwrap().to_be_bytes();
    let sent = Bytes::from([&[0][..], &length, &vec![7; MESSAGE - 1]].concat());
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (socket, sent) = (UnixStream::connect(socket).await.unwrap(), sent.clone());
        connections.spawn(async move {
            let Ok((client, connection)) = h2::client::handshake(socket).await else { return };
            let mut calls = JoinSet::new();
            for _ in 0..512 {
                let (client, sent) = (client.clone(), sent.clone());
                calls.spawn(async move {
                    let Ok(mut client) = client.ready().await else { return };
                    let request = http::Request::post("http://nestlessd/nestless.v1.Guest/Attach")
                        .header("content-type", "application/grpc")
                        .header("te", "trailers");
                    let Ok((answer, mut body)) = client.send_request(request.body(()).unwrap(), false) else {
                        return;
                    };
                    let _ = body.send_data(sent, false);
                    let _ = answer.await;
                });
            }
            let _ = tokio::join!(connection, calls.join_all());
        });
    }
    memory.rests().await;
}

/// Connections that say half of their first words, as many as go.
async fn idle_connections(socket: &Path, memory: &Memory) {
    let mut connections = Vec::new();
    for _ in 0..300 {
        let mut connection = UnixStream::connect(socket).await.unwrap();
        let _ = connection.write_all(&PREFACE[..20]).await;
        connections.push(connection);
    }
    memory.rests().await;
}

/// Does something on each of several connections, reads nothing, and stays until the memory rests.
async fn deaf(socket: &Path, memory: &Memory, attack: impl AsyncFn(&mut Deaf)) {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let Some(mut connection) = Deaf::connect(socket, &GREEDY).await else { continue };
        attack(&mut connection).await;
        connections.push(connection);
    }
    memory.rests().await;
}

async fn calls_unread(connection: &mut Deaf, path: &str) {
    for number in 0..512 {
        if !connection.say(&empty_call(path, number * 2 + 1)).await {
            return;
        }
    }
}

async fn endless_headers(connection: &mut Deaf) {
    let fields = field(&"n".repeat(120), &"v".repeat(120)).repeat(60);
    connection.say(&frame(HEADERS, 0, 1, &call_fields("/nestless.v1.Guest/List"))).await;
    connection.repeat(&frame(CONTINUATION, 0, 1, &fields), 2_000).await;
}

async fn many_headers(connection: &mut Deaf) {
    let fields = [call_fields("/nestless.v1.Guest/Attach"), field("a", "").repeat(3_000)].concat();
    for number in 0..512 {
        if !connection.say(&frame(HEADERS, END_HEADERS, number * 2 + 1, &fields)).await {
            return;
        }
    }
}

async fn begun_and_reset(connection: &mut Deaf) {
    let fields = call_fields("/nestless.v1.Guest/List");
    for number in 0..20_000 {
        let stream = number * 2 + 1;
        let begun = frame(HEADERS, END_HEADERS, stream, &fields);
        if !connection.say(&[begun, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()).await {
            return;
        }
    }
}

/// Pods with the longest words that are kept.
async fn pods(socket: &Path) {
    let mut guest = GuestClient::new(unix(socket).await);
    guest.hello(HelloRequest { boot_id: "boot-1".to_owned(), ..HelloRequest::default() }).await.unwrap();
    for number in 0..PODS {
        let container_id = format!("{number:x>250}");
        let words = "w".repeat(253);
        let request = AttachRequest {
            request_id: format!("attach-{number}"),
            attachment: Some(AttachmentId { container_id, interface: "eth0".to_owned() }),
            sandbox: "s".repeat(512),
            pod: Some(PodRef { namespace: words.clone(), name: words.clone(), uid: words }),
            ..AttachRequest::default()
        };
        guest.attach(request).await.unwrap();
    }
}

#[test]
fn no_guest_takes_more_than_its_share_of_memory() {
    inside(|| async {
        let mut site = Site::new();
        let sections = ["vm1", "vm2"].map(|name| {
            let socket = site.path(&format!("{name}.sock"));
            site.vm(name, &format!("unix = \"{}\"", socket.display()))
                .replace("nic_limit = 4", "nic_limit = 64")
        });
        site.start(&sections.concat());
        let (socket, memory) = (site.path("vm1.sock"), Memory(site.pid()));
        pods(&socket).await;
        memory.rests().await;
        let (before, mut report) = (memory.now_kib(), Vec::new());
        memory.peak_kib();
        let mut told = |what: &'static str| {
            let grown = memory.peak_kib().saturating_sub(before);
            eprintln!("| {what} | {:.1} MiB |", grown as f64 / 1024.0);
            report.push((what, grown));
        };

        half_sent(&socket, &memory).await;
        told("half-sent messages");
        idle_connections(&socket, &memory).await;
        told("connections that say nothing");
        deaf(&socket, &memory, async |c| calls_unread(c, "/nestless.v1.Guest/List").await).await;
        told("lists that nobody reads");
        deaf(&socket, &memory, async |c| calls_unread(c, "/grpc.health.v1.Health/Watch").await).await;
        told("watches");
        let reflected = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        deaf(&socket, &memory, async |c| calls_unread(c, reflected).await).await;
        told("reflection");
        deaf(&socket, &memory, async |c| endless_headers(c).await).await;
        told("headers without end");
        deaf(&socket, &memory, async |c| many_headers(c).await).await;
        told("calls with many headers");
        deaf(&socket, &memory, async |c| begun_and_reset(c).await).await;
        told("calls begun and reset");
        let floods = [
            ("pings", frame(PING, 0, 0, &[0; 8])),
            ("settings", frame(SETTINGS, 0, 0, &GREEDY)),
            ("windows", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
            ("priorities", frame(PRIORITY, 0, 7, &[0, 0, 0, 3, 9])),
        ];
        for (what, flood) in &floods {
            deaf(&socket, &memory, async |c| c.repeat(flood, 100_000).await).await;
            told(what);
        }
        for (what, grown) in report {
            assert!(grown <= ALLOWED_KIB, "{what}: {grown} KiB");
        }
        for vm in ["vm1", "vm2"] {
            let served = async {
                loop {
                    // The channels of the last flood are being closed.
                    let channel = unix(&site.path(&format!("{vm}.sock"))).await;
                    if let Ok(name) = hello(channel).await {
                        return name;
                    }
                    sleep(Duration::from_millis(200)).await;
                }
            };
            assert_eq!(timeout(Duration::from_secs(60), served).await.as_deref(), Ok(vm));
        }
    });
}

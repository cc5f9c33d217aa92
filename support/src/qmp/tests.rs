//! Against a QEMU that the test plays.

use super::*;
use std::{io, os::fd::AsRawFd as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": \"\"}, \"capabilities\": []}}\r\n";
const LONG: Duration = Duration::from_secs(60);

struct Server {
    _dir: tempfile::TempDir,
    path: PathBuf,
    listener: UnixListener,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self { _dir: dir, path, listener }
    }

    async fn accept(&self) -> BufReader<UnixStream> {
        BufReader::new(self.listener.accept().await.unwrap().0)
    }

    async fn connected(&self) -> (QmpClient, BufReader<UnixStream>) {
        let serve = async {
            let mut socket = self.accept().await;
            socket.write_all(GREETING.as_bytes()).await.unwrap();
            let capabilities = line(&mut socket).await;
            assert_eq!(capabilities["execute"], "qmp_capabilities");
            answer(&mut socket, &capabilities, "{}").await;
            socket
        };
        let (client, socket) = tokio::join!(QmpClient::connect(&self.path, LONG), serve);
        (client.unwrap(), socket)
    }
}

async fn line(socket: &mut BufReader<UnixStream>) -> Value {
    let mut text = String::new();
    socket.read_line(&mut text).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn answer(socket: &mut BufReader<UnixStream>, command: &Value, value: &str) {
    let text = format!("{{\"return\": {value}, \"id\": {}}}\r\n", command["id"]);
    socket.write_all(text.as_bytes()).await.unwrap();
}

fn del(id: &str) -> schema::device_del {
    schema::device_del { id: id.into() }
}

#[tokio::test]
async fn answers_find_their_commands_in_any_order() {
    let server = Server::new();
    let (client, mut socket) = server.connected().await;
    let serve = async {
        let (first, second) = (line(&mut socket).await, line(&mut socket).await);
        let refusal = format!(
            "{{\"error\": {{\"class\": \"DeviceNotFound\", \"desc\": \"no b\"}}, \"id\": {}}}\n",
            second["id"]
        );
        socket.write_all(refusal.as_bytes()).await.unwrap();
        answer(&mut socket, &first, "{}").await;
        (first, second)
    };
    let (a, b) = (del("a"), del("b"));
    let (a, b, (first, second)) = tokio::join!(client.execute(&a), client.execute(&b), serve);
    assert_eq!(first["arguments"]["id"], "a");
    assert_eq!(second["arguments"]["id"], "b");
    a.unwrap();
    let error = b.err().unwrap();
    assert!(error.is_not_found(), "{error}");
    assert_eq!(error.to_string(), "QEMU refuses device_del: no b (DeviceNotFound)");
}

#[tokio::test]
async fn an_event_before_the_answer_reaches_those_who_listen() {
    let server = Server::new();
    let (client, mut socket) = server.connected().await;
    let mut events = client.events();
    let serve = async {
        let command = line(&mut socket).await;
        socket
            .write_all(b"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"a\"}}\r\n")
            .await
            .unwrap();
        answer(&mut socket, &command, "{}").await;
    };
    let a = del("a");
    let (result, ()) = tokio::join!(client.execute(&a), serve);
    result.unwrap();
    assert_eq!(events.recv().await.unwrap().data["device"], "a");
    drop(socket);
    assert!(matches!(events.recv().await, Err(broadcast::error::RecvError::Closed)));
    assert!(matches!(client.events().recv().await, Err(broadcast::error::RecvError::Closed)));
}

#[tokio::test]
async fn descriptors_arrive_with_their_command() {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let server = Server::new();
    let (client, mut socket) = server.connected().await;
    let null = std::fs::File::open("/dev/null").unwrap();
    let serve = async {
        socket.get_ref().readable().await.unwrap();
        let mut bytes = [0; 200];
        let mut space = nix::cmsg_space!([i32; 2]);
        let mut slices = [io::IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(
            socket.get_ref().as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )
        .unwrap();
        let rights: Vec<_> = message.cmsgs().unwrap().collect();
        assert!(matches!(rights.as_slice(), [ControlMessageOwned::ScmRights(fds)] if fds.len() == 1));
        let length = message.bytes;
        let command: Value = serde_json::from_slice(&bytes[..length]).unwrap();
        answer(&mut socket, &command, "{}").await;
        command
    };
    let getfd = schema::getfd { fdname: "tap".into() };
    let (result, command) = tokio::join!(client.execute_with_descriptor(&getfd, null.into()), serve);
    result.unwrap();
    assert_eq!(command["arguments"]["fdname"], "tap");
}

#[tokio::test]
async fn a_lost_connection_ends_the_commands_that_wait() {
    let server = Server::new();
    let (client, mut socket) = server.connected().await;
    let serve = async {
        line(&mut socket).await;
        drop(socket);
    };
    let a = del("a");
    let (result, ()) = tokio::join!(client.execute(&a), serve);
    assert!(matches!(result, Err(QmpError::Lost { command: "device_del", source: Some(_), .. })));
    assert!(client.execute(&a).await.err().unwrap().is_lost());
}

#[tokio::test]
async fn a_malformed_line_ends_the_connection_and_is_named() {
    let server = Server::new();
    let (client, mut socket) = server.connected().await;
    let serve = async {
        line(&mut socket).await;
        socket.write_all(b"Segmentation fault\n").await.unwrap();
    };
    let a = del("a");
    let (result, ()) = tokio::join!(client.execute(&a), serve);
    let Err(QmpError::Lost { source: Some(reason), .. }) = result else { panic!("not lost") };
    assert!(
        matches!(&*reason, LostReason::Malformed(MalformedLine::Json { excerpt, .. }) if excerpt.contains("Segmentation"))
    );
}

#[tokio::test]
async fn a_greeting_that_is_none_is_refused() {
    for greeting in ["SSH-2.0-OpenSSH_9.2\r\n", "{\"hello\": 1}\n", ""] {
        let server = Server::new();
        let serve = async {
            let mut socket = server.accept().await;
            socket.write_all(greeting.as_bytes()).await.unwrap();
        };
        let (client, ()) = tokio::join!(QmpClient::connect(&server.path, LONG), serve);
        assert!(matches!(client, Err(QmpError::Lost { command: "the greeting", .. })), "{greeting}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_deadline() {
    let server = Server::new();
    let waited = Duration::from_secs(3);
    let silent = QmpClient::connect(&server.path, waited).await;
    assert!(matches!(silent, Err(QmpError::NoGreeting { .. })));
    let absent = QmpClient::connect(Path::new("/nonexistent/qmp.sock"), waited).await;
    assert!(matches!(absent, Err(QmpError::Connect { .. })));
}

//! The sequence of commands, against a QEMU that is scripted and keeps a record.

use super::*;
use crate::hypervisor::{
    BackEnd as _, Connected, Hypervisor as _, HypervisorError, HypervisorEvent, NicSpec,
};
use nestless_model::identity::{Mac, Mtu, NicId, VmName};
use nestless_support::netns::Namespace;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": \"\"}, \"capabilities\": []}}\n";
const DEADLINE: Duration = Duration::from_secs(30);

/// What the scripted QEMU does with a command, instead of succeeding.
#[derive(Clone, Copy)]
enum Misbehaviour {
    Refuse {
        command: &'static str,
        class: &'static str,
        desc: &'static str,
    },
    /// The connection ends in the middle of it.
    HangUp {
        command: &'static str,
    },
    /// The event comes before the answer.
    EventFirst {
        command: &'static str,
        event: &'static str,
    },
}

/// A machine with one free port, `rp0`.
struct Scripted {
    _dir: tempfile::TempDir,
    socket: std::path::PathBuf,
    record: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start(script: &'static [Misbehaviour]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("qmp.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let record = Arc::default();
        let recorded = Arc::clone(&record);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serve(socket, script, &recorded).await;
            }
        });
        Self { _dir: dir, socket, record }
    }

    async fn connect(&self) -> Connected<Qemu> {
        let config = QemuConfig { qmp: self.socket.clone(), vectors: VectorLimits::default() };
        let mut connected = QemuBackEnd.connect(&VmName::new("vm").unwrap(), &config).unwrap();
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Up));
        connected
    }

    /// What changed something, in order; looks and the search for descriptors that are not there are left out.
    fn effects(&self) -> String {
        self.record.lock().unwrap().join("\n")
    }
}

async fn serve(socket: UnixStream, script: &[Misbehaviour], record: &Mutex<Vec<String>>) {
    let mut socket = BufReader::new(socket);
    socket.write_all(GREETING.as_bytes()).await.unwrap();
    let mut line = String::new();
    while socket.read_line(&mut line).await.is_ok_and(|length| length > 0) {
        let command: Value = serde_json::from_str(&line).unwrap();
        line.clear();
        let name = command["execute"].as_str().unwrap();
        let reads =
            ["qmp_capabilities", "qom-list", "qom-get", "query-pci", "query-status", "human-monitor-command"];
        let late = |fdname: &str| !fdname.ends_with("-0");
        if !reads.contains(&name) && !command["arguments"]["fdname"].as_str().is_some_and(late) {
            record.lock().unwrap().push(format!("{name} {}", command["arguments"]));
        }
        let mut answer = json!({ "return": result(name, &command["arguments"]) });
        for misbehaviour in script {
            match *misbehaviour {
                Misbehaviour::Refuse { command, class, desc } if command == name => {
                    answer = json!({ "error": { "class": class, "desc": desc } });
                }
                Misbehaviour::HangUp { command } if command == name => return,
                Misbehaviour::EventFirst { command, event } if command == name => {
                    let event = json!({ "event": event, "data": { "device": "nestless-1" } });
                    socket.write_all(format!("{event}\n").as_bytes()).await.unwrap();
                }
                _ => {}
            }
        }
        answer["id"] = command["id"].clone();
        socket.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
}

fn result(command: &str, arguments: &Value) -> Value {
    let child = |name: &str, kind: &str| json!([{ "name": name, "type": format!("child<{kind}>") }]);
    match (command, arguments["path"].as_str()) {
        ("qom-list", Some("/machine/peripheral")) => child("rp0", "pcie-root-port"),
        ("qom-list", Some("/machine/peripheral/rp0")) => child("rp0", "PCIE"),
        ("qom-list", _) => json!([]),
        ("qom-get", _) if arguments["property"] == "hotplug-handler" => json!("/machine/ich9"),
        ("qom-get", _) => json!(8),
        ("query-status", _) => json!({ "running": true, "status": "running" }),
        ("human-monitor-command", _) => json!(""),
        _ => json!({}),
    }
}

fn spec() -> NicSpec {
    NicSpec { nic: NicId(1), mac: Mac::of_nic(1, NicId(1)), mtu: Mtu::default(), queues: 1 }
}

async fn plug(connected: &Connected<Qemu>) -> Result<(), HypervisorError> {
    let end = connected.hypervisor.create_host_end(&spec()).await.unwrap();
    connected.hypervisor.plug(&spec(), end).await
}

fn inside<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    let work =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    Namespace::anonymous().unwrap().run_blocking(work).unwrap();
}

const PLUG: &str = r#"getfd {"fdname":"nestless-1-tap-0"}
netdev_add {"fds":"nestless-1-tap-0","id":"nestless-1-net","type":"tap"}
device_add {"addr":"0","bus":"rp0","disable-legacy":"on","driver":"virtio-net-pci","host_mtu":65521,"id":"nestless-1","mac":"4e:4c:00:01:00:01","netdev":"nestless-1-net","romfile":""}"#;
const ROLL_BACK: &str = r#"netdev_del {"id":"nestless-1-net"}
closefd {"fdname":"nestless-1-tap-0"}
closefd {"fdname":"nestless-1-vhost-0"}"#;

#[test]
fn a_plug_is_three_commands() {
    inside(|| async {
        let qemu = Scripted::start(&[]);
        plug(&qemu.connect().await).await.unwrap();
        assert_eq!(qemu.effects(), PLUG);
    });
}

#[test]
fn a_refused_device_is_rolled_back() {
    inside(|| async {
        let qemu = Scripted::start(&[Misbehaviour::Refuse {
            command: "device_add",
            class: "GenericError",
            desc: "Bus 'rp0' does not support hotplugging",
        }]);
        let error = plug(&qemu.connect().await).await.unwrap_err();
        assert!(matches!(error, HypervisorError::Plug { nic: NicId(1), .. }), "{error:?}");
        assert_eq!(qemu.effects(), format!("{PLUG}\n{ROLL_BACK}"));
    });
}

#[test]
fn a_refused_back_end_is_rolled_back() {
    inside(|| async {
        let qemu = Scripted::start(&[Misbehaviour::Refuse {
            command: "netdev_add",
            class: "GenericError",
            desc: "no",
        }]);
        plug(&qemu.connect().await).await.unwrap_err();
        let begun: Vec<&str> = PLUG.lines().take(2).collect();
        assert_eq!(qemu.effects(), format!("{}\n{ROLL_BACK}", begun.join("\n")));
    });
}

#[test]
fn a_connection_lost_half_way_is_a_vm_that_is_down() {
    inside(|| async {
        let qemu = Scripted::start(&[Misbehaviour::HangUp { command: "netdev_add" }]);
        let mut connected = qemu.connect().await;
        assert!(matches!(plug(&connected).await, Err(HypervisorError::Down { .. })));
        // Told in order, and connected again at once.
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Down));
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::Up));
    });
}

#[test]
fn an_answer_of_the_guest_that_comes_before_qemus_is_not_missed() {
    inside(|| async {
        let qemu =
            Scripted::start(&[Misbehaviour::EventFirst { command: "device_del", event: "DEVICE_DELETED" }]);
        let mut connected = qemu.connect().await;
        connected.hypervisor.unplug(NicId(1), DEADLINE).await.unwrap();
        assert_eq!(
            qemu.effects(),
            "device_del {\"id\":\"nestless-1\"}\nnetdev_del {\"id\":\"nestless-1-net\"}"
        );
        assert_eq!(connected.events.recv().await, Some(HypervisorEvent::NicGone(NicId(1))));
    });
}

#[test]
fn a_guest_that_refuses_keeps_its_nic_and_its_back_end() {
    inside(|| async {
        let qemu = Scripted::start(&[Misbehaviour::EventFirst {
            command: "device_del",
            event: "DEVICE_UNPLUG_GUEST_ERROR",
        }]);
        let error = qemu.connect().await.hypervisor.unplug(NicId(1), DEADLINE).await.unwrap_err();
        assert!(matches!(error, HypervisorError::UnplugTimeout { .. }), "{error:?}");
        assert_eq!(qemu.effects(), "device_del {\"id\":\"nestless-1\"}");
    });
}

#[test]
fn an_unplug_that_is_pending_is_waited_for() {
    inside(|| async {
        let qemu = Scripted::start(&[
            Misbehaviour::Refuse {
                command: "device_del",
                class: "GenericError",
                desc: "Device nestless-1 is already in the process of unplug",
            },
            Misbehaviour::EventFirst { command: "device_del", event: "DEVICE_DELETED" },
        ]);
        qemu.connect().await.hypervisor.unplug(NicId(1), DEADLINE).await.unwrap();
        assert!(qemu.effects().ends_with("netdev_del {\"id\":\"nestless-1-net\"}"));
    });
}

#[test]
fn an_unplug_of_nothing_succeeds() {
    inside(|| async {
        let gone = &[
            Misbehaviour::Refuse { command: "device_del", class: "DeviceNotFound", desc: "Device not found" },
            Misbehaviour::Refuse { command: "netdev_del", class: "DeviceNotFound", desc: "Device not found" },
            Misbehaviour::Refuse {
                command: "closefd",
                class: "GenericError",
                desc: "File descriptor named 'x' not found",
            },
        ];
        let qemu = Scripted::start(gone);
        qemu.connect().await.hypervisor.unplug(NicId(1), DEADLINE).await.unwrap();
    });
}

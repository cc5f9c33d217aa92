//! What goes wrong says so, where and what to do, and changes nothing. The tests play guests, and hypervisors, that lie.

use nestless_lab::{
    Vmm,
    image::{Program, Programs},
};
use nestless_proto::{
    AttachRequest, AttachmentId, CheckRequest, ConfirmRequest, DetachRequest, HelloRequest, ListRequest,
    Refusal, guest_client::GuestClient, refusal::Reason,
};
use nestless_support::netns::Namespace;
use nestless_test::{
    Call, Daemon, Failure, Monitor, Site, agree, cni, eventually, guest, lab, operator, traffic,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};
use tonic::{Code, Status, transport::Channel};

fn refused(outcome: Result<Value, Failure>, code: u64, words: &[&str]) {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.code, code, "{failure}");
    for word in words {
        assert!(failure.msg.contains(word), "no {word:?} in: {failure}");
    }
}

async fn added(site: &Site, pod: &str) {
    cni::sandbox(site, "vm1", pod).await.unwrap();
    Call::new("ADD", pod).insist(site, "vm1").await.unwrap();
}

async fn deleted(site: &Site, pod: &str) {
    Call::new("DEL", pod).run(site, "vm1").await.unwrap();
    cni::drop_sandbox(site, "vm1", pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_run_out_and_come_back() {
    let two = |network: &mut nestless_model::network::Network| {
        network.subnets[0].last = Some("10.78.1.1".parse().unwrap());
    };
    let site = Site::up(lab("addresses", Vmm::Namespace).nics(0, 8).network(two)).await;
    added(&site, "one").await;
    added(&site, "two").await;
    let before = agree(&site).await;
    cni::sandbox(&site, "vm1", "three").await.unwrap();
    let third = Call::new("ADD", "three");
    refused(third.run(&site, "vm1").await, 103, &["pods", "10.78.0.0/16"]);
    refused(Call::new("STATUS", "x").run(&site, "vm1").await, 50, &["address"]);
    let after = agree(&site).await;
    assert_eq!(before.networks[0].subnets, after.networks[0].subnets);
    assert_eq!(after.vms[0].nics.len(), 2);
    deleted(&site, "one").await;
    // The address rests first.
    eventually("an address that has rested", || async {
        third.run(&site, "vm1").await.map_err(|failure| failure.to_string())
    })
    .await;
    deleted(&site, "two").await;
    deleted(&site, "three").await;
    agree(&site).await;
    site.holds_no_more_descriptors().await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hypervisor_that_refuses_is_told_of() {
    let site = Site::up(lab("refuses", Vmm::Qemu).nics(0, 8)).await;
    added(&site, "one").await;
    agree(&site).await;
    let next = operator::nic_of(&site, "one").await.unwrap().nic_id + 1;
    let socket = site.vm("vm1").unwrap().qmp_socket();
    // Somebody else has a back end of the very name that the next NIC's will have.
    let taken = json!({ "type": "hubport", "id": format!("nestless-{next:x}-net"), "hubid": 0 });
    Monitor::connect(&socket).await.execute("netdev_add", taken).await;
    cni::sandbox(&site, "vm1", "two").await.unwrap();
    let outcome = Call::new("ADD", "two").run(&site, "vm1").await;
    refused(outcome, 108, &["plug", &format!("nic {next:x}")]);
    let status = agree(&site).await;
    assert_eq!(status.vms[0].nics.len(), 1, "{status:?}");
    let again = Call::new("ADD", "two").insist(&site, "vm1").await.unwrap();
    assert_eq!(again["ips"].as_array().unwrap().len(), 2);
    deleted(&site, "two").await;
    deleted(&site, "one").await;
    agree(&site).await;
    site.down().await;
}

fn hello(boot: &str) -> HelloRequest {
    HelloRequest { agent_version: "test".into(), boot_id: boot.into(), ..HelloRequest::default() }
}

fn id(container: &str) -> Option<AttachmentId> {
    Some(AttachmentId { container_id: container.into(), interface: "eth0".into() })
}

fn attach(container: &str) -> AttachRequest {
    AttachRequest {
        request_id: format!("request-of-{}", container.len()),
        attachment: id(container),
        sandbox: "/run/netns/x".into(),
        ..AttachRequest::default()
    }
}

fn reason(status: &Status) -> Option<Reason> {
    Refusal::from_status(status).map(|refusal| refusal.reason())
}

/// A nestlessd of its own on a lab's host, with two VMs that are namespaces and one whose QEMU talks nonsense.
struct Bare {
    site: Site,
    daemon: Daemon,
    garbler: tokio::task::JoinHandle<()>,
}

const BOOTS: [&str; 2] = ["9ab9a2a3-4b7c-4f2c-8a8a-000000000001", "9ab9a2a3-4b7c-4f2c-8a8a-000000000002"];

impl Bare {
    async fn up(what: &str) -> Self {
        let site = Site::up(lab(what, Vmm::Namespace).vms(2).without_daemon()).await;
        let dir = site.dir();
        let qmp = UnixListener::bind(dir.join("qmp.sock")).unwrap();
        let garbler = tokio::spawn(garble(qmp));
        let mut text = "[[network]]\nname = 'pods'\nbridge = 'nestless9'\nuplink = 'none'\n\
                        subnets = [{ prefix = '10.99.0.0/24' }]\n"
            .to_owned();
        for vm in ["vm1", "vm2"] {
            let path = site.name().vm_namespace(&vm.parse().unwrap());
            text.push_str(&format!(
                "[[vm]]\nname = '{vm}'\nhypervisor = {{ namespace = {{ path = '{}' }} }}\n\
                 channel = {{ unix = '{}/{vm}.sock' }}\nwarm_pool = 0\nnic_limit = 4\n",
                path.display(),
                dir.display()
            ));
        }
        text.push_str(&format!(
            "[[vm]]\nname = 'evil'\nhypervisor = {{ qemu = {{ qmp = '{0}/qmp.sock' }} }}\n\
             channel = {{ unix = '{0}/evil.sock' }}\nwarm_pool = 1\n",
            dir.display()
        ));
        let daemon = Daemon::start(&site, &text).await;
        Self { site, daemon, garbler }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.dir().join(name)
    }

    /// The daemon still answers, and says this of the VM.
    async fn vm(&self, name: &str) -> nestless_proto::VmStatus {
        operator::vm(&self.site, name).await
    }

    async fn down(self) {
        self.garbler.abort();
        self.daemon.end().await;
        self.site.down().await;
    }
}

fn program(program: Program) -> PathBuf {
    Programs::locate().find(program).unwrap_or_else(|error| panic!("{error}"))
}

/// Greets as QEMU does, and then answers everything with something else.
async fn garble(listener: UnixListener) {
    let nonsense: [&[u8]; 5] = [
        b"{\"return\": {\"status\": 7, \"running\": \"perhaps\", \"singlestep\": []}}\n",
        b"]]]] \xff\xfe {{{\n",
        b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n",
        b"{\"return\": null, \"id\": 99999}\n",
        b"\0\0\0\0\n",
    ];
    let mut turn = 0;
    while let Ok((stream, _)) = listener.accept().await {
        let (reader, mut writer) = stream.into_split();
        let greeting = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 0, \"major\": 10}, \
                        \"package\": \"\"}, \"capabilities\": []}}\n";
        let _ = writer.write_all(greeting.as_bytes()).await;
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let told: Value = serde_json::from_str(&line).unwrap_or_default();
            let answer = if told["execute"] == "qmp_capabilities" {
                json!({ "return": {}, "id": told["id"] }).to_string().into_bytes()
            } else {
                turn += 1;
                nonsense[turn % nonsense.len()].to_vec()
            };
            if writer.write_all(&[answer, b"\n".to_vec()].concat()).await.is_err() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_lie_get_nowhere() {
    let bare = Bare::up("liars").await;
    let (mut one, mut two) =
        (guest::channel(&bare.path("vm1.sock")).await, guest::channel(&bare.path("vm2.sock")).await);
    for (vm, boot) in [(&mut one, BOOTS[0]), (&mut two, BOOTS[1])] {
        vm.hello(hello(boot)).await.unwrap();
    }
    let granted = one.attach(attach("a")).await.unwrap().into_inner();

    // Another VM's attachment is not there.
    let confirm = ConfirmRequest { attachment: id("a"), ..ConfirmRequest::default() };
    let confirmed = two.confirm(confirm.clone()).await.unwrap_err();
    assert_eq!((confirmed.code(), reason(&confirmed)), (Code::NotFound, Some(Reason::NotFound)));
    let checked = two.check(CheckRequest { attachment: id("a") }).await.unwrap_err();
    assert_eq!(reason(&checked), Some(Reason::NotFound));
    let detached = two.detach(DetachRequest { request_id: "d".into(), attachment: id("a") }).await.unwrap();
    assert!(!detached.into_inner().existed);
    assert!(two.list(ListRequest {}).await.unwrap().into_inner().attachments.is_empty());
    let own = two.attach(attach("a")).await.unwrap().into_inner();
    assert!(own.nic_id != granted.nic_id && own.addresses != granted.addresses);
    two.detach(DetachRequest { request_id: "d".into(), attachment: id("a") }).await.unwrap();
    one.confirm(confirm).await.unwrap();
    let still = bare.vm("vm1").await;
    assert!(still.in_use == 1 && still.nics[0].nic_id == granted.nic_id, "{still:?}");

    bad_requests(&mut one).await;
    garbage_on_the_channel(&bare).await;
    floods_hurt_only_their_sender(&mut one, &mut two).await;
    let still = bare.vm("vm1").await;
    assert!(still.in_use == 1 && still.nics.len() == 1, "{still:?}");

    a_vm_that_is_down(&bare, &mut two).await;
    a_qemu_that_talks_nonsense(&bare).await;
    bare.down().await;
}

async fn bad_requests(vm: &mut GuestClient<Channel>) {
    for (request, words) in [
        (AttachRequest { attachment: None, ..attach("x") }, "attachment"),
        (attach("../x"), "attachment.container_id"),
        (AttachRequest { network: "no such".into(), ..attach("x") }, "network"),
        (AttachRequest { addresses: vec!["ten".into()], ..attach("x") }, "addresses"),
        (AttachRequest { addresses: vec!["10.99.0.9".into(); 9], ..attach("x") }, "addresses"),
        (AttachRequest { addresses: vec!["192.0.2.1".into()], ..attach("x") }, "192.0.2.1"),
        (AttachRequest { mac: "ff:ff:ff:ff:ff:ff".into(), ..attach("x") }, "mac"),
        (AttachRequest { sandbox: "x".repeat(600), ..attach("x") }, "sandbox"),
        (AttachRequest { sandbox: "a\nb".into(), ..attach("x") }, "control characters"),
        (AttachRequest { request_id: String::new(), ..attach("x") }, "request_id"),
    ] {
        let status = vm.attach(request).await.unwrap_err();
        assert_eq!(reason(&status), Some(Reason::Invalid), "{status}");
        assert!(status.message().contains(words), "no {words:?} in: {status}");
    }
    let network = AttachRequest { network: "elsewhere".into(), ..attach("x") };
    assert_eq!(reason(&vm.attach(network).await.unwrap_err()), Some(Reason::UnknownNetwork));
    let boot = vm.hello(hello("\u{1b}[31m")).await.unwrap_err();
    assert_eq!(reason(&boot), Some(Reason::Invalid), "{boot}");
    // Larger than any honest message: refused before it is read.
    let oversize = AttachRequest { sandbox: "x".repeat(8 << 20), ..attach("x") };
    let status = vm.attach(oversize).await.unwrap_err();
    assert!(reason(&status).is_none() && status.code() != Code::Ok, "{status}");
    assert_eq!(vm.list(ListRequest {}).await.unwrap().into_inner().attachments.len(), 1);
}

async fn garbage_on_the_channel(bare: &Bare) {
    for noise in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 70_000], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff"]
    {
        let mut stream = UnixStream::connect(bare.path("vm1.sock")).await.unwrap();
        // The host may hang up before all is written.
        let _ = stream.write_all(noise).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
}

async fn floods_hurt_only_their_sender(loud: &mut GuestClient<Channel>, quiet: &mut GuestClient<Channel>) {
    let mut limited = 0;
    for _ in 0..100 {
        let calls = (0..100).map(|_| {
            let mut client = loud.clone();
            async move { client.list(ListRequest {}).await }
        });
        for outcome in futures_util::future::join_all(calls).await {
            if let Err(status) = outcome {
                assert_eq!(reason(&status), Some(Reason::RateLimited), "{status}");
                assert!(status.message().contains("too many requests"), "{status}");
                limited += 1;
            }
        }
        if limited > 0 {
            break;
        }
    }
    assert!(limited > 0);
    quiet.list(ListRequest {}).await.unwrap();
    eventually("an end of the penalty", || {
        let mut loud = loud.clone();
        async move { loud.list(ListRequest {}).await.map(drop).map_err(|status| status.to_string()) }
    })
    .await;
}

async fn a_vm_that_is_down(bare: &Bare, vm: &mut GuestClient<Channel>) {
    let path = bare.site.name().vm_namespace(&"vm2".parse().unwrap());
    Namespace::delete(&path).unwrap();
    eventually("a refusal for a VM that is down", || {
        let mut vm = vm.clone();
        async move {
            let status = match vm.attach(attach("down")).await {
                Ok(granted) => {
                    let detach = DetachRequest { request_id: "d".into(), attachment: id("down") };
                    vm.detach(detach).await.unwrap();
                    return Err(format!("{granted:?}"));
                }
                Err(status) => status,
            };
            if reason(&status) == Some(Reason::VmNotReady) { Ok(()) } else { Err(status.to_string()) }
        }
    })
    .await;
    eventually("nothing of it left", || async {
        let vm = bare.vm("vm2").await;
        if vm.nics.is_empty() { Ok(()) } else { Err(format!("{vm:?}")) }
    })
    .await;
}

async fn a_qemu_that_talks_nonsense(bare: &Bare) {
    let mut evil = guest::channel(&bare.path("evil.sock")).await;
    evil.hello(hello(BOOTS[0])).await.unwrap();
    let status = evil.attach(attach("e")).await.unwrap_err();
    let told = reason(&status);
    assert!(matches!(told, Some(Reason::VmNotReady | Reason::Hypervisor | Reason::Fabric)), "{status}");
    eventually("nothing of it left", || async {
        let vm = bare.vm("evil").await;
        if vm.in_use == 0 { Ok(()) } else { Err(format!("{vm:?}")) }
    })
    .await;
}

fn run(program: &Path, arguments: &[&str], path: &str) -> Output {
    Command::new(program).args(arguments).env("PATH", path).output().unwrap()
}

#[test]
fn a_machine_without_qemu_is_told_what_to_install() {
    let name = format!("e{}-noqemu", std::process::id());
    let output =
        run(&program(Program::Nestless), &["lab", "up", "--name", &name, "--vms", "1"], "/nonexistent");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    for word in ["no qemu-system-x86_64 in PATH", "apt-get install qemu-system-x86", "--vmm namespace"] {
        assert!(told.contains(word), "no {word:?} in: {told}");
    }
    assert!(nestless_lab::remains(&name).unwrap().is_empty());
}

#[test]
fn a_configuration_is_checked_without_being_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nestlessd.toml");
    let good = "state_dir = '/nowhere/state'\nrun_dir = '/nowhere/run'\n\
                [[network]]\nname = 'pods'\nbridge = 'nestless0'\nsubnets = [{ prefix = '10.78.0.0/16' }]\n\
                [[vm]]\nname = 'vm1'\nhypervisor = { qemu = { qmp = '/q' } }\nchannel = { serial = '/c' }\n";
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        run(&program(Program::Nestlessd), &["--check", "--config", path.to_str().unwrap()], "")
    };
    let fine = check(good);
    assert!(fine.status.success(), "{}", String::from_utf8_lossy(&fine.stderr));
    assert!(!Path::new("/nowhere").exists());
    for (from, to, words) in [
        ("bridge", "brigde", &["line 5", "unknown field `brigde`"][..]),
        ("10.78.0.0/16", "10.78.0.0/40", &["prefix"]),
        ("'nestless0'", "'much-too-long-a-name'", &["is not a link name"]),
        ("serial", "telepathy", &["unknown variant `telepathy`"]),
        ("[[vm]]", "[[vm]]\nwarm_pool = 99", &["vm1", "warm_pool must be at most nic_limit"]),
        ("[[vm]]", "[[vm]]\nnic_limit = 0", &["vm1", "nic_limit must be 1 to 1024"]),
        ("[[vm]]", "[[vm]]\ndefault_network = 'x'", &["default_network x is no [[network]]"]),
        ("[[network]]", "nonsense", &["line 3"]),
    ] {
        let output = check(&good.replacen(from, to, 1));
        assert!(!output.status.success(), "{to}");
        let told = String::from_utf8_lossy(&output.stderr);
        for word in words.iter().chain([&"nestlessd.toml"]) {
            assert!(told.contains(word), "no {word:?} in: {told}");
        }
    }
    let absent = run(&program(Program::Nestlessd), &["--check", "--config", "/nowhere/x.toml"], "");
    let told = String::from_utf8_lossy(&absent.stderr);
    assert!(!absent.status.success() && told.contains("/nowhere/x.toml"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_has_no_more_nics_than_it_may() {
    let site = Site::up(lab("limit", Vmm::Namespace).nics(1, 2)).await;
    let one = site.pod_add("vm1", "one", Default::default()).await.unwrap();
    added(&site, "two").await;
    cni::sandbox(&site, "vm1", "three").await.unwrap();
    refused(Call::new("ADD", "three").run(&site, "vm1").await, 106, &["vm1", "2"]);
    traffic::reaches_the_bridge(&site, &one).await;
    deleted(&site, "two").await;
    // A NIC that cannot be made anew is unplugged first.
    operator::settled(&site).await;
    Call::new("ADD", "three").insist(&site, "vm1").await.unwrap();
    deleted(&site, "three").await;
    deleted(&site, "one").await;
    agree(&site).await;
    site.down().await;
}

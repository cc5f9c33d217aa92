//! A port of the VM leads to a pod, and the answer comes back through the VM.

use crate::fabric::{Fabric, PATIENCE, Waiting, pod_nic, waiting};
use nestless_guest::{
    pod_nic::configure,
    port_mapping::{self, Mapped},
};
use nestless_model::{
    identity::{AttachmentId, ContainerId, InterfaceName},
    port_mapping::{PortMapping, Protocol},
};
use nestless_support::{netns::Namespace, sysctl};
use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

fn attachment(container: &str) -> AttachmentId {
    AttachmentId {
        container: ContainerId::new(container).unwrap(),
        interface: InterfaceName::new("eth0").unwrap(),
    }
}

fn mapping(host_port: u16) -> PortMapping {
    PortMapping { host_port, container_port: 80, protocol: Protocol::Tcp, host_ip: None }
}

fn mapped(container: &str, addresses: &[IpAddr], mappings: &[PortMapping]) -> Mapped {
    Mapped { attachment: attachment(container), addresses: addresses.to_vec(), mappings: mappings.to_vec() }
}

/// Serves every connection until the pod's sandbox is gone.
async fn serve(pod: &Namespace, address: &'static str) {
    let listener = pod.run(move || TcpListener::bind(address)).await.unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let _ = (&stream).write_all(peer.as_bytes());
        }
    });
}

/// Whom the pod took the client for; `None` when the connection was refused.
async fn ask(client: &Namespace, address: &'static str) -> Option<IpAddr> {
    let address: SocketAddr = address.parse().unwrap();
    let stream = client.run(move || TcpStream::connect_timeout(&address, PATIENCE)).await.unwrap();
    let mut stream = match stream {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return None,
        stream => stream.unwrap(),
    };
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Some(answer.parse().unwrap())
}

async fn nft(fabric: &Fabric) -> String {
    let run = || std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap().stdout;
    String::from_utf8(fabric.vm.run(run).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_port_of_the_vm_leads_to_the_pod() {
    let Waiting { fabric, parking, nic, sandbox: pod } = waiting().await;
    configure(&parking, &pod, &pod_nic(nic, &["10.9.0.7/24", "fd00:9::7/64"])).await.unwrap();
    fabric.machine("uplink", &fabric.vm, &["10.9.0.2/24", "fd00:9::2/64"]).await;
    sysctl::write("net/ipv6/conf/all/forwarding", "1").unwrap();
    let client = Namespace::anonymous().unwrap();
    fabric.machine("client", &client, &["10.9.0.9/24", "fd00:9::9/64"]).await;
    serve(&pod, "10.9.0.7:80").await;
    serve(&pod, "[fd00:9::7]:80").await;
    assert_eq!(ask(&client, "10.9.0.2:8080").await, None);

    let addresses: [IpAddr; 2] = ["10.9.0.7".parse().unwrap(), "fd00:9::7".parse().unwrap()];
    let ours = attachment("pod");
    port_mapping::set(&mapped("other", &addresses, &[mapping(9090)])).unwrap();
    // Twice: the second replaces the first.
    port_mapping::set(&mapped("pod", &addresses, &[mapping(7070)])).unwrap();
    port_mapping::set(&mapped("pod", &addresses, &[mapping(8080)])).unwrap();

    assert_eq!(ask(&client, "10.9.0.2:8080").await, Some("10.9.0.2".parse().unwrap()));
    assert_eq!(ask(&client, "[fd00:9::2]:8080").await, Some("fd00:9::2".parse().unwrap()));
    assert_eq!(ask(&fabric.vm, "10.9.0.2:8080").await, Some("10.9.0.2".parse().unwrap()));
    assert_eq!(ask(&client, "10.9.0.2:9090").await, Some("10.9.0.2".parse().unwrap()));
    assert_eq!(ask(&client, "10.9.0.2:7070").await, None);
    // The pod's own address is not touched by any of this.
    assert_eq!(ask(&client, "10.9.0.7:80").await, Some("10.9.0.9".parse().unwrap()));

    port_mapping::remove(&ours).unwrap();
    port_mapping::remove(&ours).unwrap();
    assert_eq!(ask(&client, "10.9.0.2:8080").await, None);
    assert_eq!(ask(&client, "10.9.0.2:9090").await, Some("10.9.0.2".parse().unwrap()));
    port_mapping::retain([]).unwrap();
    assert_eq!(ask(&client, "10.9.0.2:9090").await, None);
    let rules = nft(&fabric).await;
    assert!(!rules.contains("dnat") && !rules.contains("jump"), "{rules}");
}

#[tokio::test]
async fn a_mapping_may_be_bound_to_one_address() {
    let Waiting { fabric, parking, nic, sandbox: pod } = waiting().await;
    configure(&parking, &pod, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
    fabric.machine("uplink", &fabric.vm, &["10.9.0.2/24", "10.9.0.3/24"]).await;
    let client = Namespace::anonymous().unwrap();
    fabric.machine("client", &client, &["10.9.0.9/24"]).await;
    serve(&pod, "10.9.0.7:80").await;
    let bound = PortMapping { host_ip: Some("10.9.0.3".parse().unwrap()), ..mapping(8080) };
    port_mapping::set(&mapped("pod", &["10.9.0.7".parse().unwrap()], &[bound])).unwrap();
    assert_eq!(ask(&client, "10.9.0.2:8080").await, None);
    assert!(ask(&client, "10.9.0.3:8080").await.is_some());
    // 0.0.0.0 is every address, of that family.
    let any = PortMapping { host_ip: Some("0.0.0.0".parse().unwrap()), ..mapping(7070) };
    port_mapping::set(&mapped("pod", &["10.9.0.7".parse().unwrap()], &[any])).unwrap();
    assert!(ask(&client, "10.9.0.2:7070").await.is_some());
}

/// A pod, its VM, and a client outside; the pod's address and the VM's.
async fn with_a_client() -> (Waiting, Namespace, [IpAddr; 1]) {
    let waiting = waiting().await;
    let Waiting { fabric, parking, nic, sandbox } = &waiting;
    configure(parking, sandbox, &pod_nic(*nic, &["10.9.0.7/24", "10.9.0.8/24"])).await.unwrap();
    fabric.machine("uplink", &fabric.vm, &["10.9.0.2/24"]).await;
    let client = Namespace::anonymous().unwrap();
    fabric.machine("client", &client, &["10.9.0.9/24"]).await;
    (waiting, client, ["10.9.0.7".parse().unwrap()])
}

/// Everything that a firewall may do to the rules is seen, and mended by setting them again.
#[tokio::test]
async fn what_is_taken_from_the_rules_is_seen() {
    let (waiting, client, addresses) = with_a_client().await;
    let all = [mapped("pod", &addresses, &[mapping(8080)]), mapped("other", &addresses, &[mapping(9090)])];
    all.iter().for_each(|mapped| port_mapping::set(mapped).unwrap());
    serve(&waiting.sandbox, "10.9.0.7:80").await;
    let damaged = || {
        let damaged = port_mapping::damaged(&all).unwrap();
        damaged.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(damaged(), [] as [String; 0]);
    assert_eq!(port_mapping::check(&all[0]).unwrap(), [] as [String; 0]);
    for (harm, words) in [
        ("nft flush ruleset", "nothing leads from the hook prerouting"),
        ("nft delete table inet nestless", "nothing leads from the hook prerouting"),
        ("nft flush chain inet nestless postrouting", "nothing leads from the hook postrouting"),
        (
            "for c in $(nft list ruleset | grep -o 'in-[0-9a-f]*' | sort -u); do nft flush chain inet nestless $c; done",
            "hostPort 8080/tcp does not lead to 10.9.0.7:80",
        ),
        (
            "for c in $(nft list ruleset | grep -o 'out-[0-9a-f]*' | sort -u); do nft flush chain inet nestless $c; done",
            "masquerade rules are missing",
        ),
    ] {
        let run = move || std::process::Command::new("sh").args(["-c", harm]).status().unwrap();
        assert!(waiting.fabric.vm.run(run).await.unwrap().success(), "{harm}");
        assert_eq!(damaged(), ["pod/eth0", "other/eth0"], "{harm}");
        let faults = port_mapping::check(&all[0]).unwrap().join("; ");
        assert!(faults.contains(words), "{harm}: {faults}");
        all.iter().for_each(|mapped| port_mapping::set(mapped).unwrap());
        assert_eq!(damaged(), [] as [String; 0], "{harm}");
        assert!(ask(&client, "10.9.0.2:8080").await.is_some(), "{harm}");
    }
}

/// Docker sets the policy, and nobody tells the pod's owner why nothing comes.
#[tokio::test]
async fn a_policy_that_drops_what_is_forwarded_is_named() {
    let (waiting, _, addresses) = with_a_client().await;
    let pod = mapped("pod", &addresses, &[mapping(8080)]);
    port_mapping::set(&pod).unwrap();
    for (deed, words) in [
        ("iptables-nft -P FORWARD DROP", "chain ip filter FORWARD"),
        ("iptables-nft -A FORWARD -m conntrack --ctstate DNAT -j ACCEPT", ""),
        (
            "nft flush ruleset; nft add table inet fw; nft 'add chain inet fw f { type filter hook forward priority 0; policy drop; }'",
            "chain inet fw f",
        ),
        ("nft flush ruleset; sysctl -qw net.ipv4.ip_forward=0", "the VM does not forward"),
    ] {
        let run = move || std::process::Command::new("sh").args(["-c", deed]).status().unwrap();
        assert!(waiting.fabric.vm.run(run).await.unwrap().success(), "{deed}");
        let obstacles = port_mapping::obstacles();
        assert_eq!(obstacles.is_empty(), words.is_empty(), "{deed}: {obstacles:?}");
        assert!(obstacles.join("; ").contains(words), "{deed}: {obstacles:?}");
    }
    // Whoever maps a port again lets the VM forward again.
    port_mapping::set(&pod).unwrap();
    assert_eq!(port_mapping::obstacles(), [] as [String; 0]);
}

/// Answers each datagram with its own address.
async fn answer(pod: &Namespace, address: &'static str) {
    let socket = pod.run(move || UdpSocket::bind(address)).await.unwrap().unwrap();
    std::thread::spawn(move || {
        let mut text = [0; 16];
        while let Ok((_, from)) = socket.recv_from(&mut text) {
            let _ = socket.send_to(address.as_bytes(), from);
        }
    });
}

/// A client of UDP's that sends from one port for ever: one connection, as the kernel sees it.
#[tokio::test]
async fn a_udp_client_reaches_the_pod_that_has_the_port_now() {
    let (waiting, client, _) = with_a_client().await;
    for address in ["10.9.0.7:53", "10.9.0.8:53"] {
        answer(&waiting.sandbox, address).await;
    }
    let socket = client.run(|| UdpSocket::bind("10.9.0.9:40000")).await.unwrap().unwrap();
    socket.connect("10.9.0.2:8053").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let asked = || {
        socket.send(b"who?").unwrap();
        let mut text = [0; 16];
        socket.recv(&mut text).map(|bytes| String::from_utf8(text[..bytes].to_vec()).unwrap())
    };
    let udp = PortMapping { host_port: 8053, container_port: 53, protocol: Protocol::Udp, host_ip: None };
    // Before there is any pod. Without rules the kernel need not track anything; with those of another pod it does.
    port_mapping::set(&mapped("other", &["10.9.0.7".parse().unwrap()], &[mapping(9999)])).unwrap();
    assert_eq!(asked().unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    for (pod, address) in [("first", "10.9.0.7"), ("second", "10.9.0.8")] {
        port_mapping::set(&mapped(pod, &[address.parse().unwrap()], &[udp])).unwrap();
        assert_eq!(asked().unwrap(), format!("{address}:53"), "{pod}");
        assert_eq!(asked().unwrap(), format!("{address}:53"), "{pod}");
        port_mapping::remove(&attachment(pod)).unwrap();
        assert_eq!(asked().unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "after {pod}");
    }
    // The same when somebody takes the rules away and the agent puts them back, and when an agent finds pods that died.
    let pod = mapped("third", &["10.9.0.7".parse().unwrap()], &[udp]);
    port_mapping::set(&pod).unwrap();
    assert_eq!(asked().unwrap(), "10.9.0.7:53");
    port_mapping::retain([]).unwrap();
    assert_eq!(asked().unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "after the third");
    port_mapping::set(&pod).unwrap();
    assert_eq!(asked().unwrap(), "10.9.0.7:53");
}

//! A port of the VM leads to a pod, and the answer comes back through the VM.

use crate::fabric::{Fabric, PATIENCE, Waiting, pod_nic, waiting};
use nestless_guest::{pod_nic::configure, port_mapping};
use nestless_model::{
    identity::{AttachmentId, ContainerId, InterfaceName},
    port_mapping::{PortMapping, Protocol},
};
use nestless_support::{netns::Namespace, sysctl};
use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
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
    let (ours, others) = (attachment("pod"), attachment("other"));
    port_mapping::set(&others, &addresses, &[mapping(9090)]).unwrap();
    // Twice: the second replaces the first.
    port_mapping::set(&ours, &addresses, &[mapping(7070)]).unwrap();
    port_mapping::set(&ours, &addresses, &[mapping(8080)]).unwrap();

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
    port_mapping::set(&attachment("pod"), &["10.9.0.7".parse().unwrap()], &[bound]).unwrap();
    assert_eq!(ask(&client, "10.9.0.2:8080").await, None);
    assert!(ask(&client, "10.9.0.3:8080").await.is_some());
}

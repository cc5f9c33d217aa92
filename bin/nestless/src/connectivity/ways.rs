//! Every way that there is, and the order in which they are tried.

use super::{
    pods::{Pod, Pods, PortMapping},
    report::Way,
};
use crate::{
    cni_plugin::Refused,
    net::{connect, echo, talk_tcp, talk_udp},
};
use nestless_support::netns::Namespace;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

/// Where servers in pods listen.
const PORT: u16 = 18_080;
/// The plugin could not lead a port of the VM to the pod (docs/errors.md).
const NO_PORT_MAPPING: u64 = 110;

const HOST_PORT: &str = "pod to a port of the VM";
const OUTSIDE: &str = "pod to outside";
const LOCALHOST: &str = "localhost of a split pod";

type Talk = fn(&Namespace, SocketAddr, &Namespace, SocketAddr) -> anyhow::Result<()>;
const TALKS: [(&str, Talk); 2] = [("tcp", talk_tcp), ("udp", talk_udp)];

/// # Errors
/// When the pods cannot be made.
pub(super) async fn try_all(pods: &mut Pods, outside: Option<SocketAddr>) -> anyhow::Result<Vec<Way>> {
    let a = Arc::new(pods.add(1, None).await?);
    let mapping = PortMapping::free(PORT)?;
    let (b, no_mapping) = match pods.add(2, Some(mapping)).await {
        Ok(b) => (Arc::new(b), None),
        Err(error) if error.downcast_ref::<Refused>().is_some_and(|r| r.code == Some(NO_PORT_MAPPING)) => {
            (Arc::new(pods.add(2, None).await?), Some(error))
        }
        Err(error) => return Err(error),
    };
    let of = |work: fn(&Pod, &Pod) -> Vec<Way>| on_a_thread(&a, &b, work);
    let mut ways = of(between).await;
    ways.extend(of(|a, _| gateways(a)).await);
    ways.extend(of(|_, b| from_the_vm(b)).await);
    ways.extend(match no_mapping {
        None => on_a_thread(&a, &b, move |a, b| host_port(a, b, mapping)).await,
        Some(error) => vec![Way::tried(HOST_PORT, "tcp", mapping.host, Err::<(), _>(error))],
    });
    ways.extend(match outside {
        Some(to) => on_a_thread(&a, &b, move |a, _| vec![to_outside(a, to)]).await,
        None => vec![Way::not_tried(OUTSIDE, "tcp", "--outside ADDRESS:PORT names what is there")],
    });
    ways.extend(match pods.split([&a, &b]).await {
        Ok(()) => of(localhost).await,
        Err(error) => vec![Way::tried(LOCALHOST, "tcp", Ipv4Addr::LOCALHOST, Err::<(), _>(error))],
    });
    Ok(ways)
}

/// What blocks, without holding up the signals that end the test.
async fn on_a_thread(
    a: &Arc<Pod>,
    b: &Arc<Pod>,
    work: impl FnOnce(&Pod, &Pod) -> Vec<Way> + Send + 'static,
) -> Vec<Way> {
    let (a, b) = (Arc::clone(a), Arc::clone(b));
    let worked = tokio::task::spawn_blocking(move || work(&a, &b)).await;
    worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn to_outside(pod: &Pod, to: SocketAddr) -> Way {
    Way::tried(OUTSIDE, "tcp", to, inside(&pod.namespace, || connect(to)))
}

fn inside(namespace: &Namespace, work: impl FnOnce() -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    namespace.run_blocking(work)?
}

/// Both ways, by every address.
fn between(a: &Pod, b: &Pod) -> Vec<Way> {
    let mut ways = Vec::new();
    for (server, client) in [(b, a), (a, b)] {
        for &address in &server.addresses {
            let to = SocketAddr::new(address, PORT);
            for (by, talk) in TALKS {
                let outcome = talk(&server.namespace, to, &client.namespace, to);
                ways.push(Way::tried("pod to pod", by, to, outcome));
            }
        }
    }
    ways
}

fn gateways(pod: &Pod) -> Vec<Way> {
    let way = |&gateway: &IpAddr| {
        Way::tried("pod to gateway", "echo", gateway, inside(&pod.namespace, || echo(gateway)))
    };
    let ways: Vec<_> = pod.gateways.iter().map(way).collect();
    if ways.is_empty() {
        return vec![Way::not_tried("pod to gateway", "echo", "its network has none")];
    }
    ways
}

/// As a kubelet asks whether a pod is ready.
fn from_the_vm(pod: &Pod) -> Vec<Way> {
    let way = |&address: &IpAddr| match own_address(address) {
        Some(_) => Way::tried("VM to pod", "echo", address, echo(address)),
        None => Way::not_tried("VM to pod", "echo", format!("the VM has no route to {address}")),
    };
    pod.addresses.iter().map(way).collect()
}

/// From the other pod, to the address by which the VM would call it.
fn host_port(a: &Pod, b: &Pod, mapping: PortMapping) -> Vec<Way> {
    let mut ways = Vec::new();
    for &address in &b.addresses {
        let name = HOST_PORT;
        let Some(own) = own_address(address) else {
            ways.push(Way::not_tried(name, "tcp", format!("the VM has no route to {address}")));
            continue;
        };
        if own.is_ipv6() && !forwards_ipv6() {
            let why = "net.ipv6.conf.all.forwarding of the VM is 0, which an IPv6 port needs";
            ways.push(Way::not_tried(name, "tcp", why));
            continue;
        }
        let (at, to) = (SocketAddr::new(address, mapping.container), SocketAddr::new(own, mapping.host));
        for (by, talk) in TALKS {
            ways.push(Way::tried(name, by, to, talk(&b.namespace, at, &a.namespace, to)));
        }
    }
    ways
}

fn localhost(a: &Pod, b: &Pod) -> Vec<Way> {
    let mut ways = Vec::new();
    for (server, client) in [(b, a), (a, b)] {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let to = SocketAddr::new(address, PORT);
            for (by, talk) in TALKS {
                let outcome = talk(&server.namespace, to, &client.namespace, to);
                ways.push(Way::tried(LOCALHOST, by, to, outcome));
            }
        }
    }
    ways
}

/// Which address this VM would call `target` from; `None` without a route. Nothing is sent.
fn own_address(target: IpAddr) -> Option<IpAddr> {
    let any =
        if target.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(target, PORT)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn forwards_ipv6() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").is_ok_and(|text| text.trim() == "1")
}

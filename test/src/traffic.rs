//! Does traffic flow?

use nestless_lab::{Exec, Lab, Pod};
use std::net::IpAddr;

/// The pods' next hops: the bridge's own addresses.
pub const GATEWAYS: [&str; 2] = ["10.78.0.1", "fd00:78::1"];

/// One echo request, waited for.
pub fn ping(target: &str) -> Exec {
    Exec::new(["busybox", "ping", "-c", "1", "-W", "10", target])
}

/// A pod reaches an address.
///
/// # Panics
/// When it does not.
pub async fn reaches(lab: &Lab, pod: &Pod, target: &str) {
    let output = lab.pod_exec(pod.vm.as_str(), &pod.name, ping(target)).await.expect("ping can be run");
    let line = format!("pod {} of {} pings {target}", pod.name, pod.vm);
    output.success(line).unwrap_or_else(|error| panic!("{error}"));
}

/// A pod reaches the bridge, by both families.
///
/// # Panics
/// When it does not.
pub async fn reaches_the_bridge(lab: &Lab, pod: &Pod) {
    for gateway in GATEWAYS {
        reaches(lab, pod, gateway).await;
    }
}

/// Two pods reach each other, by both families.
///
/// # Panics
/// When they do not.
pub async fn meet(lab: &Lab, one: &Pod, two: &Pod) {
    for (from, to) in [(one, two), (two, one)] {
        let families = (from.addresses.iter().filter(|a| a.is_ipv4()).count(), from.addresses.len());
        assert_eq!(families, (1, 2), "{:?}", from.addresses);
        for address in &to.addresses {
            reaches(lab, from, &address.to_string()).await;
        }
    }
}

/// The pod's address of one family.
///
/// # Panics
/// When it has none.
pub fn address(pod: &Pod, v4: bool) -> IpAddr {
    *pod.addresses.iter().find(|address| address.is_ipv4() == v4).expect("a pod has both families")
}

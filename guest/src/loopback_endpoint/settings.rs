//! The sandbox's settings: what a fraction needs, what a new sandbox has, and what stood there before.

use super::{LoopbackEndpointError, NAME, Result};
use nestless_model::{identity::Mtu, loopback::Place};
use nestless_support::{netlink::Netlink, netns::Namespace, sysctl};

/// `net.ipv4.ip_local_port_range`'s default (Documentation/networking/ip-sysctl.rst).
const FIRST_PORT: u16 = 32768;
const LAST_PORT: u16 = 60999;
/// Of a new namespace's `lo` (drivers/net/loopback.c).
const LO_MTU_BYTES: u32 = 65536;

/// The ephemeral ports of one fraction: no two fractions of a group may choose the same one, for they share an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSlice {
    first: u16,
    last: u16,
}

/// Not a range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ephemeral ports {first} to {last}: the first must be above 1023 and below the last")]
pub struct PortSliceError {
    first: u16,
    last: u16,
}

impl PortSlice {
    /// Both ends included.
    ///
    /// # Errors
    /// When the range holds fewer than two ports, or one below 1024.
    pub fn new(first: u16, last: u16) -> std::result::Result<Self, PortSliceError> {
        if first < 1024 || first >= last {
            return Err(PortSliceError { first, last });
        }
        Ok(Self { first, last })
    }

    /// The slice of a place: a sixteenth of the kernel's default range, the same whenever the place is taken.
    pub fn of_place(place: Place) -> Self {
        let ports = (LAST_PORT - FIRST_PORT + 1) / nestless_model::loopback::MAX_FRACTIONS as u16;
        let first = FIRST_PORT + ports * u16::from(place.number());
        Self { first, last: first + ports - 1 }
    }
}

/// What is set, and set back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    lo_mtu_bytes: u32,
    /// Key and value each.
    sysctls: Vec<(&'static str, String)>,
}

/// Frames put into `lo` carry no route, so the kernel validates 127.0.0.1 afresh. On any other device these two would
/// let a neighbour reach 127.0.0.1 (CVE-2020-8558).
const ROUTE_LOCALNET: &str = "net/ipv4/conf/lo/route_localnet";
const ACCEPT_LOCAL: &str = "net/ipv4/conf/lo/accept_local";
const PORT_RANGE: &str = "net/ipv4/ip_local_port_range";

impl Settings {
    pub(super) fn of_a_fraction(mtu: Mtu, ports: PortSlice) -> Self {
        Self::new(mtu.bytes(), ["1", "1"], ports)
    }

    pub(super) fn of_a_new_sandbox() -> Self {
        Self::new(LO_MTU_BYTES, ["0", "0"], PortSlice { first: FIRST_PORT, last: LAST_PORT })
    }

    fn new(lo_mtu_bytes: u32, flags: [&str; 2], ports: PortSlice) -> Self {
        let sysctls = vec![
            (ROUTE_LOCALNET, flags[0].to_owned()),
            (ACCEPT_LOCAL, flags[1].to_owned()),
            (PORT_RANGE, format!("{}\t{}", ports.first, ports.last)),
        ];
        Self { lo_mtu_bytes, sysctls }
    }
}

pub(super) async fn read(sandbox: &Namespace, inside: &Netlink) -> Result<Settings> {
    let lo = inside.link("lo").await.map_err(|source| LoopbackEndpointError::Look { source })?;
    let mut sysctls = Vec::new();
    for key in [ROUTE_LOCALNET, ACCEPT_LOCAL, PORT_RANGE] {
        let value = sysctl::read_inside(sandbox, key).await;
        sysctls.push((key, value.map_err(|source| LoopbackEndpointError::Setting { source })?));
    }
    Ok(Settings { lo_mtu_bytes: lo.mtu_bytes, sysctls })
}

pub(super) async fn write(sandbox: &Namespace, inside: &Netlink, wanted: &Settings) -> Result<()> {
    let failed = |source| LoopbackEndpointError::Configure { source };
    for (key, value) in &wanted.sysctls {
        sysctl::write_inside(sandbox, key, value)
            .await
            .map_err(|source| LoopbackEndpointError::Setting { source })?;
    }
    let lo = inside.link("lo").await.map_err(failed)?;
    if lo.mtu_bytes != wanted.lo_mtu_bytes {
        inside.set_mtu(&lo, wanted.lo_mtu_bytes).await.map_err(failed)?;
    }
    Ok(())
}

/// Keeps IPv6 from talking on the endpoint; where the kernel has none, there is nothing to keep.
pub(super) async fn quiet(sandbox: &Namespace) -> Result<()> {
    let key = format!("net/ipv6/conf/{NAME}/disable_ipv6");
    if sysctl::read_inside(sandbox, &key).await.is_err() {
        return Ok(());
    }
    sysctl::write_inside(sandbox, &key, "1").await.map_err(|source| LoopbackEndpointError::Setting { source })
}

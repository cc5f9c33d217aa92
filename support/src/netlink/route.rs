//! Unicast routes, of the main table unless another is named.

use super::{
    Netlink, NetlinkError, Operation,
    error::{Cause, at},
};
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::{
    AddressFamily,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
        RouteScope, RouteType,
    },
};
use std::{fmt, net::IpAddr};

/// A route through one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to; a prefix of length zero is the default route.
    pub destination: IpNet,
    /// The next hop; `None` when the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The link's number.
    pub link: u32,
    /// The gateway is on the link although no subnet of the link's has it.
    pub on_link: bool,
    /// Lower is preferred; `None` for the kernel's default (0 for IPv4, 1024 for IPv6).
    pub metric: Option<u32>,
    /// The source address to prefer.
    pub source: Option<IpAddr>,
    /// Largest packet to send this way, in bytes.
    pub mtu_bytes: Option<u32>,
    /// `None`: the main table.
    pub table: Option<u32>,
    /// The kernel has it from a router's advertisement.
    pub advertised: bool,
}

impl Route {
    /// To `destination` through `link`, and nothing else said.
    pub fn through(link: u32, destination: IpNet) -> Self {
        Self {
            destination,
            gateway: None,
            link,
            on_link: false,
            metric: None,
            source: None,
            mtu_bytes: None,
            table: None,
            advertised: false,
        }
    }

    /// The default route by way of `gateway`.
    pub fn default_by(link: u32, gateway: IpAddr) -> Self {
        let everything = match gateway {
            IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
            IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
        };
        Self { gateway: Some(gateway), ..Self::through(link, everything) }
    }

    fn to_message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family(self.destination.addr());
        message.header.destination_prefix_length = self.destination.prefix_len();
        // The attribute wins over the header, which has no room for numbers above 255.
        message.header.table =
            if self.table.is_none() { RouteHeader::RT_TABLE_MAIN } else { RouteHeader::RT_TABLE_UNSPEC };
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        // IPv4 takes a route without a gateway only as what it is: on the link.
        let direct = self.gateway.is_none() && self.destination.addr().is_ipv4();
        message.header.scope = if direct { RouteScope::Link } else { RouteScope::Universe };
        if self.on_link {
            message.header.flags |= RouteFlags::Onlink;
        }
        let attributes = &mut message.attributes;
        if self.destination.prefix_len() > 0 {
            attributes.push(RouteAttribute::Destination(self.destination.network().into()));
        }
        attributes.push(RouteAttribute::Oif(self.link));
        attributes.extend(self.table.map(RouteAttribute::Table));
        attributes.extend(self.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        attributes.extend(self.metric.map(RouteAttribute::Priority));
        attributes.extend(self.source.map(|source| RouteAttribute::PrefSource(source.into())));
        attributes.extend(self.mtu_bytes.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])));
        message
    }

    fn from_message(message: &RouteMessage) -> Option<Self> {
        let header = &message.header;
        if header.kind != RouteType::Unicast {
            return None;
        }
        let nothing: IpAddr = match header.address_family {
            AddressFamily::Inet => std::net::Ipv4Addr::UNSPECIFIED.into(),
            AddressFamily::Inet6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        let mut destination = nothing;
        let mut route = Self::through(0, nothing.into());
        let mut table = u32::from(header.table);
        route.advertised = header.protocol == RouteProtocol::Ra;
        route.on_link = header.flags.contains(RouteFlags::Onlink);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(address) => destination = ip(address)?,
                RouteAttribute::Oif(index) => route.link = *index,
                RouteAttribute::Table(number) => table = *number,
                RouteAttribute::Gateway(address) => route.gateway = ip(address),
                RouteAttribute::Priority(metric) => route.metric = Some(*metric),
                RouteAttribute::PrefSource(address) => route.source = ip(address),
                RouteAttribute::Metrics(metrics) => {
                    route.mtu_bytes = metrics.iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(mtu) => Some(*mtu),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        route.destination = IpNet::new(destination, header.destination_prefix_length).ok()?;
        route.table = (table != u32::from(RouteHeader::RT_TABLE_MAIN)).then_some(table);
        // A route over several links has none of its own.
        (route.link != 0).then_some(route)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.destination.prefix_len() {
            0 => write!(f, "default")?,
            _ => write!(f, "{}", self.destination)?,
        }
        if let Some(gateway) = self.gateway {
            write!(f, " by way of {gateway}")?;
        }
        write!(f, " through link number {}", self.link)?;
        self.table.map_or(Ok(()), |table| write!(f, " in table {table}"))
    }
}

impl Netlink {
    /// The unicast routes of the main table, both families.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn routes(&self) -> Result<Vec<Route>, NetlinkError> {
        let mut routes = self.all_routes().await?;
        routes.retain(|route| route.table.is_none());
        Ok(routes)
    }

    /// The unicast routes of every table, both families.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn all_routes(&self) -> Result<Vec<Route>, NetlinkError> {
        let mut routes = Vec::new();
        for address_family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = address_family;
            let request = self.handle.route().get(request);
            let messages: Vec<RouteMessage> = self
                .list(Operation::ListRoutes, async move { request.execute().try_collect().await })
                .await?;
            routes.extend(messages.iter().filter_map(Route::from_message));
        }
        Ok(routes)
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when there is one to that destination with that metric.
    pub async fn add_route(&self, route: &Route) -> Result<(), NetlinkError> {
        self.handle
            .route()
            .add(route.to_message())
            .execute()
            .await
            .map_err(|error| at(Operation::AddRoute { route: route.to_string() }, Cause::from(error)))
    }

    /// Deletes a route.
    ///
    /// # Errors
    /// [`NetlinkError::is_missing`] when there is none like it.
    pub async fn delete_route(&self, route: &Route) -> Result<(), NetlinkError> {
        let mut message = route.to_message();
        // "Any": a route the kernel made itself has another protocol and scope than one of ours.
        message.header.protocol = RouteProtocol::Unspec;
        message.header.scope = RouteScope::NoWhere;
        self.handle
            .route()
            .del(message)
            .execute()
            .await
            .map_err(|error| at(Operation::DeleteRoute { route: route.to_string() }, Cause::from(error)))
    }
}

pub(super) fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

//! The result of ADD, which comes back as `prevResult`.

use super::{CniError, Version, node::Node};
use ipnet::IpNet;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// What stands in a sandbox after ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CniResult {
    /// Links, in the sandbox and outside.
    pub interfaces: Vec<Interface>,
    /// Addresses on them.
    pub ips: Vec<Ip>,
    /// Routes in the sandbox.
    pub routes: Vec<Route>,
    /// Resolver settings; the runtime applies them.
    pub dns: Dns,
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address, in whatever form the plugin that made it wrote.
    pub mac: String,
    /// In bytes. From 1.1.0.
    pub mtu: Option<u32>,
    /// The namespace it is in; empty: the runtime's.
    pub sandbox: String,
    /// Of a user-space link. From 1.1.0.
    pub socket_path: String,
    /// Of a PCI device. From 1.1.0.
    pub pci_id: String,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Index into [`CniResult::interfaces`].
    pub interface: Option<usize>,
    /// Address and prefix length.
    pub address: IpNet,
    /// Next hop of the default route.
    pub gateway: Option<IpAddr>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `dst`
    pub destination: IpNet,
    /// `gw`
    pub gateway: Option<IpAddr>,
    /// In bytes. From 1.1.0, as are all that follow.
    pub mtu: Option<u32>,
    /// In bytes.
    pub advmss: Option<u32>,
    /// Lower wins.
    pub priority: Option<u32>,
    /// Routing table.
    pub table: Option<u32>,
    /// Route scope.
    pub scope: Option<u32>,
}

impl Route {
    /// A route of the main table.
    pub fn new(destination: IpNet, gateway: Option<IpAddr>) -> Self {
        Self { destination, gateway, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }

    /// Whether `version` has the words. Without its priority or its table this would be another route, and an untrue one.
    fn can_be_told(&self, version: Version) -> bool {
        version >= Version::V1_1_0 || self.priority.is_none() && self.table.is_none()
    }
}

/// Resolver settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Name servers, best first.
    pub nameservers: Vec<String>,
    /// The local domain.
    pub domain: Option<String>,
    /// Domains searched for short names.
    pub search: Vec<String>,
    /// Options for the resolver.
    pub options: Vec<String>,
}

impl CniResult {
    /// Reads a result of any version: later ones only add.
    pub(super) fn parse(node: &Node<'_>) -> Result<Self, CniError> {
        Ok(Self {
            interfaces: each(node, "interfaces", "a list of interfaces", parse_interface)?,
            ips: each(node, "ips", "a list of addresses", parse_ip)?,
            routes: each(node, "routes", "a list of routes", parse_route)?,
            dns: match node.get("dns")? {
                Some(dns) => Dns::parse(&dns)?,
                None => Dns::default(),
            },
        })
    }

    /// Reads a result from JSON.
    ///
    /// # Errors
    /// When a key has the wrong type; the error names it.
    pub fn from_json(value: &Value) -> Result<Self, CniError> {
        Self::parse(&Node::root(value))
    }

    /// Writes what `version` can say.
    pub fn to_json(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("cniVersion".into(), version.as_str().into());
        put_list(&mut object, "interfaces", self.interfaces.iter().map(|i| i.to_json(version)).collect());
        put_list(&mut object, "ips", self.ips.iter().map(|ip| ip.to_json(version)).collect());
        let routes = self.routes.iter().filter(|route| route.can_be_told(version));
        put_list(&mut object, "routes", routes.map(|route| route.to_json(version)).collect());
        object.insert("dns".into(), self.dns.to_json());
        object.into()
    }

    /// This result after that of the plugins before us: their interfaces keep their indices.
    #[must_use]
    pub fn after(mut self, previous: Option<&CniResult>) -> Self {
        let Some(previous) = previous else { return self };
        let offset = previous.interfaces.len();
        for ip in &mut self.ips {
            ip.interface = ip.interface.map(|index| index + offset);
        }
        let mut merged = previous.clone();
        merged.interfaces.append(&mut self.interfaces);
        merged.ips.append(&mut self.ips);
        merged.routes.append(&mut self.routes);
        if self.dns != Dns::default() {
            merged.dns = self.dns;
        }
        merged
    }
}

fn each<T>(
    node: &Node<'_>,
    key: &str,
    expected: &str,
    parse: fn(&Node<'_>) -> Result<T, CniError>,
) -> Result<Vec<T>, CniError> {
    match node.get(key)? {
        Some(list) => list.items(expected)?.iter().map(parse).collect(),
        None => Ok(Vec::new()),
    }
}

fn text(node: &Node<'_>, key: &str) -> Result<String, CniError> {
    Ok(node.get(key)?.map(|value| value.text("a string")).transpose()?.unwrap_or_default().to_owned())
}

fn number(node: &Node<'_>, key: &str) -> Result<Option<u32>, CniError> {
    node.get(key)?.map(|value| value.integer("a whole number below 4294967296")).transpose()
}

fn address(node: &Node<'_>, key: &str) -> Result<Option<IpAddr>, CniError> {
    node.get(key)?.filter(|value| value.value() != "").map(|value| value.address("an IP address")).transpose()
}

fn parse_interface(node: &Node<'_>) -> Result<Interface, CniError> {
    Ok(Interface {
        name: text(node, "name")?,
        mac: text(node, "mac")?,
        mtu: number(node, "mtu")?,
        sandbox: text(node, "sandbox")?,
        socket_path: text(node, "socketPath")?,
        pci_id: text(node, "pciID")?,
    })
}

fn parse_ip(node: &Node<'_>) -> Result<Ip, CniError> {
    Ok(Ip {
        interface: node
            .get("interface")?
            .map(|index| index.integer("an index into interfaces"))
            .transpose()?,
        address: node
            .need("address", "an address such as \"10.78.0.7/16\"")?
            .prefix("an address such as \"10.78.0.7/16\"")?,
        gateway: address(node, "gateway")?,
    })
}

fn parse_route(node: &Node<'_>) -> Result<Route, CniError> {
    Ok(Route {
        destination: node
            .need("dst", "a prefix such as \"0.0.0.0/0\"")?
            .prefix("a prefix such as \"0.0.0.0/0\"")?,
        gateway: address(node, "gw")?,
        mtu: number(node, "mtu")?,
        advmss: number(node, "advmss")?,
        priority: number(node, "priority")?,
        table: number(node, "table")?,
        scope: number(node, "scope")?,
    })
}

impl Dns {
    /// As it stands in configurations and results.
    pub(super) fn parse(node: &Node<'_>) -> Result<Self, CniError> {
        Self::parse_with(node, ["nameservers", "search"])
    }

    /// As the capability `dns` spells it.
    pub(super) fn parse_capability(node: &Node<'_>) -> Result<Self, CniError> {
        Self::parse_with(node, ["servers", "searches"])
    }

    fn parse_with(node: &Node<'_>, [servers, search]: [&str; 2]) -> Result<Self, CniError> {
        let list = |key: &str| match node.get(key)? {
            Some(list) => list.texts("a list of strings"),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            nameservers: list(servers)?,
            domain: Some(text(node, "domain")?).filter(|domain| !domain.is_empty()),
            search: list(search)?,
            options: list("options")?,
        })
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        let list = |items: &[String]| items.iter().map(|item| item.as_str().into()).collect::<Vec<Value>>();
        put_list(&mut object, "nameservers", list(&self.nameservers));
        put(&mut object, "domain", self.domain.as_deref());
        put_list(&mut object, "search", list(&self.search));
        put_list(&mut object, "options", list(&self.options));
        object.into()
    }
}

impl Interface {
    fn to_json(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), self.name.as_str().into());
        put_text(&mut object, "mac", &self.mac);
        put_text(&mut object, "sandbox", &self.sandbox);
        if version >= Version::V1_1_0 {
            put(&mut object, "mtu", self.mtu);
            put_text(&mut object, "socketPath", &self.socket_path);
            put_text(&mut object, "pciID", &self.pci_id);
        }
        object.into()
    }
}

impl Ip {
    fn to_json(&self, version: Version) -> Value {
        let mut object = Map::new();
        if version < Version::V1_0_0 {
            let family = if self.address.addr().is_ipv4() { "4" } else { "6" };
            object.insert("version".into(), family.into());
        }
        put(&mut object, "interface", self.interface);
        object.insert("address".into(), json!(self.address.to_string()));
        put(&mut object, "gateway", self.gateway.map(|gateway| gateway.to_string()));
        object.into()
    }
}

impl Route {
    fn to_json(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("dst".into(), json!(self.destination.to_string()));
        put(&mut object, "gw", self.gateway.map(|gateway| gateway.to_string()));
        if version >= Version::V1_1_0 {
            put(&mut object, "mtu", self.mtu);
            put(&mut object, "advmss", self.advmss);
            put(&mut object, "priority", self.priority);
            put(&mut object, "table", self.table);
            put(&mut object, "scope", self.scope);
        }
        object.into()
    }
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

fn put_text(object: &mut Map<String, Value>, key: &str, value: &str) {
    put(object, key, Some(value).filter(|value| !value.is_empty()));
}

fn put_list(object: &mut Map<String, Value>, key: &str, items: Vec<Value>) {
    put(object, key, Some(items).filter(|items| !items.is_empty()));
}

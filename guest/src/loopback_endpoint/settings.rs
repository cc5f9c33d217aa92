//! The sandbox's settings: what a fraction needs, and what stood there before.
//!
//! What stood there before is written into the alias of `lo` before anything is changed: it is where the settings are, goes
//! with them, and outlives the agent.

use super::{
    error::{LoopbackEndpointError, Result},
    port_slice::PortSlice,
    steer,
};
use nestless_model::identity::{ENDPOINT_INTERFACE, Mtu};
use nestless_support::{
    netlink::{Link, Netlink},
    netns::Namespace,
    sysctl,
};

/// How the alias of `lo` begins while the sandbox is a fraction.
const NOTE_STEM: &str = "nestless fraction, before:";
/// What stands in a note when `lo` had a clsact qdisc of its own, and in front of its own alias.
const HOOKED: &str = "clsact";
const ALIAS: &str = " alias ";
/// `IFALIASZ` (linux/if.h) without the end of the text.
const MAX_ALIAS_BYTES: usize = 255;

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
/// In the order of a note.
const KEYS: [&str; 3] = [ROUTE_LOCALNET, ACCEPT_LOCAL, PORT_RANGE];

impl Settings {
    pub(super) fn of_a_fraction(mtu: Mtu, ports: PortSlice) -> Self {
        let ports = format!("{}\t{}", ports.first(), ports.last());
        let sysctls =
            vec![(ROUTE_LOCALNET, "1".to_owned()), (ACCEPT_LOCAL, "1".to_owned()), (PORT_RANGE, ports)];
        Self { lo_mtu_bytes: mtu.bytes(), sysctls }
    }
}

/// What stood there before, as the alias of `lo` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    settings: Settings,
    /// `lo` had a clsact qdisc: else it is ours to take away.
    hooked: bool,
    /// The alias that the note stands in place of; "" for none.
    alias: String,
}

impl Note {
    /// Words, and behind them the alias as it was.
    fn text(&self) -> String {
        let mut words = vec![NOTE_STEM.to_owned(), self.settings.lo_mtu_bytes.to_string()];
        words.extend(self.settings.sysctls.iter().map(|(_, value)| value.replace('\t', "-")));
        words.extend(self.hooked.then(|| HOOKED.to_owned()));
        let mut text = words.join(" ");
        if !self.alias.is_empty() {
            text = [&text, ALIAS, &self.alias].concat();
        }
        text
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix(NOTE_STEM)?;
        let (words, alias) = text.split_once(ALIAS).unwrap_or((text, ""));
        let mut words = words.split_whitespace();
        let lo_mtu_bytes = words.next()?.parse().ok()?;
        let mut sysctls = Vec::new();
        for key in KEYS {
            sysctls.push((key, words.next()?.replace('-', "\t")));
        }
        let hooked = words.next() == Some(HOOKED);
        Some(Self { settings: Settings { lo_mtu_bytes, sysctls }, hooked, alias: alias.to_owned() })
    }
}

/// Notes what stands there, if no earlier attempt has.
pub(super) async fn remember(sandbox: &Namespace, inside: &Netlink) -> Result<()> {
    if noted(inside).await?.is_some() {
        return Ok(());
    }
    let lo = lo(inside).await?;
    let settings = read(sandbox, lo.mtu_bytes).await?;
    let hooked = steer::hooks_exist(sandbox).await?;
    let note = Note { settings, hooked, alias: lo.alias.clone().unwrap_or_default() };
    let text = note.text();
    if text.len() > MAX_ALIAS_BYTES {
        let room = MAX_ALIAS_BYTES - (text.len() - note.alias.len());
        return Err(LoopbackEndpointError::Alias { bytes: note.alias.len(), room });
    }
    inside.set_alias(&lo, &text).await.map_err(|source| LoopbackEndpointError::Configure { source })
}

/// Sets back what was noted, and forgets it. Where nothing is, nothing was changed, or it was set back already.
pub(super) async fn restore(sandbox: &Namespace, inside: &Netlink) -> Result<()> {
    let Some(before) = noted(inside).await? else { return Ok(()) };
    write(sandbox, inside, &before.settings).await?;
    if !before.hooked {
        steer::remove_unused_hooks(sandbox).await?;
    }
    let lo = lo(inside).await?;
    inside.set_alias(&lo, &before.alias).await.map_err(|source| LoopbackEndpointError::Configure { source })
}

async fn noted(inside: &Netlink) -> Result<Option<Note>> {
    Ok(lo(inside).await?.alias.as_deref().and_then(Note::read))
}

async fn lo(inside: &Netlink) -> Result<Link> {
    inside.link("lo").await.map_err(|source| LoopbackEndpointError::Look { source })
}

async fn read(sandbox: &Namespace, lo_mtu_bytes: u32) -> Result<Settings> {
    let mut sysctls = Vec::new();
    for key in KEYS {
        let value = sysctl::read_inside(sandbox, key).await;
        sysctls.push((key, value.map_err(|source| LoopbackEndpointError::Setting { source })?));
    }
    Ok(Settings { lo_mtu_bytes, sysctls })
}

pub(super) async fn write(sandbox: &Namespace, inside: &Netlink, wanted: &Settings) -> Result<()> {
    let failed = |source| LoopbackEndpointError::Configure { source };
    for (key, value) in &wanted.sysctls {
        sysctl::write_inside(sandbox, key, value)
            .await
            .map_err(|source| LoopbackEndpointError::Setting { source })?;
    }
    let lo = lo(inside).await?;
    if lo.mtu_bytes != wanted.lo_mtu_bytes {
        inside.set_mtu(&lo, wanted.lo_mtu_bytes).await.map_err(failed)?;
    }
    Ok(())
}

/// Keeps IPv6 from talking on the endpoint; where the kernel has none, there is nothing to keep.
pub(super) async fn quiet(sandbox: &Namespace) -> Result<()> {
    let key = format!("net/ipv6/conf/{ENDPOINT_INTERFACE}/disable_ipv6");
    if sysctl::read_inside(sandbox, &key).await.is_err() {
        return Ok(());
    }
    sysctl::write_inside(sandbox, &key, "1").await.map_err(|source| LoopbackEndpointError::Setting { source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nestless_model::loopback::{GroupSize, Place};

    #[test]
    fn a_note_reads_back() {
        let place = Place::new(3).unwrap();
        let ports = PortSlice::of_place(place, GroupSize::MAX).unwrap();
        let settings = Settings::of_a_fraction(Mtu::MAX, ports);
        let plain = Note { settings, hooked: false, alias: String::new() };
        assert_eq!(plain.text(), "nestless fraction, before: 65535 1 1 38060-39823");
        let odd = Note { hooked: true, alias: " an alias  of its own ".to_owned(), ..plain.clone() };
        assert_eq!(
            odd.text(),
            "nestless fraction, before: 65535 1 1 38060-39823 clsact alias  an alias  of its own "
        );
        for note in [plain, odd] {
            assert_eq!(Note::read(&note.text()), Some(note));
        }
        assert_eq!(Note::read("nestless fraction, before: 65535 1"), None);
        assert_eq!(Note::read("somebody's own text"), None);
    }
}

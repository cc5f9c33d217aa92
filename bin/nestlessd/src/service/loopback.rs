//! The loopback groups, as the ledger and the reflector's tables have them now.

use super::{Refusal, input::GroupWanted, refusal::refusal, translate};
use crate::{daemon::Host, vms::Served};
use nestless_host::loopback::{Counters, LoopbackError};
use nestless_model::{
    attachment::{NicRecord, Phase},
    identity::{GroupName, VmName},
    loopback::{Flow, GroupId, Kind, KnownGroup, Membership, Owner, Place, Protocol, State, Tuple},
    refusal::Reason,
};
use nestless_proto::{
    self as proto, Fraction, Group, Hop, LeftFraction, ListGroupsResponse, ReflectorCounters,
    ShowGroupResponse,
};
use std::collections::{BTreeMap, BTreeSet};
use tonic::Status;

/// So many fit a message several times over.
const MAX_FLOWS: usize = 4096;

/// A fraction's endpoint.
pub(super) struct Endpoint {
    pub(super) vm: VmName,
    pub(super) record: NicRecord,
    pub(super) phase: Phase,
    pub(super) membership: Membership,
}

/// A group that somebody is in.
pub(super) struct Seen {
    id: GroupId,
    owner: Owner,
    name: GroupName,
    known: Option<KnownGroup>,
    /// By place.
    endpoints: Vec<Endpoint>,
}

impl Seen {
    fn new(host: &Host, id: GroupId, endpoints: Vec<Endpoint>) -> Option<Self> {
        let Endpoint { vm, membership, .. } = endpoints.first()?;
        let known = host.pools.group(id);
        // Its last fraction may have left since the snapshot.
        let of_record = || membership.owner.clone().unwrap_or_else(|| Owner::Vm(vm.clone()));
        let owner = known.as_ref().map_or_else(of_record, |known| known.owner.clone());
        Some(Self { id, owner, name: membership.group.clone(), known, endpoints })
    }

    fn is(&self, wanted: &GroupWanted) -> bool {
        self.name == wanted.name && wanted.owner.as_ref().is_none_or(|owner| *owner == self.owner)
    }

    /// As commands take it, and no other group is called.
    fn whole_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

/// All groups with their endpoints, by owner and name.
async fn groups(host: &Host) -> Result<Vec<Seen>, Status> {
    let mut groups: BTreeMap<GroupId, Vec<Endpoint>> = BTreeMap::new();
    for (vm, Served { handle, .. }) in host.vms.all() {
        let snapshot = handle.snapshot().await.map_err(|e| Status::from(refusal(&e)))?;
        for (record, phase) in snapshot.nics {
            let Some(membership) = record.membership().cloned() else { continue };
            let endpoint = Endpoint { vm: vm.clone(), record, phase, membership };
            groups.entry(endpoint.membership.id).or_default().push(endpoint);
        }
    }
    for endpoints in groups.values_mut() {
        endpoints.sort_by_key(|endpoint| endpoint.membership.place);
    }
    let seen = groups.into_iter().filter_map(|(id, endpoints)| Seen::new(host, id, endpoints));
    let mut seen: Vec<_> = seen.collect();
    seen.sort_by(|a, b| (&a.owner, &a.name, a.id).cmp(&(&b.owner, &b.name, b.id)));
    Ok(seen)
}

/// Which NICs are endpoints of a fraction that the operator names, as "GROUP/FRACTION" or "OWNER/GROUP/FRACTION".
pub(super) async fn of_fraction(host: &Host, wanted: &str) -> Result<Vec<(VmName, NicRecord)>, Status> {
    let Some((group, fraction)) = wanted.rsplit_once('/') else { return Ok(Vec::new()) };
    let Ok(wanted) = GroupWanted::parse(group) else { return Ok(Vec::new()) };
    let groups = groups(host).await?.into_iter().filter(|group| group.is(&wanted));
    let endpoints = groups.flat_map(|group| group.endpoints);
    let is_it = |endpoint: &Endpoint| endpoint.membership.fraction.as_str() == fraction;
    Ok(endpoints.filter(is_it).map(|endpoint| (endpoint.vm, endpoint.record)).collect())
}

pub(super) async fn list(host: &Host) -> Result<ListGroupsResponse, Status> {
    let groups = groups(host).await?;
    let attached = attached(host)?;
    let groups = groups.iter().map(|seen| group(host, seen, &attached));
    let strangers = host.host_ends.loopback().strangers().map_err(failed)?;
    Ok(ListGroupsResponse {
        groups: groups.collect::<Result<_, _>>()?,
        strangers: Some(wire_counters(&strangers)),
    })
}

pub(super) async fn show(host: &Host, wanted: &GroupWanted) -> Result<ShowGroupResponse, Status> {
    let groups = groups(host).await?;
    let found: Vec<_> = groups.iter().filter(|seen| seen.is(wanted)).collect();
    let seen = match found[..] {
        [seen] => seen,
        [] => {
            let known = groups.iter().map(Seen::whole_name).collect::<Vec<_>>();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let text = format!("there is no loopback group {wanted} on this host; it has {known}");
            return Err(Refusal::new(Reason::NotFound, text).into());
        }
        _ => {
            let several = found.iter().map(|seen| seen.whole_name()).collect::<Vec<_>>().join(", ");
            let text = format!("{wanted} is several loopback groups: name one of {several}");
            return Err(Refusal::new(Reason::Invalid, text).into());
        }
    };
    let names: BTreeMap<Place, &str> =
        seen.endpoints.iter().map(|e| (e.membership.place, e.membership.fraction.as_str())).collect();
    let found = host.host_ends.loopback().flows(seen.id).map_err(failed)?;
    let mut flows: Vec<_> = found.iter().map(|(tuple, flow)| wire_flow(tuple, flow, &names)).collect();
    let flow_count = u32::try_from(flows.len()).unwrap_or(u32::MAX);
    flows.sort_by(|a, b| {
        (&a.protocol, &a.destination, &a.source).cmp(&(&b.protocol, &b.destination, &b.source))
    });
    flows.truncate(MAX_FLOWS);
    Ok(ShowGroupResponse { group: Some(group(host, seen, &attached(host)?)?), flows, flow_count })
}

/// Where a fraction's packet stays, or goes on.
pub(super) fn steer_hop(membership: &Membership, confirmed: bool) -> Hop {
    Hop {
        place: "pod".into(),
        device: "lo".into(),
        kind: "steer".into(),
        detail: format!(
            "fraction {} of group {}: what no socket here is for goes on",
            membership.fraction, membership.group
        ),
        seen: confirmed,
    }
}

/// From a fraction's host end to those of the others.
pub(super) async fn reflector_hops(host: &Host, from: &Membership, kind: &str) -> Result<Vec<Hop>, Status> {
    let groups = groups(host).await?;
    let Some(seen) = groups.iter().find(|seen| seen.id == from.id) else { return Ok(Vec::new()) };
    let group = group(host, seen, &attached(host)?)?;
    let flows = host.host_ends.loopback().flows(from.id).map_err(failed)?;
    let bound_to = |place: u32| {
        let between = |flow: &Flow| match flow.state {
            State::Bound { answerer, .. } => {
                let ends = [u32::from(flow.asker.number()), u32::from(answerer.number())];
                ends.contains(&place) && ends.contains(&from.place.number().into())
            }
            State::Asked { .. } => false,
        };
        flows.iter().filter(|(_, flow)| between(flow)).count()
    };
    let hop = |fraction: &Fraction| {
        let own = fraction.place == u32::from(from.place.number());
        let detail = if own {
            let packets = fraction.counters.iter().flat_map(|counters| &counters.packets);
            let mut told: Vec<_> = packets
                .filter(|(_, count)| **count > 0)
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            told.sort();
            format!(
                "reflector: {}",
                if told.is_empty() { "nothing sent".to_owned() } else { told.join(", ") }
            )
        } else {
            format!(
                "fraction {} in VM {}: {} flows with it",
                fraction.name,
                fraction.vm,
                bound_to(fraction.place)
            )
        };
        let (device, kind) = (fraction.link.clone(), kind.to_owned());
        (!own, Hop { place: "host".into(), device, kind, detail, seen: fraction.reflected })
    };
    let mut hops: Vec<_> = group.fractions.iter().map(hop).collect();
    hops.sort_by_key(|(other, _)| *other);
    Ok(hops.into_iter().map(|(_, hop)| hop).collect())
}

/// Where the reflector hangs, of all groups.
fn attached(host: &Host) -> Result<BTreeSet<(GroupId, Place)>, Status> {
    let groups = host.host_ends.loopback().observe().map_err(failed)?;
    let places = groups.into_iter().flat_map(|group| {
        let attached = group.members.into_iter().filter(|member| member.attached);
        attached.map(move |member| (group.group, member.place))
    });
    Ok(places.collect())
}

fn group(host: &Host, seen: &Seen, attached: &BTreeSet<(GroupId, Place)>) -> Result<Group, Status> {
    let loopback = host.host_ends.loopback();
    let counters = loopback.counters(seen.id, None).map_err(failed)?;
    let before = |place: Place| seen.known.as_ref()?.before.get(&place).map(ToString::to_string);
    let fraction = |endpoint: &Endpoint| {
        let Membership { id, place, fraction, .. } = &endpoint.membership;
        let served = endpoint.record.attachment();
        Ok(Fraction {
            name: fraction.to_string(),
            place: place.number().into(),
            vm: endpoint.vm.to_string(),
            attachment: served.map(|served| translate::wire_id(&served.id)),
            pod: served.map(|served| translate::wire_pod(&served.pod)),
            link: endpoint.record.nic.link_name().to_string(),
            phase: endpoint.phase.to_string(),
            reflected: attached.contains(&(*id, *place)),
            counters: Some(wire_counters(&loopback.counters(*id, Some(*place)).map_err(failed)?)),
            before: before(*place).unwrap_or_default(),
        })
    };
    let left = seen.known.iter().flat_map(|known| &known.left).map(|(place, left)| LeftFraction {
        name: left.fraction.to_string(),
        place: place.number().into(),
        vm: left.vm.to_string(),
    });
    Ok(Group {
        name: seen.name.to_string(),
        fractions: seen.endpoints.iter().map(fraction).collect::<Result<_, Status>>()?,
        counters: Some(wire_counters(&counters)),
        size: seen.endpoints.first().map(|endpoint| endpoint.membership.size).unwrap_or_default().into(),
        owner: seen.owner.to_string(),
        left: left.collect(),
    })
}

fn wire_flow(tuple: &Tuple, flow: &Flow, names: &BTreeMap<Place, &str>) -> proto::Flow {
    let name = |place: Place| names.get(&place).copied().unwrap_or_default().to_owned();
    let (state, answerer, waiting) = match flow.state {
        State::Bound { answerer, .. } => ("bound", name(answerer), Vec::new()),
        State::Asked { kind, waiting, .. } => {
            let state = if kind == Kind::Opening { "opening" } else { "resuming" };
            let present = waiting.iter().filter(|place| names.contains_key(place));
            (state, String::new(), present.map(name).collect())
        }
    };
    proto::Flow {
        protocol: if tuple.protocol == Protocol::Tcp { "tcp" } else { "udp" }.to_owned(),
        source: tuple.source.to_string(),
        destination: tuple.destination.to_string(),
        asker: name(flow.asker),
        answerer,
        state: state.to_owned(),
        waiting,
    }
}

fn wire_counters(counters: &Counters) -> ReflectorCounters {
    let packets = counters.by_name().filter(|(name, _)| *name != "bytes");
    ReflectorCounters {
        bytes: counters.bytes,
        packets: packets.map(|(name, count)| (name.to_owned(), count)).collect(),
    }
}

fn failed(error: LoopbackError) -> Status {
    Status::internal(format!("look at the loopback groups: {:#}", anyhow::Error::new(error)))
}

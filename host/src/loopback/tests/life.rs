//! Groups that fill, part, and outlive the daemon.

use super::{
    super::{Loopback, LoopbackError, tables},
    encode::{self, Form},
    site::{Site, group},
};
use crate::{
    EbpfError,
    ebpf::filters::look,
    guard::tests::world::{World, each_way, ifindex, ip, link},
};
use aya::maps::MapData;
use nestless_bpf::reflector::{
    COUNTERS, ENDPOINTS, Endpoint, FLOWS_PER_GROUP, GROUPS, Group as GroupRow, LAYOUT, MAX_ENDPOINTS,
    MAX_GROUPS,
};
use nestless_model::loopback::{Body, GroupId, MAX_FRACTIONS, Place, Protocol, Tuple};
use nestless_support::{
    clsact::Hook,
    hook::{Look, Way},
};

const PLAIN: Form = Form {
    option_words: 0,
    extensions: Vec::new(),
    payload: Vec::new(),
    padding: 0,
    noise: 0,
    atomic: false,
};

fn tuple(protocol: Protocol, from: u16, to: u16) -> Tuple {
    let end = |port| ([127, 0, 0, 1], port).into();
    Tuple { protocol, source: end(from), destination: end(to) }
}

fn datagram(from: u16, to: u16) -> Vec<u8> {
    let tuple = tuple(Protocol::Udp, from, to);
    encode::frame(&Body::Datagram { tuple }.into(), &tuple, &PLAIN)
}

#[test]
fn groups_never_mix_and_a_link_in_none_reaches_nobody() {
    let site = Site::with_links(5);
    let (one, two) = (group(1), group(2));
    let places = [(one, 0), (one, 1), (two, 2), (two, 3)].map(|(group, end)| (group, site.join(group, end)));
    assert_eq!(site.send(0, Some(places[0]), &datagram(5, 6)), "asked");
    assert_eq!(site.arrived(), [vec![], vec![datagram(5, 6)], vec![], vec![], vec![]]);
    assert_eq!(site.send(3, Some(places[3]), &datagram(6, 5)), "asked", "the same flow, in another group");
    assert_eq!(site.arrived(), [vec![], vec![], vec![datagram(6, 5)], vec![], vec![]]);
    site.join(two, 4);
    site.loopback.leave(two, Place::new(2).unwrap()).unwrap();
    assert_eq!(site.send(4, None, &datagram(5, 6)), "closed");
    assert!(site.arrived().concat().is_empty());
}

#[test]
fn all_places_are_taken_and_given_back_and_a_missing_link_changes_nothing() {
    let site = Site::with_links(MAX_FRACTIONS + 1);
    let one = group(1);
    for end in 0..MAX_FRACTIONS {
        assert_eq!(usize::from(site.join(one, end).number()), end);
        assert_eq!(usize::from(site.join(one, end).number()), end, "joining again changes nothing");
    }
    let before = site.loopback.observe().unwrap();
    let nobody = site.loopback.join(group(2), Place::new(0).unwrap(), &link("nl99")).unwrap_err();
    assert!(matches!(nobody, LoopbackError::Ebpf(EbpfError::NoLink { .. })), "{nobody}");
    assert_eq!(site.loopback.observe().unwrap(), before);
    // A full group takes one in when another has left, and when a link has gone.
    site.loopback.leave(one, Place::new(7).unwrap()).unwrap();
    site.loopback.leave(one, Place::new(7).unwrap()).unwrap();
    assert_eq!(site.join(one, MAX_FRACTIONS).number(), 7);
}

#[test]
fn a_flood_of_flows_is_bounded_and_stays_in_its_group() {
    let site = Site::with_links(4);
    let (flooded, quiet) = (group(1), group(2));
    let at = |group, end| Some((group, site.join(group, end)));
    let (flooder, _) = (at(flooded, 0), at(flooded, 1));
    let (asker, answerer) = (at(quiet, 2), at(quiet, 3));
    site.send(2, asker, &datagram(5, 6));
    site.send(3, answerer, &datagram(6, 5));
    for port in 1024..=u16::MAX {
        site.send(0, flooder, &datagram(port, 6));
        if port % 64 == 0 {
            site.arrived();
        }
    }
    let rows = site.loopback.flows(flooded).unwrap().len();
    assert!((1..=FLOWS_PER_GROUP as usize).contains(&rows), "{rows} rows");
    assert_eq!(site.loopback.flows(quiet).unwrap().len(), 1);
    assert_eq!(
        site.send(2, asker, &datagram(5, 6)),
        "forwarded",
        "a flood in one group evicts nothing of another"
    );
}

#[test]
fn datagrams_push_out_no_connection() {
    let site = Site::with_links(2);
    let one = group(1);
    let at = [0, 1].map(|end| Some((one, site.join(one, end))));
    let (there, sequence) = (tuple(Protocol::Tcp, 5, 6), 8);
    let frame = |body: Body, tuple: &Tuple| encode::frame(&body.into(), tuple, &PLAIN);
    let answer = Body::SynAck { tuple: there.reversed(), acknowledged: sequence + 1 };
    assert_eq!(site.send(0, at[0], &frame(Body::Syn { tuple: there, sequence }, &there)), "asked");
    assert_eq!(site.send(1, at[1], &frame(answer, &there.reversed())), "answered");
    for port in 1024..=u16::MAX {
        site.send(0, at[0], &datagram(port, 6));
        if port % 64 == 0 {
            site.arrived();
        }
    }
    let segment = Body::Segment { tuple: there, acknowledged: 9, end: None };
    assert_eq!(site.send(0, at[0], &frame(segment, &there)), "forwarded");
}

#[test]
fn groups_flows_and_counters_outlive_the_daemon() {
    let site = Site::with_links(3);
    let one = group(1);
    let at: Vec<_> = (0..3).map(|end| Some((one, site.join(one, end)))).collect();
    site.send(0, at[0], &datagram(5, 6));
    site.send(1, at[1], &datagram(6, 5));
    let (rows, groups) = (site.loopback.flows(one).unwrap(), site.loopback.observe().unwrap());
    let counters = site.loopback.counters(one, None).unwrap();
    let site = site.reopened();
    assert_eq!(site.loopback.flows(one).unwrap(), rows);
    assert_eq!(site.loopback.observe().unwrap(), groups);
    assert!(groups[0].members.iter().all(|member| member.attached));
    assert_eq!(site.loopback.counters(one, None).unwrap(), counters);
    site.arrived();
    assert_eq!(site.send(0, at[0], &datagram(5, 6)), "forwarded");
    assert_eq!(site.arrived(), [vec![], vec![datagram(5, 6)], vec![]]);
}

#[test]
fn a_link_that_is_gone_leaves_and_its_successor_of_the_same_index_is_in_no_group() {
    let site = Site::with_links(2);
    let one = group(1);
    ip("link add nl7 index 77 type veth peer name fr7");
    site.join(one, 0);
    let gone = site.join_link(one, &link("nl7"));
    ip("link del nl7");
    let member = site.loopback.observe().unwrap()[0].members[1];
    assert_eq!((member.place, member.attached), (gone, false));
    site.loopback.leave(one, gone).unwrap();
    ip("link add nl7 index 77 type veth peer name fr7");
    assert!(tables::endpoint(&site.loopback.pinned(), 77).unwrap().is_none());
    let again = site.join_link(group(2), &link("nl7"));
    assert_eq!(again.number(), 0);
}

/// What a daemon leaves that dies between the group's row and its word to the others.
fn half_departed(count: usize) -> (Site, Place) {
    let site = Site::with_links(count);
    let one = group(1);
    let (asker, silent) = (site.join(one, 0), site.join(one, 1));
    assert_eq!(site.send(0, Some((one, asker)), &datagram(5, 6)), "asked");
    assert_eq!(site.arrived()[1], [datagram(5, 6)]);
    let mut pinned = site.loopback.pinned();
    let row = tables::group(&pinned, one).unwrap().unwrap();
    tables::set_group(&mut pinned, one, GroupRow { members: 1, ..row }).unwrap();
    drop(pinned);
    (site.reopened(), silent)
}

#[test]
fn the_next_daemon_finishes_a_departure() {
    let (site, silent) = half_departed(2);
    assert_eq!(site.loopback.sweep().unwrap(), [(group(1), silent)]);
    assert_eq!(site.arrived()[0].len(), 1, "the asker is refused what only the leaver could answer");
    assert_eq!(site.loopback.flows(group(1)).unwrap(), []);
    assert_eq!(site.loopback.sweep().unwrap(), []);

    let (site, _) = half_departed(2);
    site.loopback.leave_all(&link("nl1")).unwrap();
    assert_eq!(site.arrived()[0].len(), 1, "nor is it left to the sweep");

    let (site, silent) = half_departed(3);
    site.loopback.join(group(1), silent, &link("nl2")).unwrap();
    assert_eq!(site.arrived()[0].len(), 1, "before another has the place");
    assert_eq!(site.loopback.sweep().unwrap(), []);
    assert_eq!(site.loopback.observe().unwrap()[0].members.len(), 2);
}

#[test]
fn the_next_daemon_forgets_a_join_that_was_cut_short() {
    let site = Site::with_links(2);
    let one = group(1);
    site.join(one, 0);
    let index = ifindex("nl1");
    let row = Endpoint { group: 1, place: 1, life: 2, ..Endpoint::default() };
    tables::set_endpoint(&mut site.loopback.pinned(), index, row).unwrap();
    tables::create(&mut site.loopback.pinned(), group(2)).unwrap();
    let site = site.reopened();
    assert_eq!(site.loopback.sweep().unwrap(), []);
    let pinned = site.loopback.pinned();
    assert_eq!(tables::endpoint(&pinned, index).unwrap(), None);
    assert_eq!(tables::group(&pinned, group(2)).unwrap(), None, "a group of nobody");
}

#[test]
fn a_full_host_says_so_and_changes_nothing() {
    let site = Site::with_links(2);
    let (one, first, second) = (group(1), Place::new(0).unwrap(), Place::new(1).unwrap());
    site.join(one, 0);
    let before = site.loopback.observe().unwrap();
    let is_refused = |group: GroupId, place: Place, words: &str| {
        let full = site.loopback.join(group, place, &link("nl1")).unwrap_err();
        assert!(full.to_string().contains(words), "{full}");
        assert_eq!(look(Way::Tcx, ifindex("nl1"), Hook::Ingress).unwrap(), Look::default());
    };
    for number in 2..=MAX_GROUPS {
        tables::set_group(&mut site.loopback.pinned(), group(number), GroupRow::default()).unwrap();
    }
    is_refused(group(MAX_GROUPS + 1), first, "table of groups is full, with 4096 rows");
    site.loopback.sweep().unwrap();
    assert_eq!(site.loopback.observe().unwrap(), before, "groups of nobody are forgotten");

    for number in 2..=MAX_ENDPOINTS {
        let of_no_link = 1_000_000 + number;
        tables::set_endpoint(&mut site.loopback.pinned(), of_no_link, Endpoint::default()).unwrap();
    }
    is_refused(group(2), first, "table of endpoints is full, with 16384 rows");
    is_refused(one, second, "table of endpoints is full");
    assert_eq!(site.loopback.observe().unwrap(), before);
    site.loopback.sweep().unwrap();
    assert_eq!(site.join(one, 1), second);
}

/// As versions put it there that knew no TCX.
#[test]
fn a_reflector_of_the_former_way_is_taken_over() {
    let world = World::enter();
    ip("link add nl1 type veth peer name pod1");
    let place = Place::new(0).unwrap();
    let attached = |loopback: &Loopback| loopback.observe().unwrap()[0].members[0].attached;
    let former = Loopback::open_by(Way::Clsact, &world.pins).unwrap();
    former.join(group(1), place, &link("nl1")).unwrap();
    drop(former);
    let loopback = Loopback::open_by(Way::Tcx, &world.pins).unwrap();
    assert!(!attached(&loopback), "it reflects, but not as it should");
    loopback.join(group(1), place, &link("nl1")).unwrap();
    assert!(attached(&loopback));
    let left = look(Way::Clsact, ifindex("nl1"), Hook::Ingress).unwrap();
    assert_eq!(left, Look::default(), "it would be asked twice");
}

#[test]
fn a_program_before_the_reflector_is_noticed_until_it_is_gone() {
    each_way(|world, way| {
        ip("link add nl1 type veth peer name pod1");
        let (place, nl1) = (Place::new(0).unwrap(), link("nl1"));
        let loopback = Loopback::open_by(way, &world.pins).unwrap();
        let attached = || loopback.observe().unwrap()[0].members[0].attached;
        loopback.join(group(1), place, &nl1).unwrap();
        let other = world.intruder();
        other.put_before(way, "nl1", Hook::Ingress);
        assert!(!attached());
        let told = loopback.join(group(1), place, &nl1).unwrap_err();
        assert!(told.to_string().contains("before the reflector: the port stays closed"), "{told}");
        other.take_off();
        loopback.join(group(1), place, &nl1).unwrap();
        assert!(attached());
    });
}

/// They are never short before groups or endpoints are: a row for each place, for those that left, and for frames of no group.
#[test]
fn counters_have_room_for_all_places_of_all_groups() {
    let world = World::enter();
    let _loopback = Loopback::open(&world.pins).unwrap();
    let tables = world.pins.join(format!("tables-{LAYOUT}"));
    let most = |name| MapData::from_pin(tables.join(name)).unwrap().info().unwrap().max_entries();
    assert_eq!([GROUPS, ENDPOINTS].map(most), [MAX_GROUPS, MAX_ENDPOINTS]);
    assert_eq!(most(COUNTERS), MAX_GROUPS * (MAX_FRACTIONS as u32 + 1) + 1);
}

#[test]
fn leaving_counts_on_for_the_group_and_dissolving_forgets_it() {
    let site = Site::with_links(2);
    let one = group(1);
    let place = site.join(one, 0);
    site.join(one, 1);
    site.send(0, Some((one, place)), &datagram(5, 6));
    site.loopback.leave(one, place).unwrap();
    site.join(one, 0);
    assert_eq!(site.counters(Some((one, place))).asked, 0, "a new endpoint's counters are its own");
    assert_eq!(site.loopback.counters(one, None).unwrap().asked, 1);
    site.loopback.dissolve(one).unwrap();
    site.loopback.dissolve(one).unwrap();
    assert_eq!(site.loopback.observe().unwrap(), []);
    assert_eq!(site.loopback.counters(one, None).unwrap().asked, 0);
    assert_eq!(site.send(0, None, &datagram(5, 6)), "closed");
}

#[test]
fn a_place_without_an_ebpf_file_system_is_named() {
    let world = World::enter();
    let dir = tempfile::tempdir().unwrap();
    let error = Loopback::open(&dir.path().join("pins")).unwrap_err();
    assert!(matches!(error, LoopbackError::Ebpf(EbpfError::FileSystem { .. })), "{error}");
    let words = error.to_string();
    assert!(words.contains("eBPF file system") && words.contains("mount -t bpf"), "{words}");
    drop(world);
}

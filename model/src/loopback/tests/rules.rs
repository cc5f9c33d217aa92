//! Each rule by itself.

use crate::loopback::*;

pub(super) fn tuple(protocol: Protocol, from: u16, to: u16) -> Tuple {
    let end = |port| ([127, 0, 0, 1], port).into();
    Tuple { protocol, source: end(from), destination: end(to) }
}

pub(super) fn there() -> Tuple {
    tuple(Protocol::Tcp, 40000, 80)
}

pub(super) fn back() -> Tuple {
    there().reversed()
}

pub(super) fn group(fractions: usize) -> (Group, Vec<Place>) {
    let mut group = Group::default();
    let places = (0..fractions).map(|_| group.join().unwrap()).collect();
    (group, places)
}

pub(super) fn receive(group: &mut Group, from: Place, body: Body) -> (Outcome, Vec<Place>) {
    let verdict = group.receive(from, &body.into());
    (verdict.outcome, verdict.to.iter().collect())
}

pub(super) const ISN: u32 = 0xffff_ffff;
const SYN_ACK_TO_ISN: u32 = 0;

pub(super) fn syn() -> Body {
    Body::Syn { tuple: there(), sequence: ISN }
}

pub(super) fn syn_ack() -> Body {
    Body::SynAck { tuple: back(), acknowledged: SYN_ACK_TO_ISN }
}

pub(super) fn refusal() -> Body {
    Body::Reset { tuple: back(), acknowledged: Some(SYN_ACK_TO_ISN) }
}

pub(super) fn segment(tuple: Tuple) -> Body {
    Body::Segment { tuple, acknowledged: 77, end: None }
}

#[test]
fn a_syn_asks_all_and_the_first_answer_binds() {
    let (mut g, p) = group(3);
    assert_eq!(receive(&mut g, p[0], syn()), (Outcome::Asked, vec![p[1], p[2]]));
    assert_eq!(receive(&mut g, p[2], refusal()), (Outcome::Withheld, vec![]));
    assert_eq!(receive(&mut g, p[1], syn_ack()), (Outcome::Answered, vec![p[0]]));
    assert_eq!(receive(&mut g, p[0], segment(there())), (Outcome::Forwarded, vec![p[1]]));
    assert_eq!(receive(&mut g, p[1], segment(back())), (Outcome::Forwarded, vec![p[0]]));
    // A retransmitted SYN, and the SYN-ACK sent again for it, stay between the two.
    assert_eq!(receive(&mut g, p[0], syn()), (Outcome::Forwarded, vec![p[1]]));
    assert_eq!(receive(&mut g, p[1], syn_ack()), (Outcome::Forwarded, vec![p[0]]));
}

#[test]
fn a_second_listener_is_a_clash_and_its_reset_harmless() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], syn());
    receive(&mut g, p[1], syn_ack());
    assert_eq!(receive(&mut g, p[2], syn_ack()), (Outcome::Clash, vec![]));
    assert_eq!(receive(&mut g, p[2], refusal()), (Outcome::Stray, vec![]));
    assert_eq!(receive(&mut g, p[2], segment(back())), (Outcome::Stray, vec![]));
    assert_eq!(receive(&mut g, p[1], segment(back())), (Outcome::Forwarded, vec![p[0]]));
}

#[test]
fn only_the_last_refusal_passes_and_each_counts_once() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], syn());
    for _ in 0..3 {
        receive(&mut g, p[1], refusal());
    }
    assert_eq!(receive(&mut g, p[2], refusal()), (Outcome::Refused, vec![p[0]]));
    assert_eq!(receive(&mut g, p[2], refusal()), (Outcome::Stray, vec![]));
    assert_eq!(g.flows().count(), 0);
}

#[test]
fn a_refusal_of_another_attempt_or_of_a_late_joiner_does_not_count() {
    let (mut g, p) = group(2);
    receive(&mut g, p[0], syn());
    let old = Body::Reset { tuple: back(), acknowledged: Some(ISN) };
    assert_eq!(receive(&mut g, p[1], old), (Outcome::Stray, vec![]));
    let late = g.join().unwrap();
    assert_eq!(receive(&mut g, late, refusal()), (Outcome::Stray, vec![]));
    // The retransmission asks the late one too.
    assert_eq!(receive(&mut g, p[0], syn()), (Outcome::Asked, vec![p[1], late]));
    assert_eq!(receive(&mut g, p[1], refusal()), (Outcome::Withheld, vec![]));
    assert_eq!(receive(&mut g, late, refusal()), (Outcome::Refused, vec![p[0]]));
}

#[test]
fn an_icmp_error_is_a_refusal_of_the_packet_it_quotes() {
    let (mut g, p) = group(2);
    receive(&mut g, p[0], syn());
    let error = |sequence, unreachable| Body::Error { quoted: there(), sequence, unreachable };
    assert_eq!(receive(&mut g, p[1], error(5, true)), (Outcome::Stray, vec![]));
    assert_eq!(receive(&mut g, p[1], error(ISN, false)), (Outcome::Stray, vec![]));
    assert_eq!(receive(&mut g, p[1], error(ISN, true)), (Outcome::Refused, vec![p[0]]));
}

#[test]
fn an_old_connections_acknowledgement_reaches_the_asker_and_his_reset_the_old_end() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], syn());
    receive(&mut g, p[2], refusal());
    assert_eq!(receive(&mut g, p[1], segment(back())), (Outcome::Forwarded, vec![p[0]]));
    let reset = Body::Reset { tuple: there(), acknowledged: None };
    assert_eq!(receive(&mut g, p[0], reset), (Outcome::Forwarded, vec![p[1]]));
    assert_eq!(receive(&mut g, p[1], syn_ack()), (Outcome::Answered, vec![p[0]]));
}

#[test]
fn an_evicted_flow_is_asked_for_and_bound_again() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], syn());
    receive(&mut g, p[1], syn_ack());
    g.evict(&there());
    assert_eq!(receive(&mut g, p[2], refusal()), (Outcome::Stray, vec![]));
    assert_eq!(receive(&mut g, p[1], segment(back())), (Outcome::Asked, vec![p[0], p[2]]));
    let rst = Body::Reset { tuple: there(), acknowledged: None };
    assert_eq!(receive(&mut g, p[2], rst), (Outcome::Withheld, vec![]));
    assert_eq!(receive(&mut g, p[0], segment(there())), (Outcome::Answered, vec![p[1]]));
    assert_eq!(receive(&mut g, p[2], rst), (Outcome::Stray, vec![]));
}

#[test]
fn a_second_listeners_syn_ack_does_not_bind_a_flow_that_is_resumed() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], syn());
    receive(&mut g, p[1], syn_ack());
    g.evict(&there());
    assert_eq!(receive(&mut g, p[0], segment(there())), (Outcome::Asked, vec![p[1], p[2]]));
    assert_eq!(receive(&mut g, p[2], syn_ack()), (Outcome::Forwarded, vec![p[0]]));
    // It refuses the first one's acknowledgement: one refusal of two.
    let rst = Body::Reset { tuple: back(), acknowledged: None };
    assert_eq!(receive(&mut g, p[2], rst), (Outcome::Withheld, vec![]));
    assert_eq!(receive(&mut g, p[1], segment(back())), (Outcome::Answered, vec![p[0]]));
}

#[test]
fn a_new_connection_from_an_old_port_is_a_new_question() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], syn());
    receive(&mut g, p[1], syn_ack());
    let again = Body::Syn { tuple: there(), sequence: 9 };
    assert_eq!(receive(&mut g, p[0], again), (Outcome::Asked, vec![p[1], p[2]]));
    let moved = Body::SynAck { tuple: back(), acknowledged: 10 };
    assert_eq!(receive(&mut g, p[2], moved), (Outcome::Answered, vec![p[0]]));
}

#[test]
fn simultaneous_open_binds_both_ways() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], Body::Syn { tuple: there(), sequence: 1 });
    receive(&mut g, p[1], Body::Syn { tuple: back(), sequence: 100 });
    let from_first = Body::SynAck { tuple: there(), acknowledged: 101 };
    let from_second = Body::SynAck { tuple: back(), acknowledged: 2 };
    assert_eq!(receive(&mut g, p[0], from_first), (Outcome::Answered, vec![p[1]]));
    assert_eq!(receive(&mut g, p[1], from_second), (Outcome::Answered, vec![p[0]]));
    assert_eq!(receive(&mut g, p[0], segment(there())), (Outcome::Forwarded, vec![p[1]]));
    assert_eq!(receive(&mut g, p[1], segment(back())), (Outcome::Forwarded, vec![p[0]]));
}

#[test]
fn who_is_alone_asks_himself() {
    let (mut g, p) = group(1);
    assert_eq!(receive(&mut g, p[0], syn()), (Outcome::Alone, vec![p[0]]));
    assert_eq!(receive(&mut g, p[0], segment(there())), (Outcome::Alone, vec![p[0]]));
}

#[test]
fn udp_binds_to_the_first_answer_and_is_unbound_by_unreachable() {
    let (mut g, p) = group(3);
    let ask = tuple(Protocol::Udp, 40000, 53);
    let datagram = |tuple| Body::Datagram { tuple };
    let unreachable = Body::Error { quoted: ask, sequence: 0, unreachable: true };
    assert_eq!(receive(&mut g, p[0], datagram(ask)), (Outcome::Asked, vec![p[1], p[2]]));
    assert_eq!(receive(&mut g, p[2], unreachable), (Outcome::Withheld, vec![]));
    // One-way traffic goes on to those who did not refuse.
    assert_eq!(receive(&mut g, p[0], datagram(ask)), (Outcome::Forwarded, vec![p[1]]));
    assert_eq!(receive(&mut g, p[1], datagram(ask.reversed())), (Outcome::Answered, vec![p[0]]));
    assert_eq!(receive(&mut g, p[2], datagram(ask.reversed())), (Outcome::Clash, vec![]));
    assert_eq!(receive(&mut g, p[0], datagram(ask)), (Outcome::Forwarded, vec![p[1]]));
    assert_eq!(receive(&mut g, p[2], unreachable), (Outcome::Stray, vec![]));
    assert_eq!(receive(&mut g, p[1], unreachable), (Outcome::Withheld, vec![]));
    assert_eq!(receive(&mut g, p[0], datagram(ask)), (Outcome::Asked, vec![p[1], p[2]]));
    assert_eq!(receive(&mut g, p[1], unreachable), (Outcome::Withheld, vec![]));
    assert_eq!(receive(&mut g, p[2], unreachable), (Outcome::Refused, vec![p[0]]));
}

#[test]
fn who_ask_for_each_other_are_bound_by_the_first_answer() {
    let (mut g, p) = group(3);
    let there = tuple(Protocol::Udp, 40000, 53);
    let datagram = |tuple| Body::Datagram { tuple };
    receive(&mut g, p[0], datagram(there));
    g.evict(&there);
    receive(&mut g, p[1], datagram(there.reversed()));
    // The first's question again, as its datagram overtook the other's.
    let own = Flow {
        asker: p[0],
        asker_life: g.life(p[0]),
        number: 0,
        state: State::Asked { kind: Kind::Opening, waiting: Places::only(p[1]).with(p[2]), epoch: g.epoch() },
    };
    g.flows.insert(there, own);
    assert_eq!(receive(&mut g, p[0], datagram(there)), (Outcome::Answered, vec![p[1]]));
    assert_eq!(g.flows().count(), 1);
    assert_eq!(receive(&mut g, p[1], datagram(there.reversed())), (Outcome::Forwarded, vec![p[0]]));
    assert_eq!(receive(&mut g, p[0], datagram(there)), (Outcome::Forwarded, vec![p[1]]));
}

#[test]
fn between_two_a_bound_ends_refusal_is_everybodys() {
    let (mut g, p) = group(2);
    let ask = tuple(Protocol::Udp, 40000, 53);
    receive(&mut g, p[0], Body::Datagram { tuple: ask });
    receive(&mut g, p[1], Body::Datagram { tuple: ask.reversed() });
    let unreachable = Body::Error { quoted: ask, sequence: 0, unreachable: true };
    assert_eq!(receive(&mut g, p[1], unreachable), (Outcome::Refused, vec![p[0]]));
    assert_eq!(g.flows().count(), 0);
}

#[test]
fn fragments_follow_the_first() {
    let (mut g, p) = group(3);
    let later = Body::LaterFragment { id: FragmentId(7) };
    assert_eq!(receive(&mut g, p[0], later), (Outcome::Fragment, vec![]));
    let body = Body::Datagram { tuple: tuple(Protocol::Udp, 40000, 53) };
    g.receive(p[0], &Packet { body, first_fragment: Some(FragmentId(7)) });
    assert_eq!(receive(&mut g, p[0], later), (Outcome::Forwarded, vec![p[1], p[2]]));
    g.leave(p[1]);
    assert_eq!(receive(&mut g, p[0], later), (Outcome::Forwarded, vec![p[2]]));
    assert_eq!(receive(&mut g, p[2], later), (Outcome::Fragment, vec![]));
}

#[test]
fn a_leaver_is_subtracted_and_its_peers_are_made_to_speak() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], syn());
    receive(&mut g, p[1], syn_ack());
    let open = Tuple { source: ([127, 0, 0, 1], 40001).into(), ..there() };
    receive(&mut g, p[0], Body::Syn { tuple: open, sequence: 5 });
    receive(&mut g, p[2], Body::Reset { tuple: open.reversed(), acknowledged: Some(6) });
    let refuse = Farewell::Refuse { to: p[0], tuple: open.reversed(), kind: Kind::Opening, number: 5 };
    assert_eq!(g.leave(p[1]), vec![Farewell::Provoke { to: p[0], tuple: back() }, refuse]);
    assert_eq!(g.flows().count(), 0);
    // What the provoked end says is refused by all that are left, and so resets it.
    assert_eq!(receive(&mut g, p[0], segment(there())), (Outcome::Asked, vec![p[2]]));
    let rst = Body::Reset { tuple: back(), acknowledged: None };
    assert_eq!(receive(&mut g, p[2], rst), (Outcome::Refused, vec![p[0]]));
}

#[test]
fn a_group_has_sixteen_places_and_uses_them_again() {
    let (mut g, p) = group(MAX_FRACTIONS);
    assert_eq!(g.join(), Err(GroupFull));
    receive(&mut g, p[0], syn());
    assert_eq!(g.leave(p[3]), vec![]);
    let place = g.join().unwrap();
    assert_eq!(place, p[3]);
    assert_eq!(receive(&mut g, place, refusal()), (Outcome::Stray, vec![]), "the new one was not asked");
}

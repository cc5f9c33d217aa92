//! How connections end, and who is not waited for: each rule by itself.

use super::rules::{ISN, back, group, receive, refusal, segment, syn, syn_ack, there, tuple};
use crate::loopback::*;

/// Of a bound connection.
fn fin(tuple: Tuple, acknowledged: u32, end: u32) -> Body {
    Body::Segment { tuple, acknowledged, end: Some(end) }
}

fn acknowledgement(tuple: Tuple, acknowledged: u32) -> Body {
    Body::Segment { tuple, acknowledged, end: None }
}

#[test]
fn a_connection_that_both_ends_have_finished_is_forgotten() {
    let passes = |closing: &[(bool, Body)]| {
        let (mut g, p) = group(3);
        receive(&mut g, p[0], syn());
        receive(&mut g, p[1], syn_ack());
        for (number, (asker, body)) in closing.iter().enumerate() {
            assert_eq!(g.flows().count(), 1, "before packet {number}");
            let (from, to) = if *asker { (p[0], p[1]) } else { (p[1], p[0]) };
            assert_eq!(receive(&mut g, from, *body), (Outcome::Forwarded, vec![to]), "packet {number}");
        }
        g.flows().count()
    };
    // One after the other, with data and an older acknowledgement in between.
    let in_turn = [
        (true, fin(there(), 500, 100)),
        (false, acknowledgement(back(), 100)),
        (false, acknowledgement(back(), 100)),
        (false, fin(back(), 100, 900)),
        (true, acknowledgement(there(), 600)),
        (true, acknowledgement(there(), 900)),
    ];
    assert_eq!(passes(&in_turn), 0);
    // Both at once; one is sent again.
    let at_once = [
        (true, fin(there(), 500, 100)),
        (false, fin(back(), 90, 900)),
        (true, fin(there(), 500, 100)),
        (true, acknowledgement(there(), 900)),
        (false, acknowledgement(back(), 100)),
    ];
    assert_eq!(passes(&at_once), 0);
    assert_eq!(passes(&in_turn[..5]), 1, "half closed");
    for resets in [true, false] {
        let tuple = if resets { there() } else { back() };
        assert_eq!(passes(&[(resets, Body::Reset { tuple, acknowledged: None })]), 0);
    }
}

#[test]
fn who_is_silent_is_not_asked_and_not_waited_for() {
    let (mut g, p) = group(3);
    receive(&mut g, p[0], syn());
    assert_eq!(receive(&mut g, p[1], refusal()), (Outcome::Withheld, vec![]));
    let refuse = Farewell::Refuse { to: p[0], tuple: back(), kind: Kind::Opening, number: ISN };
    assert_eq!(g.silence(Family::V6, Places::only(p[2])), vec![], "that was IPv4");
    assert_eq!(g.silence(Family::V4, Places::only(p[2])), vec![refuse]);
    assert_eq!(receive(&mut g, p[0], syn()), (Outcome::Asked, vec![p[1]]));
    assert_eq!(receive(&mut g, p[1], refusal()), (Outcome::Refused, vec![p[0]]));
    receive(&mut g, p[1], Body::Syn { tuple: there(), sequence: ISN });
    g.silence(Family::V4, Places::only(p[2]).with(p[0]));
    assert_eq!(receive(&mut g, p[1], syn()), (Outcome::Alone, vec![p[1]]), "nobody hears");
    g.silence(Family::V4, Places::default());
    assert_eq!(receive(&mut g, p[0], syn()), (Outcome::Asked, vec![p[1], p[2]]));
}

#[test]
fn an_answer_to_a_probe_is_taken_down_and_goes_nowhere() {
    let (mut g, p) = group(3);
    for family in Family::ALL {
        let tuple = probe(family).reversed();
        let answer = Body::Reset { tuple, acknowledged: None };
        assert_eq!(receive(&mut g, p[1], answer), (Outcome::Heard, vec![]));
        assert_eq!(g.heard(family), Places::only(p[1]));
    }
}

#[test]
fn who_is_alone_may_connect_to_itself() {
    let itself = tuple(Protocol::Tcp, 80, 80);
    let answer = Body::SynAck { tuple: itself, acknowledged: 2 };
    let (mut g, p) = group(1);
    let syn = Body::Syn { tuple: itself, sequence: 1 };
    assert_eq!(receive(&mut g, p[0], syn), (Outcome::Alone, vec![p[0]]));
    assert_eq!(receive(&mut g, p[0], answer), (Outcome::Alone, vec![p[0]]));
    // Among others, it meets who listens there, and both ends' packets have one tuple.
    let (mut g, p) = group(3);
    assert_eq!(receive(&mut g, p[0], syn), (Outcome::Asked, vec![p[1], p[2]]));
    assert_eq!(receive(&mut g, p[1], answer), (Outcome::Answered, vec![p[0]]));
    assert_eq!(receive(&mut g, p[0], segment(itself)), (Outcome::Forwarded, vec![p[1]]));
    assert_eq!(receive(&mut g, p[1], segment(itself)), (Outcome::Forwarded, vec![p[0]]));
    assert_eq!(receive(&mut g, p[2], segment(itself)), (Outcome::Stray, vec![]));
}

//! What must hold of a group whatever its fractions send.

use super::{
    network::Network,
    stack::{Socket, Stack},
};
use crate::loopback::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    Join,
    Leave(u8),
    Listen(u8, bool, u16),
    Close(u8, bool, u16),
    Connect(u8, u16),
    Ask(u8, u16),
    Abort(u8, usize),
    Retransmit(u8, usize),
    Reflect(u8),
    Deliver(u8),
    Evict(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let place = || 0u8..4;
    let port = || 80u16..83;
    prop_oneof![
        1 => Just(Action::Join),
        1 => place().prop_map(Action::Leave),
        3 => (place(), any::<bool>(), port()).prop_map(|(p, udp, port)| Action::Listen(p, udp, port)),
        2 => (place(), any::<bool>(), port()).prop_map(|(p, udp, port)| Action::Close(p, udp, port)),
        8 => (place(), port()).prop_map(|(p, port)| Action::Connect(p, port)),
        5 => (place(), port()).prop_map(|(p, port)| Action::Ask(p, port)),
        2 => (place(), any::<usize>()).prop_map(|(p, n)| Action::Abort(p, n)),
        3 => (place(), any::<usize>()).prop_map(|(p, n)| Action::Retransmit(p, n)),
        30 => place().prop_map(Action::Reflect),
        30 => place().prop_map(Action::Deliver),
        1 => any::<usize>().prop_map(Action::Evict),
    ]
}

fn protocol(udp: bool) -> Protocol {
    if udp { Protocol::Udp } else { Protocol::Tcp }
}

fn apply(n: &mut Network, action: &Action) {
    let at = |number: &u8| Place::new(*number).unwrap();
    match action {
        Action::Join => {
            if n.stacks.len() < 4 {
                n.join();
            }
        }
        Action::Leave(p) => n.leave(at(p)),
        Action::Listen(p, udp, port) => n.listen(at(p), protocol(*udp), *port),
        Action::Close(p, udp, port) => {
            if let Some(stack) = n.stacks.get_mut(&at(p)) {
                stack.listeners.remove(&(protocol(*udp), *port));
            }
        }
        Action::Connect(p, port) => n.connect(at(p), *port),
        Action::Ask(p, port) => n.ask(at(p), *port),
        Action::Abort(p, index) => {
            let stack = n.stacks.get(&at(p));
            let nth = |stack: &Stack| stack.sockets.keys().nth(index % stack.sockets.len().max(1)).copied();
            if let Some(tuple) = stack.and_then(nth) {
                n.abort(at(p), tuple);
            }
        }
        Action::Retransmit(p, index) => {
            let tuple = n
                .stacks
                .get(&at(p))
                .and_then(|stack| stack.sockets.keys().nth(index % stack.sockets.len().max(1)).copied());
            if let Some(tuple) = tuple {
                n.retransmit(at(p), tuple);
            }
        }
        Action::Reflect(p) => drop(n.reflect(at(p))),
        Action::Deliver(p) => drop(n.deliver(at(p))),
        Action::Evict(index) => {
            let count = n.group.flows().count().max(1);
            let tuple = n.group.flows().nth(index % count).map(|(tuple, _)| *tuple);
            if let Some(tuple) = tuple {
                n.evict(&tuple);
            }
        }
    }
}

proptest! {
    // Eight times as many as of other properties: what is looked for needs several things at once.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases * 8,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    /// No wrong refusal, no wrong reset, no stranger (checked by the network at each packet), and, once all that waits
    /// was sent again, every connection is whole or gone.
    #[test]
    fn refusals_are_everybodys_and_connections_never_mix(actions in prop::collection::vec(action(), 1..250)) {
        let mut network = Network::default();
        (0..3).for_each(|_| network.join());
        for action in &actions {
            apply(&mut network, action);
        }
        network.settle();
        prop_assert_eq!(network.loose_ends(), vec![]);
    }
}

#[test]
fn the_network_does_open_and_refuse() {
    let mut network = Network::default();
    (0..3).for_each(|_| network.join());
    let places: Vec<Place> = Place::all().take(3).collect();
    network.stacks.get_mut(&places[2]).unwrap().listeners.insert((Protocol::Tcp, 80));
    network.connect(places[0], 80);
    network.connect(places[1], 81);
    network.ask(places[1], 81);
    network.settle();
    assert_eq!((network.opened, network.refusals), (1, 2));
    assert!(matches!(network.stacks[&places[0]].sockets.values().next(), Some(Socket::Open { .. })));
    network.leave(places[2]);
    network.settle();
    assert!(network.stacks.values().all(|stack| stack.sockets.is_empty()), "its peers were reset");
}

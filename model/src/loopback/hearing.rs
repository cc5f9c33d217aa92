//! Who answers at all.
//!
//! A refusal must be everybody's, so that one fraction that says nothing would have everybody wait: a VM that is stopped, a
//! sandbox whose `lo` is down or has no IPv6. Its silence to a question says little, though: a listener whose queue is full,
//! or a firewall, is silent too, and on one machine its client waits. So the host asks something that every kernel
//! refuses, whoever listens: a segment of no connection. Who leaves several of these unanswered, one after the other, is
//! *silent*, and as if not there for questions; who answers one is back.
//!
//! It is the daemon that asks, a second apart. eBPF's timers can tell that time has passed, but cannot send the
//! refusal that somebody waits for; and to take the silence itself for a refusal, by the asker's next SYN, would refuse
//! what only takes long.

use super::{
    flow::{MAX_FRACTIONS, Places},
    packet::{Family, Protocol, Tuple},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// So many probes in a row, a second apart: a guest on a busy machine may sleep for that long.
const PATIENCE: u8 = 8;
/// Who has never answered by any IP may still be setting up what the host has made ready.
const PATIENCE_WITH_NEWCOMERS: u8 = 10;

/// The direction of a probe: addresses and ports that no program has together. `reflector_types.h` has them too.
pub fn probe(family: Family) -> Tuple {
    let ip = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(127, 255, 255, 254)),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let [source, destination] = [1, 7].map(|port| SocketAddr::new(ip, port));
    Tuple { protocol: Protocol::Tcp, source, destination }
}

/// What is known of one group's members.
#[derive(Clone, Debug, Default)]
pub struct Hearing {
    /// Probes in a row, by family.
    missed: [[u8; MAX_FRACTIONS]; 2],
    /// Who has answered one.
    met: Places,
}

impl Hearing {
    /// Takes down who of those that were probed has answered, and says who is silent now, of those that were and are there;
    /// all by family.
    pub fn silent(
        &mut self,
        members: Places,
        were: [Places; 2],
        probed: Places,
        heard: [Places; 2],
    ) -> [Places; 2] {
        self.met = self.met.or(heard[0].or(heard[1]).and(probed));
        Family::ALL.map(|family| {
            let (n, mut silent) = (family.index(), were[family.index()].and(members));
            for place in probed.and(members).iter() {
                let missed = &mut self.missed[n][place.index()];
                *missed = if heard[n].contains(place) { 0 } else { missed.saturating_add(1) };
                let patience = if self.met.contains(place) { PATIENCE } else { PATIENCE_WITH_NEWCOMERS };
                if *missed == 0 {
                    silent = silent.without(place);
                } else if *missed >= patience {
                    silent = silent.with(place);
                }
            }
            silent
        })
    }

    /// Whether somebody has left the last probe unanswered.
    pub fn is_in_doubt(&self) -> bool {
        self.missed.iter().flatten().any(|missed| *missed > 0)
    }

    /// Others have these places, or nobody.
    pub fn forget(&mut self, gone: Places) {
        self.met = self.met.and(gone.inverse());
        for missed in &mut self.missed {
            gone.iter().for_each(|place| missed[place.index()] = 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Places = Places(0b111);
    const NOBODY: Places = Places(0);

    /// Probes all, of whom those answer; who is silent.
    fn probe_all(hearing: &mut Hearing, silent: &mut [Places; 2], heard: [u16; 2]) -> [u16; 2] {
        *silent = hearing.silent(ALL, *silent, ALL, heard.map(Places));
        silent.map(|places| places.0)
    }

    #[test]
    fn who_misses_several_probes_in_a_row_is_silent_until_he_answers_one() {
        let (mut hearing, mut silent) = (Hearing::default(), [NOBODY; 2]);
        let mut pass = |heard, expected| {
            let by_both = probe_all(&mut hearing, &mut silent, [heard, 0b111]);
            assert_eq!(by_both, [expected, 0], "{heard:b}");
        };
        pass(0b111, 0);
        for _ in 1..PATIENCE {
            pass(0b101, 0);
        }
        pass(0b111, 0);
        for _ in 1..PATIENCE {
            pass(0b101, 0);
        }
        pass(0b101, 0b10);
        pass(0b111, 0);
        assert!(!hearing.is_in_doubt());
    }

    #[test]
    fn a_newcomer_has_time_unless_he_speaks_the_other_ip() {
        let (mut hearing, mut silent) = (Hearing::default(), [NOBODY; 2]);
        // The second has no IPv6; the third is not there yet.
        for pass in 1..=PATIENCE_WITH_NEWCOMERS {
            let now = probe_all(&mut hearing, &mut silent, [0b011, 0b001]);
            let expected = if pass < PATIENCE {
                [0, 0]
            } else if pass < PATIENCE_WITH_NEWCOMERS {
                [0, 0b010]
            } else {
                [0b100, 0b110]
            };
            assert_eq!(now, expected, "pass {pass}");
        }
    }

    #[test]
    fn who_was_not_probed_stays_as_he_was_and_a_successor_begins_anew() {
        let (one, mut hearing) = ([Places(0b1), NOBODY], Hearing::default());
        assert_eq!(hearing.silent(ALL, one, NOBODY, [NOBODY; 2]), one);
        assert_eq!(hearing.silent(Places(0b110), one, NOBODY, [NOBODY; 2]), [NOBODY; 2], "he left");
        hearing.silent(ALL, [NOBODY; 2], ALL, [Places(0b110), ALL]);
        assert!(hearing.is_in_doubt());
        hearing.forget(Places(0b1));
        assert!(!hearing.is_in_doubt());
    }

    #[test]
    fn no_two_probes_are_alike() {
        let [v4, v6] = Family::ALL.map(probe);
        assert_ne!(v4, v6);
        assert!(v4.family() == Family::V4 && v6.family() == Family::V6 && v4 != v4.reversed());
    }
}

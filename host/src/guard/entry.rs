//! Rules as the in-kernel table holds them.

use nestless_bpf::guard::{Entry, Ipv6, Rate};
use nestless_model::guard::{GuardRules, MAX_ADDRESSES_PER_FAMILY, RateLimit};
use std::net::{IpAddr, Ipv6Addr};

/// Rules that the table cannot hold, or that would allow what no NIC may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// An address that belongs to no single NIC.
    #[error("{address} is no unicast address, so no NIC may send from it")]
    NotUnicast {
        /// The address.
        address: IpAddr,
    },
    /// The table has no room for more.
    #[error("more than {MAX_ADDRESSES_PER_FAMILY} {family} addresses for one NIC")]
    TooManyAddresses {
        /// "IPv4" or "IPv6".
        family: &'static str,
    },
    /// A rate of nothing.
    #[error("a rate of 0 bit/s: leave the limit out, or make it at least 1 bit/s")]
    NoRate,
}

/// The entry of the link with this index.
pub(super) fn entry(rules: &GuardRules, link: u32) -> Result<Entry, RulesError> {
    let mut entry = Entry {
        link,
        mac: rules.mac.bytes(),
        dhcp_server: u8::from(rules.dhcp_server),
        router: u8::from(rules.router),
        egress: rate(rules.egress)?,
        ingress: rate(rules.ingress)?,
        ..Entry::default()
    };
    entry.ipv6[0] = ipv6(rules.mac.link_local());
    entry.ipv6_count = 1;
    for address in &rules.addresses {
        if address.is_unspecified() || address.is_multicast() {
            return Err(RulesError::NotUnicast { address: *address });
        }
        match address {
            IpAddr::V4(v4) => {
                let free = entry.ipv4.get_mut(usize::from(entry.ipv4_count));
                *free.ok_or(RulesError::TooManyAddresses { family: "IPv4" })? =
                    u32::from_ne_bytes(v4.octets());
                entry.ipv4_count += 1;
            }
            IpAddr::V6(v6) => {
                let free = entry.ipv6.get_mut(usize::from(entry.ipv6_count));
                *free.ok_or(RulesError::TooManyAddresses { family: "IPv6" })? = ipv6(*v6);
                entry.ipv6_count += 1;
            }
        }
    }
    Ok(entry)
}

// One more than the model allows, for the link-local address.
const _: () = {
    assert!(size_of::<[u32; MAX_ADDRESSES_PER_FAMILY]>() == size_of_val(&EMPTY.ipv4));
    assert!(size_of::<[Ipv6; MAX_ADDRESSES_PER_FAMILY + 1]>() == size_of_val(&EMPTY.ipv6));
};
const NO_RATE: Rate = Rate { burst_ns: 0, cost_mult: 0, cost_shift: 0, limited: 0 };
const EMPTY: Entry = Entry {
    link: 0,
    ipv4_count: 0,
    ipv6_count: 0,
    dhcp_server: 0,
    router: 0,
    mac: [0; 6],
    reserved: [0; 2],
    ipv4: [0; 8],
    ipv6: [Ipv6 { half: [0; 2] }; 9],
    egress: NO_RATE,
    ingress: NO_RATE,
};

fn ipv6(address: Ipv6Addr) -> Ipv6 {
    let [a, b, c, d, e, f, g, h, rest @ ..] = address.octets();
    Ipv6 { half: [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes(rest)] }
}

/// Nanoseconds for a byte as a fraction with the largest denominator that keeps the numerator below 2^40, the bound
/// that the program's arithmetic relies on.
fn rate(limit: Option<RateLimit>) -> Result<Rate, RulesError> {
    const NANOSECONDS: u128 = 1_000_000_000;
    let Some(limit) = limit else { return Ok(NO_RATE) };
    if limit.bits_per_second == 0 {
        return Err(RulesError::NoRate);
    }
    let bits_per_second = u128::from(limit.bits_per_second);
    let byte_ns = |shift: u32| ((8 * NANOSECONDS) << shift) / bits_per_second;
    let shift = (0..=32).rev().find(|shift| byte_ns(*shift) < 1 << 40).unwrap_or(0);
    let burst_ns = u128::from(limit.burst_bits) * NANOSECONDS / bits_per_second;
    Ok(Rate {
        // A bucket of a century is as good as one without bottom, and leaves the program's sums room.
        burst_ns: u64::try_from(burst_ns).unwrap_or(u64::MAX).min(1 << 61),
        cost_mult: u64::try_from(byte_ns(shift)).expect("below 2^40 by the choice of the shift"),
        cost_shift: shift,
        limited: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(addresses: Vec<IpAddr>) -> GuardRules {
        let mac = "02:00:00:00:00:01".parse().unwrap();
        GuardRules { mac, addresses, dhcp_server: false, router: false, egress: None, ingress: None }
    }

    #[test]
    fn eight_addresses_of_each_family_fit_and_a_ninth_does_not() {
        let v4 = |n: u8| IpAddr::from([10, 0, 0, n]);
        let v6 = |n: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]);
        let all: Vec<_> = (1..=8).map(v4).chain((1..=8).map(v6)).collect();
        let entry = entry(&rules(all), 7).unwrap();
        assert_eq!((entry.ipv4_count, entry.ipv6_count), (8, 9));
        for (extra, family) in [((1..=9).map(v4).collect(), "IPv4"), ((1..=9).map(v6).collect(), "IPv6")] {
            assert_eq!(super::entry(&rules(extra), 7), Err(RulesError::TooManyAddresses { family }));
        }
    }

    #[test]
    fn refuses_addresses_of_nobody() {
        for bad in ["0.0.0.0", "224.0.0.1", "::", "ff02::1"] {
            let address = bad.parse().unwrap();
            assert_eq!(entry(&rules(vec![address]), 7), Err(RulesError::NotUnicast { address }));
        }
    }

    #[test]
    fn costs_are_exact_from_one_bit_to_a_terabit() {
        for bits_per_second in [1, 8, 1_000, 1_000_000_007, 100_000_000_000, 1_000_000_000_000] {
            let rate = rate(Some(RateLimit { bits_per_second, burst_bits: 12_000 })).unwrap();
            assert!(rate.cost_mult < 1 << 40);
            let charged = (1500 * u128::from(rate.cost_mult)) >> rate.cost_shift;
            let exact = 12_000 * 1_000_000_000 / u128::from(bits_per_second);
            assert!(
                exact.abs_diff(charged) <= 1 + exact / 1_000_000,
                "{bits_per_second}: {charged}, not {exact}"
            );
        }
        assert_eq!(rate(Some(RateLimit { bits_per_second: 0, burst_bits: 1 })), Err(RulesError::NoRate));
    }
}

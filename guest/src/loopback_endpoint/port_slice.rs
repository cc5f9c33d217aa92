//! Which ephemeral ports are a fraction's own.

use nestless_model::loopback::{GroupSize, Place};

/// `net.ipv4.ip_local_port_range`'s default (Documentation/networking/ip-sysctl.rst).
const FIRST_PORT: u16 = 32768;
const LAST_PORT: u16 = 60999;

/// The ephemeral ports of one fraction: no two fractions of a group may choose the same one, for they share an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSlice {
    first: u16,
    last: u16,
}

/// Not a range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ephemeral ports {first} to {last}: the first must be above 1023 and below the last")]
pub struct PortSliceError {
    first: u16,
    last: u16,
}

impl PortSlice {
    /// Both ends included.
    ///
    /// # Errors
    /// When the range holds fewer than two ports, or one below 1024.
    pub fn new(first: u16, last: u16) -> Result<Self, PortSliceError> {
        if first < 1024 || first >= last {
            return Err(PortSliceError { first, last });
        }
        Ok(Self { first, last })
    }

    pub(super) fn first(self) -> u16 {
        self.first
    }

    pub(super) fn last(self) -> u16 {
        self.last
    }

    /// What a place of such a group has of the kernel's default range, the same whenever it is taken; `None` for a place
    /// that the group does not have.
    pub fn of_place(place: Place, size: GroupSize) -> Option<Self> {
        if !size.has(place) {
            return None;
        }
        let ports = (LAST_PORT - FIRST_PORT + 1) / u16::from(size.get());
        let first = FIRST_PORT + ports * u16::from(place.number());
        Some(Self { first, last: first + (ports - 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nestless_model::loopback::MAX_FRACTIONS;

    #[test]
    fn slices_fill_the_range_and_never_meet() {
        for fractions in 1..=MAX_FRACTIONS {
            let size = GroupSize::try_from(fractions as u32).unwrap();
            let slices: Vec<_> = Place::all().filter_map(|place| PortSlice::of_place(place, size)).collect();
            assert_eq!(slices.len(), fractions);
            assert_eq!(slices[0].first, FIRST_PORT);
            assert!(slices.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
            let unused = LAST_PORT - slices[fractions - 1].last;
            assert!(usize::from(unused) < fractions, "{unused} ports of {fractions} slices");
        }
    }
}

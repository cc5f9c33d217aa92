//! How a limit becomes a queue: frames wait for their turn, because TCP takes a frame that is dropped for a road that is full.
//!
//! The rate that is asked for is that of IP packets, as whoever asks counts them. Queues count frames, so their rate is a little
//! higher.

use crate::guard::RateLimit;

/// A frame's header, in bytes, and the packet that it is shared out over.
const FRAME_HEADER: u64 = 14;
const USUAL_PACKET: u64 = 1500;
/// What TCP sends at once when it begins.
const LEAST_BURST_BYTES: u64 = 16 << 10;
/// A timer that is late by so much loses nothing.
const LATE_MS: u64 = 4;
/// The longest wait. Shorter, and several connections find no rest at a high rate.
const WAIT_MS: u64 = 100;
/// What several connections need at a low rate.
const LEAST_QUEUE_BYTES: u64 = 40 << 10;
/// More than the largest packet that segmentation offload makes. One that the burst has room for is not divided, and if it never found
/// room in the queue, it would never go.
const LARGEST_BYTES: u64 = 80 << 10;
/// A guest that sends without end fills it, in the host's memory.
const MOST_QUEUE_BYTES: u64 = 32 << 20;

/// A token bucket, and the queue before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Frames' bytes that go in a second.
    pub bytes_per_second: u64,
    /// Frames' bytes that go at once.
    pub burst_bytes: u32,
    /// Frames' bytes that wait.
    pub queue_bytes: u32,
}

impl Shape {
    /// What keeps `limit`, where no frame is larger than `largest_frame_bytes`.
    pub fn of(limit: RateLimit, largest_frame_bytes: u32) -> Self {
        let asked = u128::from(limit.bits_per_second);
        let frames = asked * u128::from(USUAL_PACKET + FRAME_HEADER) / u128::from(8 * USUAL_PACKET);
        let bytes_per_second = u64::try_from(frames).unwrap_or(u64::MAX).max(1);
        let within = |ms: u64| bytes_per_second.saturating_mul(ms) / 1000;
        let least = LEAST_BURST_BYTES.max(largest_frame_bytes.into()).max(within(LATE_MS));
        let burst = (limit.burst_bits / 8).max(least);
        let queue = within(WAIT_MS).clamp(LEAST_QUEUE_BYTES.max(burst.min(LARGEST_BYTES)), MOST_QUEUE_BYTES);
        let bytes = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { bytes_per_second, burst_bytes: bytes(burst), queue_bytes: bytes(queue) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bits_per_second: u64, burst_bits: u64) -> Shape {
        Shape::of(RateLimit { bits_per_second, burst_bits }, 1514)
    }

    /// 1448 of 1514 bytes are TCP's to fill: of frames' bytes at the rate that was asked for, 0.956 would arrive, by IPv6 0.943.
    #[test]
    fn what_arrives_is_within_a_twentieth_of_what_was_asked_for() {
        for bits_per_second in [1_000_000, 10_000_000, 100_000_000, 1_000_000_000] {
            let frames = shape(bits_per_second, 0).bytes_per_second;
            for payload in [1448, 1428] {
                let arriving = frames * 8 * payload / 1514;
                assert!(arriving * 100 >= bits_per_second * 95, "{arriving} of {bits_per_second}");
                assert!(arriving <= bits_per_second);
            }
        }
    }

    #[test]
    fn any_frame_can_go_and_any_packet_can_wait() {
        for bits_per_second in [1, 8, 64_000, 1_000_000, 1_000_000_000_000, u64::MAX] {
            for burst_bits in [0, 1, 12_000, u64::MAX] {
                let shape = Shape::of(RateLimit { bits_per_second, burst_bits }, 65_549);
                assert!(shape.burst_bytes >= 65_549 && shape.queue_bytes >= 65_549, "{shape:?}");
                assert!(shape.bytes_per_second >= 1 && shape.queue_bytes <= 32 << 20, "{shape:?}");
            }
        }
    }

    #[test]
    fn a_burst_is_what_was_asked_for_where_that_can_work() {
        assert_eq!(shape(1_000_000, 8_000_000).burst_bytes, 1_000_000);
        assert_eq!(shape(1_000_000, 12_000).burst_bytes, 16 << 10);
        assert_eq!(shape(1_000_000_000, 12_000).burst_bytes, 504_666);
    }
}

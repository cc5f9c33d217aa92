//! Frames of the serial link, and how they are found again in a damaged byte sequence.
//!
//! ```text
//! 0x00? COBS( session: u64 le | kind: u8 | sequence: u32 le | payload: 0..=4096 bytes ) 0x00
//! ```
//!
//! COBS (Cheshire and Baker, 1999) leaves no zero byte inside a frame, so a zero always ends one, whatever came before.

/// Largest payload of one frame, in bytes.
pub const MAX_PAYLOAD: usize = 4096;
const HEADER: usize = 13;
/// One byte of overhead in every 254 and one more, without the final zero.
const MAX_ENCODED: usize = cobs::max_encoding_length(HEADER + MAX_PAYLOAD);
/// Payload of hello, welcome and knock: names the protocol, and keeps bits of data from being taken for one of them.
const GREETING: &[u8] = b"nestless/1";

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The connecting end opens the session.
    Hello = 1,
    /// The accepting end has opened it as well.
    Welcome = 2,
    /// Bytes of the session.
    Data = 3,
    /// The session is over, or was never known.
    Reset = 4,
    /// A new accepting end: whatever session there was, begin anew.
    Knock = 5,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Chosen at random by the connecting end; 0 in a knock.
    pub session: u64,
    /// What it is for.
    pub kind: Kind,
    /// Counts the data frames of one direction of a session, from 0 and modulo 2^32.
    pub sequence: u32,
    /// At most [`MAX_PAYLOAD`] bytes; more are cut off by [`Frame::encode`].
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame without data.
    pub fn control(kind: Kind, session: u64) -> Self {
        let payload = if kind == Kind::Reset { Vec::new() } else { GREETING.to_vec() };
        Self { session, kind, sequence: 0, payload }
    }

    /// A piece of a session's bytes.
    pub fn data(session: u64, sequence: u32, payload: &[u8]) -> Self {
        Self { session, kind: Kind::Data, sequence, payload: payload.to_vec() }
    }

    /// As it goes over the wire. Control frames begin with a zero of their own, which ends whatever a dead peer left.
    pub fn encode(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(HEADER + self.payload.len());
        plain.extend_from_slice(&self.session.to_le_bytes());
        plain.push(self.kind as u8);
        plain.extend_from_slice(&self.sequence.to_le_bytes());
        plain.extend_from_slice(&self.payload[..self.payload.len().min(MAX_PAYLOAD)]);
        let mut wire = Vec::with_capacity(MAX_ENCODED + 2);
        if self.kind != Kind::Data {
            wire.push(0);
        }
        wire.extend_from_slice(&cobs::encode_vec(&plain));
        wire.push(0);
        wire
    }

    /// `None` for what is no frame.
    fn decode(encoded: &[u8]) -> Option<Self> {
        let mut plain = cobs::decode_vec(encoded).ok()?;
        let (session, rest) = plain.split_first_chunk::<8>()?;
        let (kind, rest) = rest.split_first()?;
        let (sequence, payload) = rest.split_first_chunk::<4>()?;
        let kind = [Kind::Hello, Kind::Welcome, Kind::Data, Kind::Reset, Kind::Knock]
            .into_iter()
            .find(|known| *known as u8 == *kind)?;
        let (session, sequence) = (u64::from_le_bytes(*session), u32::from_le_bytes(*sequence));
        let expected = match kind {
            Kind::Data => payload.len() <= MAX_PAYLOAD,
            _ => payload == Self::control(kind, session).payload,
        };
        plain.drain(..HEADER);
        expected.then_some(Self { session, kind, sequence, payload: plain })
    }
}

/// Finds frames in bytes that come in pieces of any size. Holds at most one frame's worth of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Vec<u8>,
    oversize: bool,
}

impl Decoder {
    /// Takes bytes in; returns the frames that they complete. What is no frame is passed over.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            self.collect(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if !self.oversize {
                frames.extend(Frame::decode(&self.partial));
            }
            self.partial.clear();
            self.oversize = false;
        }
        self.collect(bytes);
        frames
    }

    fn collect(&mut self, bytes: &[u8]) {
        if self.oversize || self.partial.len() + bytes.len() > MAX_ENCODED {
            self.oversize = true;
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            (any::<u64>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD))
                .prop_map(|(session, sequence, payload)| Frame::data(session, sequence, &payload)),
            (
                any::<u64>(),
                prop_oneof![Just(Kind::Hello), Just(Kind::Welcome), Just(Kind::Reset), Just(Kind::Knock)]
            )
                .prop_map(|(session, kind)| Frame::control(kind, session)),
        ]
    }

    proptest! {
        #[test]
        fn frames_survive_any_chunking(frames in proptest::collection::vec(frame(), 0..6), chunk in 1_usize..700) {
            let wire: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            let mut decoder = Decoder::default();
            let found: Vec<Frame> = wire.chunks(chunk).flat_map(|piece| decoder.push(piece)).collect();
            prop_assert_eq!(found, frames);
        }

        #[test]
        fn garbage_never_hides_a_control_frame(garbage in proptest::collection::vec(any::<u8>(), 0..20_000), session: u64) {
            let mut decoder = Decoder::default();
            decoder.push(&garbage);
            prop_assert!(decoder.partial.len() <= MAX_ENCODED);
            let hello = Frame::control(Kind::Hello, session);
            let found = decoder.push(&hello.encode());
            prop_assert_eq!(found.last(), Some(&hello));
        }
    }

    #[test]
    fn oversize_frames_are_passed_over() {
        let mut decoder = Decoder::default();
        let mut wire = vec![1; MAX_ENCODED + 1];
        wire.push(0);
        wire.extend(Frame::data(7, 0, b"after").encode());
        assert_eq!(decoder.push(&wire), [Frame::data(7, 0, b"after")]);
    }
}

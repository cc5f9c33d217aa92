//! Frames of the serial link, from a guest that writes whatever it likes into its port.

use nestless_support::serial_link::frame::{Decoder, MAX_PAYLOAD};

pub(crate) fn attack(input: &[u8]) {
    let whole = Decoder::default().push(input);
    // How the bytes are cut into pieces must not matter; the first byte says how.
    let piece = usize::from(input.first().copied().unwrap_or(0)) + 1;
    let mut decoder = Decoder::default();
    let cut: Vec<_> = input.chunks(piece).flat_map(|chunk| decoder.push(chunk)).collect();
    assert_eq!(whole, cut);
    for frame in whole {
        assert!(frame.payload.len() <= MAX_PAYLOAD);
        assert_eq!(Decoder::default().push(&frame.encode()), [frame]);
    }
}

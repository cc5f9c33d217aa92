//! Messages of the guest API, decoded and checked as nestlessd does.

use nestless_proto::{CheckRequest, DetachRequest, MAX_MESSAGE_BYTES};
use nestlessd::{Refusal, input};
use prost::Message;

/// The first byte says which message, the rest is it. Longer ones never come so far.
pub(crate) fn attack(bytes: &[u8]) {
    let Some((kind, message)) = bytes.split_first() else { return };
    if message.len() > MAX_MESSAGE_BYTES {
        return;
    }
    match kind {
        b'a' => check(message, input::attach_request),
        b'c' => check(message, input::capacity),
        b'd' => check(message, |request: DetachRequest| input::attachment_id(request.attachment)),
        b'f' => check(message, input::confirm),
        b'h' => check(message, input::hello),
        b'j' => check(message, input::join_request),
        b'k' => check(message, |request: CheckRequest| input::attachment_id(request.attachment)),
        b'l' => check(message, input::release),
        b'r' => check(message, input::report),
        b's' => check(message, input::reserve),
        _ => {}
    }
}

fn check<M: Message + Clone + Default + PartialEq, T>(
    bytes: &[u8],
    checked: impl Fn(M) -> Result<T, Refusal>,
) {
    let Ok(message) = M::decode(bytes) else { return };
    assert!(M::decode(message.encode_to_vec().as_slice()).is_ok_and(|again| again == message));
    if let Err(refusal) = checked(message) {
        let told = &refusal.message;
        assert!(!told.is_empty() && told.len() <= 2048, "{} bytes: {told}", told.len());
    }
}

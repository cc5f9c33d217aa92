//! A short name for an attachment, where its own is too long: nftables chains, file names.

use nestless_model::identity::AttachmentId;

/// FNV-1a, 64 bits: the same in every version of ours, which a later one must be able to clean up after.
pub fn digest(attachment: &AttachmentId) -> u64 {
    attachment.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

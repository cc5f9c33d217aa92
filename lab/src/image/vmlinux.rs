//! Takes the uncompressed kernel out of a bzImage whose payload is an LZ4 stream, as Debian's cloud kernel is. QEMU
//! boots it directly (PVH), and a guest without KVM saves the seconds of unpacking itself.

/// First word of the legacy frame (lz4_Frame_format.md, "Legacy frame").
const LEGACY_MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();
/// Every block but the last expands to exactly this much.
const BLOCK_BYTES: usize = 8 << 20;
/// More than any kernel; a damaged stream must not eat the memory.
const KERNEL_MAX_BYTES: usize = 512 << 20;
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// What kept the kernel in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmlinuxError {
    /// Another compression, or no bzImage.
    #[error("no LZ4 stream in the kernel image")]
    NoStream,
    /// The stream is there but damaged.
    #[error("unpack block {block} of the kernel's LZ4 stream")]
    Block {
        /// Counted from 0.
        block: usize,
        /// Why.
        #[source]
        source: lz4_flex::block::DecompressError,
    },
    /// What came out is no kernel.
    #[error("the kernel image's LZ4 stream holds {bytes} bytes that are no ELF file")]
    NoElf {
        /// How much came out.
        bytes: usize,
    },
}

/// The vmlinux inside `bz_image`.
///
/// # Errors
/// When there is none in LZ4 format; the bzImage itself boots too, only slower.
pub fn extract(bz_image: &[u8]) -> Result<Vec<u8>, VmlinuxError> {
    let start = bz_image.windows(4).position(|w| w == LEGACY_MAGIC).ok_or(VmlinuxError::NoStream)?;
    let mut rest = &bz_image[start + 4..];
    let mut kernel = Vec::new();
    let mut block = 0;
    // The stream has no end mark: it ends with a block that is not full.
    while kernel.len() == block * BLOCK_BYTES && kernel.len() < KERNEL_MAX_BYTES {
        let Some((size, after)) = rest.split_first_chunk::<4>() else { break };
        let size = u32::from_le_bytes(*size) as usize;
        let Some((packed, after)) = after.split_at_checked(size).filter(|_| size > 0) else { break };
        let unpacked = lz4_flex::block::decompress(packed, BLOCK_BYTES)
            .map_err(|source| VmlinuxError::Block { block, source })?;
        kernel.extend_from_slice(&unpacked);
        rest = after;
        block += 1;
    }
    if kernel.starts_with(ELF_MAGIC) { Ok(kernel) } else { Err(VmlinuxError::NoElf { bytes: kernel.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(content: &[u8]) -> Vec<u8> {
        let mut image = vec![0x90; 777];
        image.extend(LEGACY_MAGIC);
        for block in content.chunks(BLOCK_BYTES) {
            let packed = lz4_flex::block::compress(block);
            image.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            image.extend(packed);
        }
        // What follows the payload in a bzImage is code, not a block.
        image.extend([0x55; 64]);
        image
    }

    #[test]
    fn unpacks_several_blocks() {
        let mut kernel: Vec<u8> = ELF_MAGIC.to_vec();
        kernel.extend((0..BLOCK_BYTES + 1234).map(|i| (i / 7) as u8));
        assert!(extract(&image(&kernel)).unwrap() == kernel);
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(matches!(extract(b"MZ no kernel"), Err(VmlinuxError::NoStream)));
        assert!(matches!(extract(&image(b"no ELF")), Err(VmlinuxError::NoElf { bytes: 6 })));
        let mut broken = image(&[ELF_MAGIC, &[7; 9000]].concat());
        broken[777 + 4 + 4..][..8].fill(0xff);
        assert!(matches!(extract(&broken), Err(VmlinuxError::Block { block: 0, .. })));
    }
}

//! Which families of addresses the kernel has.

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

/// Whether the kernel has IPv6 at all. It has none with `ipv6.disable=1`, and then nothing can give a pod an IPv6 address;
/// `net.ipv6.conf.all.disable_ipv6=1` is another thing, which a pod's interface can be exempted from.
pub fn has_ipv6() -> bool {
    let asked = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    !matches!(asked, Err(Errno::EAFNOSUPPORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_own_word_is_the_same() {
        assert_eq!(has_ipv6(), std::path::Path::new("/proc/sys/net/ipv6").exists());
    }
}

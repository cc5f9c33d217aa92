//! What steer and reflector call in the kernel, and whether it is there.

use super::Check;
use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};

/// A helper, and the Linux version that brought it (bpf-helpers(7); kernel-versions.md of the BPF Compiler Collection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Helper {
    id: BpfHelper,
    name: &'static str,
    since: &'static str,
}

const fn helper(id: BpfHelper, name: &'static str, since: &'static str) -> Helper {
    Helper { id, name, since }
}

/// In the guest.
pub(super) const STEER: [Helper; 6] = [
    helper(BpfHelper::BPF_FUNC_skc_lookup_tcp, "bpf_skc_lookup_tcp", "5.2"),
    helper(BpfHelper::BPF_FUNC_sk_lookup_udp, "bpf_sk_lookup_udp", "4.20"),
    helper(BpfHelper::BPF_FUNC_sk_release, "bpf_sk_release", "4.20"),
    helper(BpfHelper::BPF_FUNC_redirect, "bpf_redirect", "4.4"),
    helper(BpfHelper::BPF_FUNC_skb_load_bytes, "bpf_skb_load_bytes", "4.5"),
    helper(BpfHelper::BPF_FUNC_skb_store_bytes, "bpf_skb_store_bytes", "4.1"),
];

/// On the host.
pub(super) const REFLECTOR: [Helper; 3] = [
    helper(BpfHelper::BPF_FUNC_redirect, "bpf_redirect", "4.4"),
    helper(BpfHelper::BPF_FUNC_clone_redirect, "bpf_clone_redirect", "4.2"),
    helper(BpfHelper::BPF_FUNC_skb_load_bytes, "bpf_skb_load_bytes", "4.5"),
];

/// Those that the kernel has not; `None` where it cannot be asked, as without the right to load programs.
pub(super) fn lacking(needed: &[Helper]) -> Option<Vec<Helper>> {
    let mut lacking = Vec::new();
    for helper in needed {
        if !is_helper_supported(ProgramType::SchedClassifier, helper.id).ok()? {
            lacking.push(*helper);
        }
    }
    Some(lacking)
}

/// A NIC per pod works without them, so that they are no need.
pub(super) fn check(program: &str, lacking: Option<&[Helper]>) -> Check {
    match lacking {
        None => Check::optional(
            "loopback",
            format!("the kernel could not be asked for what {program} calls"),
            "repeat as root",
        ),
        Some([]) => Check::ok("loopback", format!("the kernel has all that {program} calls")),
        Some(lacking) => {
            let names = lacking.iter().map(|helper| format!("{} (Linux {})", helper.name, helper.since));
            let names = names.collect::<Vec<_>>().join(", ");
            Check::optional(
                "loopback",
                format!(
                    "{program} needs {names}, which this kernel has not; pods cannot be split, a NIC per pod works"
                ),
                "boot Linux 6.1 or later with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn helper_and_version_are_named() {
        let check = check("steer", Some(&STEER[..1]));
        assert_eq!(check.verdict, Verdict::Optional);
        assert!(check.found.contains("bpf_skc_lookup_tcp (Linux 5.2)"), "{}", check.found);
    }

    #[test]
    fn this_kernel_has_them_or_cannot_be_asked() {
        for needed in [&STEER[..], &REFLECTOR[..]] {
            assert!(lacking(needed).is_none_or(|lacking| lacking.is_empty()));
        }
    }
}

//! What steer and reflector call in the kernel, and whether it is there.

use super::check::Check;
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

const MAP_LOOKUP: Helper = helper(BpfHelper::BPF_FUNC_map_lookup_elem, "bpf_map_lookup_elem", "3.19");
const MAP_UPDATE: Helper = helper(BpfHelper::BPF_FUNC_map_update_elem, "bpf_map_update_elem", "3.19");
const MAP_DELETE: Helper = helper(BpfHelper::BPF_FUNC_map_delete_elem, "bpf_map_delete_elem", "3.19");
const REDIRECT: Helper = helper(BpfHelper::BPF_FUNC_redirect, "bpf_redirect", "4.4");
const LOAD_BYTES: Helper = helper(BpfHelper::BPF_FUNC_skb_load_bytes, "bpf_skb_load_bytes", "4.5");

/// In the guest.
pub(super) const STEER: [Helper; 14] = [
    MAP_LOOKUP,
    MAP_UPDATE,
    MAP_DELETE,
    REDIRECT,
    LOAD_BYTES,
    helper(BpfHelper::BPF_FUNC_skb_store_bytes, "bpf_skb_store_bytes", "4.1"),
    helper(BpfHelper::BPF_FUNC_skb_change_type, "bpf_skb_change_type", "4.8"),
    helper(BpfHelper::BPF_FUNC_sk_lookup_udp, "bpf_sk_lookup_udp", "4.20"),
    helper(BpfHelper::BPF_FUNC_sk_release, "bpf_sk_release", "4.20"),
    helper(BpfHelper::BPF_FUNC_tcp_sock, "bpf_tcp_sock", "5.1"),
    helper(BpfHelper::BPF_FUNC_sk_storage_get, "bpf_sk_storage_get", "5.2"),
    helper(BpfHelper::BPF_FUNC_sk_storage_delete, "bpf_sk_storage_delete", "5.2"),
    helper(BpfHelper::BPF_FUNC_tcp_check_syncookie, "bpf_tcp_check_syncookie", "5.2"),
    helper(BpfHelper::BPF_FUNC_skc_lookup_tcp, "bpf_skc_lookup_tcp", "5.2"),
];

/// On the host.
pub(super) const REFLECTOR: [Helper; 7] = [
    MAP_LOOKUP,
    MAP_UPDATE,
    MAP_DELETE,
    helper(BpfHelper::BPF_FUNC_get_prandom_u32, "bpf_get_prandom_u32", "4.1"),
    helper(BpfHelper::BPF_FUNC_clone_redirect, "bpf_clone_redirect", "4.2"),
    REDIRECT,
    LOAD_BYTES,
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
                "boot Linux 6.1 or later with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF and CONFIG_NET_ACT_MIRRED",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};
    use object::{Object as _, ObjectSection as _, SectionKind};
    use std::collections::BTreeSet;

    /// Numbers of the helpers that an object's programs call: `BPF_JMP | BPF_CALL` without `BPF_PSEUDO_CALL` as the source
    /// register (Documentation/bpf/standardization/instruction-set.rst).
    fn called(bytes: &[u8]) -> BTreeSet<u32> {
        let file = object::File::parse(bytes).unwrap();
        let texts = file.sections().filter(|section| section.kind() == SectionKind::Text);
        let mut called = BTreeSet::new();
        for text in texts {
            for instruction in text.data().unwrap().chunks_exact(8) {
                if instruction[0] == 0x85 && instruction[1] >> 4 == 0 {
                    called.insert(u32::from_le_bytes(instruction[4..].try_into().unwrap()));
                }
            }
        }
        called
    }

    #[test]
    fn the_lists_are_what_the_programs_call() {
        let objects =
            [(nestless_bpf::steer::OBJECT, &STEER[..]), (nestless_bpf::reflector::OBJECT, &REFLECTOR[..])];
        for (object, listed) in objects {
            assert_eq!(called(object), listed.iter().map(|helper| helper.id as u32).collect());
        }
    }

    #[test]
    fn helper_and_version_are_named() {
        let check = check("steer", Some(&STEER[13..]));
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

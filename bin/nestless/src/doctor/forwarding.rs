//! Whether a guest forwards what comes to pods' ports (hostPort). A pod without ports needs none of it.

use super::check::Check;

/// `obstacles` as [`nestless_guest::port_mapping::obstacles`] tells them.
pub(super) fn check(obstacles: &[String]) -> Check {
    if obstacles.is_empty() {
        return Check::ok("forwarding", "nothing keeps the VM from forwarding to pods' ports");
    }
    Check::optional(
        "forwarding",
        format!("hostPort does not work: {}", obstacles.join("; ")),
        "do what stands behind each colon; pods without hostPort need none of it",
    )
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn what_keeps_ports_from_working_is_told_and_is_no_need_of_every_guest() {
        assert_eq!(check(&[]).verdict, Verdict::Ok);
        let found = check(&["the VM does not forward: sysctl -w net.ipv4.ip_forward=1".to_owned()]);
        assert_eq!(found.verdict, Verdict::Optional);
        assert!(found.found.contains("net.ipv4.ip_forward=1"));
    }
}

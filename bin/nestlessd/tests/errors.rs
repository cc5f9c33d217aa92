//! What the daemon says when it cannot start: a sentence, with everything that is wrong.

use crate::daemon::{Site, inside};
use std::process::Stdio;

#[test]
fn a_daemon_that_cannot_start_says_it_in_a_sentence() {
    inside(|| async {
        let mut site = Site::new();
        let socket = site.path("vm1.sock");
        let vm = site.vm("vm1", &format!("unix = \"{}\"", socket.display()));
        std::fs::create_dir_all(site.path("state/ledger.redb")).unwrap();
        let (status, text) = site.start_in_vain(&vm);
        assert_eq!(status.code(), Some(1));
        assert!(text.starts_with("nestlessd: ") && text.contains("ledger"), "{text}");
        for debugging in ["Error:", "stack backtrace", "Caused by", "Os {"] {
            assert!(!text.contains(debugging), "{text}");
        }
    });
}

#[test]
fn a_check_tells_all_that_is_wrong_and_missing() {
    inside(|| async {
        let mut site = Site::new();
        let vm = site.vm("vm1", "certificate = \"vm1\"");
        let check = |sections: &str| {
            let output = site.command(sections).arg("--check").stdin(Stdio::null()).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let wrong = "[[vm]]\nname = \"vm2\"\nhypervisor = { qemu = { qmp = \"vm2.qmp\" } }\n\
                     channel = { vsock-cid = 1 }\nnic_limt = 5\n";
        let (code, text) = check(&format!("{vm}{}", wrong.replace("nic_limt = 5\n", "")));
        assert_eq!(code, Some(1));
        for expected in
            ["3 faults", "needs a [tls] section", "\"vm2.qmp\", a relative path", "must be 3 or more"]
        {
            assert!(text.contains(expected), "no {expected:?} in: {text}");
        }
        let (_, text) = check(&format!("{vm}{wrong}"));
        assert!(text.contains("unknown field `nic_limt`") && text.contains("line"), "{text}");

        let tls = "[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"/no/certificate\"\nkey = \"/no/key\"\n\
                   client_ca = \"/no/ca\"\n";
        let uplink = "[[network]]\nname = \"flat\"\nbridge = \"nlbr1\"\nuplink = { interface = \"nowhere0\" }\n\
                      subnets = [{ prefix = \"10.77.0.0/16\" }]\n";
        let (code, text) = check(&format!("{tls}{uplink}{vm}"));
        assert_eq!(code, Some(1));
        for expected in
            ["/no/certificate", "/no/key", "/no/ca", "interface nowhere0 is not on this host", "4 faults"]
        {
            assert!(text.contains(expected), "no {expected:?} in: {text}");
        }
        assert_eq!(check(&vm.replace("certificate = \"vm1\"", "vsock-cid = 7")), (Some(0), String::new()));
    });
}

//! VMs come and go while the daemon runs, and a configuration that cannot be used changes nothing.

use crate::daemon::{
    Site,
    client::{hello, status, unix},
    inside,
};
use nestless_proto::{AttachRequest, AttachmentId, ListRequest, guest_client::GuestClient};

fn vm(site: &mut Site, name: &str) -> String {
    let socket = site.path(&format!("{name}.sock"));
    site.vm(name, &format!("unix = \"{}\"", socket.display()))
}

async fn vms(site: &Site) -> Vec<(String, u32)> {
    let operator = unix(&site.path("run/nestlessd.sock")).await;
    status(&operator).await.vms.into_iter().map(|vm| (vm.name, vm.nic_limit)).collect()
}

fn named(vms: &[(&str, u32)]) -> Vec<(String, u32)> {
    vms.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect()
}

#[test]
fn vms_come_and_go_and_the_others_notice_nothing() {
    inside(|| async {
        let mut site = Site::new();
        let [stays, goes, comes] = ["stays", "goes", "comes"].map(|name| vm(&mut site, name));
        site.start(&(stays.clone() + &goes));
        let kept = unix(&site.path("stays.sock")).await;
        let ended = unix(&site.path("goes.sock")).await;
        assert_eq!(
            (hello(kept.clone()).await.unwrap(), hello(ended.clone()).await.unwrap()),
            ("stays".into(), "goes".into())
        );

        site.reload(&(stays.clone() + &comes));
        assert_eq!(vms(&site).await, named(&[("comes", 4), ("stays", 4)]));
        assert_eq!(hello(kept.clone()).await.unwrap(), "stays", "by the channel that was open");
        assert_eq!(hello(unix(&site.path("comes.sock")).await).await.unwrap(), "comes");
        assert!(hello(ended).await.is_err(), "a channel that was open ends");

        site.reload(&stays.replace("nic_limit = 4", "nic_limit = 3"));
        assert_eq!(vms(&site).await, named(&[("stays", 3)]));
        assert_eq!(hello(kept).await.unwrap(), "stays");
        site.reload(&(stays + &comes + &goes));
        assert_eq!(vms(&site).await, named(&[("comes", 4), ("goes", 4), ("stays", 4)]));
        assert_eq!(hello(unix(&site.path("goes.sock")).await).await.unwrap(), "goes");
        let log = site.log();
        assert!(log.contains("the configuration was read anew") && log.contains("removed=\"goes\""), "{log}");
    });
}

#[test]
fn a_pod_keeps_its_nic_while_its_vm_changes() {
    inside(|| async {
        let mut site = Site::new();
        let vm1 = vm(&mut site, "vm1");
        site.start(&vm1);
        let channel = unix(&site.path("vm1.sock")).await;
        hello(channel.clone()).await.unwrap();
        let mut guest = GuestClient::new(channel);
        let attachment = Some(AttachmentId { container_id: "pod".into(), interface: "eth0".into() });
        let request = AttachRequest { request_id: "r".into(), attachment, ..AttachRequest::default() };
        let granted = guest.attach(request).await.unwrap().into_inner();

        site.reload(&vm1.replace("nic_limit = 4", "nic_limit = 9"));
        assert_eq!(vms(&site).await, named(&[("vm1", 9)]));
        let kept = guest.list(ListRequest {}).await.unwrap().into_inner().attachments;
        let addresses: Vec<_> =
            kept.into_iter().flat_map(|attachment| attachment.nic.unwrap().addresses).collect();
        assert_eq!(addresses, granted.addresses);
    });
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_told() {
    inside(|| async {
        let mut site = Site::new();
        let (vm1, vm2) = (vm(&mut site, "vm1"), vm(&mut site, "vm2"));
        site.start(&vm1);
        let channel = unix(&site.path("vm1.sock")).await;
        for (sections, expected) in [
            (vm2.replace("nic_limit = 4", "nic_limit = 0\nqueues = 0"), "nic_limit must be 1 to 1024"),
            (vm1.replace("channel", "chanel") + &vm2, "unknown field `chanel`"),
            (vm2.replace("/vm2.sock", ""), "listen on"),
            (
                format!(
                    "[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"/c\"\nkey = \"/k\"\nclient_ca = \"/a\"\n{vm2}"
                ),
                "read key /k",
            ),
            (
                format!(
                    "[[network]]\nname = \"other\"\nbridge = \"nlbr1\"\nuplink = \"none\"\nsubnets = [{{ prefix = \"10.77.0.0/16\" }}]\n{vm1}"
                ),
                "[[network]] can be changed by a restart only",
            ),
        ] {
            site.reload(&sections);
            let log = site.log();
            let told = log.lines().rev().find(|line| line.contains("the configuration is as it was"));
            assert!(told.is_some() && log.contains(expected), "no {expected:?} in: {log}");
            assert_eq!(vms(&site).await, named(&[("vm1", 4)]));
            assert_eq!(hello(channel.clone()).await.unwrap(), "vm1");
        }
        site.reload(&(vm1 + &vm2));
        assert_eq!(vms(&site).await, named(&[("vm1", 4), ("vm2", 4)]));
    });
}

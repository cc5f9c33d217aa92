//! Who gets into which loopback group, and what becomes of a fraction's name when its VM or its sandbox is gone.

use crate::daemon::{
    Site,
    client::{hello, unix},
    inside,
};
use nestless_proto::{
    AttachmentId, DetachRequest, Group, HelloRequest, JoinRequest, JoinResponse, ListGroupsRequest,
    ListRequest, Refusal, ShowGroupRequest, TraceRequest, guest_client::GuestClient,
    operator_client::OperatorClient, refusal::Reason,
};
use nestless_support::netns::Namespace;
use std::process::Command;
use tonic::{Status, transport::Channel};

/// VMs with unix channels of their own, each with what is said of its tenant.
fn vms<const N: usize>(site: &mut Site, vms: [(&str, &str); N]) -> String {
    vms.map(|(name, tenant)| {
        let socket = site.path(&format!("{name}.sock"));
        let tenant = if tenant.is_empty() { String::new() } else { format!("tenant = \"{tenant}\"\n") };
        site.vm(name, &format!("unix = \"{}\"", socket.display())) + &tenant
    })
    .concat()
}

/// A VM's agent.
struct Agent(GuestClient<Channel>);

impl Agent {
    async fn of(site: &Site, vm: &str) -> Self {
        let channel = unix(&site.path(&format!("{vm}.sock"))).await;
        assert_eq!(hello(channel.clone()).await.unwrap(), vm);
        Self(GuestClient::new(channel))
    }

    async fn join(&mut self, container: &str, fraction: &str) -> Result<JoinResponse, Status> {
        let request = JoinRequest {
            request_id: format!("join-{container}"),
            container_id: container.to_owned(),
            group: "shop".to_owned(),
            fraction: fraction.to_owned(),
            sandbox: "/run/netns/pod".to_owned(),
            ..JoinRequest::default()
        };
        self.0.join(request).await.map(tonic::Response::into_inner)
    }

    async fn leave(&mut self, container: &str) -> bool {
        let attachment = AttachmentId { container_id: container.to_owned(), interface: "hostlo0".to_owned() };
        let request = DetachRequest { request_id: "leave".to_owned(), attachment: Some(attachment) };
        self.0.detach(request).await.unwrap().into_inner().existed
    }

    async fn attachments(&mut self) -> usize {
        self.0.list(ListRequest {}).await.unwrap().into_inner().attachments.len()
    }
}

fn reason(status: &Status) -> Reason {
    Refusal::from_status(status).unwrap().reason()
}

async fn operator(site: &Site) -> OperatorClient<Channel> {
    OperatorClient::new(unix(&site.path("run/nestlessd.sock")).await)
}

async fn show(site: &Site, name: &str) -> Result<Group, Status> {
    let shown = operator(site).await.show_group(ShowGroupRequest { name: name.to_owned() }).await;
    shown.map(|shown| shown.into_inner().group.unwrap())
}

/// Each fraction of the group with its VM, and the one that it was in before.
async fn fractions(site: &Site) -> Vec<[String; 3]> {
    let group = show(site, "shop").await.unwrap();
    group.fractions.into_iter().map(|fraction| [fraction.name, fraction.vm, fraction.before]).collect()
}

/// Who shares a localhost is what the host's configuration says, not what a guest asks for, and a name that is taken tells
/// nobody of another tenant.
#[test]
fn every_tenant_names_its_own_groups() {
    inside(|| async {
        let mut site = Site::new();
        let sections = vms(&mut site, [("vm1", "a"), ("vm2", "b"), ("vm3", ""), ("vm4", "a")]);
        site.start(&sections);
        for vm in ["vm1", "vm2", "vm3"] {
            let mut agent = Agent::of(&site, vm).await;
            let joined = agent.join("one", "web").await.unwrap().membership.unwrap();
            assert_eq!((joined.place, joined.size), (0, 16), "{vm}");
            let refused = agent.join("two", "web").await.unwrap_err();
            assert_eq!(reason(&refused), Reason::FractionTaken);
            for other in ["vm1", "vm2", "vm3"].iter().filter(|other| **other != vm) {
                assert!(!refused.message().contains(other), "{refused}");
            }
            assert_eq!(agent.attachments().await, 1);
        }
        let joined = Agent::of(&site, "vm4").await.join("one", "app").await.unwrap().membership.unwrap();
        assert_eq!(joined.place, 1, "the same tenant's");

        let mut operator = operator(&site).await;
        let listed = operator.list_groups(ListGroupsRequest {}).await.unwrap().into_inner().groups;
        let listed = listed.iter().map(|group| (&*group.owner, &*group.name, group.fractions.len()));
        assert_eq!(
            listed.collect::<Vec<_>>(),
            [("tenant:a", "shop", 2), ("tenant:b", "shop", 1), ("vm:vm3", "shop", 1)]
        );
        let unclear = show(&site, "shop").await.unwrap_err();
        assert!(
            unclear.message().contains("name one of tenant:a/shop, tenant:b/shop, vm:vm3/shop"),
            "{unclear}"
        );
        let group = show(&site, "tenant:b/shop").await.unwrap();
        assert_eq!(group.fractions[0].vm, "vm2");
        assert_eq!(show(&site, "tenant:c/shop").await.unwrap_err().code(), tonic::Code::NotFound);
        assert_eq!(reason(&show(&site, "c/shop").await.unwrap_err()), Reason::Invalid);
        for (pod, vm) in [("loopback:vm:vm3/shop/web", "vm3"), ("loopback:shop/app", "vm4")] {
            let traced = operator.trace(TraceRequest { pod: pod.to_owned() }).await.unwrap().into_inner();
            assert_eq!(traced.vm, vm);
        }
        let unclear = operator.trace(TraceRequest { pod: "loopback:shop/web".to_owned() }).await.unwrap_err();
        assert!(unclear.message().contains("names 3 NICs"), "{unclear}");
    });
}

/// Runs a test with two VMs of one tenant, in the first of which is the fraction "web"; "app" is in the second.
fn with_web(test: impl AsyncFnOnce(Site, String, Agent, Agent) + Send) {
    inside(|| async {
        let mut site = Site::new();
        let sections = vms(&mut site, [("vm1", "a"), ("vm2", "a")]);
        site.start(&sections);
        let (mut first, mut second) = (Agent::of(&site, "vm1").await, Agent::of(&site, "vm2").await);
        first.join("old", "web").await.unwrap();
        second.join("app", "app").await.unwrap();
        test(site, sections, first, second).await;
    });
}

const MOVED: [[&str; 3]; 2] = [["web", "vm2", "vm1"], ["app", "vm2", ""]];

#[test]
fn a_vm_that_is_gone_leaves_its_fractions_names() {
    with_web(async |site, _, _, mut second| {
        Namespace::delete(site.path("vm1.netns")).unwrap();
        let joined = second.join("new", "web").await.unwrap().membership.unwrap();
        assert_eq!(joined.place, 0, "its ports too");
        assert_eq!(fractions(&site).await, MOVED);

        // The VM comes back. What it had is not its any more.
        Namespace::create(site.path("vm1.netns")).unwrap();
        let mut first = Agent::of(&site, "vm1").await;
        assert_eq!(first.attachments().await, 0);
        assert_eq!(reason(&first.join("back", "web").await.unwrap_err()), Reason::FractionTaken);
        assert_eq!(fractions(&site).await, MOVED);
    });
}

/// The VM lives, and nobody says that the sandbox does not: its agent is dead too.
#[test]
fn a_sandbox_that_is_dead_leaves_its_fraction_s_name() {
    with_web(async |site, sections, mut first, mut second| {
        let vm = Namespace::open(site.path("vm1.netns")).unwrap();
        let nic = show(&site, "shop").await.unwrap().fractions[0].link.replace("nl", "nlp");
        let delete = move || Command::new("ip").args(["link", "del", &nic]).status().unwrap().success();
        assert!(vm.run_blocking(delete).unwrap());
        let joined = second.join("new", "web").await.unwrap().membership.unwrap();
        assert_eq!(joined.place, 0);
        assert_eq!(fractions(&site).await, MOVED);
        // The old one is told when it asks, and not two after a restart either.
        assert_eq!(first.attachments().await, 0);
        assert!(!first.leave("old").await);
        let mut site = site;
        site.kill();
        site.start(&sections);
        Agent::of(&site, "vm1").await;
        let now = fractions(&site).await.into_iter().map(|[name, vm, _]| (name, vm));
        assert_eq!(now.collect::<Vec<_>>(), [("web".into(), "vm2".into()), ("app".into(), "vm2".into())]);
    });
}

/// A pod that is deleted by force is made anew before its last sandbox has been taken down.
#[test]
fn a_fraction_that_is_about_to_leave_is_waited_for() {
    with_web(async |site, _, mut first, mut second| {
        let (joined, left) = tokio::join!(second.join("new", "web"), first.leave("old"));
        assert_eq!((joined.unwrap().membership.unwrap().place, left), (0, true));
        assert_eq!(fractions(&site).await, MOVED);
    });
}

/// Neither its agent's absence nor the daemon's, nor that of its guest's words, is a fraction's end.
#[test]
fn the_name_of_a_fraction_that_lives_is_never_taken() {
    with_web(async |mut site, sections, first, mut second| {
        drop(first);
        let refused = second.join("new", "web").await.unwrap_err();
        assert_eq!(reason(&refused), Reason::FractionTaken);
        assert!(refused.message().contains("nestless loopback release shop web"), "{refused}");
        site.kill();
        site.start(&sections);
        let refused = Agent::of(&site, "vm2").await.join("new", "web").await.unwrap_err();
        assert_eq!(reason(&refused), Reason::FractionTaken);
        let mut first = Agent::of(&site, "vm1").await;
        assert_eq!(first.attachments().await, 1);
        assert_eq!(fractions(&site).await, [["web", "vm1", ""], ["app", "vm2", ""]]);

        // Another boot of the guest has no sandbox of the last one.
        let boot = HelloRequest { boot_id: "boot-2".to_owned(), ..HelloRequest::default() };
        first.0.hello(boot).await.unwrap();
        Agent::of(&site, "vm2").await.join("new", "web").await.unwrap();
        assert_eq!(fractions(&site).await, MOVED);
    });
}

/// The configuration has the VM no more, and then it ends.
#[test]
fn a_vm_that_is_configured_no_more_keeps_its_fractions_until_it_ends() {
    with_web(async |mut site, _, _, _| {
        site.kill();
        let vm2 = format!(
            "[[vm]]\nname = \"vm2\"\nhypervisor = {{ namespace = {{ path = \"{}\" }} }}\n\
             channel = {{ unix = \"{}\" }}\nwarm_pool = 1\nnic_limit = 4\ntenant = \"a\"\n",
            site.path("vm2.netns").display(),
            site.path("vm2.sock").display()
        );
        site.start(&vm2);
        let mut second = Agent::of(&site, "vm2").await;
        assert_eq!(reason(&second.join("new", "web").await.unwrap_err()), Reason::FractionTaken);
        Namespace::delete(site.path("vm1.netns")).unwrap();
        second.join("new", "web").await.unwrap();
        assert_eq!(fractions(&site).await, MOVED);
    });
}

//! A VM that asks its host for more than its share is put off, and says so to its runtime: try again later.

use nestless_lab::Vmm;
use nestless_proto::{CapacityRequest, guest_client::GuestClient};
use nestless_test::{Call, Site, agree, cni, eventually, guest, lab};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// Calls under way at once: many more than the host answers of one VM.
const CALLERS: usize = 32;

/// Asks for something cheap, over and over, until it is dropped.
fn flood(client: &GuestClient<Channel>) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = client.clone();
        callers.spawn(async move {
            loop {
                // Most are refused, which is the point.
                let _ = client.capacity(CapacityRequest::default()).await;
            }
        });
    }
    callers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_that_asks_too_much_is_told_to_try_again() {
    let site = Site::up(lab("flood", Vmm::Namespace).nics(0, 8)).await;
    let socket = site.name().vm_dir(site.vm("vm1").unwrap().name()).join("channel.sock");
    let client = guest::channel(&socket).await;
    cni::sandbox(&site, "vm1", "pod").await.unwrap();
    cni::sandbox(&site, "vm1", "early").await.unwrap();
    let callers = flood(&client);
    let failure = eventually("a refusal", || async {
        match Call::new("ADD", "pod").run(&site, "vm1").await {
            Err(failure) => Ok(failure),
            Ok(_) => {
                // It slipped through; a DEL succeeds whatever the host says to it.
                assert_eq!(Call::new("DEL", "pod").run(&site, "vm1").await, Ok(Value::Null));
                Err("served".to_owned())
            }
        }
    })
    .await;
    assert_eq!(failure.code, cni::TRY_AGAIN, "{failure}");
    assert!(failure.msg.contains("too many requests"), "{failure}");
    // Insisting helps even now, since the host goes on serving at its pace.
    Call::new("ADD", "early").insist(&site, "vm1").await.unwrap();
    drop(callers);
    drop(client);

    Call::new("ADD", "pod").insist(&site, "vm1").await.unwrap();
    // What the agent could not tell in the flood it has told by now: every NIC is confirmed, and none is left over.
    let status = agree(&site).await;
    assert_eq!(status.vms[0].in_use, 2, "{status:?}");
    for pod in ["pod", "early"] {
        assert_eq!(Call::new("DEL", pod).run(&site, "vm1").await, Ok(Value::Null));
        cni::drop_sandbox(&site, "vm1", pod).await.unwrap();
    }
    let status = agree(&site).await;
    assert_eq!(status.vms[0].in_use, 0, "{status:?}");
    site.down().await;
}

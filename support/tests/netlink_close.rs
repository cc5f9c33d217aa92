//! That channels do not outlive their users. Alone in its process, because it counts descriptors.

use nestless_support::{
    netlink::{LinkEvent, LinkMonitor, Netlink},
    netns::Namespace,
};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn a_channel_closes_with_its_last_clone() {
    let namespace = Namespace::anonymous().unwrap();
    let before = descriptors();
    let netlink = Netlink::inside(&namespace).await.unwrap();
    let clone = netlink.clone();
    drop(netlink);
    clone.links().await.unwrap();
    let mut monitor = LinkMonitor::inside(&namespace).await.unwrap();
    while monitor.next().await.unwrap() != LinkEvent::Listed {}
    assert!(descriptors() >= before + 3);
    drop((clone, monitor));
    // The tasks behind them run on this thread: each turn lets every one of them finish.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(descriptors(), before);
}

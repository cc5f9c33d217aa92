//! A guest whose kernel has no IPv6, on a network of both families: its pods have IPv4 alone, and everybody is told.

use nestless_lab::{Exec, Vmm};
use nestless_test::{
    Call, Site, agree, cni, lab, operator,
    split::Fraction,
    traffic::{GATEWAYS, ping},
};
use serde_json::{Value, json};

const VM: &str = "vm1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_without_ipv6_gets_ipv4_alone_and_is_told_of() {
    let site = Site::up(lab("four", Vmm::Qemu).nics(1, 4).kernel_word("ipv6.disable=1")).await;
    let absent = site.exec(VM, &Exec::shell("test ! -e /proc/sys/net/ipv6")).await.unwrap();
    absent.success("the guest's kernel was told").unwrap();
    assert!(operator::vm(&site, VM).await.without_ipv6);

    cni::sandbox(&site, VM, "pod").await.unwrap();
    let result =
        Call::new("ADD", "pod").insist(&site, VM).await.unwrap_or_else(|failure| panic!("{failure}"));
    let v4 = |list: &str, key: &str| {
        let texts: Vec<&str> =
            result[list].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap()).collect();
        assert!(!texts.is_empty() && texts.iter().all(|text| text.contains('.')), "{result}");
        texts.len()
    };
    assert_eq!((v4("ips", "address"), v4("routes", "dst")), (1, 1));
    let answered = site.pod_exec(VM, "pod", ping(GATEWAYS[0])).await.unwrap();
    answered.success("ping the bridge").unwrap();
    let check = Call::new("CHECK", "pod").conf("prevResult", result.clone());
    assert_eq!(check.run(&site, VM).await, Ok(Value::Null));
    let nic = operator::confirmed(&site, "pod").await;
    assert_eq!(nic.addresses.len(), 1, "an address is held that nobody can use: {nic:?}");

    // A localhost of IPv4 alone.
    let fraction = Fraction { site: &site, vm: VM, name: "fraction" };
    fraction.joins().await;
    fraction.call("DEL").run(&site, VM).await.unwrap();

    cni::sandbox(&site, VM, "six").await.unwrap();
    let ips = json!({"ips": ["fd00:78::1:77"]});
    let refused = Call::new("ADD", "six").conf("runtimeConfig", ips).run(&site, VM).await.unwrap_err();
    assert!(refused.code == 7 && refused.msg.contains("no IPv6"), "{refused}");
    for pod in ["pod", "six", "fraction"] {
        Call::new("DEL", pod).run(&site, VM).await.unwrap();
        cni::drop_sandbox(&site, VM, pod).await.unwrap();
    }
    agree(&site).await;
    site.down().await;
}

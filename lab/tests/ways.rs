//! Every way between two containers, with nestlessd and agents, which must have been built (`cargo build --bins`).

use nestless_lab::{Exec, Lab, Vmm, Way};

const PORT: &str = "7001";

/// The server says its host's name to whoever connects; so does the asker learn whom it has reached.
async fn every_way_leads_to_its_server(what: &str, vmm: Vmm) {
    let name = format!("t{}-{what}", std::process::id());
    let builder = Lab::builder(name).vmm(vmm).vms(2).second_nic().programs(Way::PROGRAMS);
    let lab = builder.up().await.unwrap();
    for way in Way::ALL {
        let ends = lab.way(way, ["vm1", "vm2"], PORT).await.unwrap();
        let listen = format!("busybox nc -ll -p {PORT} -e hostname >/dev/null 2>&1 & echo $!");
        let listening = lab.pod_exec(&ends.server.vm, &ends.server.pod, Exec::shell(listen)).await.unwrap();
        let pid = listening.success(format!("listen on the way {way}")).unwrap().text();
        let ask = format!(
            "for i in $(seq 600); do busybox nc -w 5 {} {PORT} </dev/null && exit; sleep 0.1; done; exit 1",
            ends.address
        );
        let asked = lab.pod_exec(&ends.asker.vm, &ends.asker.pod, Exec::shell(ask)).await.unwrap();
        let expected = if matches!(way, Way::Lo | Way::LoSteered) { "vm1" } else { "vm2" };
        assert_eq!(asked.success(format!("ask on the way {way}")).unwrap().text(), expected, "{way}");
        assert_eq!((ends.asker.vm.as_str(), ends.server.vm.as_str()), ("vm1", expected), "{way}");
        lab.exec(&ends.server.vm, &Exec::new(["kill", &pid])).await.unwrap().success("kill").unwrap();
    }
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ways_between_namespace_vms() {
    every_way_leads_to_its_server("nsways", Vmm::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ways_between_qemu_vms() {
    every_way_leads_to_its_server("qways", Vmm::Qemu).await;
}

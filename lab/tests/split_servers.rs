//! Servers of Debian's packages in one fraction of a pod, and their own projects' clients in another one, with
//! nestlessd and agents, which must have been built (`cargo build --bins`).

use nestless_lab::{Lab, Server, Vmm};

const GROUP: &str = "shop";

async fn clients_find_servers_in_another_vm(what: &str, vmm: Vmm) {
    let name = format!("t{}-{what}", std::process::id());
    let lab = Lab::builder(name).vmm(vmm).vms(2).servers(&Server::ALL).up().await.unwrap();
    let ends = lab.split_way(["vm1", "vm2"], GROUP, 2).await.unwrap();
    for server in Server::ALL {
        let early = lab.pod_exec(&ends.asker.vm, &ends.asker.pod, server.ask()).await.unwrap();
        assert!(!early.exit.is_success(), "{server} answers before it is started");
        let serving = lab.serve(&ends.server.vm, &ends.server.pod, server).await.unwrap();
        for (what, exec) in [("ask", server.ask()), ("put under load", server.load())] {
            let output = lab.pod_exec(&ends.asker.vm, &ends.asker.pod, exec).await.unwrap();
            output.success(format!("{what} {server} in the other VM")).unwrap();
        }
        drop(serving);
    }
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_find_servers_in_another_namespace_vm() {
    clients_find_servers_in_another_vm("splitn", Vmm::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_find_servers_in_another_qemu_vm() {
    clients_find_servers_in_another_vm("splitq", Vmm::Qemu).await;
}

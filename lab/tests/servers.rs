//! Servers of Debian's packages, in a pod: they start with their own configuration, and answer on the pod's localhost.

use nestless_lab::{Exec, Lab, Server, Vmm};

const POD: &str = "servers";

async fn succeeds(lab: &Lab, what: &str, exec: Exec) -> String {
    lab.pod_exec("vm1", POD, exec).await.unwrap().success(what).unwrap().text()
}

async fn serve_and_answer(what: &str, vmm: Vmm) {
    let name = format!("t{}-{what}", std::process::id());
    let lab = Lab::builder(name).vmm(vmm).vms(1).without_daemon().servers(&Server::ALL).up().await.unwrap();
    lab.vm("vm1").unwrap().client().await.unwrap().add_namespace(POD).await.unwrap();
    let mut serving = Vec::new();
    for server in Server::ALL {
        let early = lab.pod_exec("vm1", POD, server.ask()).await.unwrap();
        assert!(!early.exit.is_success(), "{server} answers before it is started");
        serving.push(lab.serve("vm1", POD, server).await.unwrap());
        succeeds(&lab, &format!("put {server} under load"), server.load()).await;
    }
    // The web server finds the application, and that its database, which tells whose it is.
    let visit = "busybox wget -S -q -O - http://127.0.0.1:8080/visits 2>&1";
    succeeds(&lab, "visit", Exec::shell(visit)).await;
    let second = succeeds(&lab, "visit again", Exec::shell(visit)).await;
    for part in ["X-Web-Server: vm1", r#""application": "vm1""#, r#""database": "vm1""#, r#""visits": 2"#] {
        assert!(second.contains(part), "{second}");
    }
    // They listen in their pod's namespace, and nowhere else.
    for server in Server::ALL {
        let outside = lab.exec("vm1", &server.ask()).await.unwrap();
        assert!(!outside.exit.is_success(), "{server} answers outside its pod");
    }
    drop(serving);
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debians_servers_answer_in_a_pod_of_a_qemu_vm() {
    serve_and_answer("srvq", Vmm::Qemu).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debians_servers_answer_in_a_pod_of_a_namespace_vm() {
    serve_and_answer("srvn", Vmm::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_start_is_an_error_with_its_words() {
    let name = format!("t{}-srvbad", std::process::id());
    let lab = Lab::builder(name).vmm(Vmm::Namespace).vms(1).without_daemon().up().await.unwrap();
    lab.vm("vm1").unwrap().client().await.unwrap().add_namespace(POD).await.unwrap();
    lab.vm("vm1").unwrap().write_file("/etc/nginx/nginx.conf", "nonsense;", 0o644).await.unwrap();
    let error = lab.serve("vm1", POD, Server::Nginx).await.unwrap_err().to_string();
    assert!(error.contains("nginx") && error.contains("nonsense"), "{error}");
    lab.down().await.unwrap();
}

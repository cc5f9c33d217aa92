//! nestlessd dies at every single step of attach and detach, of joining and leaving a loopback group, of reserving and
//! releasing an address, and of a first start; cold and warm; and everything is as it should be once it runs again. The
//! steps are not listed here: a clean run tells them.

mod drill;
mod interface;
mod localhost;
mod others;
mod reservation;

use drill::{Drill, Given, Operation};
use interface::Interface;
use localhost::Localhost;
use nestless_lab::Vmm;

async fn every_step<G: Given>(what: &str, vmm: Vmm, warm: u32) {
    let mut drill: Drill<G> = Drill::begin(what, vmm, warm).await;
    drill.every_step(Operation::Attach).await;
    drill.every_step(Operation::Detach).await;
    drill.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_cold_step_of_a_namespace_vm() {
    every_step::<Interface>("fcn", Vmm::Namespace, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_warm_step_of_a_namespace_vm() {
    every_step::<Interface>("fwn", Vmm::Namespace, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_cold_step_of_a_real_vm() {
    every_step::<Interface>("fcq", Vmm::Qemu, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_warm_step_of_a_real_vm() {
    every_step::<Interface>("fwq", Vmm::Qemu, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_cold_step_of_a_fraction_in_a_namespace_vm() {
    every_step::<Localhost>("lcn", Vmm::Namespace, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_warm_step_of_a_fraction_in_a_namespace_vm() {
    every_step::<Localhost>("lwn", Vmm::Namespace, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_cold_step_of_a_fraction_in_a_real_vm() {
    every_step::<Localhost>("lcq", Vmm::Qemu, 0).await;
}

/// Fractions talk meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_step_of_a_first_start() {
    let mut drill: Drill<Localhost> = Drill::begin("first", Vmm::Namespace, 0).await;
    drill.every_step_of_a_first_start().await;
    drill.end().await;
}

//! Addresses that a VM reserves and releases, while the daemon dies.

use nestless_lab::Vmm;
use nestless_proto::{ReleaseAddressRequest, ReserveAddressRequest};
use nestless_test::{PATIENCE, Site, agree, fault::Faults, guest, lab, operator};
use tonic::Status;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Reserve,
    Release,
}

/// A VM that keeps one address, or none.
struct Keeper {
    site: Site,
    address: String,
}

impl Keeper {
    /// Under the same request id each time: repeating is what a caller does who was not answered.
    async fn operate(&mut self, operation: Operation) -> Result<(), Status> {
        let vm = self.site.vm("vm1").unwrap().name();
        let mut vm = guest::channel(&self.site.name().vm_dir(vm).join("channel.sock")).await;
        let request_id = format!("{operation:?}");
        match operation {
            Operation::Reserve => {
                let request = ReserveAddressRequest { request_id, ..ReserveAddressRequest::default() };
                self.address = vm.reserve_address(request).await?.into_inner().address;
            }
            Operation::Release => {
                let address = self.address.clone();
                let request =
                    ReleaseAddressRequest { request_id, address, ..ReleaseAddressRequest::default() };
                vm.release_address(request).await?;
            }
        }
        Ok(())
    }

    /// What ledger and pool say once it is over.
    async fn is_done(&self, operation: Operation) {
        let status = operator::status(&self.site).await;
        let kept = u32::from(operation == Operation::Reserve);
        assert_eq!(status.vms[0].reserved_addresses, kept, "{status:?}");
        let subnets = status.networks.iter().flat_map(|network| &network.subnets);
        assert_eq!(subnets.map(|subnet| subnet.in_use).sum::<u64>(), u64::from(kept), "{status:?}");
    }

    async fn every_step(&mut self, faults: &Faults, operation: Operation, before: Operation) {
        faults.begin();
        self.operate(operation).await.unwrap();
        let steps = faults.end();
        assert!(steps.iter().any(|step| step.starts_with("ledger.commit")), "{steps:?}");
        eprintln!("{operation:?}: {} steps: {}", steps.len(), steps.join(" "));
        for step in steps {
            self.operate(before).await.unwrap();
            self.is_done(before).await;
            faults.arm(&step);
            // It dies before it answers, or it would have promised what is not done.
            assert!(self.operate(operation).await.is_err(), "{operation:?} {step}");
            let ended = self.site.daemon_ended(PATIENCE).await;
            ended.unwrap_or_else(|error| panic!("{operation:?} {step}: {error:?}"));
            faults.end();
            self.site.start_daemon(&[]).await.unwrap();
            self.operate(operation).await.unwrap();
            self.is_done(operation).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_step_of_a_reservation() {
    let faults = Faults::new();
    let site = Site::up(faults.listened_to_by(lab("res", Vmm::Namespace)).nics(0, 8)).await;
    let mut keeper = Keeper { site, address: String::new() };
    keeper.every_step(&faults, Operation::Reserve, Operation::Release).await;
    keeper.every_step(&faults, Operation::Release, Operation::Reserve).await;
    keeper.operate(Operation::Release).await.unwrap();
    agree(&keeper.site).await;
    keeper.site.down().await;
}

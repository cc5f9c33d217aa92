//! A NIC that serves nobody, taken out of the agent's hands with the guest's root.

use crate::{frame, operator};
use nestless_lab::{Exec, Lab};
use nestless_proto::NicStatus;

const INSIDE: &str = "nsenter --net=/run/nestless/parking";

/// A spare NIC that is up.
pub struct Spare<'a> {
    lab: &'a Lab,
    vm: &'a str,
    name: String,
    /// As it was when it was raised.
    pub nic: NicStatus,
}

impl<'a> Spare<'a> {
    /// Takes one of a VM's.
    ///
    /// # Panics
    /// When there is none.
    pub async fn raise(lab: &'a Lab, vm: &'a str) -> Self {
        let nics = operator::settled(lab).await.vms.into_iter().filter(|known| known.name == vm);
        let nic = nics.flat_map(|vm| vm.nics).find(|nic| nic.phase == "Spare").expect("a spare NIC");
        let seen = lab.exec(vm, &Exec::shell(format!("{INSIDE} ip link"))).await.expect("ip runs").text();
        let line = format!("link/ether {}", nic.nic_mac);
        let link = seen.lines().zip(seen.lines().skip(1)).find(|(_, ether)| ether.contains(&line));
        let (name, _) = link.unwrap_or_else(|| panic!("{line} in {seen}"));
        let name = name.split([':', '@']).nth(1).expect("a number and a name").trim().to_owned();
        let spare = Self { lab, vm, name, nic };
        // Its own neighbour discovery would be counted too.
        let quiet = format!("sh -c 'echo 1 > /proc/sys/net/ipv6/conf/{}/disable_ipv6'", spare.name);
        spare.runs(&quiet, String::new()).await;
        spare.runs(&format!("ip link set {} up", spare.name), String::new()).await;
        spare
    }

    /// Sends frames from it, in order.
    ///
    /// # Panics
    /// When the guest's kernel does not take them.
    pub async fn send(&self, frames: &[Vec<u8>]) {
        let lines: Vec<String> = frames.iter().map(|frame| frame::hex(frame)).collect();
        self.runs(&format!("{} send {}", frame::Raw::PROGRAM, self.name), lines.join("\n")).await;
    }

    /// What the host's guard has dropped of it because it serves nobody.
    ///
    /// # Panics
    /// When it is gone.
    pub async fn dropped(&self) -> u64 {
        let nics = operator::vm(self.lab, self.vm).await.nics;
        let now = nics.into_iter().find(|nic| nic.nic_id == self.nic.nic_id).expect("it is there");
        now.guard.and_then(|guard| guard.dropped.get("closed").copied()).unwrap_or(0)
    }

    /// Takes it down again.
    ///
    /// # Panics
    /// When that fails.
    pub async fn lower(self) {
        self.runs(&format!("ip link set {} down", self.name), String::new()).await;
    }

    async fn runs(&self, line: &str, input: String) {
        let exec = Exec::shell(format!("{INSIDE} {line}")).stdin(input);
        let output = self.lab.exec(self.vm, &exec).await.expect("a shell runs");
        output.success(line).unwrap_or_else(|error| panic!("{error}"));
    }
}

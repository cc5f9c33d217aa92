//! A topology in the words of those who start VMs.

use super::{Machine, Topology, TopologyError};
use std::fmt::Write as _;

impl Topology {
    /// Arguments for QEMU's command line, to be added to those that the VM has: `-device` and its value, alternately.
    pub fn qemu_args(&self) -> Vec<String> {
        let device = |(i, id): (usize, &String)| match self.machine {
            Machine::Q35 => format!("pcie-pci-bridge,id={id},bus=pcie.0"),
            Machine::Pc => format!("pci-bridge,id={id},bus=pci.0,chassis_nr={}", i + 1),
        };
        self.bridges.iter().enumerate().flat_map(|bridge| ["-device".to_owned(), device(bridge)]).collect()
    }

    /// `<controller>` elements for the `<devices>` of a libvirt domain, one line each. They carry no index and no
    /// address: libvirt gives both (since 1.3.5) when it defines the domain.
    ///
    /// # Errors
    /// [`TopologyError::LibvirtVectors`] when NICs would need fewer vectors than libvirt gives them.
    pub fn libvirt_xml(&self) -> Result<String, TopologyError> {
        if self.vectors.with_full < self.nics {
            return Err(TopologyError::LibvirtVectors { nics: self.nics, fit: self.vectors.room_for_full });
        }
        let mut xml = String::new();
        for _ in &self.bridges {
            let lines = match self.machine {
                Machine::Q35 => {
                    "<controller type='pci' model='pcie-root-port'/>\n\
                     <controller type='pci' model='pcie-to-pci-bridge'/>"
                }
                Machine::Pc => "<controller type='pci' model='pci-bridge'/>",
            };
            writeln!(xml, "{lines}").expect("writing to a String cannot fail");
        }
        Ok(xml)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Demand;
    use super::*;

    fn topology(nics: u32, vcpus: u32, machine: Machine) -> Topology {
        Topology::plan(Demand { nics, vcpus, machine, queues: 1 }).unwrap()
    }

    #[test]
    fn qemu() {
        assert_eq!(
            topology(40, 2, Machine::Q35).qemu_args().join(" "),
            "-device pcie-pci-bridge,id=nestless-bridge0,bus=pcie.0 \
             -device pcie-pci-bridge,id=nestless-bridge1,bus=pcie.0"
        );
        assert_eq!(
            topology(1, 1, Machine::Pc).qemu_args().join(" "),
            "-device pci-bridge,id=nestless-bridge0,bus=pci.0,chassis_nr=1"
        );
    }

    #[test]
    fn libvirt() {
        assert_eq!(
            topology(1, 1, Machine::Q35).libvirt_xml().unwrap(),
            "<controller type='pci' model='pcie-root-port'/>\n<controller type='pci' model='pcie-to-pci-bridge'/>\n"
        );
        assert_eq!(
            topology(32, 2, Machine::Pc).libvirt_xml().unwrap(),
            "<controller type='pci' model='pci-bridge'/>\n<controller type='pci' model='pci-bridge'/>\n"
        );
    }

    #[test]
    fn libvirt_cannot_lower_vectors() {
        assert_eq!(
            topology(100, 1, Machine::Q35).libvirt_xml(),
            Err(TopologyError::LibvirtVectors { nics: 100, fit: 58 })
        );
        assert!(topology(100, 2, Machine::Q35).libvirt_xml().is_ok());
    }
}

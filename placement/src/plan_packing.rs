//! From a plan to a packing, and from a packing to a plan.

use crate::item::fits;
use crate::packing::{Packing, Piece};
use crate::plan::{Fraction, Plan, PlannedVm};
use crate::problem::Problem;
use crate::violation::Violation;

impl<'p> Packing<'p> {
    /// A plan that [`verify`](crate::verify()) finds nothing wrong with, as a packing.
    ///
    /// # Errors
    /// When pods that are placed as one here, because they seek each other, are in several VMs, and when a
    /// fraction with init containers is counted larger here than it is.
    pub(crate) fn of(problem: &'p Problem<'p>, plan: &Plan) -> Result<Self, Violation> {
        let mut item_of = vec![0; problem.task.client.pods.len()];
        for (index, item) in problem.items.iter().enumerate() {
            item.pods.iter().for_each(|&pod| item_of[pod] = index);
        }
        let mut packing = Self::new(problem);
        for vm in &plan.vms {
            let at = packing.open(vm.size);
            for fraction in &vm.fractions {
                let index = item_of[fraction.pod];
                let item = &problem.items[index];
                let here = |pod: &usize| vm.fractions.iter().any(|other| other.pod == *pod);
                if !item.pods.iter().all(here) {
                    return Err(Violation::Relation { pod: fraction.pod, demand: "affinity" });
                }
                if item.pods[0] != fraction.pod {
                    continue;
                }
                let part = |unit: &usize| fraction.containers.contains(&item.units[*unit].containers[0]);
                let units: Vec<usize> = (0..item.units.len()).filter(part).collect();
                let piece = if units.len() == item.units.len() {
                    Piece::whole(problem, index)
                } else {
                    Piece::fraction(problem, index, units)
                };
                // Fractions are counted as if the init containers of each ran at once.
                if !fits(&piece.need, &packing.vms[at].room) {
                    return Err(Violation::Overfull { vm: at, what: "CPU or memory" });
                }
                packing.put(at, piece);
            }
        }
        Ok(packing)
    }

    /// The finished plan, without empty VMs.
    pub(crate) fn finish(self) -> Plan {
        let hosts = self.shared_hosts();
        let mut shared = vec![0; self.vms.len()];
        hosts.iter().for_each(|&host| shared[host] += 1);
        let mut numbers: Vec<Option<usize>> = vec![None; self.vms.len()];
        let mut next = 0;
        let mut vms = Vec::with_capacity(self.vms.len());
        for (vm, host) in self.vms.into_iter().zip(hosts) {
            if vm.pieces.is_empty() {
                continue;
            }
            let host = (shared[host] > 1).then(|| {
                *numbers[host].get_or_insert_with(|| {
                    next += 1;
                    next - 1
                })
            });
            let fractions = vm.pieces.iter().flat_map(|piece| fractions(self.problem, piece)).collect();
            vms.push(PlannedVm { size: vm.size, host, fractions });
        }
        Plan { vms }
    }
}

fn fractions(problem: &Problem<'_>, piece: &Piece) -> Vec<Fraction> {
    let item = &problem.items[piece.item];
    if piece.units.is_empty() || piece.units.len() == item.units.len() {
        let all = |&pod: &usize| (0..problem.task.client.pods[pod].containers.len()).collect();
        return item.pods.iter().map(|pod| Fraction { pod: *pod, containers: all(pod) }).collect();
    }
    let mut containers: Vec<usize> =
        piece.units.iter().flat_map(|&unit| item.units[unit].containers.iter().copied()).collect();
    containers.sort_unstable();
    vec![Fraction { pod: item.pods[0], containers }]
}

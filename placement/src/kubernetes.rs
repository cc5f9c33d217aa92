//! Kubernetes as it is, with an autoscaler: pods in order of arrival, each into the VM that scores highest
//! among those that can hold it (`NodeResourcesFit` with `MostAllocated`), or else into a new VM of the
//! cheapest size that can. Nothing is ever moved or split.
//!
//! Scores are the scheduler's: per resource `requested * 100 / allocatable` in whole points, and their
//! mean (pkg/scheduler/framework/plugins/noderesources/most_allocated.go). Ties, which the scheduler
//! breaks at random, go to the oldest VM.

use crate::error::PlacementError;
use crate::packing::{Packing, Piece};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::room_index::RoomIndex;
use crate::strategy::{Strategy, Task};

/// The scheduler's own way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kubernetes;

impl Strategy for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn place(&self, task: Task<'_>) -> Result<Plan, PlacementError> {
        let problem = Problem::new(task)?.whole();
        Ok(as_it_is(&problem)?.finish())
    }
}

/// Schedules the items of a problem, whole, in order of arrival. Items that seek others wait for them.
///
/// # Errors
/// The item that no VM can hold any more.
pub(crate) fn as_it_is<'p>(problem: &'p Problem<'p>) -> Result<Packing<'p>, PlacementError> {
    let mut packing = Packing::new(problem);
    let mut index = RoomIndex::new(problem);
    let mut order: Vec<usize> = (0..problem.items.len()).collect();
    if !problem.relations.is_empty() {
        order.sort_by_key(|&item| problem.relations.seeks(item));
    }
    for item in order {
        let piece = Piece::whole(problem, item);
        let vm = match index.fullest(&packing, item, &piece.need) {
            Some(vm) => vm,
            None => {
                let size = packing.cheapest(item, &piece.need).ok_or_else(|| problem.no_room(item))?;
                packing.open(size)
            }
        };
        packing.put(vm, piece);
        index.update(&packing, vm);
    }
    Ok(packing)
}

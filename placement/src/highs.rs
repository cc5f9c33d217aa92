//! The cheapest plan by HiGHS, a solver of mixed integer programmes written in C++ (feature `highs`): the assignment of
//! parts to VMs, written out as one programme. Sizes beyond a few dozen VMs are left to the other strategies.
//!
//! For each place for a VM: which size it has, if any. For each item: the place that holds it whole, or for each of its
//! units a place, and the places that hold a fraction of it. Resources are shares of the largest room. What the solver
//! returns is checked in integers before it is used.

use highs::{Col, HighsModelStatus, RowProblem, Sense};

use crate::error::PlacementError;
use crate::item::{Item, UNLIMITED};
use crate::local_search::improved;
use crate::packing::{Packing, Piece};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::strategy::{Strategy, Task};

/// Beyond so many variables the programme is not tried.
const MOST_VARIABLES: usize = 20_000;

/// Exact by HiGHS, where the programme is small enough; else what local search finds.
#[derive(Clone, Copy, Debug)]
pub struct Highs {
    /// Nodes of the search tree: the effort, counted in steps so that the same task gives the same plan.
    pub nodes: i32,
}

impl Default for Highs {
    fn default() -> Self {
        Self { nodes: 5_000 }
    }
}

impl Strategy for Highs {
    fn name(&self) -> &'static str {
        "highs"
    }

    fn place(&self, task: Task<'_>) -> Result<Plan, PlacementError> {
        let problem = Problem::new(task)?;
        let start = improved(&problem)?;
        let better = Programme::new(&problem, start.cost()).and_then(|programme| programme.solve(self.nodes));
        let better = better.filter(|packing| packing.score() < start.score());
        Ok(better.unwrap_or(start).finish())
    }
}

/// An item's variables: one for each place.
struct Variables {
    whole: Vec<Col>,
    /// By place; empty when the item may not be split.
    fraction: Vec<Col>,
    /// By unit, then by place.
    units: Vec<Vec<Col>>,
}

struct Programme<'p> {
    problem: &'p Problem<'p>,
    rows: RowProblem,
    /// By place, then by size.
    bought: Vec<Vec<Col>>,
    items: Vec<Variables>,
}

impl<'p> Programme<'p> {
    /// The programme whose plans cost less than `limit`; `None` when it is too large, or none can be cheaper.
    fn new(problem: &'p Problem<'p>, limit: u64) -> Option<Self> {
        let cheapest = problem.sizes.iter().filter(|size| size.available > 0).map(|size| size.price).min()?;
        let parts: usize = problem.items.iter().map(|item| item.units.len().max(1)).sum();
        let places = usize::try_from(limit.checked_sub(1)?.checked_div(cheapest)?).ok()?.min(parts);
        let columns: usize = problem.items.iter().map(|item| 2 + item.units.len()).sum::<usize>();
        if places * (columns + problem.sizes.len()) > MOST_VARIABLES || !problem.relations.is_empty() {
            return None;
        }
        let mut rows = RowProblem::new();
        let step = problem.price_step() as f64;
        let price = |size: usize| problem.sizes[size].price as f64 / step;
        let binary = |rows: &mut RowProblem, cost: f64| rows.add_integer_column(cost, 0..=1);
        let bought = (0..places)
            .map(|_| (0..problem.sizes.len()).map(|size| binary(&mut rows, price(size))).collect())
            .collect();
        let mut some = |count: usize| -> Vec<Col> { (0..count).map(|_| binary(&mut rows, 0.0)).collect() };
        let variables = |item: &Item| Variables {
            whole: some(places),
            fraction: some(if item.units.is_empty() { 0 } else { places }),
            units: item.units.iter().map(|_| some(places)).collect(),
        };
        let items = problem.items.iter().map(variables).collect();
        let mut programme = Self { problem, rows, bought, items };
        programme.everything_is_somewhere();
        programme.vms_hold_what_is_in_them();
        programme.sizes_are_to_be_had();
        Some(programme)
    }

    fn everything_is_somewhere(&mut self) {
        for (index, of) in self.items.iter().enumerate() {
            let whole = of.whole.iter().map(|&place| (place, 1.0));
            if of.units.is_empty() {
                self.rows.add_row(1..=1, whole.clone().collect::<Vec<_>>());
            }
            for unit in &of.units {
                let all = whole.clone().chain(unit.iter().map(|&place| (place, 1.0)));
                self.rows.add_row(1..=1, all.collect::<Vec<_>>());
                for (&part, &fraction) in unit.iter().zip(&of.fraction) {
                    self.rows.add_row(..=0, [(part, 1.0), (fraction, -1.0)]);
                }
            }
            let most = self.problem.max_fractions().min(of.units.len()) as f64;
            if !of.fraction.is_empty() {
                self.rows.add_row(..=most, of.fraction.iter().map(|&f| (f, 1.0)).collect::<Vec<_>>());
            }
            for (place, sizes) in self.bought.iter().enumerate() {
                let admitting = (0..sizes.len())
                    .filter(|&size| self.problem.admits(index, size))
                    .map(|s| (sizes[s], -1.0));
                let here = [of.whole.get(place), of.fraction.get(place)].into_iter().flatten();
                let row = here.map(|&col| (col, 1.0)).chain(admitting);
                self.rows.add_row(..=0, row.collect::<Vec<_>>());
            }
        }
    }

    fn vms_hold_what_is_in_them(&mut self) {
        for (place, sizes) in self.bought.iter().enumerate() {
            for axis in 0..4 {
                let largest = self.problem.sizes.iter().map(|size| size.room[axis]).max().unwrap_or(0);
                if largest == UNLIMITED {
                    continue;
                }
                let share = |amount: u64| amount as f64 / largest.max(1) as f64;
                let rooms = sizes.iter().zip(&self.problem.sizes);
                let mut row: Vec<(Col, f64)> =
                    rooms.map(|(&col, size)| (col, -share(size.room[axis]))).collect();
                for (of, item) in self.items.iter().zip(&self.problem.items) {
                    row.push((of.whole[place], share(item.whole[axis])));
                    row.extend(of.fraction.get(place).map(|&col| (col, share(item.fraction[axis]))));
                    let units = of.units.iter().zip(&item.units);
                    row.extend(units.map(|(cols, unit)| (cols[place], share(unit.need[axis]))));
                }
                self.rows.add_row(..=0, row);
            }
        }
    }

    fn sizes_are_to_be_had(&mut self) {
        let price = |size: usize| self.problem.sizes[size].price as f64;
        for sizes in &self.bought {
            self.rows.add_row(..=1, sizes.iter().map(|&col| (col, 1.0)).collect::<Vec<_>>());
        }
        for (size, of) in self.problem.sizes.iter().enumerate() {
            if (of.available as usize) < self.bought.len() {
                let all = self.bought.iter().map(|sizes| (sizes[size], 1.0));
                self.rows.add_row(..=of.available, all.collect::<Vec<_>>());
            }
        }
        // Places are alike: the dearest come first.
        let dearest = (0..self.problem.sizes.len()).map(price).fold(1.0, f64::max);
        for pair in self.bought.windows(2) {
            let of = |place: usize, sign: f64| {
                pair[place].iter().enumerate().map(move |(size, &col)| (col, sign * price(size) / dearest))
            };
            self.rows.add_row(..=0, of(1, 1.0).chain(of(0, -1.0)).collect::<Vec<_>>());
        }
    }

    /// The packing that the solver finds; `None` when it finds none that holds in integers.
    fn solve(self, nodes: i32) -> Option<Packing<'p>> {
        let mut model = self.rows.try_optimise(Sense::Minimise).ok()?;
        model.make_quiet();
        model.set_option("threads", 1);
        model.set_option("mip_rel_gap", 0.0);
        model.set_option("mip_max_nodes", nodes);
        let solved = model.try_solve().ok()?;
        let usable = [HighsModelStatus::Optimal, HighsModelStatus::ReachedSolutionLimit];
        if !usable.contains(&solved.status()) && !solved.mip_gap().is_finite() {
            return None;
        }
        let solution = solved.get_solution();
        let is_set = |col: &Col| solution.columns().get(col.index()).is_some_and(|&value| value > 0.5);
        let problem = self.problem;
        let mut packing = Packing::new(problem);
        for (place, sizes) in self.bought.iter().enumerate() {
            let Some(size) = sizes.iter().position(is_set) else { continue };
            if !packing.has(size) {
                return None;
            }
            let vm = packing.open(size);
            for (item, of) in self.items.iter().enumerate() {
                let units: Vec<usize> =
                    (0..of.units.len()).filter(|&unit| is_set(&of.units[unit][place])).collect();
                let piece = match (is_set(&of.whole[place]), units.len()) {
                    (true, _) => Piece::whole(problem, item),
                    (false, 0) => continue,
                    (false, count) if count == of.units.len() => Piece::whole(problem, item),
                    (false, _) => Piece::fraction(problem, item, units),
                };
                if !packing.admits(vm, item, &piece.need) {
                    return None;
                }
                packing.put(vm, piece);
            }
        }
        let mut placed = vec![0; problem.items.len()];
        for piece in packing.vms.iter().flat_map(|vm| &vm.pieces) {
            placed[piece.item] += if piece.units.is_empty() {
                problem.items[piece.item].units.len().max(1)
            } else {
                piece.units.len()
            };
        }
        let all = problem.items.iter().zip(placed).all(|(item, count)| count == item.units.len().max(1));
        (all && packing.hosts_hold()).then_some(packing)
    }
}

//! What was observed, when the recording is over.

use std::collections::HashMap;

use fgspy_profile::replicates::{self, ByReplicate};
use fgspy_profile::{RequestId, Serving, Sighting, Weight};
use indexmap::{IndexMap, IndexSet};

use crate::estimate::{
    Balance, Cell, CellId, Estimate, Hasher, Labels, OnCpuPlace, RawLabelsId, RawStack, RawStackId, RouteId, Whose,
    balance,
};
use crate::requests::Seen;

/// Who spent how much time where.
#[derive(Debug, Default)]
pub struct Samples {
    pub(crate) stacks: IndexSet<RawStack, Hasher>,
    pub(crate) labels: IndexSet<Labels, Hasher>,
    pub(crate) cells: IndexSet<Cell, Hasher>,
    /// The time in each cell by replicate; cells that came later may be missing.
    pub(crate) replicates: Vec<ByReplicate>,
    /// What the ticks of each replicate stand for.
    pub(crate) replicate_ns: ByReplicate,
    /// Goroutine, cell and weight; the same goroutine and cell may be there several times.
    pub(crate) all: Vec<(u64, CellId, Weight)>,
    /// Where the kernel saw goroutines compute, and how often.
    pub(crate) on_cpu: Vec<(OnCpuPlace, u64)>,
    /// The requests that were seen, by their number.
    pub(crate) requests: Vec<Seen>,
    /// The looks at each of these.
    pub(crate) sightings: Vec<Option<Sighting>>,
}

impl Samples {
    /// A cell by its id.
    pub fn at(&self, id: CellId) -> Option<Cell> {
        self.cells.get_index(id.index()).copied()
    }

    /// A stack by its id.
    pub fn stack(&self, id: RawStackId) -> Option<&RawStack> {
        self.stacks.get_index(id.index())
    }

    /// A label set by its id.
    pub fn label_set(&self, id: RawLabelsId) -> Option<&Labels> {
        self.labels.get_index(id.index())
    }

    /// Gives time of goroutines of which it was not known then for which request they worked to the one for which they
    /// worked from their beginning.
    ///
    /// This comes after [`correct`]: what was estimated for those that were not read has been spread over those that were,
    /// and goes along with their time.
    pub(crate) fn give_to(&mut self, of_lives: &HashMap<u64, RequestId>) {
        self.change_serving(|goid, serving| match serving {
            Serving::Unknown | Serving::Nothing => {
                Some(of_lives.get(&goid).map_or(serving, |id| Serving::Request(*id)))
            }
            Serving::Request(_) | Serving::Idle(_) => None,
        });
        for (place, _) in &mut self.on_cpu {
            if let (Whose::Serving(Serving::Unknown), Some(&request)) = (place.whose, of_lives.get(&place.goid)) {
                place.whose = Whose::Serving(Serving::Request(request));
            }
        }
    }

    /// Gives the time of jobs that are part of a request to that request, and to none where it is not known which it is.
    pub(crate) fn join(&mut self, parts: &HashMap<RequestId, Option<RequestId>>) {
        if parts.is_empty() {
            return;
        }
        let becomes = |serving: Serving| {
            let whole = serving.request().and_then(|id| parts.get(&id))?;
            Some(whole.map_or(Serving::Unknown, Serving::Request))
        };
        self.change_serving(|_, serving| becomes(serving));
        for (place, _) in &mut self.on_cpu {
            if let Whose::Serving(serving) = place.whose
                && let Some(whole) = becomes(serving)
            {
                place.whose = Whose::Serving(whole);
            }
        }
    }

    /// Says anew what was served: `becomes` says what, by the goroutine and what was known; nothing of what cannot change.
    fn change_serving(&mut self, becomes: impl Fn(u64, Serving) -> Option<Serving>) {
        let mut moves = Moves::default();
        for place in 0..self.all.len() {
            let Some(&(goid, id, weight)) = self.all.get(place) else { continue };
            let Some(cell) = self.at(id) else { continue };
            let Some(serving) = becomes(goid, cell.serving) else { continue };
            let to = if serving == cell.serving { id } else { self.cell(Cell { serving, ..cell }) };
            self.all[place] = (goid, to, weight);
            moves.note(id, to, weight.time_ns);
        }
        self.follow(moves);
    }

    /// Makes the times by replicate of each cell add up to its time, which [`correct`] has changed without them. All replicates
    /// change alike, by what their ticks stand for: how far they differ stays as it was.
    pub(crate) fn fit_replicates(&mut self) {
        let mut missing = vec![0i64; self.replicates.len()];
        for (_, cell, weight) in &self.all {
            if let Some(missing) = missing.get_mut(cell.index()) {
                *missing = missing.saturating_add_unsigned(weight.time_ns);
            }
        }
        let all: i128 = self.replicate_ns.iter().map(|time| i128::from(*time)).sum();
        for (missing, times) in missing.into_iter().zip(&mut self.replicates).filter(|_| all > 0) {
            let missing = i128::from(missing) - times.iter().map(|time| i128::from(*time)).sum::<i128>();
            let (mut so_far, mut given) = (0, 0);
            replicates::add(
                times,
                &self.replicate_ns.map(|time| {
                    so_far += i128::from(time);
                    // Rounding the running sum, not each part, leaves nothing over.
                    let part = missing * so_far / all - given;
                    given += part;
                    part as i64
                }),
            );
        }
    }

    /// Moves times by replicate along with what they are of: of a cell that is left in part, a part.
    pub(crate) fn follow(&mut self, moves: Moves) {
        self.replicates.resize(self.cells.len(), ByReplicate::default());
        for (from, to) in moves.by_cell {
            let Some(&left) = self.replicates.get(from.index()) else { continue };
            let all: i128 = to.values().map(|time| i128::from(*time)).sum();
            let (mut so_far, mut given) = (0, ByReplicate::default());
            for (cell, time_ns) in to.into_iter().filter(|&(_, time_ns)| time_ns > 0) {
                so_far += i128::from(time_ns);
                // Rounding the running sum, not each part, leaves nothing over.
                let up_to = left.map(|time| (i128::from(time) * so_far / all) as i64);
                let part: ByReplicate = std::array::from_fn(|index| up_to[index] - given[index]);
                given = up_to;
                self.add_replicates(cell, &part);
                self.add_replicates(from, &part.map(|time| -time));
            }
        }
    }

    /// The id of a cell.
    pub(crate) fn cell(&mut self, cell: Cell) -> CellId {
        CellId::new(self.cells.insert_full(cell).0)
    }

    fn add_replicates(&mut self, cell: CellId, part: &ByReplicate) {
        if let Some(time) = self.replicates.get_mut(cell.index()) {
            replicates::add(time, part);
        }
    }
}

/// Which cells' time became that of others; no cell is left by some time and entered by other time.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// For each cell what became of all its time, in nanoseconds by cell.
    by_cell: IndexMap<CellId, IndexMap<CellId, u64, Hasher>, Hasher>,
}

impl Moves {
    /// Notes that time of the cell `from` is now that of `to`, which may be the same.
    pub(crate) fn note(&mut self, from: CellId, to: CellId, time_ns: u64) {
        let time = self.by_cell.entry(from).or_default().entry(to).or_default();
        *time = time.saturating_add(time_ns);
    }
}

/// A cell whose correction is being given to its goroutines.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// Nanoseconds credited to its goroutines.
    credited: u128,
    is_corrected: bool,
    /// What they shall have in nanoseconds, and its variance.
    target: f64,
    variance: f64,
    /// Of what was credited, that of the goroutines that have been dealt with; and what they were given.
    seen: u128,
    given: u64,
    given_variance: u64,
}

/// Gives the correction of each cell to the goroutines that were seen in it, in proportion to their time there. Returns
/// the nanoseconds that this adds to the total. `variances` has for each cell how unsure its time is, in square nanoseconds.
///
/// A cell cannot have less than no time. What could not be taken away from one is taken from others ([`take`]), so that the
/// total stays what it was estimated to be; but one of a request first from those of the same route ([`balance`]).
pub(crate) fn correct(
    samples: &mut [(u64, CellId, Weight)],
    cells: &[Cell],
    estimates: &[Estimate],
    variances: &[f64],
    route: impl Fn(&Cell) -> Option<RouteId>,
) -> i64 {
    let mut shares = vec![Share::default(); estimates.len()];
    for (_, cell, weight) in samples.iter() {
        if let Some(share) = shares.get_mut(cell.index()) {
            share.credited += u128::from(weight.time_ns);
        }
    }
    let balance_of = |(share, estimate): (&Share, &Estimate)| Balance {
        target: share.credited as f64 + estimate.correction_ns,
        is_corrected: estimate.correction_ns != 0.0,
    };
    let mut balances: Vec<Balance> = shares.iter().zip(estimates).map(balance_of).collect();
    balance(cells, &mut balances, route);
    let mut excess = 0.0;
    for ((share, balance), &variance) in shares.iter_mut().zip(balances).zip(variances) {
        share.is_corrected = balance.target != share.credited as f64 || variance > 0.0;
        (share.target, share.variance) = (balance.target.max(0.0), variance);
        excess += (-balance.target).max(0.0);
    }
    take(&mut shares, excess);
    let mut added = 0i128;
    for (_, cell, weight) in samples {
        let Some(share) = shares.get_mut(cell.index()) else { continue };
        if !share.is_corrected || share.credited == 0 {
            continue;
        }
        // Rounding the running sum, not each part, leaves nothing over.
        share.seen += u128::from(weight.time_ns);
        let part = share.seen as f64 / share.credited as f64;
        let up_to = |whole: f64| (whole * part).round() as u64;
        let (time, variance) = (up_to(share.target), up_to(share.variance / 1e6));
        added += i128::from(time - share.given) - i128::from(weight.time_ns);
        (weight.time_ns, weight.variance_us2) = (time - share.given, variance - share.given_variance);
        (share.given, share.given_variance) = (time, variance);
    }
    added as i64
}

/// How often what cells cannot give is asked of the others.
const ROUNDS: usize = 8;

/// Takes time from cells: from each as much as it is unsure (its part of all variance), as least squares would; what is known
/// exactly keeps its time as long as the others have some. What is still left is taken from all in proportion.
fn take(shares: &mut [Share], mut excess: f64) {
    for _ in 0..ROUNDS {
        let of_unsure: f64 = shares.iter().filter(|share| share.target > 0.0).map(|share| share.variance).sum();
        if excess <= 0.0 || of_unsure <= 0.0 {
            break;
        }
        let due = excess / of_unsure;
        for share in shares.iter_mut().filter(|share| share.target > 0.0 && share.variance > 0.0) {
            let taken = (due * share.variance).min(share.target);
            (share.target, share.is_corrected) = (share.target - taken, true);
            excess -= taken;
        }
    }
    let all: f64 = shares.iter().map(|share| share.target).sum();
    if excess >= 1.0 && all > 0.0 {
        let factor = (1.0 - excess / all).max(0.0);
        shares.iter_mut().for_each(|share| (share.target, share.is_corrected) = (share.target * factor, true));
    }
}

#[cfg(test)]
mod tests {
    use fgspy_profile::{Idle, State};

    use super::*;

    const A: CellId = CellId::new(0);
    const B: CellId = CellId::new(1);
    const C: CellId = CellId::new(2);

    fn sample(goid: u64, cell: CellId, time_ns: u64) -> (u64, CellId, Weight) {
        (goid, cell, Weight { count: 1, time_ns, variance_us2: 0 })
    }

    fn estimate(correction_ns: f64, variance: f64) -> Estimate {
        Estimate { correction_ns, variance, ..Estimate::default() }
    }

    fn correct_all(samples: &mut [(u64, CellId, Weight)], estimates: &[Estimate]) -> i64 {
        let variances: Vec<f64> = estimates.iter().map(|estimate| estimate.variance).collect();
        correct(samples, &[], estimates, &variances, |_| None)
    }

    fn times(samples: &[(u64, CellId, Weight)]) -> Vec<(u64, u64)> {
        samples.iter().map(|(_, _, weight)| (weight.time_ns, weight.variance_us2)).collect()
    }

    #[test]
    fn corrections_go_to_those_seen_there_in_proportion_and_add_up() {
        let mut samples = [sample(1, A, 100), sample(2, A, 200), sample(3, B, 50)];
        assert_eq!(correct_all(&mut samples, &[estimate(-31.0, 9e6), estimate(31.0, 9e6)]), 0);
        assert_eq!(times(&samples), [(90, 3), (179, 6), (81, 9)]);
        assert_eq!(correct_all(&mut samples, &[estimate(0.0, 0.0), estimate(-11.0, 0.0)]), -11);
        assert_eq!(times(&samples), [(90, 3), (179, 6), (70, 0)]);
    }

    #[test]
    fn no_cell_has_less_than_no_time_and_the_total_is_kept() {
        let mut samples = [sample(1, A, 100), sample(2, B, 1000)];
        assert_eq!(correct_all(&mut samples, &[estimate(-300.0, 0.0), estimate(300.0, 0.0)]), 0);
        assert_eq!(times(&samples), [(0, 0), (1100, 0)]);
    }

    #[test]
    fn what_is_exact_stays_so_while_others_can_give() {
        let mut samples = [sample(1, A, 100), sample(2, B, 1000), sample(3, C, 500)];
        assert_eq!(correct_all(&mut samples, &[estimate(-300.0, 0.0), estimate(300.0, 1e6), estimate(0.0, 0.0)]), 0);
        assert_eq!(times(&samples), [(0, 0), (1100, 1), (500, 0)]);
        let mut samples = [sample(1, A, 100), sample(2, B, 50), sample(3, C, 500)];
        assert_eq!(correct_all(&mut samples, &[estimate(-300.0, 0.0), estimate(100.0, 1e6), estimate(0.0, 0.0)]), -200);
        assert_eq!(times(&samples), [(0, 0), (0, 1), (450, 0)]);
        // Of two, the one that is less sure gives more.
        let mut samples = [sample(1, A, 100), sample(2, B, 500), sample(3, C, 500)];
        assert_eq!(correct_all(&mut samples, &[estimate(-180.0, 0.0), estimate(0.0, 1e6), estimate(0.0, 3e6)]), -180);
        assert_eq!(times(&samples), [(0, 0), (480, 1), (440, 3)]);
    }

    #[test]
    fn what_is_known_later_holds_from_the_beginning() {
        let mut samples = Samples::default();
        let cell = |samples: &mut Samples, serving| {
            let (state, labels) = (State::Running, RawLabelsId::default());
            samples.cell(Cell { start_pc: 1, go_pc: 2, state, wait_reason: None, labels, serving, stack: None })
        };
        let (unknown, idle) = (cell(&mut samples, Serving::Unknown), cell(&mut samples, Serving::Idle(Idle::Worker)));
        samples.all.extend([sample(1, unknown, 10), sample(2, unknown, 20), sample(1, idle, 30)]);
        samples.give_to(&HashMap::from([(1, RequestId(7))]));
        let whose =
            samples.all.iter().map(|(goid, id, weight)| (*goid, samples.at(*id).unwrap().serving, weight.time_ns));
        let of_request = Serving::Request(RequestId(7));
        assert!(whose.eq([(1, of_request, 10), (2, Serving::Unknown, 20), (1, Serving::Idle(Idle::Worker), 30)]));
    }

    #[test]
    fn time_of_jobs_goes_to_the_requests_that_they_are_part_of() {
        let mut samples = Samples::default();
        let labels = RawLabelsId::default();
        let mut cell = |number| {
            let (state, serving) = (State::Running, Serving::Request(RequestId(number)));
            samples.cell(Cell { start_pc: 1, go_pc: 2, state, wait_reason: None, labels, serving, stack: None })
        };
        let [request, part, unsure, job] = [0, 1, 2, 3].map(&mut cell);
        samples.all = [request, part, unsure, job].map(|cell| sample(1, cell, 10)).to_vec();
        samples.join(&HashMap::from([(RequestId(1), Some(RequestId(0))), (RequestId(2), None)]));
        let whose: Vec<Serving> = samples.all.iter().map(|(_, id, _)| samples.at(*id).unwrap().serving).collect();
        let of = |number| Serving::Request(RequestId(number));
        assert_eq!(whose, [of(0), of(0), Serving::Unknown, of(3)]);
    }

    #[test]
    fn replicates_have_the_time_that_their_cell_has_after_corrections() {
        let (mut samples, mut times) = (Samples::default(), ByReplicate::default());
        let (labels, serving) = (RawLabelsId::default(), Serving::Nothing);
        let state = State::Running;
        let cell = samples.cell(Cell { start_pc: 1, go_pc: 2, state, wait_reason: None, labels, serving, stack: None });
        let weight = |time_ns| Weight { count: 1, time_ns, variance_us2: 0 };
        samples.all = vec![(1, cell, weight(60)), (2, cell, weight(41))];
        (times[0], times[1], times[2]) = (90, 20, 10);
        samples.replicates = vec![times];
        (samples.replicate_ns[0], samples.replicate_ns[1], samples.replicate_ns[2]) = (10, 10, 10);
        samples.fit_replicates();
        let [first, second, third, rest @ ..] = samples.replicates[0];
        assert_eq!(([first, second, third], rest.iter().sum::<i64>()), ([84, 14, 3], 0));
        samples.fit_replicates();
        assert_eq!(samples.replicates[0].iter().sum::<i64>(), 101);
    }

    #[test]
    fn times_by_replicate_go_where_the_time_goes() {
        let times = |time| std::array::from_fn(|index| if index == 0 { time } else { 0 });
        let mut samples = Samples::default();
        let labels = RawLabelsId::default();
        let mut cell = |state| {
            let serving = Serving::Unknown;
            samples.cell(Cell { start_pc: 1, go_pc: 2, state, wait_reason: None, labels, serving, stack: None })
        };
        let [a, b, c] = [State::Running, State::Runnable, State::Syscall].map(&mut cell);
        samples.replicates = vec![times(100), times(7)];
        let mut moves = Moves::default();
        [(a, 10), (b, 30), (c, 40), (b, 20)].into_iter().for_each(|(to, time_ns)| moves.note(a, to, time_ns));
        samples.follow(moves);
        assert_eq!(samples.replicates, [times(10), times(57), times(40)]);
        let mut whole = Moves::default();
        whole.note(b, c, 50);
        samples.follow(whole);
        assert_eq!(samples.replicates, [times(10), times(0), times(97)]);
    }

    #[test]
    fn what_was_not_corrected_is_exact() {
        let mut samples = [sample(1, A, u64::MAX / 2 - 1)];
        assert_eq!(correct_all(&mut samples, &[estimate(0.0, 0.0)]), 0);
        assert_eq!(times(&samples), [(u64::MAX / 2 - 1, 0)]);
    }
}

//! Gives a place to time whose stack was not read when it was observed.
//!
//! Two kinds of observations have a state but no stack. A running goroutine has its stack on its thread: the kernel's
//! samples of threads say where goroutines run, and how often where. And a goroutine may have moved while it was read,
//! or not been chosen to have its stack read. (Of a deep stack that moved the frames nearest the leaf are known: then only
//! places count that begin with these.) The state was seen, so the time counts; only where is unknown.
//!
//! It is spread over places that were seen in the same state *of the same thing*, in proportion to what was seen there: the
//! seen places are a sample of the unseen ones. A goroutine that serves one request after the other does other things for
//! each. So what was served, and the labels, are part of a place ([`crate::finish`]): a stack that was seen for one route never
//! comes under the name of another. Where nothing was seen, the time stays without a stack and is shown as such. How much was
//! inferred from other moments than those that the kernel sampled is counted, and so is what was only placed by likeness:
//! where other goroutines were that were started with the same function.

use std::collections::{HashMap, HashSet};

use fgspy_profile::{State, Weight};

use crate::estimate::{Cell, CellId, Moves, RawStack, RawStackId, Reach, Samples};
use crate::finish::{Near, Nears};

/// What became of time without a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Nanoseconds spread over places of the same goroutine, of the same request or route, or of goroutines like it.
    pub spread_ns: u64,
    /// Of these, nanoseconds placed by likeness only: where other goroutines were.
    pub likely_ns: u64,
    /// Nanoseconds that stay without a stack, or with only a part of one.
    pub lost_ns: u64,
}

/// The most observations of a goroutine in a state that are placed by likeness. One that was seen more often than that, and
/// never with a stack, does something that those with a stack do not.
const MOST_LIKE_OTHERS: u64 = 3;

/// Spreads all unplaced observations of `samples`; what cannot be spread stays.
pub fn settle(samples: &mut Samples) -> Settled {
    let mut settled = Settled::default();
    let unplaced = take_unplaced(samples);
    if unplaced.is_empty() {
        return settled;
    }
    let nears = Nears::new(samples);
    let wanted: HashSet<Near> = unplaced
        .iter()
        .flat_map(|&(goid, id, _)| samples.at(id).map(|cell| nears.wanted(goid, cell)))
        .flatten()
        .collect();
    let seen = Seen { read: read(samples, &nears, &wanted), on_cpu: on_cpu(samples, &nears, &wanted) };
    let observations = observations(samples, &unplaced);
    let mut moves = Moves::default();
    for (goid, id, weight) in unplaced {
        let Some(cell) = samples.at(id) else { continue };
        let is_rare = observations.get(&kind(goid, cell)).is_none_or(|count| *count <= MOST_LIKE_OTHERS);
        match find(samples, &seen, nears.wanted(goid, cell), cell, is_rare) {
            Some((near, places)) => {
                for (stack, part) in spread(weight, &places) {
                    let to = samples.cell(Cell { stack: Some(stack), ..cell });
                    moves.note(id, to, part.time_ns);
                    samples.all.push((goid, to, part));
                }
                // Where the kernel saw the very goroutine run is no guess.
                let is_begun = reach(samples, cell) == Some(Reach::Begun);
                let is_seen = matches!(near, Near::Own { .. }) && !is_begun && seen.on_cpu.contains_key(&near);
                let inferred = if is_seen { 0 } else { weight.time_ns };
                settled.spread_ns = settled.spread_ns.saturating_add(inferred);
                settled.likely_ns += if near.is_likeness() { weight.time_ns } else { 0 };
            }
            None => {
                moves.note(id, id, weight.time_ns);
                samples.all.push((goid, id, weight));
                // Where it left its stack is known anyway.
                let lost = if reach(samples, cell) == Some(Reach::Left) { 0 } else { weight.time_ns };
                settled.lost_ns = settled.lost_ns.saturating_add(lost);
            }
        }
    }
    samples.follow(moves);
    settled
}

type Places = HashMap<Near, Vec<(RawStackId, Weight)>>;

/// Where goroutines were seen.
struct Seen {
    /// When they were read.
    read: Places,
    /// By the kernel, while they ran.
    on_cpu: Places,
}

/// The nearest places that were seen, for time in `cell`.
fn find(
    samples: &Samples,
    seen: &Seen,
    wanted: Vec<Near>,
    cell: Cell,
    is_rare: bool,
) -> Option<(Near, Vec<(RawStackId, Weight)>)> {
    let beginning = cell.stack.and_then(|stack| samples.stack(stack));
    for near in wanted.into_iter().filter(|near| is_rare || !near.is_likeness()) {
        let places = match beginning {
            Some(_) if near.is_likeness() => None,
            Some(stack) if stack.reach == Reach::Left => seen.on_cpu.get(&near).cloned(),
            Some(beginning) => seen.read.get(&near).map(|places| that_begin_with(samples, beginning, places)),
            None => seen.on_cpu.get(&near).or_else(|| seen.read.get(&near)).cloned(),
        };
        if let Some(places) = places.filter(|places| !places.is_empty()) {
            return Some((near, places));
        }
    }
    None
}

fn reach(samples: &Samples, cell: Cell) -> Option<Reach> {
    samples.stack(cell.stack?).map(|stack| stack.reach)
}

/// A goroutine in a state.
type Kind = (u64, State, Option<u8>);

fn kind(goid: u64, cell: Cell) -> Kind {
    (goid, cell.state, cell.wait_reason)
}

/// How often each goroutine was observed in each state without a stack. Not of goroutines that are not kept apart.
fn observations(samples: &Samples, unplaced: &[(u64, CellId, Weight)]) -> HashMap<Kind, u64> {
    let mut counts: HashMap<Kind, u64> = HashMap::new();
    for &(goid, id, weight) in unplaced.iter().filter(|(goid, ..)| *goid != 0) {
        let Some(cell) = samples.at(id) else { continue };
        *counts.entry(kind(goid, cell)).or_default() += weight.count;
    }
    counts
}

/// Takes out the observations whose stack is not known, or not to its end.
fn take_unplaced(samples: &mut Samples) -> Vec<(u64, CellId, Weight)> {
    let Samples { all, cells, stacks, .. } = samples;
    let is_known = |id: RawStackId| {
        stacks.get_index(id.index()).is_some_and(|stack| !matches!(stack.reach, Reach::Begun | Reach::Left))
    };
    let is_placed = |id: CellId| cells.get_index(id.index()).and_then(|cell| cell.stack).is_some_and(is_known);
    all.extract_if(.., |(_, id, _)| !is_placed(*id)).collect()
}

/// The places among `seen` whose frames nearest the leaf are those of `beginning`.
fn that_begin_with(
    samples: &Samples,
    beginning: &RawStack,
    seen: &[(RawStackId, Weight)],
) -> Vec<(RawStackId, Weight)> {
    let fits = |stack: &RawStack| stack.kernel == beginning.kernel && stack.user.starts_with(&beginning.user);
    seen.iter().copied().filter(|(stack, _)| samples.stack(*stack).is_some_and(fits)).collect()
}

/// Where goroutines were read.
fn read(samples: &Samples, nears: &Nears, wanted: &HashSet<Near>) -> Places {
    let mut places: HashMap<Near, HashMap<RawStackId, Weight>> = HashMap::new();
    for &(goid, id, weight) in &samples.all {
        let Some(cell) = samples.at(id) else { continue };
        let Some(stack) = cell.stack.filter(|stack| samples.stack(*stack).is_some_and(RawStack::is_read)) else {
            continue;
        };
        for near in nears.offered(goid, cell).into_iter().filter(|near| wanted.contains(near)) {
            *places.entry(near).or_default().entry(stack).or_default() += weight;
        }
    }
    sorted(places)
}

/// Where the kernel saw running goroutines.
///
/// Its samples come at even spaces of CPU time, whatever the goroutine does at our ticks. Taking only those near a tick
/// would favour what comes early in a burst that is shorter than a tick: they are all from before it.
fn on_cpu(samples: &Samples, nears: &Nears, wanted: &HashSet<Near>) -> Places {
    let mut places: HashMap<Near, HashMap<RawStackId, Weight>> = HashMap::new();
    for (place, count) in &samples.on_cpu {
        for near in nears.offered_by_sample(place).into_iter().filter(|near| wanted.contains(near)) {
            let weight = Weight { count: *count, time_ns: *count, variance_us2: 0 };
            *places.entry(near).or_default().entry(place.stack).or_default() += weight;
        }
    }
    sorted(places)
}

/// In an order that does not depend on hashes, so that one recording always gives one profile.
fn sorted(places: HashMap<Near, HashMap<RawStackId, Weight>>) -> Places {
    let in_order = |seen: HashMap<RawStackId, Weight>| {
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_unstable_by_key(|(stack, _)| *stack);
        seen
    };
    places.into_iter().map(|(near, seen)| (near, in_order(seen))).collect()
}

/// Splits `weight` over `places` in proportion to the time seen there, exactly: the parts add up to the whole.
fn spread(weight: Weight, places: &[(RawStackId, Weight)]) -> Vec<(RawStackId, Weight)> {
    let total: u128 = places.iter().map(|(_, seen)| u128::from(seen.time_ns.max(1))).sum();
    let mut seen_so_far = 0;
    let mut given = Weight::default();
    let mut parts = Vec::new();
    for (stack, seen) in places {
        seen_so_far += u128::from(seen.time_ns.max(1));
        // Rounding the running sum, not each part, leaves nothing over.
        let up_to = |whole: u64| (u128::from(whole) * seen_so_far / total) as u64;
        let upto = Weight {
            count: up_to(weight.count),
            time_ns: up_to(weight.time_ns),
            variance_us2: up_to(weight.variance_us2),
        };
        let part = Weight {
            count: upto.count - given.count,
            time_ns: upto.time_ns - given.time_ns,
            variance_us2: upto.variance_us2 - given.variance_us2,
        };
        given = upto;
        if part != Weight::default() {
            parts.push((*stack, part));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use fgspy_profile::{Idle, RequestId, Serving};

    use super::*;
    use crate::estimate::{OnCpuPlace, RawLabelsId, Whose};

    const NOTHING: Serving = Serving::Nothing;
    const IDLE: Serving = Serving::Idle(Idle::Connection);
    const ONE: Serving = Serving::Request(RequestId(1));
    const OTHER: Serving = Serving::Request(RequestId(2));

    /// What a goroutine spent at a place, or (0) at an unknown one.
    fn add(samples: &mut Samples, goid: u64, state: State, pc: u64, count: u64, time_ns: u64) {
        add_for(samples, (goid, NOTHING), state, pc, (count, time_ns));
    }

    fn add_for(
        samples: &mut Samples,
        (goid, serving): (u64, Serving),
        state: State,
        pc: u64,
        (count, time_ns): (u64, u64),
    ) {
        let pcs = if pc == 0 { &[] } else { std::slice::from_ref(&pc) };
        add_stack(samples, (goid, serving), state, pcs, Reach::Whole, (count, time_ns));
    }

    fn add_stack(
        samples: &mut Samples,
        (goid, serving): (u64, Serving),
        state: State,
        pcs: &[u64],
        reach: Reach,
        (count, time_ns): (u64, u64),
    ) {
        let stack = (!pcs.is_empty() || reach == Reach::Unreadable).then(|| stack_of(samples, pcs, reach));
        let labels = RawLabelsId::default();
        let cell = samples.cell(Cell { start_pc: 7, go_pc: 0, state, wait_reason: None, labels, serving, stack });
        samples.all.push((goid, cell, Weight { count, time_ns, variance_us2: 0 }));
    }

    fn stack_of(samples: &mut Samples, pcs: &[u64], reach: Reach) -> RawStackId {
        let stack = RawStack { kernel: vec![], user: pcs.to_vec(), exact_leaf: false, reach };
        RawStackId::new(samples.stacks.insert_full(stack).0)
    }

    /// The kernel saw a goroutine run there.
    fn sample(samples: &mut Samples, goid: u64, whose: Whose, pc: u64, count: u64) {
        let stack = stack_of(samples, &[pc], Reach::Whole);
        let labels = Some(RawLabelsId::default());
        samples.on_cpu.push((OnCpuPlace { goid, start_pc: 7, whose, labels, stack }, count));
    }

    fn times(samples: &Samples) -> Vec<(u64, u64, u64)> {
        let pc = |cell: CellId| {
            let stack = samples.at(cell).unwrap().stack.and_then(|stack| samples.stack(stack));
            stack.and_then(|stack| stack.user.first().copied()).unwrap_or(0)
        };
        samples.all.iter().map(|&(goid, cell, weight)| (goid, pc(cell), weight.time_ns)).collect()
    }

    fn settled(spread_ns: u64, likely_ns: u64, lost_ns: u64) -> Settled {
        Settled { spread_ns, likely_ns, lost_ns }
    }

    #[test]
    fn time_goes_where_the_goroutine_was_seen_in_proportion_and_none_is_lost() {
        let mut samples = Samples::default();
        add(&mut samples, 1, State::Running, 0xa, 2, 200);
        add(&mut samples, 1, State::Running, 0xb, 1, 100);
        add(&mut samples, 1, State::Runnable, 0xc, 1, 100);
        add(&mut samples, 1, State::Running, 0, 1, 100);
        assert_eq!(settle(&mut samples), settled(100, 0, 0));
        assert_eq!(times(&samples), [(1, 0xa, 200), (1, 0xb, 100), (1, 0xc, 100), (1, 0xa, 66), (1, 0xb, 34)]);
        assert_eq!(samples.all.iter().map(|(.., weight)| weight.count).sum::<u64>(), 5);
    }

    #[test]
    fn a_place_is_of_what_was_served_there() {
        let mut samples = Samples::default();
        add_for(&mut samples, (1, ONE), State::Syscall, 0xa, (2, 200));
        add_for(&mut samples, (1, OTHER), State::Syscall, 0xb, (1, 100));
        add_for(&mut samples, (1, ONE), State::Syscall, 0, (1, 10));
        add_for(&mut samples, (1, OTHER), State::Syscall, 0, (1, 20));
        add_for(&mut samples, (1, IDLE), State::Syscall, 0, (1, 40));
        assert_eq!(settle(&mut samples), settled(30, 0, 40));
        assert_eq!(times(&samples)[2..], [(1, 0xa, 10), (1, 0xb, 20), (1, 0, 40)]);
        // Time that has no name takes any place of its goroutine.
        let mut samples = Samples::default();
        add_for(&mut samples, (1, ONE), State::Syscall, 0xa, (2, 200));
        add_for(&mut samples, (1, Serving::Unknown), State::Syscall, 0, (1, 10));
        assert_eq!(settle(&mut samples), settled(10, 0, 0));
        assert_eq!(times(&samples)[1..], [(1, 0xa, 10)]);
    }

    #[test]
    fn what_the_kernel_saw_of_a_request_is_of_that_request() {
        let mut samples = Samples::default();
        sample(&mut samples, 1, Whose::Serving(ONE), 0xa, 3);
        sample(&mut samples, 1, Whose::Serving(OTHER), 0xb, 1);
        sample(&mut samples, 1, Whose::Serving(Serving::Unknown), 0xc, 9);
        add_for(&mut samples, (1, ONE), State::Running, 0, (1, 10));
        add_for(&mut samples, (1, OTHER), State::RunningOffCpu, 0, (1, 20));
        // The request is the same, but another goroutine's.
        add_for(&mut samples, (2, OTHER), State::Running, 0, (1, 30));
        add_for(&mut samples, (1, IDLE), State::Running, 0, (1, 40));
        assert_eq!(settle(&mut samples), settled(30, 0, 40));
        assert_eq!(times(&samples), [(1, 0xa, 10), (1, 0xb, 20), (2, 0xb, 30), (1, 0, 40)]);
    }

    #[test]
    fn others_with_the_same_start_stand_in_for_who_was_hardly_seen() {
        let mut samples = Samples::default();
        add(&mut samples, 1, State::Running, 0xa, 1, 10);
        add(&mut samples, 2, State::RunningOffCpu, 0, 3, 30);
        // Seen so often, and never there: it does something else.
        add(&mut samples, 3, State::Running, 0, 4, 40);
        assert_eq!(settle(&mut samples), settled(30, 30, 40));
        assert_eq!(times(&samples), [(1, 0xa, 10), (2, 0xa, 30), (3, 0, 40)]);
    }

    #[test]
    fn who_serves_a_request_is_not_where_those_are_that_serve_none() {
        let mut samples = Samples::default();
        add(&mut samples, 1, State::Running, 0xa, 1, 10);
        add_for(&mut samples, (2, IDLE), State::Running, 0xb, (1, 10));
        add_for(&mut samples, (3, ONE), State::Running, 0, (1, 30));
        assert_eq!(settle(&mut samples), settled(0, 0, 30));
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed_and_is_no_place_for_others() {
        let mut samples = Samples::default();
        add(&mut samples, 1, State::Waiting, 0xa, 1, 10);
        add_stack(&mut samples, (2, NOTHING), State::Waiting, &[], Reach::Unreadable, (9, 90));
        assert_eq!(settle(&mut samples), settled(0, 0, 0));
        add(&mut samples, 2, State::Waiting, 0, 1, 10);
        assert_eq!(settle(&mut samples), settled(10, 10, 0));
        assert_eq!(times(&samples), [(1, 0xa, 10), (2, 0, 90), (2, 0xa, 10)]);
    }

    #[test]
    fn time_nobody_can_place_is_reported() {
        let mut samples = Samples::default();
        add(&mut samples, 1, State::Runnable, 0xa, 1, 10);
        add(&mut samples, 1, State::Running, 0, 1, 30);
        assert_eq!(settle(&mut samples), settled(0, 0, 30));
        assert_eq!(times(&samples), [(1, 0xa, 10), (1, 0, 30)]);
    }

    #[test]
    fn of_a_stack_known_in_part_the_rest_is_what_the_goroutine_had_below_it_at_other_times() {
        let mut samples = Samples::default();
        let one = (1, NOTHING);
        add_stack(&mut samples, one, State::Waiting, &[1, 2, 3], Reach::Whole, (2, 200));
        add_stack(&mut samples, one, State::Waiting, &[1, 2, 4], Reach::Whole, (1, 100));
        add_stack(&mut samples, one, State::Waiting, &[1, 3], Reach::Whole, (9, 900));
        add_stack(&mut samples, one, State::Waiting, &[1, 2], Reach::Begun, (1, 90));
        assert_eq!(settle(&mut samples), settled(90, 0, 0));
        let added: Vec<_> =
            samples.all[3..].iter().map(|&(_, cell, weight)| (stack(&samples, cell), weight.time_ns)).collect();
        assert_eq!(added, [(vec![1, 2, 3], 60), (vec![1, 2, 4], 30)]);
    }

    #[test]
    fn a_stack_known_in_part_stays_so_where_nothing_fits() {
        let mut samples = Samples::default();
        add_stack(&mut samples, (1, NOTHING), State::Waiting, &[1, 3], Reach::Whole, (9, 900));
        // Others say nothing of this one.
        add_stack(&mut samples, (2, NOTHING), State::Waiting, &[1, 2, 3], Reach::Whole, (9, 900));
        add_stack(&mut samples, (1, NOTHING), State::Waiting, &[1, 2], Reach::Begun, (1, 90));
        assert_eq!(settle(&mut samples), settled(0, 0, 90));
        assert_eq!(stack(&samples, samples.all[2].1), [1, 2]);
    }

    #[test]
    fn what_was_left_behind_stands_only_where_the_kernel_never_saw_it_compute() {
        let mut samples = Samples::default();
        add_stack(&mut samples, (1, NOTHING), State::Running, &[8, 9], Reach::Left, (1, 30));
        assert_eq!(settle(&mut samples), settled(0, 0, 0));
        assert_eq!(stack(&samples, samples.all[0].1), [8, 9]);
        let computes = RawStack { kernel: vec![], user: vec![1, 9], exact_leaf: true, reach: Reach::Whole };
        let seen = RawStackId::new(samples.stacks.insert_full(computes).0);
        let (whose, labels) = (Whose::Serving(NOTHING), Some(RawLabelsId::default()));
        samples.on_cpu.push((OnCpuPlace { goid: 1, start_pc: 7, whose, labels, stack: seen }, 1));
        assert_eq!(settle(&mut samples), settled(0, 0, 0));
        assert_eq!(stack(&samples, samples.all[0].1), [1, 9]);
    }

    fn stack(samples: &Samples, cell: CellId) -> Vec<u64> {
        samples.stack(samples.at(cell).unwrap().stack.unwrap()).unwrap().user.clone()
    }
}

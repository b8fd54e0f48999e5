//! Gives a place to time whose stack was not read when it was observed.
//!
//! Two kinds of observations have a state but no stack. A goroutine that computes has its stack on its thread: the kernel's
//! samples of threads say where goroutines compute, and how often where. And a goroutine may have moved while it was read,
//! or not been chosen to have its stack read. (Of a deep stack that moved the frames nearest the leaf are known: then only
//! places count that begin with these.) The state was seen, so the time counts; only where is unknown. It is spread
//! over the places where the same goroutine was seen in the same state, in proportion to what was seen there: the seen
//! places are a sample of the unseen ones. Failing that, over those of goroutines started with the same function; failing
//! that, it stays without a stack and is shown as such. How much was inferred from other moments than those that the
//! kernel sampled is counted.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use fgspy_profile::{State, Weight};

use crate::aggregate::{Cell, CellId, OnCpuPlace, RawStack, RawStackId, Reach};
use crate::samples::{Moves, Samples};

/// What became of time without a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Nanoseconds spread over places of the same goroutine, or of its peers.
    pub spread_ns: u64,
    /// Nanoseconds that stay without a stack, or with only a part of one.
    pub lost_ns: u64,
}

/// In which places to look, the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Peers {
    Goroutine { goid: u64, state: State, wait_reason: Option<u8> },
    Start { start_pc: u64, state: State, wait_reason: Option<u8> },
}

/// Spreads all unplaced observations of `samples`; what cannot be spread stays.
pub fn settle(samples: &mut Samples) -> Settled {
    let mut settled = Settled::default();
    let unplaced = take_unplaced(samples);
    if unplaced.is_empty() {
        return settled;
    }
    let peers = |goid, id| samples.at(id).into_iter().flat_map(move |cell| peers_of(goid, cell));
    let wanted: HashSet<Peers> = unplaced.iter().flat_map(|&(goid, id, _)| peers(goid, id)).collect();
    let mut places: HashMap<Peers, HashMap<RawStackId, Weight>> = HashMap::new();
    for &(goid, id, weight) in &samples.all {
        let Some(stack) = samples.at(id).and_then(|cell| cell.stack) else { continue };
        for peers in peers(goid, id).filter(|peers| wanted.contains(peers)) {
            *places.entry(peers).or_default().entry(stack).or_default() += weight;
        }
    }
    let places = sorted(places);
    let on_cpu = on_cpu(samples, &wanted);
    let mut moves = Moves::default();
    for (goid, id, weight) in unplaced {
        let Some(cell) = samples.at(id) else { continue };
        let peers = peers_of(goid, cell);
        let beginning = cell.stack.and_then(|stack| samples.stack(stack));
        let seen = match beginning {
            Some(beginning) => places.get(&peers[0]).map(|seen| that_begin_with(samples, beginning, seen)),
            None => {
                let seen = peers.iter().find_map(|peers| on_cpu.get(peers));
                seen.or_else(|| peers.iter().find_map(|peers| places.get(peers))).cloned()
            }
        };
        match seen.filter(|seen| !seen.is_empty()) {
            Some(seen) => {
                // Where the kernel saw the very goroutine compute is no guess.
                let is_seen = beginning.is_none() && on_cpu.contains_key(&peers[0]);
                for (stack, part) in spread(weight, &seen) {
                    let to = samples.cell(Cell { stack: Some(stack), ..cell });
                    moves.note(id, to, part.time_ns);
                    samples.all.push((goid, to, part));
                }
                let inferred = if is_seen { 0 } else { weight.time_ns };
                settled.spread_ns = settled.spread_ns.saturating_add(inferred);
            }
            None => {
                moves.note(id, id, weight.time_ns);
                samples.all.push((goid, id, weight));
                settled.lost_ns = settled.lost_ns.saturating_add(weight.time_ns);
            }
        }
    }
    samples.follow(moves);
    settled
}

/// Takes out the observations whose stack is not known, or not to its end.
fn take_unplaced(samples: &mut Samples) -> Vec<(u64, CellId, Weight)> {
    let Samples { all, cells, stacks, .. } = samples;
    let is_known = |id: RawStackId| stacks.get_index(id.index()).is_some_and(|stack| stack.reach != Reach::Begun);
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

/// Where the kernel saw computing goroutines.
///
/// Its samples come at even spaces of CPU time, whatever the goroutine does at our ticks. Taking only those near a tick
/// would favour what comes early in a burst that is shorter than a tick: they are all from before it.
fn on_cpu(samples: &Samples, wanted: &HashSet<Peers>) -> Places {
    let mut places: HashMap<Peers, HashMap<RawStackId, Weight>> = HashMap::new();
    for &(OnCpuPlace { goid, start_pc, stack }, count) in &samples.on_cpu {
        for peers in peers(goid, start_pc, State::Running, None).into_iter().filter(|peers| wanted.contains(peers)) {
            let weight = Weight { count, time_ns: count, variance_us2: 0 };
            *places.entry(peers).or_default().entry(stack).or_default() += weight;
        }
    }
    sorted(places)
}

type Places = HashMap<Peers, Vec<(RawStackId, Weight)>>;

/// In an order that does not depend on hashes, so that one recording always gives one profile.
fn sorted(places: HashMap<Peers, HashMap<RawStackId, Weight>>) -> Places {
    let in_order = |seen: HashMap<RawStackId, Weight>| {
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_unstable_by_key(|(stack, _)| *stack);
        seen
    };
    places.into_iter().map(|(peers, seen)| (peers, in_order(seen))).collect()
}

fn peers_of(goid: u64, cell: Cell) -> [Peers; 2] {
    // A thread that the kernel took off its CPU stands where the goroutine runs.
    let state = if cell.state == State::RunningOffCpu { State::Running } else { cell.state };
    peers(goid, cell.start_pc, state, cell.wait_reason)
}

fn peers(goid: u64, start_pc: u64, state: State, wait_reason: Option<u8>) -> [Peers; 2] {
    let start = Peers::Start { start_pc, state, wait_reason };
    // Number 0 stands for any goroutine.
    [if goid == 0 { start } else { Peers::Goroutine { goid, state, wait_reason } }, start]
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
    use fgspy_profile::Serving;

    use super::*;
    use crate::aggregate::RawLabelsId;

    /// What a goroutine spent at a place, or (0) at an unknown one.
    fn add(samples: &mut Samples, goid: u64, state: State, pc: u64, count: u64, time_ns: u64) {
        add_stack(
            samples,
            goid,
            state,
            if pc == 0 { &[] } else { std::slice::from_ref(&pc) },
            Reach::Whole,
            (count, time_ns),
        );
    }

    fn add_stack(
        samples: &mut Samples,
        goid: u64,
        state: State,
        pcs: &[u64],
        reach: Reach,
        (count, time_ns): (u64, u64),
    ) {
        let stack = RawStack { kernel: vec![], user: pcs.to_vec(), exact_leaf: false, reach };
        let stack = (!pcs.is_empty()).then(|| RawStackId::new(samples.stacks.insert_full(stack).0));
        let labels = RawLabelsId::default();
        let cell = samples.cell(Cell {
            start_pc: 7,
            go_pc: 0,
            state,
            wait_reason: None,
            labels,
            serving: Serving::Nothing,
            stack,
        });
        samples.all.push((goid, cell, Weight { count, time_ns, variance_us2: 0 }));
    }

    fn times(samples: &Samples) -> Vec<(u64, u64, u64)> {
        let pc = |cell| samples.at(cell).unwrap().stack.map_or(0, |stack| samples.stack(stack).unwrap().user[0]);
        samples.all.iter().map(|&(goid, cell, weight)| (goid, pc(cell), weight.time_ns)).collect()
    }

    #[test]
    fn time_goes_where_the_goroutine_was_seen_in_proportion_and_none_is_lost() {
        let mut samples = Samples::default();
        add(&mut samples, 1, State::Running, 0xa, 2, 200);
        add(&mut samples, 1, State::Running, 0xb, 1, 100);
        add(&mut samples, 1, State::Runnable, 0xc, 1, 100);
        add(&mut samples, 1, State::Running, 0, 1, 100);
        assert_eq!(settle(&mut samples), Settled { spread_ns: 100, lost_ns: 0 });
        assert_eq!(times(&samples), [(1, 0xa, 200), (1, 0xb, 100), (1, 0xc, 100), (1, 0xa, 66), (1, 0xb, 34)]);
        assert_eq!(samples.all.iter().map(|(.., weight)| weight.count).sum::<u64>(), 5);
    }

    #[test]
    fn peers_by_start_function_stand_in_and_off_cpu_follows_running() {
        let mut samples = Samples::default();
        add(&mut samples, 1, State::Running, 0xa, 1, 10);
        add(&mut samples, 2, State::RunningOffCpu, 0, 1, 30);
        assert_eq!(settle(&mut samples).spread_ns, 30);
        assert_eq!(times(&samples), [(1, 0xa, 10), (2, 0xa, 30)]);
    }

    #[test]
    fn time_nobody_can_place_is_reported() {
        let mut samples = Samples::default();
        add(&mut samples, 1, State::Runnable, 0xa, 1, 10);
        add(&mut samples, 1, State::Running, 0, 1, 30);
        assert_eq!(settle(&mut samples), Settled { spread_ns: 0, lost_ns: 30 });
        assert_eq!(times(&samples), [(1, 0xa, 10), (1, 0, 30)]);
    }

    #[test]
    fn of_a_stack_known_in_part_the_rest_is_what_the_goroutine_had_below_it_at_other_times() {
        let mut samples = Samples::default();
        add_stack(&mut samples, 1, State::Waiting, &[1, 2, 3], Reach::Whole, (2, 200));
        add_stack(&mut samples, 1, State::Waiting, &[1, 2, 4], Reach::Whole, (1, 100));
        add_stack(&mut samples, 1, State::Waiting, &[1, 3], Reach::Whole, (9, 900));
        add_stack(&mut samples, 1, State::Waiting, &[1, 2], Reach::Begun, (1, 90));
        assert_eq!(settle(&mut samples), Settled { spread_ns: 90, lost_ns: 0 });
        let added: Vec<_> =
            samples.all[3..].iter().map(|&(_, cell, weight)| (stack(&samples, cell), weight.time_ns)).collect();
        assert_eq!(added, [(vec![1, 2, 3], 60), (vec![1, 2, 4], 30)]);
    }

    #[test]
    fn a_stack_known_in_part_stays_so_where_nothing_fits() {
        let mut samples = Samples::default();
        add_stack(&mut samples, 1, State::Waiting, &[1, 3], Reach::Whole, (9, 900));
        // Others say nothing of this one.
        add_stack(&mut samples, 2, State::Waiting, &[1, 2, 3], Reach::Whole, (9, 900));
        add_stack(&mut samples, 1, State::Waiting, &[1, 2], Reach::Begun, (1, 90));
        assert_eq!(settle(&mut samples), Settled { spread_ns: 0, lost_ns: 90 });
        assert_eq!(stack(&samples, samples.all[2].1), [1, 2]);
    }

    fn stack(samples: &Samples, cell: CellId) -> Vec<u64> {
        samples.stack(samples.at(cell).unwrap().stack.unwrap()).unwrap().user.clone()
    }
}

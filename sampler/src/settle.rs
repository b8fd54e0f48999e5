//! Gives a place to time whose stack could not be read when it was observed.
//!
//! Two kinds of observations have a state but no stack: a running goroutine in whose interval the kernel took no sample
//! of its thread (samples and ticks are independent, and a goroutine may run for less than either's period), and a
//! goroutine that moved while it was read. The state was seen, so the time counts; only where is unknown. It is spread
//! over the places where the same goroutine was seen in the same state, in proportion to the time seen there: the seen
//! places are a sample of the unseen ones. Failing that, over those of goroutines started with the same function; failing
//! that, it stays without a stack and is shown as such. How much was spread is counted.

use std::collections::HashMap;
use std::hash::Hash;

use fgspy_profile::State;

use crate::aggregate::{Aggregate, RawStackId, Weight, Who};

/// What became of time without a stack, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Spread over places of the same goroutine, or of its peers.
    pub spread_ns: u64,
    /// Observations that stay without a stack.
    pub lost: Vec<(Who, Weight)>,
}

/// In which places to look, the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Peers {
    Goroutine { goid: u64, state: State, wait_reason: Option<u8> },
    Start { start_pc: u64, state: State, wait_reason: Option<u8> },
}

/// Spreads all unplaced observations of `aggregate`.
pub fn settle(aggregate: &mut Aggregate) -> Settled {
    let unplaced = aggregate.take_unplaced();
    let mut places: HashMap<Peers, Vec<(RawStackId, Weight)>> = HashMap::new();
    if !unplaced.is_empty() {
        for (who, stack, weight) in aggregate.samples() {
            for peers in peers_of(who) {
                places.entry(peers).or_default().push((stack, weight));
            }
        }
    }
    let mut settled = Settled::default();
    for (who, weight) in unplaced {
        match peers_of(who).iter().find_map(|peers| places.get(peers)) {
            Some(seen) => {
                for (stack, part) in spread(weight, seen) {
                    aggregate.add_to(who, stack, part);
                }
                settled.spread_ns = settled.spread_ns.saturating_add(weight.time_ns);
            }
            None => settled.lost.push((who, weight)),
        }
    }
    settled
}

fn peers_of(who: Who) -> [Peers; 2] {
    let Who { goid, start_pc, wait_reason, .. } = who;
    // A thread that the kernel took off its CPU stands where the goroutine runs.
    let state = if who.state == State::RunningOffCpu { State::Running } else { who.state };
    [Peers::Goroutine { goid, state, wait_reason }, Peers::Start { start_pc, state, wait_reason }]
}

/// Splits `weight` over `places` in proportion to the time seen there, exactly: the parts add up to the whole.
fn spread(weight: Weight, places: &[(RawStackId, Weight)]) -> Vec<(RawStackId, Weight)> {
    let total: u128 = places.iter().map(|(_, seen)| u128::from(seen.time_ns.max(1))).sum();
    let mut seen_so_far = 0;
    let mut given = Weight::default();
    let mut parts = Vec::with_capacity(places.len());
    for (stack, seen) in places {
        seen_so_far += u128::from(seen.time_ns.max(1));
        // Rounding the running sum, not each part, leaves nothing over.
        let up_to = |whole: u64| (u128::from(whole) * seen_so_far / total) as u64;
        let part = Weight { count: up_to(weight.count) - given.count, time_ns: up_to(weight.time_ns) - given.time_ns };
        given = Weight { count: given.count + part.count, time_ns: given.time_ns + part.time_ns };
        if part != Weight::default() {
            parts.push((*stack, part));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{RawLabelsId, RawStack};

    fn who(goid: u64, state: State) -> Who {
        Who { goid, start_pc: 7, go_pc: 0, state, wait_reason: None, labels: RawLabelsId::default() }
    }

    fn stack(pc: u64) -> RawStack {
        RawStack { kernel: vec![], user: vec![pc], exact_leaf: false, cut: false }
    }

    fn weight(count: u64, time_ns: u64) -> Weight {
        Weight { count, time_ns }
    }

    fn times(aggregate: &Aggregate) -> Vec<(u64, u64, u64)> {
        aggregate
            .samples()
            .map(|(who, stack, weight)| (who.goid, aggregate.stack(stack).unwrap().user[0], weight.time_ns))
            .collect()
    }

    #[test]
    fn time_goes_where_the_goroutine_was_seen_in_proportion_and_none_is_lost() {
        let mut aggregate = Aggregate::new();
        aggregate.add(who(1, State::Running), stack(0xa), weight(2, 200));
        aggregate.add(who(1, State::Running), stack(0xb), weight(1, 100));
        aggregate.add(who(1, State::Runnable), stack(0xc), weight(1, 100));
        aggregate.add_unplaced(who(1, State::Running), weight(1, 100));
        let settled = settle(&mut aggregate);
        assert_eq!(settled, Settled { spread_ns: 100, lost: vec![] });
        assert_eq!(times(&aggregate), [(1, 0xa, 266), (1, 0xb, 134), (1, 0xc, 100)]);
        assert_eq!(aggregate.samples().map(|(.., weight)| weight.count).sum::<u64>(), 5);
    }

    #[test]
    fn peers_by_start_function_stand_in_and_off_cpu_follows_running() {
        let mut aggregate = Aggregate::new();
        aggregate.add(who(1, State::Running), stack(0xa), weight(1, 10));
        aggregate.add_unplaced(who(2, State::RunningOffCpu), weight(1, 30));
        assert_eq!(settle(&mut aggregate).spread_ns, 30);
        assert_eq!(times(&aggregate), [(1, 0xa, 10), (2, 0xa, 30)]);
    }

    #[test]
    fn time_nobody_can_place_is_reported() {
        let mut aggregate = Aggregate::new();
        aggregate.add(who(1, State::Runnable), stack(0xa), weight(1, 10));
        aggregate.add_unplaced(who(1, State::Running), weight(1, 30));
        let settled = settle(&mut aggregate);
        assert_eq!(settled, Settled { spread_ns: 0, lost: vec![(who(1, State::Running), weight(1, 30))] });
    }
}

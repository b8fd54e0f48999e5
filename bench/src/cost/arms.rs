//! What is compared with what.

use std::path::Path;

use anyhow::Result;

use super::fgspy::Attached;

/// A way to run a program: with a profiler or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm {
    /// Its name in the data.
    pub(super) id: &'static str,
    /// Its name in tables.
    pub(super) title: &'static str,
    /// The arm that it is compared with.
    pub(super) base: &'static str,
    /// With the oldest Go, not the newest.
    pub(super) oldest_go: bool,
    /// The profiler in the program: a word that `bench/go/arm` knows.
    pub(super) inside: &'static str,
    /// Whether fgspy is attached to it.
    outside: bool,
}

const NONE: Arm =
    Arm { id: "none", title: "A: no profiler", base: "none", oldest_go: false, inside: "none", outside: false };

/// The arms with the newest Go. The first is what the others are compared with, the second is the same again.
pub(super) const ARMS: [Arm; 5] = [
    NONE,
    Arm { id: "control", title: "A′: no profiler, again", ..NONE },
    Arm { id: "fgspy", title: "fgspy, from outside", outside: true, ..NONE },
    Arm { id: "fgprof", title: "fgprof, in process", inside: "fgprof", ..NONE },
    Arm { id: "stw", title: "issue 31: stop the world, in process", inside: "stw", ..NONE },
];

const NONE_OLDEST: Arm = Arm { id: "none-oldest", base: "none-oldest", oldest_go: true, ..NONE };

/// The arms with the oldest Go.
pub(super) const ARMS_OLDEST: [Arm; 2] = [
    NONE_OLDEST,
    Arm { id: "stw-oldest", title: "issue 31: stop the world, in process", inside: "stw", ..NONE_OLDEST },
];

impl Arm {
    /// Attaches fgspy to process `pid`, if this arm wants it.
    ///
    /// # Errors
    /// When it cannot be attached.
    pub(super) fn attach(&self, fgspy: &Path, pid: u32) -> Result<Option<Attached>> {
        self.outside.then(|| Attached::attach(fgspy, pid, &[])).transpose()
    }
}

/// The numbers below `count` in an order that looks random and is always the same for a `round`, so that no arm always
/// follows the same other one (Fisher and Yates, driven by SplitMix64).
pub(super) fn shuffled(count: usize, round: usize) -> Vec<usize> {
    let mut state = round as u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, (random() % (last as u64 + 1)) as usize);
    }
    order
}

/// The numbers below `count` in the order of [`shuffled`], and then in the opposite one; with each of them whether it is there
/// for the first time (0) or the second (1). What grows or falls steadily in a round of such turns is in all of them alike.
pub(super) fn there_and_back(count: usize, round: usize) -> impl Iterator<Item = (usize, usize)> {
    let there = shuffled(count, round);
    let back: Vec<usize> = there.iter().rev().copied().collect();
    there.into_iter().map(|arm| (arm, 0)).chain(back.into_iter().map(|arm| (arm, 1)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn orders_hold_everything_once_and_repeat() {
        for round in 0..50 {
            let order = shuffled(5, round);
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 5);
            assert_eq!(order, shuffled(5, round));
        }
        assert_eq!(shuffled(0, 1), [0; 0]);
    }

    #[test]
    fn every_arm_is_first_at_times() {
        let first: BTreeSet<usize> = (0..50).map(|round| shuffled(5, round)[0]).collect();
        assert_eq!(first.len(), 5);
    }

    #[test]
    fn there_and_back_is_in_the_middle_for_every_arm() {
        for round in 0..20 {
            let places: Vec<(usize, usize)> = there_and_back(3, round).collect();
            for arm in 0..3 {
                let of = |turn| places.iter().position(|place| *place == (arm, turn)).unwrap();
                assert_eq!(of(0) + of(1), 5);
                assert!(of(0) < of(1));
            }
        }
    }

    #[test]
    fn every_arm_has_its_base() {
        for arm in ARMS.iter().chain(&ARMS_OLDEST) {
            let base = ARMS.iter().chain(&ARMS_OLDEST).find(|other| other.id == arm.base).unwrap();
            assert_eq!((base.oldest_go, base.inside, base.outside), (arm.oldest_go, "none", false));
        }
    }
}

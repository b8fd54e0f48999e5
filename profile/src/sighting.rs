//! How long a request took, as far as looks at it can tell.
//!
//! A sampler does not see a request begin and end. It looks, and the request is there or not. So a duration is an interval: at
//! least from the first look at which the request was there to the last one, at most from the last look before it to the first
//! look after it. How far apart looks are does not matter for this: where a tick came late, the interval is wide.

use serde::{Deserialize, Serialize};

/// The looks that bound a request, in nanoseconds by the clock since the recording began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The last look at which it had not begun; `None` if it may have begun before the recording.
    pub absent_ns: Option<u64>,
    /// The first look at which it was there.
    pub first_ns: u64,
    /// The last look at which it was there.
    pub last_ns: u64,
    /// The first look at which it had ended; `None` if it was in progress when the recording ended.
    pub gone_ns: Option<u64>,
}

impl Sighting {
    /// The interval that contains the duration.
    pub fn bounds(self) -> Bounds {
        let at_least_ns = self.last_ns.saturating_sub(self.first_ns);
        let span = |(from, to): (u64, u64)| to.saturating_sub(from).max(at_least_ns);
        Bounds { at_least_ns, at_most_ns: self.absent_ns.zip(self.gone_ns).map(span) }
    }

    /// The same looks, that much later.
    pub(crate) fn later(self, ns: u64) -> Sighting {
        let later = |at: u64| at.saturating_add(ns);
        Sighting {
            absent_ns: self.absent_ns.map(later),
            first_ns: later(self.first_ns),
            last_ns: later(self.last_ns),
            gone_ns: self.gone_ns.map(later),
        }
    }
}

/// An interval that contains a duration, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// It took no less than this.
    pub at_least_ns: u64,
    /// It took no more than this; `None` if that is not known.
    pub at_most_ns: Option<u64>,
}

/// What the number in a [`Length`] says of the duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The duration is within two ticks of it.
    Near,
    /// The duration is not less: how much more it may be is not known, or more than a few ticks.
    AtLeast,
    /// The duration is not more: there was one look only at which the request was there.
    AtMost,
}

/// How wide an interval may be, in ticks, for its middle to count as the duration. Ticks come at random moments, one in each
/// period, so that two looks in succession are up to two periods apart, and an interval has two ends.
const NARROW: u64 = 4;

/// A duration: its interval, and the one number that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// What is printed, in nanoseconds.
    pub ns: u64,
    /// What that says.
    pub known: Known,
    /// What it counts for where requests are compared, in nanoseconds: the middle of a narrow interval, else its lower end. A
    /// request is never among the slowest because of a look that came late.
    pub rank_ns: u64,
    /// The interval.
    pub bounds: Bounds,
}

impl Length {
    /// The length of what took no time, as far as is known.
    pub const ZERO: Length =
        Length { ns: 0, known: Known::AtLeast, rank_ns: 0, bounds: Bounds { at_least_ns: 0, at_most_ns: None } };

    /// What looks say that come every `tick_ns` nanoseconds.
    pub fn new(bounds: Bounds, tick_ns: u64) -> Length {
        let Bounds { at_least_ns, at_most_ns } = bounds;
        let narrow = |most: &u64| most.saturating_sub(at_least_ns) <= tick_ns.saturating_mul(NARROW);
        let middle_ns = at_most_ns.filter(narrow).map(|most| at_least_ns.midpoint(most));
        let rank_ns = middle_ns.unwrap_or(at_least_ns);
        let (ns, known) = match (at_least_ns, at_most_ns, middle_ns) {
            (0, Some(most), _) => (most, Known::AtMost),
            (_, _, Some(middle)) => (middle, Known::Near),
            _ => (at_least_ns, Known::AtLeast),
        };
        Length { ns, known, rank_ns, bounds }
    }

    /// What requests are sorted by: those of the same rank by what is printed.
    pub fn rank(&self) -> (u64, u64) {
        (self.rank_ns, self.ns)
    }

    /// What it adds to the mean of many, in nanoseconds. The middle of the interval is right on average: each look stands for the
    /// time that is nearer to it than to another look. What was seen at one look that came late stands for one period, as if the
    /// others had come: they would have found others like it.
    pub(crate) fn for_mean_ns(&self, tick_ns: u64) -> u64 {
        if self.rank_ns == 0 { tick_ns } else { self.rank_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 10;

    fn length(absent_ns: Option<u64>, first_ns: u64, last_ns: u64, gone_ns: Option<u64>) -> Length {
        Length::new(Sighting { absent_ns, first_ns, last_ns, gone_ns }.bounds(), TICK)
    }

    #[test]
    fn a_narrow_interval_is_its_middle() {
        let narrow = length(Some(95), 104, 150, Some(161));
        assert_eq!(narrow.bounds, Bounds { at_least_ns: 46, at_most_ns: Some(66) });
        assert_eq!((narrow.ns, narrow.known, narrow.rank_ns), (56, Known::Near, 56));
        let widest = length(Some(84), 104, 150, Some(170));
        assert_eq!((widest.ns, widest.known), (66, Known::Near));
    }

    #[test]
    fn late_looks_and_the_ends_of_the_recording_leave_the_lower_end() {
        for (absent_ns, gone_ns) in
            [(Some(0), Some(160)), (Some(95), Some(190)), (None, Some(160)), (Some(95), None), (None, None)]
        {
            let wide = length(absent_ns, 104, 150, gone_ns);
            assert_eq!((wide.ns, wide.known, wide.rank_ns), (46, Known::AtLeast, 46), "{absent_ns:?} {gone_ns:?}");
        }
    }

    #[test]
    fn what_was_seen_once_is_at_most_as_long_as_the_looks_beside_it_are_apart() {
        let once = length(Some(95), 104, 104, Some(115));
        assert_eq!((once.ns, once.known, once.rank_ns, once.for_mean_ns(TICK)), (20, Known::AtMost, 10, 10));
        // The look came late: it says no less of the duration, and the request is none of the slowest for it.
        let late = length(Some(95), 295, 295, Some(301));
        assert_eq!((late.ns, late.known, late.rank_ns, late.for_mean_ns(TICK)), (206, Known::AtMost, 0, 10));
        let between = length(Some(103), 104, 104, Some(107));
        assert_eq!((between.ns, between.known, between.for_mean_ns(TICK)), (4, Known::AtMost, 2));
        // The reads of one look take time: the end of the first look may be after the start of the last one.
        assert_eq!(length(Some(95), 104, 103, None), length(Some(95), 104, 104, None));
        assert_eq!((Length::ZERO.ns, Length::ZERO.known), (0, Known::AtLeast));
    }

    #[test]
    fn a_recording_that_says_anything_makes_no_trouble() {
        let absurd = length(Some(u64::MAX), 5, u64::MAX, Some(0));
        assert_eq!(absurd.bounds, Bounds { at_least_ns: u64::MAX - 5, at_most_ns: Some(u64::MAX - 5) });
        let later = Sighting { absent_ns: Some(1), first_ns: u64::MAX, last_ns: 3, gone_ns: None }.later(9);
        assert_eq!(later, Sighting { absent_ns: Some(10), first_ns: u64::MAX, last_ns: 12, gone_ns: None });
    }
}

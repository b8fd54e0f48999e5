//! The sampling events: one for each thread, on all CPUs, with a small ring of its own.
//!
//! A timer that starts with a whole period fires first after that period of CPU time, so a thread would yield half a
//! sample too few on average: much for the many threads of a Go program that use little CPU each. Hence the first
//! period of each event is shorter, evenly spread over all lengths up to a whole period. The kernel offers no first
//! period as such: the event is opened with the short one and stops itself at its first sample (`PERF_EVENT_IOC_REFRESH`);
//! when that is drained the event is given the regular period and enabled again. CPU time of that thread in between
//! yields no sample. An event that tracks as well ([`Mode::PerThread`]) must not stop, and begins with a whole period.

use rustc_hash::FxHashSet;

use crate::attach::{Attached, RingError, open_ring};
use crate::config::{Config, Mode};
use crate::error::OpenError;
use crate::event_ring::{EventRing, Source};
use crate::sys::{self, ANY_CPU};
use crate::{attr, proc, ring_size};

/// The golden ratio in 64 bits: the fractions of its multiples are spread evenly, however many there are.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
/// The kernel's shortest period, in perf_swevent_start_hrtimer.
const SHORTEST_NS: u64 = 10_000;

impl Attached {
    /// Samples every thread that `/proc` lists, and lets go of those that it does not list any more.
    pub(crate) fn sample_all(&mut self, config: &Config) -> Result<(), OpenError> {
        let listed: FxHashSet<u32> = proc::threads(config.pid).into_iter().collect();
        let gone: Vec<u32> = self.sampled.difference(&listed).copied().collect();
        self.end(&gone);
        if self.thread_ring == 0 {
            let of_cpus = self.rings.iter().map(|ring| ring.ring.len() + sys::page_size()).sum();
            self.thread_ring = ring_size::thread_ring(config, self.mode, listed.len(), of_cpus);
        }
        self.until_settled(config.pid, |this, tid| this.sample(config, tid))
    }

    /// Samples a thread from now on. Tells whether it is new.
    pub(crate) fn sample(&mut self, config: &Config, tid: u32) -> Result<bool, OpenError> {
        if !self.sampled.insert(tid) {
            return Ok(false);
        }
        if self.rings.len().saturating_add(self.trackers.len()) >= config.max_events {
            self.left_out.insert(tid);
            return Ok(true);
        }
        match self.open_sampler(config, tid) {
            Ok(ring) => self.rings.push(ring),
            Err(RingError::Open(error)) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => match error.explain(config) {
                // Some threads are better than none.
                OpenError::TooManyFiles { .. } | OpenError::RingMemory(_) if self.samples_any() => {
                    self.left_out.insert(tid);
                }
                error => return Err(error),
            },
        }
        Ok(true)
    }

    fn open_sampler(&mut self, config: &Config, tid: u32) -> Result<EventRing, RingError> {
        let first = self.mode == Mode::Inherited;
        let period = if first { first_period(&mut self.phase, config.period_ns()) } else { config.period_ns() };
        let kernel = self.allowed.kernel;
        let open = |ring| {
            let mut attr = attr::sampler(config, kernel, period, ring);
            if !first {
                attr.set_disabled(0);
                attr::track(&mut attr, config);
            }
            sys::perf_event_open(&attr, tid, ANY_CPU)
        };
        let (event, ring) = open_ring(open, &mut self.thread_ring)?;
        let ring = EventRing::new(ring, event, Source::Thread { tid, first, ended: false });
        if first {
            sys::enable_once(ring.event()).map_err(RingError::Open)?;
        }
        Ok(ring)
    }

    fn samples_any(&self) -> bool {
        self.rings.iter().any(|ring| matches!(ring.source, Source::Thread { .. }))
    }

    /// Notes that threads have ended.
    pub(crate) fn end(&mut self, tids: &[u32]) {
        for tid in tids {
            self.sampled.remove(tid);
            self.left_out.remove(tid);
        }
        for ring in &mut self.rings {
            if let Source::Thread { tid, ended, .. } = &mut ring.source {
                *ended |= !self.sampled.contains(tid);
            }
        }
    }

    /// Closes the events of ended threads whose rings are read.
    pub(crate) fn close_ended(&mut self) {
        self.rings.retain_mut(|ring| !ring.is_over());
    }
}

/// A length up to `period_ns`, different each time.
fn first_period(phase: &mut u64, period_ns: u64) -> u64 {
    *phase = phase.wrapping_add(GOLDEN_RATIO);
    let part = (u128::from(period_ns) * u128::from(*phase)) >> 64;
    u64::try_from(part).unwrap_or(period_ns).max(SHORTEST_NS).min(period_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_periods_are_spread_evenly() {
        let (mut phase, period) = (0, 10_000_000);
        for count in [10_u64, 100, 1000] {
            let mut firsts: Vec<u64> = (0..count).map(|_| first_period(&mut phase, period)).collect();
            firsts.sort_unstable();
            let mean = firsts.iter().sum::<u64>() / count;
            assert!(mean.abs_diff(period / 2) < period / 10, "mean {mean} of {count}");
            let gaps = firsts.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.max() < Some(3 * period / count), "{count} lengths: {firsts:?}");
        }
        assert_eq!(first_period(&mut phase, 10_000), 10_000, "the shortest there is");
    }
}

//! Sampling whole CPUs: what costs the target least.

use crate::attach::{Allowed, Attached, RingError, open_ring};
use crate::config::{Config, Mode};
use crate::event_ring::{EventRing, Source};
use crate::{attr, ring_size, sys};

/// On more CPUs than this, looking at the samples of all that is not the target costs more than it saves the target.
const MOST_CPUS: usize = 64;
/// The share of the wanted period that is taken. Whoever looks at the target as often as it is sampled (and, running on one
/// of these CPUs, is sampled in its place) must not keep step with the samples.
const PERIOD_PERCENT: u64 = 97;
/// Bytes of the stack that are copied at least: to where Go that C called was called from. There are few such events, each
/// with a ring that has room for that.
const LEAST_STACK: u16 = 4096;

impl Attached {
    /// One sampling event for each of `cpus`. `None` where that is not permitted, or not wise.
    pub(crate) fn of_cpus(config: &Config, allowed: Allowed, cpus: &[u32]) -> Option<Attached> {
        if !config.whole_cpus || !allowed.kernel || cpus.len() > MOST_CPUS {
            return None;
        }
        let config = &Config { stack_bytes: config.stack_bytes.max(LEAST_STACK), ..config.clone() };
        let mut attached = Attached::new(Mode::Cpus, allowed);
        let mut bytes = ring_size::thread_ring(config, Mode::Cpus, cpus.len(), 0);
        let period_ns = config.period_ns() / 100 * PERIOD_PERCENT;
        for cpu in cpus.iter().filter_map(|cpu| i32::try_from(*cpu).ok()) {
            let open = |ring| sys::perf_event_open_cpu(&attr::cpu_sampler(config, period_ns, ring), cpu);
            match open_ring(open, &mut bytes) {
                Ok((event, ring)) => attached.rings.push(EventRing::new(ring, event, Source::Cpu(cpu))),
                // The CPU has gone offline, or never was one.
                Err(RingError::Open(error)) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EINVAL)) => {}
                Err(_) => return None, // threads are sampled instead, and what is wrong is found there
            }
        }
        Some(attached).filter(|attached| !attached.rings.is_empty())
    }
}

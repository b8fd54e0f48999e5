//! Sampling whole CPUs: what costs the target least.

use crate::attach::{Allowed, Attached, open_cpu_ring};
use crate::config::{Config, Mode};
use crate::lane::{Lane, Source};
use crate::{attr, memory};

/// On more CPUs than this, looking at the samples of all that is not the target costs more than it saves the target.
const MOST_CPUS: usize = 64;
/// The share of the wanted period that is taken. Whoever looks at the target as often as it is sampled (and, running on one
/// of these CPUs, is sampled in its place) must not keep step with the samples.
const PERIOD_PERCENT: u64 = 97;

impl Attached {
    /// One sampling event for each of `cpus`. `None` where that is not permitted, or not wise.
    pub(crate) fn of_cpus(config: &Config, allowed: Allowed, cpus: &[u32]) -> Option<Attached> {
        if !config.whole_cpus || !allowed.kernel || cpus.len() > MOST_CPUS {
            return None;
        }
        let mut attached = Attached::new(Mode::Cpus, allowed);
        let mut bytes = memory::thread_ring(config, Mode::Cpus, cpus.len(), 0);
        let attr = attr::cpu_sampler(config, config.period_ns() / 100 * PERIOD_PERCENT);
        for cpu in cpus.iter().filter_map(|cpu| i32::try_from(*cpu).ok()) {
            match open_cpu_ring(&attr, cpu, &mut bytes) {
                Ok(Some((event, ring))) => attached.lanes.push(Lane::new(ring, event, Source::Cpu(cpu))),
                Ok(None) => {}
                Err(_) => return None, // threads are sampled instead, and what is wrong is found there
            }
        }
        Some(attached).filter(|attached| !attached.lanes.is_empty())
    }
}

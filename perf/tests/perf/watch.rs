//! Draining a sampler until something has happened.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fgspy_perf::{Config, LowLatency, OnCpu, Record, ThreadStates};

/// Longest wait for anything; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// A sampler and everything it has delivered.
pub(crate) struct Watch {
    pub(crate) sampler: OnCpu,
    pub(crate) records: Vec<Record>,
    pub(crate) presence: ThreadStates,
    /// Nothing is lost because others keep the CPUs busy.
    _prompt: LowLatency,
}

impl Watch {
    pub(crate) fn open(config: Config) -> Watch {
        let sampler = OnCpu::open(config).expect("perf_event_open works, or this test would have been skipped");
        Watch { sampler, records: Vec::new(), presence: ThreadStates::new(), _prompt: LowLatency::request(true) }
    }

    pub(crate) fn drain(&mut self) {
        let Watch { sampler, records, presence, .. } = self;
        sampler.drain(&mut |record| {
            presence.observe(&record);
            records.push(record);
        });
    }

    /// Drains again and again until a condition holds.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&Watch) -> bool) {
        let start = Instant::now();
        loop {
            self.drain();
            if done(self) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "no {what} within {DEADLINE:?}; {:?}", self.sampler.counts());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Drains until that many samples have come since sampling began.
    pub(crate) fn until_samples(&mut self, count: u64) {
        self.until("samples", |watch| watch.sampler.counts().samples >= count);
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = &fgspy_perf::CpuSample> {
        self.records.iter().filter_map(|record| match record {
            Record::Sample(sample) => Some(sample),
            _ => None,
        })
    }

    pub(crate) fn switches(&self) -> impl Iterator<Item = &fgspy_perf::Switch> {
        self.records.iter().filter_map(|record| match record {
            Record::Switch(switch) => Some(switch),
            _ => None,
        })
    }

    pub(crate) fn samples_by_thread(&self) -> HashMap<u32, u64> {
        let mut counts = HashMap::new();
        self.samples().for_each(|sample| *counts.entry(sample.tid).or_default() += 1);
        counts
    }

    /// How often a thread was put on a CPU where it already was, or taken off where it was not: proof of records that
    /// are missing or came twice.
    pub(crate) fn contradictions(&self) -> usize {
        let mut on = HashMap::new();
        self.switches().filter(|switch| on.insert(switch.tid, switch.on_cpu) == Some(switch.on_cpu)).count()
    }
}

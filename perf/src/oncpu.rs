//! Sampling the threads of another process while they are on a CPU.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use crate::attach::{self, Attached};
use crate::config::{Config, Coverage, Mode};
use crate::error::OpenError;
use crate::event_ring::Source;
use crate::parse::{Body, Parsed};
use crate::proc;
use crate::record::{Counts, Lost, Record};
use crate::sample::Switch;
use crate::sys::monotonic_ns;

/// After listing thousands of threads, so many times as long passes before the next listing.
const RELIST_PAUSE: u64 = 20;

/// An open sampler of one process. Dropping it ends the sampling.
///
/// It only observes: `perf_event_open` neither stops nor signals the target. Threads that the target creates are
/// followed (how closely depends on the [`Mode`]), its child processes are not. Context switches on CPUs that come
/// online later are not recorded.
///
/// Opening may raise this process's own soft limit on open files, up to the hard limit.
pub struct OnCpu {
    config: Config,
    attached: Attached,
    same_namespace: bool,
    threads: FxHashMap<u32, Known>,
    found: Vec<Record>,
    order: BinaryHeap<Reverse<(u64, usize)>>,
    /// Threads whose end was seen in this drain, and in the one before.
    ended: [Vec<u32>; 2],
    /// Threads whose start was seen in this drain.
    started: Vec<u32>,
    /// All threads must be listed again, because some may have been missed; but not before `relist_after_ns`.
    relist: bool,
    relist_after_ns: u64,
    counts: Counts,
}

/// A thread that was seen.
struct Known {
    /// Its id in its own namespace, or 0.
    own_tid: u32,
    ended: bool,
}

impl OnCpu {
    /// Begins to sample.
    pub fn open(config: Config) -> Result<OnCpu, OpenError> {
        let attached = attach::attach(&config)?;
        let mut sampler = OnCpu {
            same_namespace: proc::shares_our_pid_namespace(config.pid),
            config,
            attached,
            threads: FxHashMap::default(),
            found: Vec::new(),
            order: BinaryHeap::new(),
            ended: Default::default(),
            started: Vec::new(),
            relist: false,
            relist_after_ns: 0,
            counts: Counts::default(),
        };
        sampler.find_threads();
        Ok(sampler)
    }

    /// What is covered, as of now.
    pub fn coverage(&self) -> Coverage {
        self.attached.coverage()
    }

    /// Totals since sampling began.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What the sampler was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Delivers what was recorded until now, ordered by time. It never waits; after the target has exited it delivers
    /// the rest, then nothing. Call it some 10 to 100 times a second, or rings overflow and records are lost.
    ///
    /// Records younger than the start of the call stay for the next one, so that the order holds across calls too. A
    /// record that was being written on another CPU in that very moment may still come late, by microseconds.
    pub fn drain(&mut self, deliver: &mut dyn FnMut(Record)) {
        self.found.drain(..).for_each(&mut *deliver);
        let now = monotonic_ns();
        let mut order = std::mem::take(&mut self.order);
        for (index, ring) in self.attached.rings.iter_mut().enumerate() {
            ring.ring.refresh();
            order.extend(ring.next_time().map(|time| Reverse((time, index))));
        }
        while let Some(Reverse((time, index))) = order.pop() {
            if time > now {
                break;
            }
            let Some(ring) = self.attached.rings.get_mut(index) else { continue };
            let Some((parsed, before_ns)) = ring.take() else { continue };
            order.extend(ring.next_time().map(|time| Reverse((time, index))));
            if let Some(record) = self.judge(index, parsed, before_ns) {
                deliver(record);
            }
        }
        order.clear();
        self.order = order;
        self.tidy();
    }

    /// The record to deliver, if it is about the target and new. `before_ns` is the time of the record before it.
    fn judge(&mut self, ring: usize, parsed: Parsed, before_ns: u64) -> Option<Record> {
        let Parsed { pid, tid, time_ns, event, body } = parsed;
        match body {
            Body::Lost { count } => {
                self.counts.lost = self.counts.lost.saturating_add(count);
                let only_samples = match self.attached.mode {
                    Mode::Cpus => true,
                    Mode::Inherited => matches!(self.attached.rings.get(ring)?.source, Source::Thread { .. }),
                    Mode::PerThread => false,
                };
                let lost = Lost { count, since_ns: before_ns.min(time_ns), until_ns: time_ns, switches: !only_samples };
                self.relist |= lost.switches; // a fork may be among them
                return Some(Record::Lost(lost));
            }
            Body::Throttled => {
                self.counts.throttled += 1;
                return None;
            }
            _ => {}
        }
        if pid != self.config.pid {
            self.counts.foreign += 1;
            return None;
        }
        if !self.attached.rings.get_mut(ring)?.owns(tid, event) {
            self.counts.duplicates += 1;
            return None;
        }
        match body {
            Body::Sample(mut sample) => {
                self.counts.samples += 1;
                self.attached.rings.get_mut(ring)?.sampled(self.config.period_ns());
                sample.tid = self.own_tid(tid);
                Some(Record::Sample(sample))
            }
            Body::Switch { on_cpu, preempted } => {
                self.counts.switches += 1;
                Some(Record::Switch(Switch { time_ns, tid: self.own_tid(tid), on_cpu, preempted }))
            }
            Body::Fork { pid, tid } if pid == self.config.pid => {
                self.started.push(tid);
                Some(Record::ThreadStart { time_ns, tid: self.own_tid(tid) })
            }
            Body::Exit { pid, tid } if pid == self.config.pid => {
                let own_tid = self.own_tid(tid);
                let known = self.threads.get_mut(&tid)?;
                if std::mem::replace(&mut known.ended, true) {
                    return None;
                }
                self.ended[0].push(tid);
                Some(Record::ThreadExit { time_ns, tid: own_tid })
            }
            Body::Exec => {
                self.attached.rings.iter_mut().for_each(|ring| ring.forget_all());
                self.threads.clear();
                Some(Record::Exec { time_ns })
            }
            Body::Fork { .. } | Body::Exit { .. } | Body::Lost { .. } | Body::Throttled | Body::Other => None,
        }
    }

    /// The id of a thread in the target's namespace, looked up when the thread is first heard of.
    fn own_tid(&mut self, tid: u32) -> u32 {
        let (same, pid) = (self.same_namespace, self.config.pid);
        let look_up = || if same { tid } else { proc::own_tid(pid, tid).unwrap_or(0) };
        self.threads.entry(tid).or_insert_with(|| Known { own_tid: look_up(), ended: false }).own_tid
    }

    /// Notes the threads that exist, and whether they run.
    fn find_threads(&mut self) {
        let tids: Vec<u32> = self.attached.sampled.iter().copied().collect();
        for tid in tids {
            let time_ns = monotonic_ns();
            if let Some(runnable) = proc::is_runnable(self.config.pid, tid) {
                let tid = self.own_tid(tid);
                self.found.push(Record::ThreadFound { time_ns, tid, runnable });
            }
        }
    }

    /// After a drain: counts, threads that ended, threads that are new.
    fn tidy(&mut self) {
        self.counts.malformed += self.attached.rings.iter_mut().map(|ring| ring.ring.take_malformed()).sum::<u64>();
        let [now, before] = &mut self.ended;
        if !now.is_empty() {
            self.attached.end(now);
        }
        // A thread is forgotten one drain after its end: other rings may still hold older records of it.
        for tid in before.drain(..) {
            self.threads.remove(&tid);
            self.attached.rings.iter_mut().for_each(|ring| ring.forget(tid));
        }
        std::mem::swap(now, before);
        self.sample_new_threads();
        self.attached.close_ended();
    }

    /// Permission was settled at the start. What can fail here is a limit, and that is counted as left out.
    fn sample_new_threads(&mut self) {
        let started = std::mem::take(&mut self.started);
        if self.attached.mode == Mode::Cpus {
            return;
        }
        // Without inherited events, threads that a new thread has created meanwhile are found only by listing.
        self.relist |= self.attached.mode == Mode::PerThread && !started.is_empty();
        let now = monotonic_ns();
        if self.relist && now >= self.relist_after_ns {
            self.relist = false;
            let _ = self.attached.sample_all(&self.config);
            let end = monotonic_ns();
            self.relist_after_ns = end.saturating_add(end.saturating_sub(now).saturating_mul(RELIST_PAUSE));
            return;
        }
        for tid in started {
            if !self.threads.get(&tid).is_some_and(|known| known.ended) {
                let _ = self.attached.sample(&self.config, tid);
            }
        }
    }
}

#[cfg(test)]
#[path = "oncpu_tests.rs"]
mod tests;

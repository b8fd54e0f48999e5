//! The events that follow all threads: switches, forks, exits and exec, for each thread and CPU, with a ring per CPU.

use std::os::fd::AsFd;

use perf_event_open_sys::bindings::perf_event_attr;
use rustc_hash::FxHashSet;

use crate::attach::{Attached, RingError, explain, open_ring};
use crate::config::Config;
use crate::error::OpenError;
use crate::event_ring::{EventRing, Source};
use crate::{attr, ring_size, sys};

impl Attached {
    /// Makes a ring for each CPU and opens a tracker on every thread.
    pub(crate) fn track_all(&mut self, config: &Config, cpus: &[u32]) -> Result<(), OpenError> {
        let mut bytes = ring_size::cpu_ring(config, cpus.len());
        for cpu in cpus.iter().filter_map(|cpu| i32::try_from(*cpu).ok()) {
            match open_ring(|_| sys::perf_event_open(&attr::ring_holder(), 0, cpu), &mut bytes) {
                Ok((event, ring)) => self.rings.push(EventRing::new(ring, event, Source::Cpu(cpu))),
                // The CPU has gone offline, or never was one.
                Err(RingError::Open(error)) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EINVAL)) => {}
                Err(error) => return Err(error.explain(config)),
            }
        }
        let tracker = attr::tracker(config, self.allowed.threads_only);
        let mut tracked = FxHashSet::default();
        self.until_settled(config.pid, |this, tid| {
            let is_new = tracked.insert(tid);
            if is_new {
                this.track(config, &tracker, tid)?;
            }
            Ok(is_new)
        })
    }

    pub(crate) fn track(&mut self, config: &Config, tracker: &perf_event_attr, tid: u32) -> Result<(), OpenError> {
        for ring in &self.rings {
            let Source::Cpu(cpu) = ring.source else { continue };
            match sys::perf_event_open(tracker, tid, cpu) {
                Ok(event) => {
                    sys::set_output(event.as_fd(), ring.event()).map_err(|error| explain(&error, config))?;
                    self.trackers.push(event);
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ESRCH) => return Ok(()), // the thread has ended
                    Some(libc::ENODEV) => {}            // the CPU has gone offline
                    _ => return Err(explain(&error, config)),
                },
            }
        }
        Ok(())
    }
}

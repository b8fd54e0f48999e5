//! Opening events on all threads of a target, so that none is missed.
//!
//! How the kernel behaves (kernel/events/core.c, Linux 6.18; checked by the tests where they can):
//! - An event for one thread and one CPU is inherited by threads that the thread creates, for the same CPU. Inherited
//!   events write to the ring of the event they descend from, whichever thread that was for, and need no descriptor.
//!   They live on when the thread of the original event ends, but not when its descriptor is closed. So descriptors of
//!   ended threads stay open until sampling ends.
//! - `mmap` refuses a ring for inherited events that are not bound to a CPU: all CPUs would write to one ring.
//! - Events may share a ring (`PERF_EVENT_IOC_SET_OUTPUT`) if they are for the same CPU and use the same clock; whose
//!   threads they are for does not matter.
//! - A thread that ends leaves its event in the state EXIT. The descriptor stays valid and silent; `poll` reports a
//!   hang-up once no inherited event is left either. Nothing has to be cleaned up when the target exits.
//! - The timer of an event keeps the rest of its period while its thread is off that CPU. An event therefore fires
//!   first after a whole period of CPU time *on that CPU*, and a thread's last, incomplete period on each CPU yields
//!   no sample: on average the CPU time is underestimated by half a period for each thread and CPU it ran on. Exact
//!   CPU times follow from the context switches.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use perf_event_open_sys::bindings::perf_event_attr;
use rustc_hash::FxHashSet;

use crate::attr::{self, Allowed};
use crate::config::{Config, Coverage, Mode};
use crate::error::{Errno, OpenError};
use crate::lane::Lane;
use crate::ring::Ring;
use crate::sys::{self, ANY_CPU, Mapping};
use crate::{proc, support};

/// All rings together hold no more than this (or one page each).
const MAX_RING_BYTES: usize = 64 << 20;
/// Ring of one thread in `Mode::PerThread`.
const THREAD_RING_BYTES: usize = 32 << 10;
/// Listings of the threads, before a target that makes ever new ones is taken as it is.
const MAX_LISTINGS: usize = 100;
/// Descriptors to leave for others in this process.
const SPARE_DESCRIPTORS: u64 = 64;

/// The events and rings of a target.
pub(crate) struct Attached {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) mode: Mode,
    pub(crate) allowed: Allowed,
    /// Threads that were opened, or given up.
    seen: FxHashSet<u32>,
    /// Events of `Mode::PerCpu`; never read, but sampling lasts while they are open.
    events: Vec<OwnedFd>,
    left_out: FxHashSet<u32>,
    unsettled: bool,
}

/// Opens everything, in the cheapest layout that fits the limits.
pub(crate) fn attach(config: &Config) -> Result<Attached, OpenError> {
    let cpus = proc::online_cpus();
    let threads = proc::threads(config.pid);
    let allowed = settle(config, &threads)?;
    let wanted = threads.len().saturating_add(1).saturating_mul(cpus.len());
    if wanted <= config.max_events && make_room(wanted) {
        let mut attached = Attached::new(Mode::PerCpu, allowed);
        match attached.open_per_cpu(config, &cpus) {
            Err(OpenError::TooManyFiles { .. }) => {} // more threads than a moment ago, or a limit of the system
            other => return other.map(|()| attached),
        }
    }
    make_room(threads.len());
    let mut attached = Attached::new(Mode::PerThread, allowed);
    attached.follow(config)?;
    Ok(attached)
}

/// Finds out what the kernel allows, by opening an event on one of `threads`.
pub(crate) fn settle(config: &Config, threads: &[u32]) -> Result<Allowed, OpenError> {
    let asked = config.frequency.get();
    if let Some(max) = proc::setting("perf_event_max_sample_rate").filter(|max| asked > *max) {
        return Err(OpenError::RateTooHigh { asked, max });
    }
    let mut allowed = Allowed { kernel: config.kernel, threads_only: true };
    for &tid in threads {
        loop {
            let Err(error) = sys::perf_event_open(&attr::sampling(config, allowed, true), tid, ANY_CPU) else {
                return Ok(allowed);
            };
            match error.raw_os_error() {
                Some(libc::ESRCH) => break, // this thread has ended: try the next one
                Some(libc::EINVAL) if allowed.threads_only => allowed.threads_only = false,
                Some(libc::EACCES | libc::EPERM) if allowed.kernel => allowed.kernel = false,
                _ => return Err(explain(&error, config)),
            }
        }
    }
    Err(OpenError::TargetGone { pid: config.pid })
}

impl Attached {
    fn new(mode: Mode, allowed: Allowed) -> Attached {
        Attached {
            lanes: Vec::new(),
            mode,
            allowed,
            seen: FxHashSet::default(),
            events: Vec::new(),
            left_out: FxHashSet::default(),
            unsettled: false,
        }
    }

    pub(crate) fn coverage(&self) -> Coverage {
        Coverage {
            mode: self.mode,
            kernel: self.allowed.kernel,
            threads: self.seen.len().saturating_sub(self.left_out.len()),
            events: match self.mode {
                Mode::PerCpu => self.events.len(),
                Mode::PerThread => self.lanes.len(),
            },
            rings: self.lanes.len(),
            ring_bytes: self.lanes.iter().map(|lane| lane.ring.len()).min().unwrap_or(0),
            left_out: self.left_out.len(),
            unsettled: self.unsettled,
        }
    }

    /// The threads that were opened.
    pub(crate) fn threads(&self) -> impl Iterator<Item = u32> {
        self.seen.iter().copied()
    }

    fn open_per_cpu(&mut self, config: &Config, cpus: &[u32]) -> Result<(), OpenError> {
        let holder = attr::ring_holder();
        let mut bytes = ring_bytes(config.ring_bytes, cpus.len());
        for cpu in cpus.iter().filter_map(|cpu| i32::try_from(*cpu).ok()) {
            match open_ring(&holder, 0, cpu, &mut bytes) {
                Ok((fd, ring)) => self.lanes.push(Lane::new(ring, fd, cpu, None)),
                // The CPU has gone offline, or never was one.
                Err(RingError::Open(error)) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EINVAL)) => {}
                Err(error) => return Err(error.explain(config)),
            }
        }
        let sampling = attr::sampling(config, self.allowed, true);
        self.until_settled(config, |this, tid| this.open_thread_per_cpu(config, &sampling, tid))
    }

    fn open_thread_per_cpu(&mut self, config: &Config, attr: &perf_event_attr, tid: u32) -> Result<(), OpenError> {
        for lane in &self.lanes {
            match sys::perf_event_open(attr, tid, lane.cpu) {
                Ok(event) => {
                    sys::set_output(event.as_fd(), lane.holder.as_fd()).map_err(|error| explain(&error, config))?;
                    self.events.push(event);
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

    /// In `Mode::PerThread`: opens threads that are new and lets go of those that have ended and been read.
    pub(crate) fn follow(&mut self, config: &Config) -> Result<(), OpenError> {
        if self.mode == Mode::PerCpu {
            return Ok(());
        }
        let alive: FxHashSet<u32> = proc::threads(config.pid).into_iter().collect();
        self.lanes.retain_mut(|lane| lane.tid.is_some_and(|tid| alive.contains(&tid)) || !lane.is_drained());
        self.seen.retain(|tid| alive.contains(tid));
        self.left_out.retain(|tid| alive.contains(tid));
        let sampling = attr::sampling(config, self.allowed, false);
        let mut bytes = ring_bytes(config.ring_bytes.min(THREAD_RING_BYTES), alive.len());
        self.until_settled(config, |this, tid| {
            if this.lanes.len() >= config.max_events {
                this.left_out.insert(tid);
                return Ok(());
            }
            match open_ring(&sampling, tid, ANY_CPU, &mut bytes) {
                Ok((fd, ring)) => this.lanes.push(Lane::new(ring, fd, ANY_CPU, Some(tid))),
                Err(RingError::Open(error)) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => match error.explain(config) {
                    // Some threads are better than none.
                    OpenError::TooManyFiles { .. } | OpenError::RingMemory(_) if !this.lanes.is_empty() => {
                        this.left_out.insert(tid);
                    }
                    error => return Err(error),
                },
            }
            Ok(())
        })
    }

    /// Opens each thread of the target once, until two listings in a row show no new one.
    ///
    /// When a listing shows only threads opened before it began, every thread created since was created by an opened
    /// one: it has inherited the events (`Mode::PerCpu`) or its fork was recorded (`Mode::PerThread`). One listing
    /// would do, were it not that the kernel may skip a thread in it when another one ends.
    fn until_settled(
        &mut self,
        config: &Config,
        mut open: impl FnMut(&mut Attached, u32) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let mut quiet = 0;
        for _ in 0..MAX_LISTINGS {
            let mut new = false;
            for tid in proc::threads(config.pid) {
                if self.seen.insert(tid) {
                    new = true;
                    open(self, tid)?;
                }
            }
            quiet = if new { 0 } else { quiet + 1 };
            if quiet == 2 {
                return Ok(());
            }
        }
        self.unsettled = true;
        Ok(())
    }
}

/// Why there is no ring.
enum RingError {
    Open(io::Error),
    Map(io::Error),
}

impl RingError {
    fn explain(&self, config: &Config) -> OpenError {
        match self {
            RingError::Open(error) => explain(error, config),
            RingError::Map(error) => OpenError::RingMemory(Errno::from(error)),
        }
    }
}

/// Opens an event with a ring of `bytes`, which is halved until the kernel gives the memory.
fn open_ring(attr: &perf_event_attr, tid: u32, cpu: i32, bytes: &mut usize) -> Result<(OwnedFd, Ring), RingError> {
    let event = sys::perf_event_open(attr, tid, cpu).map_err(RingError::Open)?;
    loop {
        match Mapping::of_event(event.as_fd(), *bytes) {
            Ok(mapping) => return Ok((event, Ring::new(mapping))),
            // EPERM is perf's word for the limit on locked memory.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOMEM)) && *bytes > sys::page_size() =>
            {
                *bytes /= 2;
            }
            Err(error) => return Err(RingError::Map(error)),
        }
    }
}

/// The size of each of `rings` rings when `asked` is the most for one: a power of two of at least a page.
fn ring_bytes(asked: usize, rings: usize) -> usize {
    let most = asked.min(MAX_RING_BYTES / rings.max(1)).max(sys::page_size());
    1 << most.ilog2()
}

/// Whether `wanted` more descriptors can be opened, after raising the soft limit of this process if need be.
fn make_room(wanted: usize) -> bool {
    let needed = (wanted as u64).saturating_add(proc::open_descriptors()).saturating_add(SPARE_DESCRIPTORS);
    match sys::descriptor_limits() {
        Ok((soft, _)) if soft >= needed => true,
        Ok((_, hard)) => sys::set_descriptor_limits(needed.min(hard), hard).is_ok() && hard >= needed,
        Err(_) => false,
    }
}

fn explain(error: &io::Error, config: &Config) -> OpenError {
    OpenError::explain(error, Some(config.pid), || support::try_ourselves(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_powers_of_two_within_the_limits() {
        let page = sys::page_size();
        assert_eq!(ring_bytes(512 << 10, 2), 512 << 10);
        assert_eq!(ring_bytes(700 << 10, 2), 512 << 10);
        assert_eq!(ring_bytes(512 << 10, 256), 256 << 10, "64 MiB for all");
        assert_eq!(ring_bytes(0, 1), page);
        assert_eq!(ring_bytes(usize::MAX, usize::MAX), page);
        assert_eq!(ring_bytes(usize::MAX, 0), MAX_RING_BYTES);
    }
}

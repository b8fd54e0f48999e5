//! Opening events on all threads of a target, so that none is missed.
//!
//! How the kernel behaves (kernel/events/core.c, Linux 6.18; checked by the tests where they can):
//! - An event for one thread and one CPU is inherited by threads that the thread creates, for the same CPU. Inherited
//!   events write to the ring of the event they descend from, whichever thread that was for, and need no descriptor.
//!   They live on when the thread of the original event ends, but not when its descriptor is closed. So the
//!   descriptors of ended threads' trackers stay open until sampling ends.
//! - `mmap` refuses a ring for inherited events that are not bound to a CPU: all CPUs would write to one ring.
//! - Events may share a ring (`PERF_EVENT_IOC_SET_OUTPUT`) if they are for the same CPU and use the same clock; whose
//!   threads they are for does not matter then. Events not bound to a CPU may share only with the same thread's.
//! - A thread that ends leaves its event in the state EXIT. The descriptor stays valid and silent; `poll` reports a
//!   hang-up once no inherited event is left either. Nothing has to be cleaned up when the target exits.
//! - The timer of a sampling event keeps the rest of its period while its thread is off the CPU that the event is for.
//!   An event therefore fires first after a whole period of CPU time, and an event for each thread *and CPU* would
//!   lose half a period, on average, for each pair: on a machine with many CPUs most of the CPU time of a short
//!   recording. So sampling events are for one thread on all CPUs, and only the trackers are for each CPU.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use perf_event_open_sys::bindings::perf_event_attr;
use rustc_hash::FxHashSet;

use crate::config::{Config, Coverage, Mode};
use crate::error::{Errno, OpenError};
use crate::event_ring::{EventRing, Source};
use crate::ring::Ring;
use crate::sys::{self, ANY_CPU, Mapping};
use crate::{attr, diagnose, proc};

/// Listings of the threads, before a target that makes ever new ones is taken as it is.
const MAX_LISTINGS: usize = 100;
/// Descriptors to leave for others in this process.
const SPARE_DESCRIPTORS: u64 = 64;

/// What this kernel and our permissions allow, found by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Sample while the thread is in the kernel too, with kernel frames.
    pub(crate) kernel: bool,
    /// Follow new threads but not new processes (Linux 5.13). Without it child processes are followed as well, and
    /// their records thrown away.
    pub(crate) threads_only: bool,
}

/// The events and rings of a target.
pub(crate) struct Attached {
    pub(crate) mode: Mode,
    pub(crate) allowed: Allowed,
    pub(crate) rings: Vec<EventRing>,
    /// Never read, but tracking lasts while they are open.
    pub(crate) trackers: Vec<OwnedFd>,
    /// Threads with a sampling event, or given up.
    pub(crate) sampled: FxHashSet<u32>,
    pub(crate) left_out: FxHashSet<u32>,
    /// Bytes for the ring of a thread.
    pub(crate) thread_ring: usize,
    pub(crate) unsettled: bool,
    /// Where the sequence of first periods is.
    pub(crate) phase: u64,
}

/// Opens everything, in the layout that fits the limits.
pub(crate) fn attach(config: &Config) -> Result<Attached, OpenError> {
    let cpus = proc::online_cpus();
    let threads = proc::threads(config.pid);
    let allowed = settle(config, &threads)?;
    if let Some(attached) = Attached::of_cpus(config, allowed, &cpus) {
        return Ok(attached);
    }
    let wanted = threads.len().saturating_add(1).saturating_mul(cpus.len().saturating_add(1));
    if wanted <= config.max_events && make_room(wanted) {
        let mut attached = Attached::new(Mode::Inherited, allowed);
        let opened = attached.track_all(config, &cpus).and_then(|()| attached.sample_all(config));
        match opened {
            Err(OpenError::TooManyFiles { .. }) => {} // more threads than a moment ago, or a limit of the system
            other => return other.map(|()| attached),
        }
    }
    make_room(threads.len());
    let mut attached = Attached::new(Mode::PerThread, allowed);
    attached.sample_all(config)?;
    Ok(attached)
}

/// Finds out what the kernel allows, by opening events on one of `threads`.
pub(crate) fn settle(config: &Config, threads: &[u32]) -> Result<Allowed, OpenError> {
    let asked = config.frequency.get();
    if let Some(max) = proc::setting("perf_event_max_sample_rate").filter(|max| asked > *max) {
        return Err(OpenError::RateTooHigh { asked, max });
    }
    let gone = |error: &io::Error| error.raw_os_error() == Some(libc::ESRCH);
    let mut allowed = Allowed { kernel: config.kernel, threads_only: true };
    for &tid in threads {
        let open_sampler = |kernel| open(&attr::sampler(config, kernel, config.period_ns(), usize::MAX), tid);
        let open_tracker = |threads_only| open(&attr::tracker(config, threads_only), tid);
        let mut result = open_sampler(allowed.kernel);
        if allowed.kernel && errno_in(&result, &[libc::EACCES, libc::EPERM]) {
            allowed.kernel = false;
            result = open_sampler(false);
        }
        if result.is_ok() {
            result = open_tracker(allowed.threads_only);
        }
        if allowed.threads_only && errno_in(&result, &[libc::EINVAL]) {
            allowed.threads_only = false;
            result = open_tracker(false);
        }
        match result {
            Ok(_) => return Ok(allowed),
            Err(error) if gone(&error) => {} // this thread has ended: try the next one
            Err(error) => return Err(explain(&error, config)),
        }
    }
    Err(OpenError::TargetGone { pid: config.pid })
}

fn open(attr: &perf_event_attr, tid: u32) -> io::Result<OwnedFd> {
    sys::perf_event_open(attr, tid, ANY_CPU)
}

fn errno_in<T>(result: &io::Result<T>, errnos: &[i32]) -> bool {
    result.as_ref().err().and_then(io::Error::raw_os_error).is_some_and(|errno| errnos.contains(&errno))
}

impl Attached {
    pub(crate) fn new(mode: Mode, allowed: Allowed) -> Attached {
        Attached {
            mode,
            allowed,
            rings: Vec::new(),
            trackers: Vec::new(),
            sampled: FxHashSet::default(),
            left_out: FxHashSet::default(),
            thread_ring: 0,
            unsettled: false,
            phase: 0,
        }
    }

    pub(crate) fn coverage(&self) -> Coverage {
        let rings = |of_cpu: bool| {
            let rings = self.rings.iter().filter(move |ring| matches!(ring.source, Source::Cpu(_)) == of_cpu);
            (rings.clone().count(), rings.map(|ring| ring.ring.len()).min().unwrap_or(0))
        };
        let ((cpus, cpu_ring_bytes), (threads, thread_ring_bytes)) = (rings(true), rings(false));
        Coverage {
            mode: self.mode,
            kernel: self.allowed.kernel,
            threads,
            events: self.trackers.len() + threads,
            cpus,
            cpu_ring_bytes,
            thread_ring_bytes,
            left_out: self.left_out.len(),
            unsettled: self.unsettled,
        }
    }

    /// Opens each thread of the target once, until two listings in a row show no new one.
    ///
    /// When a listing shows only threads opened before it began, every thread created since was created by an opened
    /// one: it has inherited the events, or its fork was recorded. One listing would do, were it not that the kernel
    /// may skip a thread in it when another one ends.
    pub(crate) fn until_settled(
        &mut self,
        pid: u32,
        mut is_new: impl FnMut(&mut Attached, u32) -> Result<bool, OpenError>,
    ) -> Result<(), OpenError> {
        let mut quiet = 0;
        for _ in 0..MAX_LISTINGS {
            let mut new = false;
            for tid in proc::threads(pid) {
                new |= is_new(self, tid)?;
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
pub(crate) enum RingError {
    Open(io::Error),
    Map(io::Error),
}

impl RingError {
    pub(crate) fn explain(&self, config: &Config) -> OpenError {
        match self {
            RingError::Open(error) => explain(error, config),
            RingError::Map(error) => OpenError::RingMemory(Errno::from(error)),
        }
    }
}

/// Opens the event that `open` opens for a ring of so many bytes, with a ring of `bytes`, which is halved until the kernel
/// gives the memory. The event is opened again for each size: how much it copies into its ring follows from that.
pub(crate) fn open_ring(
    mut open: impl FnMut(usize) -> io::Result<OwnedFd>,
    bytes: &mut usize,
) -> Result<(OwnedFd, Ring), RingError> {
    loop {
        let event = open(*bytes).map_err(RingError::Open)?;
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

/// Whether `wanted` more descriptors can be opened, after raising the soft limit of this process if need be.
fn make_room(wanted: usize) -> bool {
    let needed = (wanted as u64).saturating_add(proc::open_descriptors()).saturating_add(SPARE_DESCRIPTORS);
    match sys::descriptor_limits() {
        Ok((soft, _)) if soft >= needed => true,
        Ok((_, hard)) => sys::set_descriptor_limits(needed.min(hard), hard).is_ok() && hard >= needed,
        Err(_) => false,
    }
}

pub(crate) fn explain(error: &io::Error, config: &Config) -> OpenError {
    OpenError::explain(error, Some(config.pid), || diagnose::try_ourselves(false))
}

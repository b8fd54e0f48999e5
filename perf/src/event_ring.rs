//! A ring together with what is known of the records in it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustc_hash::FxHashMap;

use crate::parse::Parsed;
use crate::ring::Ring;
use crate::sys;

/// One ring, the event that owns it, and the first unread record.
pub(crate) struct EventRing {
    pub(crate) ring: Ring,
    pub(crate) source: Source,
    /// The ring lives as long as this is open.
    event: OwnedFd,
    /// Time of the last record taken: records lost after it are younger.
    last_ns: u64,
    next: Option<Parsed>,
    /// Which of our events speaks for a thread in this ring.
    owners: FxHashMap<u32, u64>,
}

/// Whose records a ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The trackers of all threads, on one CPU.
    Cpu(i32),
    /// The sampling event of one thread.
    Thread {
        tid: u32,
        /// The event still awaits its first sample, after which it is disabled.
        first: bool,
        /// The thread has ended: nothing more will be written.
        ended: bool,
    },
}

impl EventRing {
    pub(crate) fn new(ring: Ring, event: OwnedFd, source: Source) -> EventRing {
        EventRing { ring, source, event, last_ns: sys::monotonic_ns(), next: None, owners: FxHashMap::default() }
    }

    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Time of the first unread record.
    pub(crate) fn next_time(&mut self) -> Option<u64> {
        if self.next.is_none() {
            self.next = self.ring.next();
        }
        self.next.as_ref().map(|parsed| parsed.time_ns)
    }

    /// Takes the record whose time `next_time` told, and the time of the record before it.
    pub(crate) fn take(&mut self) -> Option<(Parsed, u64)> {
        let parsed = self.next.take()?;
        let before = std::mem::replace(&mut self.last_ns, parsed.time_ns);
        Some((parsed, before))
    }

    /// Goes on with the regular period after the first sample.
    pub(crate) fn sampled(&mut self, period_ns: u64) {
        if let Source::Thread { first: first @ true, .. } = &mut self.source {
            *first = false;
            // It fails only when the thread has just ended, and then there is nothing to go on with.
            let _ = sys::enable_with_period(self.event.as_fd(), period_ns);
        }
    }

    /// The thread of this ring has ended and everything from it was taken.
    pub(crate) fn is_over(&mut self) -> bool {
        if !matches!(self.source, Source::Thread { ended: true, .. }) {
            return false;
        }
        self.ring.refresh();
        self.next_time().is_none()
    }

    /// Whether a record of `event` about `tid` is the only one of its kind.
    ///
    /// A thread that was created while its creator was being opened has two trackers on a CPU: an inherited one and the
    /// one opened for it. Both record everything. The first event heard of speaks for the thread, the other is ignored.
    pub(crate) fn owns(&mut self, tid: u32, event: u64) -> bool {
        *self.owners.entry(tid).or_insert(event) == event
    }

    /// Forgets a thread that has ended.
    pub(crate) fn forget(&mut self, tid: u32) {
        self.owners.remove(&tid);
    }

    /// Forgets all threads: after exec the surviving thread has the id of the first one, but its own events.
    pub(crate) fn forget_all(&mut self) {
        self.owners.clear();
    }
}

//! A ring together with what is known of the records in it.

use std::os::fd::OwnedFd;

use rustc_hash::FxHashMap;

use crate::parse::Parsed;
use crate::ring::Ring;

/// One ring, the event that owns it, and the first unread record.
pub(crate) struct Lane {
    pub(crate) ring: Ring,
    /// The event whose ring this is; the ring lives as long as it is open.
    pub(crate) holder: OwnedFd,
    /// The CPU, or `ANY_CPU` for the ring of one thread.
    pub(crate) cpu: i32,
    /// The thread whose ring this is, in `Mode::PerThread`.
    pub(crate) tid: Option<u32>,
    /// Time of the last record taken: records lost after it are younger.
    pub(crate) last_ns: u64,
    next: Option<Parsed>,
    /// Which of our events speaks for a thread on this CPU.
    owners: FxHashMap<u32, u64>,
}

impl Lane {
    pub(crate) fn new(ring: Ring, holder: OwnedFd, cpu: i32, tid: Option<u32>) -> Lane {
        let last_ns = crate::sys::monotonic_ns();
        Lane { ring, holder, cpu, tid, last_ns, next: None, owners: FxHashMap::default() }
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

    /// Nothing is unread. Final once the thread of this ring has ended.
    pub(crate) fn is_drained(&mut self) -> bool {
        self.ring.refresh();
        self.next_time().is_none()
    }

    /// Whether a record of `event` about `tid` is the only one of its kind.
    ///
    /// A thread that was created while its creator was being opened has two events on a CPU: an inherited one and the
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

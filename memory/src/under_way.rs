//! Whether a read of a target has not returned.

use std::sync::atomic::{AtomicU64, Ordering};

/// System calls that were begun by all threads, and those that have returned.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static RETURNED: AtomicU64 = AtomicU64::new(0);

/// Counts a system call.
pub(crate) fn counted<T>(call: impl FnOnce() -> T) -> T {
    BEGUN.fetch_add(1, Ordering::Relaxed);
    let result = call();
    RETURNED.fetch_add(1, Ordering::Relaxed);
    result
}

/// The number of the latest read of a live process's memory, if one has not returned yet. If it stays the same, that read
/// waits for a page: of memory that another process supplies and does not (userfaultfd(2), FUSE). Such a wait can be ended
/// only by the end of the process that reads.
pub fn read_under_way() -> Option<u64> {
    let returned = RETURNED.load(Ordering::Relaxed);
    Some(BEGUN.load(Ordering::Relaxed)).filter(|begun| *begun > returned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_under_way_until_it_returns() {
        assert!(counted(read_under_way).is_some());
    }
}

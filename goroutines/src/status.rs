//! The runtime's own status of a goroutine.

/// Set in `g.atomicstatus` while the garbage collector scans the stack; harmless for reading.
const GSCAN: u32 = 0x1000;

/// Status of a live goroutine (`runtime/runtime2.go`, `_Gidle` and following).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// On a run queue.
    Runnable,
    /// Has a thread and a processor.
    Running,
    /// In a system call or a C call.
    Syscall,
    /// Parked.
    Waiting,
    /// Running, on its thread's own stack, while its own is moved to a larger place. The old one is whole until the g
    /// points to the new one (`runtime/stack.go`, `newstack` and `copystack`).
    CopyStack,
    /// Stopped itself for a suspending goroutine (`suspendG`), and not running.
    Preempted,
    /// Parked for ever, as the collector's leak detection found out (Go 1.26 on).
    Leaked,
}

impl Status {
    /// The status in a value of `g.atomicstatus`; `None` for a g that is no goroutine now: not yet started (`_Gidle`) or
    /// dead (`_Gdead`, and from Go 1.26 on `_Gdeadextra`), or for a value that no known version uses.
    pub fn of(atomicstatus: u32) -> Option<Status> {
        match atomicstatus & !GSCAN {
            1 => Some(Status::Runnable),
            2 => Some(Status::Running),
            3 => Some(Status::Syscall),
            4 => Some(Status::Waiting),
            8 => Some(Status::CopyStack),
            9 => Some(Status::Preempted),
            10 => Some(Status::Leaked),
            _ => None,
        }
    }

    /// Whether a thread is running it.
    pub const fn is_on_thread(self) -> bool {
        matches!(self, Status::Running | Status::CopyStack)
    }

    /// The runtime's word for it, as in its goroutine dumps (`runtime/traceback.go`, `gStatusStrings`).
    pub const fn word(self) -> &'static str {
        match self {
            Status::Runnable => "runnable",
            Status::Running => "running",
            Status::Syscall => "syscall",
            Status::Waiting => "waiting",
            Status::CopyStack => "copystack",
            Status::Preempted => "preempted",
            Status::Leaked => "leaked",
        }
    }
}

/// `atomicstatus` without the scan bit.
pub(crate) fn without_scan(atomicstatus: u32) -> u32 {
    atomicstatus & !GSCAN
}

/// Whether `atomicstatus` has the scan bit.
pub(crate) fn has_scan(atomicstatus: u32) -> bool {
    atomicstatus & GSCAN != 0
}

/// Whether `atomicstatus` is a value that some Go version from 1.17 to 1.27 uses: a self-test of the layout.
pub(crate) fn is_known(atomicstatus: u32) -> bool {
    matches!(atomicstatus & !GSCAN, 0..=4 | 6 | 8..=11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scan_bit_does_not_matter() {
        assert_eq!(Status::of(4), Some(Status::Waiting));
        assert_eq!(Status::of(0x1004), Some(Status::Waiting));
        assert!(has_scan(0x1004) && !has_scan(4));
        assert_eq!(Status::of(6), None);
        assert_eq!(Status::of(11), None);
        assert!(is_known(0x1001) && is_known(11) && !is_known(5) && !is_known(0x2004));
    }
}

//! What [`crate::OnCpu::drain`] delivers.

use crate::sample::{CpuSample, Switch};

/// One thing that happened in the target. Times are nanoseconds of `CLOCK_MONOTONIC` ([`crate::monotonic_ns`]).
///
/// `tid` is everywhere the thread id in the target's own PID namespace, or 0 where that is not known: the namespaces
/// differ and the thread was gone before its number could be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A sample of a thread on a CPU.
    Sample(CpuSample),
    /// A thread was put on a CPU or taken off.
    Switch(Switch),
    /// Records were lost because a ring was full.
    Lost(Lost),
    /// A thread that existed when sampling began. Delivered once, by the first drain, before all else.
    ThreadFound {
        /// When its state was read.
        time_ns: u64,
        /// The thread.
        tid: u32,
        /// It was running or wanted to (state `R` in `/proc/PID/task/TID/stat`), rather than blocked.
        runnable: bool,
    },
    /// A thread was created.
    ThreadStart {
        /// When.
        time_ns: u64,
        /// The new thread.
        tid: u32,
    },
    /// A thread ended.
    ThreadExit {
        /// When.
        time_ns: u64,
        /// The thread.
        tid: u32,
    },
    /// The target replaced its program by another (execve). All its threads but one are gone, and nothing that was
    /// known about its memory holds any more.
    Exec {
        /// When.
        time_ns: u64,
    },
}

/// Records that the kernel could not write because a ring was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How many, of any kind.
    pub count: u64,
    /// Time of the last record in that ring before the loss.
    pub since_ns: u64,
    /// When the ring had room again: the lost records are from between the two times.
    pub until_ns: u64,
    /// Context switches may be among them, rather than samples only.
    pub switches: bool,
}

/// Totals since sampling began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples delivered.
    pub samples: u64,
    /// Context switches delivered.
    pub switches: u64,
    /// Records lost because a ring was full.
    pub lost: u64,
    /// Times the kernel held back samples because they took too much time (`kernel.perf_cpu_time_max_percent`).
    pub throttled: u64,
    /// Records that came twice, because a thread was created while its creator was being opened. Not delivered.
    pub duplicates: u64,
    /// Records of child processes that inherited our events (only before Linux 5.13), and of threads so near their end
    /// that they have no id any more. Not delivered.
    pub foreign: u64,
    /// Records that made no sense. Not delivered.
    pub malformed: u64,
}

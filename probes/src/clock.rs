//! The clock of every time in this crate.

use rustix::time::{ClockId, clock_gettime};

/// The time now, in nanoseconds of `CLOCK_MONOTONIC`, which is the clock of the BPF program too (`bpf_ktime_get_ns`).
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock counts from the start of the machine: neither part is negative.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

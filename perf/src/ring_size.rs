//! How large the rings are.
//!
//! The kernel locks their memory. A user without CAP_IPC_LOCK may have `kernel.perf_event_mlock_kb` for each CPU, for
//! all perf rings of all processes together, and beyond that RLIMIT_MEMLOCK (perf_event_open(2)).

use crate::config::{Config, Mode};
use crate::{proc, sys};

/// All rings together hold no more than this (or one page each).
const MOST: usize = 64 << 20;
/// What a sample takes besides its stack: 127 frames, the kernel's limit, and some more.
const SAMPLE_BYTES: usize = 1300;
/// A ring has room for the samples of this part of a second.
const DRAINS_PER_SECOND: usize = 10;
/// Room for the context switches of one thread.
const SWITCHES_BYTES: usize = 32 << 10;

/// Bytes of the ring of each CPU: all of them take half of what can be had, at most.
pub(crate) fn cpu_ring(config: &Config, cpus: usize) -> usize {
    let each = lockable().min(MOST) / 2 / cpus.max(1);
    power_of_two(config.ring_bytes.min(each.saturating_sub(sys::page_size())))
}

/// Bytes of the ring of each of `threads` threads, when those of the CPUs take `taken`. Leaves as much again for threads
/// to come.
pub(crate) fn thread_ring(config: &Config, mode: Mode, threads: usize, taken: usize) -> usize {
    let samples = (config.frequency.get() as usize / DRAINS_PER_SECOND).max(4);
    let mut wanted = samples.saturating_mul(SAMPLE_BYTES + config.stack_size() as usize).next_power_of_two();
    if mode == Mode::PerThread && config.switches {
        wanted = wanted.max(SWITCHES_BYTES);
    }
    let each = lockable().min(MOST).saturating_sub(taken) / threads.max(8).saturating_mul(2);
    power_of_two(wanted.min(each.saturating_sub(sys::page_size())))
}

/// Samples that a ring must have room for, however much of each stack is asked for: those of a late drain.
const FEWEST_SAMPLES: usize = 4;

/// Bytes of the stack to copy with each sample into a ring of `ring` bytes: what `config` asks for, or less where the ring
/// would not hold [`FEWEST_SAMPLES`]. Always what the caller of a leaf function is found by, 256 bytes.
pub(crate) fn stack_size(config: &Config, ring: usize) -> u32 {
    const LEAST: usize = 256;
    let fits = (ring / FEWEST_SAMPLES).saturating_sub(SAMPLE_BYTES).max(LEAST) / 8 * 8;
    u32::try_from(fits).map_or(config.stack_size(), |fits| fits.min(config.stack_size()))
}

/// Bytes of rings that this process may surely have.
fn lockable() -> usize {
    const CAP_IPC_LOCK: u32 = 14;
    if proc::rights().has(CAP_IPC_LOCK) {
        return usize::MAX;
    }
    let per_cpu: usize = proc::setting("perf_event_mlock_kb").unwrap_or(512);
    let by_limit = sys::locked_memory_limit().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    per_cpu.saturating_mul(1024).saturating_mul(proc::online_cpus().len()).saturating_add(by_limit)
}

/// The largest power of two up to `bytes`, but at least a page and at most `MOST`.
fn power_of_two(bytes: usize) -> usize {
    1 << bytes.clamp(sys::page_size(), MOST).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ring_bytes: usize, frequency: u32) -> Config {
        let frequency = frequency.try_into().expect("not zero");
        Config { ring_bytes, frequency, ..Config::new(1) }
    }

    #[test]
    fn rings_of_cpus_are_powers_of_two_within_the_limits() {
        let page = sys::page_size();
        // What this process may lock is not known here, but 64 KiB for each of two CPUs are always to be had.
        assert_eq!(cpu_ring(&config(64 << 10, 99), 2), 64 << 10);
        assert_eq!(cpu_ring(&config(100 << 10, 99), 2), 64 << 10);
        assert!(cpu_ring(&config(256 << 10, 99), 256) <= 64 << 10, "less than 32 MiB for all");
        assert_eq!(cpu_ring(&config(0, 99), 1), page);
        assert_eq!(cpu_ring(&config(usize::MAX, 99), usize::MAX), page);
        assert!(cpu_ring(&config(usize::MAX, 99), 0) <= MOST / 2);
    }

    #[test]
    fn a_small_ring_still_holds_some_samples() {
        let asked = |stack_bytes| Config { stack_bytes, ..Config::new(1) };
        assert_eq!(stack_size(&asked(16 << 10), 256 << 10), 16 << 10);
        for ring in [16 << 10, 64 << 10] {
            let stack = stack_size(&asked(16 << 10), ring) as usize;
            assert!(stack.is_multiple_of(8) && (stack + SAMPLE_BYTES) * FEWEST_SAMPLES <= ring, "{stack} of {ring}");
            assert!((stack + 8 + SAMPLE_BYTES) * FEWEST_SAMPLES > ring, "{stack} of {ring} is less than fits");
        }
        assert_eq!(stack_size(&asked(16 << 10), sys::page_size()), 256);
        assert_eq!(stack_size(&asked(100), 1 << 20), 104);
    }

    #[test]
    fn rings_of_threads_follow_the_rate_and_the_number_of_threads() {
        let page = sys::page_size();
        let ring = |frequency, mode, threads, taken| thread_ring(&config(0, frequency), mode, threads, taken);
        assert!(ring(99, Mode::Inherited, 10, 0) <= 16 << 10);
        assert!(ring(9999, Mode::Inherited, 10, 0) >= ring(99, Mode::Inherited, 10, 0));
        assert!(ring(99, Mode::PerThread, 10, 0) >= ring(99, Mode::Inherited, 10, 0));
        assert_eq!(ring(99, Mode::Inherited, usize::MAX, 0), page);
        assert_eq!(ring(u32::MAX, Mode::PerThread, 10, usize::MAX), page);
        let all = |threads| (ring(99, Mode::PerThread, threads, 0) + page) * threads;
        assert!(all(100) <= MOST && all(1000) <= MOST && all(5000) <= MOST);
    }
}

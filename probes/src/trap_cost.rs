//! What it takes to come to a probe's program and back on this machine: measured, because that differs tenfold between
//! machines. What the program itself takes, it measures ([`crate::Counts`]).
#![allow(unsafe_code)] // A call of a function that is written in assembler has no safe interface.

use std::path::PathBuf;
use std::time::Duration;

use crate::loader::{self, Loaded};
use crate::{InnerRequest, Maps, Offsets, Options, Plan, Probe, Reasons, SiteKind, TraceError, TrapCost, monotonic_ns};

/// Rounds of which the fastest counts: the others were interrupted.
const ROUNDS: usize = 5;
/// Calls in a round.
const CALLS: u32 = 600;

/// Loads the program and puts it at a function of this process.
///
/// # Errors
/// See [`TraceError`].
pub fn measure_trap_cost() -> Result<TrapCost, TraceError> {
    let offsets = Offsets {
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_pc: 64,
        g_sched_bp: 96,
        g_goid: 152,
        g_parent: None,
        g_waitreason: 176,
        g_startpc: 304,
        m_curg: 184,
        request_method: 0,
        request_url: 16,
        url_path: 56,
        request_header: 56,
        request_major: 40,
        request_pattern: None,
        inner: InnerRequest::default(),
        maps: Maps::Buckets { b: 9, buckets: 16, bucket_size: 336, values: 136, least_tophash: 5 },
    };
    let plan = Plan {
        pid: std::process::id(),
        exe: PathBuf::from("/proc/self/exe"),
        probes: vec![Probe { kind: SiteKind::CasStatus, file_offset: 0 }],
        offsets,
        classes: [crate::OTHER; 256],
        reasons: Reasons { coroutine: Reasons::UNKNOWN, preempted: Reasons::UNKNOWN },
        options: Options { ring_bytes: 4096, max_goroutines: 1, ..Options::default() },
    };
    measure(&loader::load(&plan)?)
}

/// Puts the program at a function of this process that begins as Go's do, calls it, and takes the time. The program returns
/// at once there.
pub(crate) fn measure(loaded: &Loaded) -> Result<TrapCost, TraceError> {
    let site = site::file_offset().ok_or(TraceError::Architecture)?;
    let without = fastest();
    let hit_ns = |file_offset: u64| -> Result<f64, TraceError> {
        let link = loaded.attach_to_self(file_offset)?;
        let with = fastest();
        drop(link);
        Ok(with.saturating_sub(without).as_nanos() as f64 / f64::from(CALLS))
    };
    // `push` is emulated, `pop` after it is not.
    Ok(TrapCost { emulated_ns: hit_ns(site)?, stepped_ns: hit_ns(site + 1)? })
}

fn fastest() -> Duration {
    let mut rounds = [Duration::MAX; ROUNDS];
    for round in &mut rounds {
        let start = monotonic_ns();
        site::call(CALLS);
        *round = Duration::from_nanos(monotonic_ns().saturating_sub(start));
    }
    rounds.into_iter().min().unwrap_or_default()
}

#[cfg(target_arch = "x86_64")]
mod site {
    use std::arch::{asm, global_asm};

    // Where a function of Go's begins, more or less.
    global_asm!(
        ".p2align 4",
        ".globl fgspy_site_of_traps",
        ".hidden fgspy_site_of_traps",
        "fgspy_site_of_traps:",
        "push rbp",
        "pop rbp",
        "ret"
    );

    unsafe extern "C" {
        fn fgspy_site_of_traps();
    }

    /// Where the site is in this program's file.
    pub(super) fn file_offset() -> Option<u64> {
        let address = fgspy_site_of_traps as *const () as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        maps.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let (range, _, offset) = (words.next()?, words.next()?, words.next()?);
            let (start, end) = range.split_once('-')?;
            let number = |text: &str| u64::from_str_radix(text, 16).ok();
            let (start, end, offset) = (number(start)?, number(end)?, number(offset)?);
            (start..end).contains(&address).then(|| address - start + offset)
        })
    }

    /// Passes the site `times` times.
    pub(super) fn call(times: u32) {
        for _ in 0..times {
            // SAFETY: the function changes no register but the stack pointer, and puts that back.
            unsafe { asm!("call {site}", site = sym fgspy_site_of_traps) };
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod site {
    pub(super) fn file_offset() -> Option<u64> {
        None
    }

    pub(super) fn call(_: u32) {}
}

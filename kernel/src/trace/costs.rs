//! What a hit of a probe takes on this machine: measured, because it differs tenfold between machines.
#![allow(unsafe_code)] // bpf(2), memory shared with the kernel, and a call with given registers have no safe interface.

use std::path::PathBuf;
use std::time::Duration;

use super::{Maps, Offsets, Options, Plan, Site, SiteKind, TraceError, Tracer};
use crate::monotonic_ns;

/// What a hit of a probe takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Nanoseconds on the thread that hits it, for a change of state: trap, program and return, at an instruction that the
    /// kernel emulates.
    pub hit_ns: f64,
    /// The same at one that it has to step through.
    pub stepped_ns: f64,
}

/// Rounds of which the fastest counts: the others were interrupted.
const ROUNDS: usize = 5;
/// Changes of state in a round, a multiple of three.
const CHANGES: u32 = 600;

/// Puts the same program at a function of this process that is like one of Go's, calls it, and takes the time.
///
/// # Errors
/// See [`TraceError`].
pub fn costs(options: &Options) -> Result<Costs, TraceError> {
    let site = site::file_offset().ok_or(TraceError::Architecture)?;
    let options = Options { filter: None, ring_bytes: 1 << 20, max_goroutines: 64, ..options.clone() };
    // In a g of our own, everything is at its place.
    let offsets = Offsets {
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_pc: 64,
        g_sched_bp: 96,
        g_goid: 152,
        g_waitreason: 176,
        g_startpc: 304,
        m_curg: 184,
        request_method: 0,
        request_url: 0,
        url_path: 0,
        request_header: 0,
        request_pattern: None,
        maps: Maps::Buckets { b: 0, buckets: 0, bucket_size: 0, values: 0, least_tophash: 0 },
    };
    let without = fastest(|| {});
    let hit_ns = |file_offset: u64| -> Result<f64, TraceError> {
        let plan = Plan {
            pid: std::process::id(),
            exe: PathBuf::from("/proc/self/exe"),
            sites: vec![Site { kind: SiteKind::CasStatus, file_offset }],
            offsets,
            classes: [super::OTHER; 256],
            options: options.clone(),
        };
        let mut tracer = Tracer::start(&plan)?;
        let with = fastest(|| tracer.poll(&mut |_| {}));
        Ok(with.saturating_sub(without).as_nanos() as f64 / f64::from(CHANGES))
    };
    // `push` is emulated, `pop` after it is not.
    Ok(Costs { hit_ns: hit_ns(site)?, stepped_ns: hit_ns(site + 1)? })
}

fn fastest(mut between: impl FnMut()) -> Duration {
    let mut rounds = [Duration::MAX; ROUNDS];
    for round in &mut rounds {
        let start = monotonic_ns();
        site::change(CHANGES);
        *round = Duration::from_nanos(monotonic_ns().saturating_sub(start));
        between();
    }
    rounds.into_iter().min().unwrap_or_default()
}

#[cfg(target_arch = "x86_64")]
mod site {
    use std::arch::{asm, global_asm};

    // Where Go's casgstatus begins, more or less.
    global_asm!(
        ".p2align 4",
        ".globl fgspy_site_of_costs",
        ".hidden fgspy_site_of_costs",
        "fgspy_site_of_costs:",
        "push rbp",
        "pop rbp",
        "ret"
    );

    unsafe extern "C" {
        fn fgspy_site_of_costs();
    }

    /// A g, an m, and room for the words between.
    #[repr(C, align(8))]
    struct Fake([u64; 64]);

    /// Where the site is in this program's file.
    pub(super) fn file_offset() -> Option<u64> {
        let address = fgspy_site_of_costs as *const () as u64;
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

    /// Passes the site `times` times, as a goroutine does that waits, wants to run and runs.
    pub(super) fn change(times: u32) {
        let mut fake = Fake([0; 64]);
        let g = fake.0.as_mut_ptr();
        // Its own m's current g, at 48, and 184 bytes from there.
        fake.0[6] = g as u64;
        fake.0[23] = g as u64;
        for _ in 0..times / 3 {
            for (old, new) in [(2u64, 4u64), (4, 1), (1, 2)] {
                // SAFETY: the function changes no register but the stack pointer, and puts that back; RBX, which the
                // compiler keeps for itself, is put back as well.
                unsafe {
                    asm!(
                        "xchg rbx, {old}",
                        "call {site}",
                        "xchg rbx, {old}",
                        old = inout(reg) old => _,
                        site = sym fgspy_site_of_costs,
                        in("rax") g,
                        in("rcx") new,
                        in("r14") g,
                    );
                }
            }
        }
        std::hint::black_box(&fake);
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod site {
    pub(super) fn file_offset() -> Option<u64> {
        None
    }

    pub(super) fn change(_: u32) {}
}

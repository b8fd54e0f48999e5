//! The runtime's `g`, decoded.

use fgspy_gobin::layout::Layout;

use crate::bytes::{u32_at, u64_at};
use crate::unwind::{Bounds, Context};
use crate::{Status, status};

/// The fields of a `runtime.g` that fgspy reads, as they were at one instant (or torn between two: see [`G::same_as`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct G {
    /// Goroutine id; never reused within a process.
    pub goid: u64,
    /// `g.atomicstatus`, scan bit included.
    pub raw_status: u32,
    /// Index into the runtime's wait reasons.
    pub wait_reason: u8,
    /// The runtime's count of transitions out of running, modulo 256 (`trackingSeq`, Go 1.17 on).
    pub sequence: Option<u8>,
    /// Since when it waits, in nanoseconds of `CLOCK_MONOTONIC`, as far as the runtime knows: a garbage collection notes it
    /// (`g.waitsince`); 0 when none has since.
    pub wait_since_ns: i64,
    /// Stack bounds.
    pub bounds: Bounds,
    /// Saved context of a goroutine that is not running (`g.sched`).
    pub sched: Context,
    /// Saved context of a goroutine in a system call; its frame pointer is saved from Go 1.23 on.
    pub syscall: Context,
    /// Address of the m (thread) that has this goroutine, or 0.
    pub m: u64,
    /// Address of the m this goroutine is locked to, or 0.
    pub locked_m: u64,
    /// The goroutine that started this one (Go 1.21 on).
    pub parent_goid: Option<u64>,
    /// Return address of the `go` statement that started it.
    pub go_pc: u64,
    /// Entry of the function it was started with.
    pub start_pc: u64,
    /// Its `runtime/pprof` labels, or 0.
    pub labels: u64,
}

impl G {
    /// No goroutine.
    pub(crate) const NONE: G = G {
        goid: 0,
        raw_status: 0,
        wait_reason: 0,
        sequence: None,
        wait_since_ns: 0,
        bounds: Bounds { lo: 0, hi: 0 },
        sched: Context { pc: 0, sp: 0, fp: None, link: None },
        syscall: Context { pc: 0, sp: 0, fp: None, link: None },
        m: 0,
        locked_m: 0,
        parent_goid: None,
        go_pc: 0,
        start_pc: 0,
        labels: 0,
    };

    /// Decodes a copy of a g. `None` when `bytes` is shorter than the layout needs.
    pub fn decode(layout: &Layout, bytes: &[u8]) -> Option<G> {
        let (g, gobuf) = (&layout.g, &layout.gobuf);
        let word = |offset: u32| u64_at(bytes, offset as usize);
        let optional = |offset: Option<u32>| offset.map_or(Some(None), |offset| word(offset).map(Some));
        Some(G {
            goid: word(g.goid)?,
            raw_status: u32_at(bytes, g.atomicstatus as usize)?,
            wait_reason: *bytes.get(g.waitreason as usize)?,
            sequence: match g.tracking_seq {
                Some(offset) => Some(*bytes.get(offset as usize)?),
                None => None,
            },
            wait_since_ns: word(g.waitsince)? as i64,
            bounds: Bounds { lo: word(g.stack_lo)?, hi: word(g.stack_hi)? },
            sched: Context {
                pc: word(g.sched + gobuf.pc)?,
                sp: word(g.sched + gobuf.sp)?,
                fp: Some(word(g.sched + gobuf.bp)?),
                // Always 0 on amd64.
                link: Some(word(g.sched + gobuf.lr)?).filter(|link| *link != 0),
            },
            syscall: Context { pc: word(g.syscallpc)?, sp: word(g.syscallsp)?, fp: optional(g.syscallbp)?, link: None },
            m: word(g.m)?,
            locked_m: word(g.lockedm)?,
            parent_goid: optional(g.parent_goid)?,
            go_pc: word(g.gopc)?,
            start_pc: word(g.startpc)?,
            labels: word(g.labels)?,
        })
    }

    /// Its status; `None` when this g is no live goroutine.
    pub fn status(&self) -> Option<Status> {
        Status::of(self.raw_status)
    }

    /// Whether the garbage collector is scanning its stack.
    pub fn is_scanned(&self) -> bool {
        status::has_scan(self.raw_status)
    }

    /// The saved context from which its stack can be walked; `None` while it runs on that stack.
    pub fn context(&self) -> Option<Context> {
        match self.status()? {
            // Its thread left the goroutine's stack for its own (`systemstack`, `morestack`): the context saved then holds
            // until it comes back, when the runtime clears the stack pointer (`runtime/asm_amd64.s`, `gogo`).
            Status::Running | Status::CopyStack => Some(self.sched).filter(|sched| self.bounds.holds(sched.sp, 8)),
            Status::Syscall => Some(self.syscall),
            Status::Runnable | Status::Waiting | Status::Preempted | Status::Leaked => Some(self.sched),
        }
    }

    /// Whether this goroutine has not run, and its stack has not moved, between two reads: everything read in between is
    /// then one consistent picture.
    ///
    /// The program counter alone says little (a parked goroutine is always in `gopark`); `sequence` is what reveals one
    /// that ran and parked again in the same place.
    pub fn same_as(&self, later: &G) -> bool {
        // The garbage collector sets the scan bit and the time of waiting without the goroutine running.
        let steady = |g: &G| G { raw_status: status::without_scan(g.raw_status), wait_since_ns: 0, ..*g };
        steady(self) == steady(later)
    }
}

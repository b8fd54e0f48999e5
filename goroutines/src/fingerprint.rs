//! A short proof that a goroutine has not run since it was last read.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use crate::bytes::{u32_at, u64_at};
use crate::{Runtime, Status, status};

/// Everything in a g that changes when its goroutine runs or its stack moves, as one number.
///
/// Two equal fingerprints of the same g that are proofs ([`Fingerprint::is_proof`]) say that the goroutine has not run in
/// between, so that its stack is what it was. Not quite for certain: the runtime's count has 8 bits (`g.trackingSeq`), so
/// a goroutine that ran 256 times and stopped at the same place looks the same. Whoever relies on it should walk the
/// stack again now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// Set in the fingerprints that prove nothing.
const NO_PROOF: u64 = 1;

impl Fingerprint {
    /// The fingerprint of a copy of a g, without decoding all of it: this is done for every goroutine that is read.
    /// `None` when it is no live goroutine, or cut short.
    pub(crate) fn of(runtime: &Runtime, copy: &[u8]) -> Option<Fingerprint> {
        let (g, gobuf) = (&runtime.layout.g, &runtime.layout.gobuf);
        let raw_status = u32_at(copy, g.atomicstatus as usize)?;
        let status = Status::of(raw_status)?;
        let sequence = match g.tracking_seq {
            Some(offset) => Some(*copy.get(offset as usize)?),
            None => None,
        };
        let wait_reason = *copy.get(g.waitreason as usize)?;
        let small = u64::from(status::without_scan(raw_status))
            | u64::from(wait_reason) << 32
            | u64::from(sequence.unwrap_or(0)) << 40;
        let mut hasher = FxHasher::default();
        hasher.write_u64(small);
        // Whatever else changes when it runs, or is another goroutine. (What is fixed at its birth comes with `goid`.)
        let (pc, sp, bp) = (g.sched + gobuf.pc, g.sched + gobuf.sp, g.sched + gobuf.bp);
        for offset in [g.goid, g.stack_lo, g.stack_hi, g.m, g.lockedm, g.labels, pc, sp, bp, g.syscallpc, g.syscallsp] {
            hasher.write_u64(u64_at(copy, offset as usize)?);
        }
        // `casgstatus` counts each time one stops running (`runtime/proc.go`; Go 1.17 on). System calls are left out: from
        // Go 1.26 on they change the status without `casgstatus`.
        let counted = matches!(status, Status::Waiting | Status::Leaked | Status::Runnable | Status::Preempted);
        // One that the runtime calls waiting while it works on its thread (`casGToWaitingForSuspendG`) goes on uncounted.
        let is_at_work = status == Status::Waiting && u64_at(copy, g.m as usize)? != 0;
        let is_coroutine = runtime.is_coroutine(status, wait_reason);
        let proof = counted && !is_at_work && !is_coroutine && sequence.is_some();
        Some(Fingerprint(hasher.finish() & !NO_PROOF | if proof { 0 } else { NO_PROOF }))
    }

    /// Whether a goroutine cannot run without this changing: it is parked or queued, and its runtime counts.
    pub fn is_proof(self) -> bool {
        self.0 & NO_PROOF == 0
    }
}

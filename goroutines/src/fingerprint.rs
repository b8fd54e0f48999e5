//! A short proof that a goroutine has not run since it was last read.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use crate::{G, Status, status};

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
    /// The fingerprint of a g as it was read.
    pub(crate) fn of(g: &G, status: Status) -> Fingerprint {
        // Whatever `G::same_as` compares.
        let G { goid, raw_status, wait_reason, sequence, bounds, sched, syscall, .. } = *g;
        let small = u64::from(status::without_scan(raw_status))
            | u64::from(wait_reason) << 32
            | u64::from(sequence.unwrap_or(0)) << 40;
        let mut hasher = FxHasher::default();
        for word in [goid, small, bounds.lo, bounds.hi, g.m, g.locked_m, g.start_pc, g.go_pc, g.labels] {
            hasher.write_u64(word);
        }
        for context in [sched, syscall] {
            for word in [context.pc, context.sp, context.fp.unwrap_or(0), context.link.unwrap_or(0)] {
                hasher.write_u64(word);
            }
        }
        // `casgstatus` counts each time one stops running (`runtime/proc.go`; Go 1.17 on). System calls are left out: from
        // Go 1.26 on they change the status without `casgstatus`.
        let counted = matches!(status, Status::Waiting | Status::Leaked | Status::Runnable | Status::Preempted);
        let proof = counted && sequence.is_some();
        Fingerprint(hasher.finish() & !NO_PROOF | if proof { 0 } else { NO_PROOF })
    }

    /// Whether a goroutine cannot run without this changing: it is parked or queued, and its runtime counts.
    pub fn is_proof(self) -> bool {
        self.0 & NO_PROOF == 0
    }
}

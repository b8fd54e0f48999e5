//! A second look at goroutines whose comings and goings the runtime does not count.
//!
//! A parked goroutine cannot run without its transition count moving. But one that leaves its stack for its thread's own
//! (`systemstack`), a coroutine (`runtime/coro.go`), and from Go 1.26 on one that makes system calls (`runtime/proc.go`,
//! `reentersyscall` changes the status without `casgstatus`), can go on and come back to the very same place between two reads of its g, which then
//! look as if nothing had happened, while the stack was read in between. Such a stack must be one that calls can have made
//! ([`crate::chain`]): that catches most mixtures of two moments, and needs no read. Then it is read again, g and stack and
//! g at one go, which takes about a microsecond, and believed only if all readings agree. In a system call one more reading
//! is a proof: the thread has a count that differs from one call to the next (`m.syscalltick`).

use fgspy_memory::{Memory, Range, ReadError};

use super::{Job, Outcome, Reader};
use crate::chain::Fit;
use crate::{G, Runtime, Status};

/// Further readings that must agree with the first. Of a program that does nothing but leave its stack and come back by another
/// way, on a machine with more to do than CPUs, one in 3,000 first readings was torn, and one in 500,000 that agreed with a
/// second one; each further reading leaves less than a tenth.
const LOOKS: usize = 6;

impl Reader {
    /// Rejects stacks of `jobs` that are not the same when they are read again. If the reader `was_interrupted` since their g's
    /// were read, all of them are read again.
    pub(super) fn confirm(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        jobs: &mut [Job],
        was_interrupted: bool,
    ) -> Result<(), ReadError> {
        let counted_looks = usize::from(was_interrupted);
        self.refuse_torn(runtime, jobs, counted_looks);
        let size = runtime.layout.g.size as usize;
        for look in 0..LOOKS {
            let mut doubtful: Vec<&mut Job> =
                jobs.iter_mut().filter(|job| look < job.looks(runtime, counted_looks)).collect();
            if doubtful.is_empty() {
                return Ok(());
            }
            let parts = |job: &&mut Job| {
                let (g, count) = (Range { addr: job.address, len: size }, job.count_of_syscalls(runtime));
                [count, g, job.stack, g, count]
            };
            self.ranges.clear();
            self.ranges.extend(doubtful.iter().flat_map(parts));
            let (mut bytes, mut got) = (Vec::new(), Vec::new());
            memory.read_ranges(&self.ranges, &mut bytes, &mut got)?;
            let whole: Vec<bool> = self.ranges.iter().zip(&got).map(|(range, got)| range.len == *got).collect();
            let mut rest = bytes.as_slice();
            let mut take = |len| {
                let (copied, tail) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                rest = tail;
                copied
            };
            for (job, whole) in doubtful.iter_mut().zip(whole.chunks_exact(5)) {
                let count = job.count_of_syscalls(runtime).len;
                let [count_before, before, stack, after, count_after] =
                    [count, size, job.stack.len, size, count].map(&mut take);
                let is_same = |copy| G::decode(&runtime.layout, copy).is_some_and(|g| job.g.same_as(&g));
                let unmoved = whole.iter().all(|whole| *whole)
                    && is_same(before)
                    && is_same(after)
                    && count_before == count_after;
                if !unmoved || !self.agrees(runtime, job, stack) {
                    job.reject();
                }
            }
        }
        Ok(())
    }

    /// Rejects stacks that no calls can have made.
    fn refuse_torn(&mut self, runtime: &Runtime, jobs: &mut [Job], counted_looks: usize) {
        for job in jobs.iter_mut().filter(|job| job.looks(runtime, counted_looks) > 0) {
            let (Outcome::Whole(start, end) | Outcome::Cut(start, end)) = job.outcome else { continue };
            let pcs = self.arena.get(start..end).unwrap_or(&[]);
            if self.chains.fit(runtime, job.g.start_pc, pcs) == Fit::Impossible {
                job.reject();
                job.outcome = Outcome::Torn;
            }
        }
    }

    /// Whether the bytes of a stack give the frames that are kept of it.
    fn agrees(&mut self, runtime: &Runtime, job: &Job, bytes: &[u8]) -> bool {
        let (Outcome::Whole(start, end) | Outcome::Cut(start, end)) = job.outcome else { return true };
        self.unwind(runtime, job, bytes);
        self.arena.get(start..end) == Some(&self.pcs)
    }
}

impl Job {
    /// How often its stack has to be read again: `counted` times if its g tells when it runs.
    fn looks(&self, runtime: &Runtime, counted: usize) -> usize {
        if !matches!(self.outcome, Outcome::Whole(..) | Outcome::Cut(..)) {
            0
        } else if !self.is_uncounted(runtime) {
            counted
        } else if self.count_of_syscalls(runtime).len > 0 {
            1
        } else {
            LOOKS
        }
    }

    /// Where its thread keeps a count that tells one of its system calls from the next; nowhere if it is in none, or that is
    /// not known.
    fn count_of_syscalls(&self, runtime: &Runtime) -> Range {
        match runtime.layout.m.syscalltick {
            Some(offset) if self.status == Status::Syscall => {
                Range { addr: self.g.m.wrapping_add(offset.into()), len: 4 }
            }
            _ => Range { addr: 0, len: 0 },
        }
    }

    /// Whether it may run and come back without its g telling.
    pub(super) fn is_uncounted(&self, runtime: &Runtime) -> bool {
        match self.status {
            Status::Running | Status::CopyStack => true,
            // Before Go 1.26 its transitions are counted, but only after the status has changed, and the count has eight bits:
            // one that makes system calls all the time can look as if it had stayed in one.
            Status::Syscall => true,
            Status::Waiting if runtime.is_coroutine(self.status, self.g.wait_reason) => true,
            // A layout that was measured may lack the count.
            Status::Runnable | Status::Waiting | Status::Preempted | Status::Leaked => self.g.sequence.is_none(),
        }
    }
}

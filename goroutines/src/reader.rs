//! One round over all goroutines: read, check that nothing moved meanwhile, walk the stacks.

mod confirm;

use fgspy_memory::{Memory, Range, ReadError};

use crate::labels::{self, Labels};
use crate::unwind::{End, StackBytes};
use crate::{G, Runtime, Status, bytes};

/// Goroutines read together. A longer batch costs fewer system calls, but leaves more time between the two reads of a g
/// in which it may run; most of the saving is had at this size.
const BATCH: usize = 128;
/// Goroutines read in one round.
const MAX_GOROUTINES: u64 = 16 << 20;
/// First bytes read of each stack, from its stack pointer up; enough for nearly all.
const FIRST_CHUNK: u64 = 2 << 10;
/// Most bytes read of one stack. A deeper one is cut at its root.
const MAX_STACK_BYTES: u64 = 1 << 20;
/// Bytes of label sets remembered between rounds.
const MAX_CACHED_LABELS: usize = 64 << 20;

/// What became of reading a goroutine's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack<'a> {
    /// Its program counters, leaf first, down to `runtime.goexit`: all return addresses (or the entry of a function that
    /// has not started), except below a frame that a signal injected.
    Whole(&'a [u64]),
    /// The frames nearest the leaf of a stack too deep to keep.
    Cut(&'a [u64]),
    /// The goroutine is running: its stack is its thread's.
    OnThread,
    /// The goroutine ran, or its stack moved, while it was read: nothing read of it is used.
    Changed,
    /// Part of it is not mapped.
    Unmapped,
    /// What was read is no stack.
    Broken,
}

impl<'a> Stack<'a> {
    /// The program counters there are.
    pub fn pcs(&self) -> &'a [u64] {
        match *self {
            Stack::Whole(pcs) | Stack::Cut(pcs) => pcs,
            Stack::OnThread | Stack::Changed | Stack::Unmapped | Stack::Broken => &[],
        }
    }
}

/// One goroutine, read.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Address of its g.
    pub address: u64,
    /// Its fields, as first read.
    pub g: &'a G,
    /// Its status, as first read: even where the stack was rejected, this was true at one instant.
    pub status: Status,
    /// The thread that has it, by the thread id the target itself sees.
    pub tid: Option<u32>,
    /// Its stack.
    pub stack: Stack<'a>,
    /// Its `runtime/pprof` labels; `None` when they could not be read consistently.
    pub labels: Option<&'a Labels>,
    /// Addresses of all g's that the runtime has, dead ones included; sorted.
    pub all: &'a [u64],
}

/// Reads goroutines, round after round. Keeps its buffers, and what does not change.
#[derive(Debug, Default)]
pub struct Reader {
    addresses: Vec<u64>,
    buf: Vec<u8>,
    got: Vec<usize>,
    ranges: Vec<Range>,
    pcs: Vec<u64>,
    arena: Vec<u64>,
    labels: LabelCache,
}

/// A goroutine of the current batch.
struct Job {
    address: u64,
    g: G,
    status: Status,
    tid: Option<u32>,
    /// The part of its stack that was last read.
    stack: Range,
    outcome: Outcome,
    labels: Option<Labels>,
}

/// [`Stack`], with its frames in the arena.
#[derive(Clone, Copy)]
enum Outcome {
    /// So many bytes of the stack are to be read.
    Wanted(u64),
    Whole(usize, usize),
    Cut(usize, usize),
    OnThread,
    Changed,
    Unmapped,
    Broken,
}

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Reads every live goroutine once and hands it to `sink`, in order of address.
    pub fn round(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        sink: &mut dyn FnMut(Observation<'_>),
    ) -> Result<(), ReadError> {
        self.refresh_addresses(runtime, memory)?;
        let addresses = std::mem::take(&mut self.addresses);
        let result = addresses.chunks(BATCH).try_for_each(|batch| {
            let mut jobs = self.read_batch(runtime, memory, batch)?;
            self.read_threads(runtime, memory, &mut jobs)?;
            self.read_labels(runtime, memory, &mut jobs)?;
            self.read_stacks(runtime, memory, &mut jobs)?;
            self.confirm(runtime, memory, &mut jobs)?;
            jobs.iter().for_each(|job| sink(job.observation(&self.arena, &addresses)));
            Ok(())
        });
        self.addresses = addresses;
        result
    }

    /// Reads the runtime's list of g's again if it has grown. It never shrinks, and a g once on it stays where it is.
    fn refresh_addresses(&mut self, runtime: &Runtime, memory: &dyn Memory) -> Result<(), ReadError> {
        // The runtime publishes a new array before its new length: read in the opposite order, the length always fits.
        let Some(len) = memory.read_u64(runtime.list.len)? else { return Ok(()) };
        if len as usize == self.addresses.len() || len > MAX_GOROUTINES {
            return Ok(());
        }
        let Some(array) = memory.read_u64(runtime.list.ptr)? else { return Ok(()) };
        self.ranges.clear();
        self.ranges.push(Range { addr: array, len: len as usize * 8 });
        memory.read_ranges(&self.ranges, &mut self.buf, &mut self.got)?;
        if self.got.first() == Some(&(len as usize * 8)) {
            self.addresses.clear();
            self.addresses.extend(bytes::words(&self.buf));
            self.addresses.sort_unstable();
        }
        Ok(())
    }

    /// Reads the g's at `batch`; those that are live goroutines become jobs.
    fn read_batch(&mut self, runtime: &Runtime, memory: &dyn Memory, batch: &[u64]) -> Result<Vec<Job>, ReadError> {
        self.arena.clear();
        let gs = self.read_gs(runtime, memory, batch.iter().copied())?;
        let jobs = batch.iter().zip(gs).filter_map(|(&address, g)| Job::new(runtime, address, g?));
        Ok(jobs.collect())
    }

    /// Reads g's; `None` for one that is not (wholly) mapped.
    fn read_gs(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        addresses: impl Iterator<Item = u64>,
    ) -> Result<Vec<Option<G>>, ReadError> {
        let len = runtime.layout.g.size as usize;
        self.ranges.clear();
        self.ranges.extend(addresses.map(|addr| Range { addr, len }));
        memory.read_ranges(&self.ranges, &mut self.buf, &mut self.got)?;
        let copies = self.buf.chunks_exact(len.max(1));
        let whole = self.got.iter().map(|got| *got == len);
        Ok(copies.zip(whole).map(|(copy, whole)| if whole { G::decode(&runtime.layout, copy) } else { None }).collect())
    }

    /// Finds the threads of goroutines that have one.
    fn read_threads(&mut self, runtime: &Runtime, memory: &dyn Memory, jobs: &mut [Job]) -> Result<(), ReadError> {
        let procid = u64::from(runtime.layout.m.procid);
        let mut with_thread: Vec<&mut Job> = jobs.iter_mut().filter(|job| job.g.m != 0).collect();
        self.ranges.clear();
        self.ranges.extend(with_thread.iter().map(|job| Range { addr: job.g.m.wrapping_add(procid), len: 8 }));
        memory.read_ranges(&self.ranges, &mut self.buf, &mut self.got)?;
        for (i, job) in with_thread.iter_mut().enumerate() {
            let mapped = self.got.get(i) == Some(&8);
            let tid = bytes::u64_at(&self.buf, i * 8).filter(|tid| mapped && *tid != 0);
            job.tid = tid.and_then(|tid| u32::try_from(tid).ok());
        }
        Ok(())
    }

    /// Reads the labels of goroutines that have some. What was read is confirmed with the stack.
    fn read_labels(&mut self, runtime: &Runtime, memory: &dyn Memory, jobs: &mut [Job]) -> Result<(), ReadError> {
        for job in jobs.iter_mut().filter(|job| job.g.labels != 0) {
            job.labels = match self.labels.get(job) {
                Some(labels) => Some(labels.clone()),
                None => labels::read(runtime.labels, memory, job.g.labels)?,
            };
        }
        Ok(())
    }

    /// Reads and walks stacks until every job has its outcome: each time the stacks, then the g's again, and only where
    /// the g is unchanged the bytes in between are believed. Stacks that need more bytes go round again.
    fn read_stacks(&mut self, runtime: &Runtime, memory: &dyn Memory, jobs: &mut [Job]) -> Result<(), ReadError> {
        let mut first = true;
        loop {
            let unread: Vec<usize> = (0..jobs.len()).filter(|&i| jobs[i].is_unread(first)).collect();
            if unread.is_empty() {
                return Ok(());
            }
            self.ranges.clear();
            self.ranges.extend(unread.iter().map(|&i| jobs[i].stack_range()));
            let (mut stacks, mut got) = (Vec::new(), Vec::new());
            memory.read_ranges(&self.ranges, &mut stacks, &mut got)?;
            let ranges = std::mem::take(&mut self.ranges);
            let again = self.read_gs(runtime, memory, unread.iter().map(|&i| jobs[i].address))?;
            let mut rest = stacks.as_slice();
            for (((&i, range), got), again) in unread.iter().zip(&ranges).zip(&got).zip(again) {
                let (copied, tail) = rest.split_at_checked(range.len).unwrap_or((rest, &[]));
                rest = tail;
                let job = &mut jobs[i];
                if !again.is_some_and(|again| job.g.same_as(&again)) {
                    job.reject();
                    continue;
                }
                if first {
                    self.labels.put(job);
                }
                if matches!(job.outcome, Outcome::Wanted(_)) {
                    let bytes = copied.get(..*got).unwrap_or(copied);
                    job.stack = *range;
                    job.outcome = match self.walk(runtime, job, bytes) {
                        // It runs on its own stack after all: what was saved is of an earlier time.
                        Outcome::Broken | Outcome::Unmapped if job.status.is_on_thread() => Outcome::OnThread,
                        Outcome::Whole(..) | Outcome::Cut(..)
                            if job.status.is_on_thread() && self.called_c(runtime) =>
                        {
                            Outcome::OnThread
                        }
                        outcome => outcome,
                    };
                }
            }
            self.ranges = ranges;
            first = false;
        }
    }

    fn walk(&mut self, runtime: &Runtime, job: &Job, bytes: &[u8]) -> Outcome {
        let range = job.stack;
        match self.unwind(runtime, job, bytes) {
            End::NeedsBytes { .. } if bytes.len() < range.len => Outcome::Unmapped,
            End::NeedsBytes { up_to } => {
                let (read, above) = (range.len as u64, job.g.bounds.hi.saturating_sub(range.addr));
                let needed = up_to.saturating_sub(range.addr).max(4 * read).min(MAX_STACK_BYTES).min(above);
                if needed > read {
                    // Each time more than before, so that this ends whatever the bytes say.
                    Outcome::Wanted(needed)
                } else if read >= MAX_STACK_BYTES {
                    self.keep(Outcome::Cut)
                } else {
                    Outcome::Broken
                }
            }
            End::Bottom => self.keep(Outcome::Whole),
            End::TooDeep => self.keep(Outcome::Cut),
            End::Broken => Outcome::Broken,
        }
    }

    /// Unwinds what was read of a job's stack.
    fn unwind(&mut self, runtime: &Runtime, job: &Job, bytes: &[u8]) -> End {
        let Some(context) = job.g.context().filter(|context| job.g.bounds.holds(context.sp, 8)) else {
            return End::Broken;
        };
        let stack = StackBytes { start: job.stack.addr, bytes };
        runtime.unwinder.unwind(&runtime.binary, runtime.bias, context, job.g.bounds, stack, &mut self.pcs)
    }

    /// Whether the goroutine that was just walked had left its stack for C.
    fn called_c(&self, runtime: &Runtime) -> bool {
        self.pcs.get(1).is_some_and(|pc| runtime.unwinder.special().is_c_call(pc.wrapping_sub(runtime.bias)))
    }

    /// Moves the walked frames into the arena.
    fn keep(&mut self, outcome: fn(usize, usize) -> Outcome) -> Outcome {
        let start = self.arena.len();
        self.arena.extend_from_slice(&self.pcs);
        outcome(start, self.arena.len())
    }
}

impl Job {
    fn new(runtime: &Runtime, address: u64, g: G) -> Option<Job> {
        let status = g.status()?;
        let outcome = match g.context() {
            Some(context)
                if status.is_on_thread()
                    && !runtime.unwinder.has_left_stack(&runtime.binary, runtime.bias, context) =>
            {
                Outcome::OnThread
            }
            Some(context) if g.bounds.holds(context.sp, 8) => Outcome::Wanted(FIRST_CHUNK),
            // The stack pointer is set before the status and cleared after it: the g was copied in between.
            Some(_) if status == Status::Syscall => Outcome::Changed,
            // Most likely it moved while its g was copied: another look will tell.
            Some(_) => Outcome::Wanted(0),
            None => Outcome::OnThread,
        };
        Some(Job { address, g, status, tid: None, stack: Range { addr: 0, len: 0 }, outcome, labels: None })
    }

    /// Whether there is something to read or to confirm: a stack, or (once) the labels of a running goroutine.
    fn is_unread(&self, first: bool) -> bool {
        matches!(self.outcome, Outcome::Wanted(_)) || (first && self.labels.is_some())
    }

    fn stack_range(&self) -> Range {
        let (Outcome::Wanted(len), Some(context)) = (self.outcome, self.g.context()) else {
            return Range { addr: 0, len: 0 };
        };
        let above = self.g.bounds.hi.saturating_sub(context.sp);
        Range { addr: context.sp, len: len.min(above) as usize }
    }

    /// The goroutine moved while it was read. A running one keeps what its first read said, but for its labels.
    fn reject(&mut self) {
        self.labels = None;
        self.outcome = if self.status.is_on_thread() { Outcome::OnThread } else { Outcome::Changed };
    }

    fn observation<'a>(&'a self, arena: &'a [u64], all: &'a [u64]) -> Observation<'a> {
        const NO_LABELS: &Labels = &Labels::new();
        let frames = |start, end| arena.get(start..end).unwrap_or(&[]);
        Observation {
            address: self.address,
            g: &self.g,
            status: self.status,
            tid: self.tid,
            stack: match self.outcome {
                Outcome::Whole(start, end) => Stack::Whole(frames(start, end)),
                Outcome::Cut(start, end) => Stack::Cut(frames(start, end)),
                Outcome::OnThread => Stack::OnThread,
                Outcome::Changed => Stack::Changed,
                Outcome::Unmapped => Stack::Unmapped,
                Outcome::Broken | Outcome::Wanted(_) => Stack::Broken,
            },
            labels: if self.g.labels == 0 { Some(NO_LABELS) } else { self.labels.as_ref() },
            all,
        }
    }
}

/// Labels of goroutines that have not run since they were read.
#[derive(Debug, Default)]
struct LabelCache {
    sets: std::collections::HashMap<u64, (LabelKey, Labels)>,
    bytes: usize,
}

/// While these agree the goroutine has not run, so it still holds the same, unchanged, label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LabelKey {
    goid: u64,
    sequence: u8,
    labels: u64,
}

impl LabelCache {
    fn key(job: &Job) -> Option<LabelKey> {
        // Only a parked goroutine's sequence proves anything; Go before 1.17 has none.
        let parked = matches!(job.status, Status::Waiting | Status::Leaked);
        let sequence = job.g.sequence.filter(|_| parked)?;
        Some(LabelKey { goid: job.g.goid, sequence, labels: job.g.labels })
    }

    fn get(&self, job: &Job) -> Option<&Labels> {
        let (key, labels) = self.sets.get(&job.address)?;
        (Some(*key) == LabelCache::key(job)).then_some(labels)
    }

    fn put(&mut self, job: &Job) {
        if let (Some(key), Some(labels)) = (LabelCache::key(job), &job.labels) {
            if self.bytes >= MAX_CACHED_LABELS {
                self.sets.clear();
                self.bytes = 0;
            }
            if self.sets.get(&job.address).is_none_or(|(cached, _)| *cached != key) {
                self.bytes += labels::bytes_of(labels);
                self.sets.insert(job.address, (key, labels.clone()));
            }
        }
    }
}

//! Reading goroutines: read, check that nothing moved meanwhile, walk the stacks.

mod children;
mod confirm;
mod job;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fgspy_memory::{Memory, Range, ReadError};
use job::{Job, Outcome};
use rustc_hash::FxBuildHasher;

use crate::allgs::AllGs;
use crate::chain::Chains;
use crate::copies::Copies;
use crate::fingerprint::Fingerprint;
use crate::labels::{self, Labels};
use crate::request::{Finder, Gathered, RequestCounts, RequestOptions, SampledServing, SampledStack, Served, Sought};
use crate::unwind::{End, StackBytes};
use crate::{G, Runtime, Status, bytes};

/// Goroutines read together. A longer batch costs fewer system calls, but leaves more time between the two reads of a g
/// in which it may run; most of the saving is had at this size.
const BATCH: usize = 256;
/// The same where goroutines are among them that serve requests: to find these takes more reads, and who has gone on meanwhile
/// may serve another one.
const BATCH_WITH_REQUESTS: usize = 64;
/// If a batch takes longer than this, the reader had no CPU meanwhile, and the count of a goroutine that parks all the time may
/// have gone round. Without an interruption a batch takes some 100 µs.
const LONG: Duration = Duration::from_millis(1);
/// Most bytes read of one stack. A deeper one is cut at its root.
const MAX_STACK_BYTES: u64 = 1 << 20;

/// How much more is read of a stack that needs more. Many small steps would copy less where the walk ends early, but each
/// is time in which the goroutine may run, and then nothing is known of it: deep stacks would be missed more often than
/// flat ones.
const GROWTH: u64 = 64;

/// Which goroutine to read, and how closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its number in [`AllGs`].
    pub index: u32,
    /// What is known of it already.
    pub look: Look,
}

/// How closely to look at a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// At its g only: [`Stack::Unread`].
    G,
    /// At its stack too.
    Stack,
    /// At its stack too, unless this fingerprint, taken earlier, proves that it has not run since: [`Sight::Same`].
    Since(Fingerprint),
}

/// What became of reading a goroutine's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack<'a> {
    /// It was not asked for.
    Unread,
    /// Its program counters, leaf first, down to `runtime.goexit`: all return addresses (or the entry of a function that
    /// has not started), except below a frame that a signal injected.
    Whole(&'a [u64]),
    /// The frames nearest the leaf of a stack too deep to keep.
    Cut(&'a [u64]),
    /// The goroutine is running: its stack is its thread's.
    OnThread,
    /// The goroutine ran, or its stack moved, while it was read. What was read after that is not used; here are the frames
    /// nearest the leaf, perhaps none, that were read before, when it was as its g was first read.
    Changed(&'a [u64]),
    /// What was read is a mixture of two moments: no calls can have made it. The goroutine ran while it was read, and its g
    /// does not say so.
    Torn,
    /// Part of it is not mapped.
    Unmapped,
    /// What was read is no stack.
    Broken,
}

impl<'a> Stack<'a> {
    /// The program counters there are.
    pub fn pcs(&self) -> &'a [u64] {
        match *self {
            Stack::Whole(pcs) | Stack::Cut(pcs) | Stack::Changed(pcs) => pcs,
            Stack::Unread | Stack::OnThread | Stack::Torn | Stack::Unmapped | Stack::Broken => &[],
        }
    }
}

/// One goroutine, read.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Its number in [`AllGs`].
    pub index: u32,
    /// Address of its g.
    pub address: u64,
    /// Its fields, as first read.
    pub g: &'a G,
    /// Its fingerprint, as first read.
    pub fingerprint: Fingerprint,
    /// Its status, as first read: even where the stack was rejected, this was true at one instant.
    pub status: Status,
    /// The thread that has it, by the thread id the target itself sees. Not looked for where the stack is not read.
    pub tid: Option<u32>,
    /// Its stack.
    pub stack: Stack<'a>,
    /// Its `runtime/pprof` labels; `None` when they could not be read consistently, or were not read.
    pub labels: Option<&'a Labels>,
    /// The request it serves, if the reader was made by [`Reader::with_requests`].
    pub request: Served<'a>,
    /// It serves one request in all its life, known or not, as goroutines of HTTP/2 do.
    pub serves_one: bool,
    /// All g's that the runtime has.
    pub all: &'a AllGs,
}

/// Reads the goroutines of one program. Keeps its buffers, and what it learnt of the program's code.
#[derive(Debug, Default)]
pub struct Reader {
    all: AllGs,
    copies: Copies,
    buf: Vec<u8>,
    got: Vec<usize>,
    ranges: Vec<Range>,
    pcs: Vec<u64>,
    arena: Vec<u64>,
    chains: Chains,
    requests: Option<Finder>,
    /// The live words of stacks are kept.
    gathers: bool,
    gathered: HashMap<u32, Gathered, FxBuildHasher>,
}

/// What became of looking at a goroutine.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// There is none there now.
    Gone,
    /// It is as it was when the fingerprint that [`Look::Since`] names was taken.
    Same,
    /// It was read.
    Seen(Observation<'a>),
}

/// Takes what was read: the place in what was asked for, and what was there.
pub type Sink<'a> = dyn FnMut(usize, Sight<'_>) + 'a;

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// A reader that also says which request a goroutine serves, wherever it reads a stack.
    pub fn with_requests(runtime: &Runtime, options: RequestOptions) -> Reader {
        Reader { requests: Some(Finder::new(runtime, options)), ..Reader::default() }
    }

    /// Whether the program has any function that serves requests; without, none will ever be found.
    pub fn finds_requests(&self) -> bool {
        self.requests.as_ref().is_some_and(Finder::serves_anything)
    }

    /// Whether it is known that no goroutine serves a request: they were looked for in a program that has no function that does.
    pub fn serves_nothing(&self) -> bool {
        self.requests.as_ref().is_some_and(|finder| !finder.serves_anything())
    }

    /// What became of looking for requests, since this reader was made.
    pub fn request_counts(&self) -> RequestCounts {
        self.requests.as_ref().map(Finder::counts).unwrap_or_default()
    }

    /// Takes note that the kernel's samples have been collected, for [`Reader::served_when_sampled`].
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn samples_collected(&mut self, runtime: &Runtime, memory: &dyn Memory) -> Result<(), ReadError> {
        match &mut self.requests {
            Some(finder) if finder.serves_anything() => finder.collected(runtime, memory),
            _ => Ok(()),
        }
    }

    /// What goroutines served when the kernel sampled their threads, in the order of `samples`. All must have been taken after the
    /// call of [`Reader::samples_collected`] before the last one.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn served_when_sampled(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        samples: &[SampledStack<'_>],
    ) -> Result<Vec<SampledServing>, ReadError> {
        match &mut self.requests {
            Some(finder) => finder.sampled(runtime, memory, samples),
            None => Ok(vec![SampledServing::Unknown; samples.len()]),
        }
    }

    /// All g's, as of the last [`Reader::refresh`].
    pub fn all(&self) -> &AllGs {
        &self.all
    }

    /// Learns of g's that the runtime has made since the last time. `len` is how long its list was just now
    /// ([`crate::ActiveFinder::find`]).
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn refresh(&mut self, runtime: &Runtime, memory: &dyn Memory, len: u64) -> Result<(), ReadError> {
        self.all.refresh(runtime, memory, len)
    }

    /// Reads every live goroutine once, its stack too, and hands it to `sink`.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn round(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        sink: &mut dyn FnMut(Observation<'_>),
    ) -> Result<(), ReadError> {
        let len = memory.read_u64(runtime.list.len)?.unwrap_or(0);
        self.refresh(runtime, memory, len)?;
        let wanted: Vec<Wanted> = self.all.runs().flatten().map(|&index| Wanted { index, look: Look::Stack }).collect();
        self.read(runtime, memory, &wanted, &mut |_, sight| {
            if let Sight::Seen(observation) = sight {
                sink(observation);
            }
        })
    }

    /// Reads the goroutines asked for and hands each to `sink` once, in any order. The closer neighbours in `wanted` are
    /// in memory, the less it costs.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn read(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        wanted: &[Wanted],
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        let mut done = 0;
        while let Some(batch) = wanted.get(done..).filter(|rest| !rest.is_empty()).map(|rest| self.batch(rest)) {
            let began = Instant::now();
            let mut jobs = self.read_batch(runtime, memory, batch, done, sink)?;
            done += batch.len();
            if jobs.is_empty() {
                continue;
            }
            self.read_threads(runtime, memory, &mut jobs)?;
            read_labels(runtime, memory, &mut jobs)?;
            self.read_stacks(runtime, memory, &mut jobs)?;
            self.confirm(runtime, memory, &mut jobs, began.elapsed() > LONG)?;
            // All of them together: each step on the way to a request takes one read for all.
            self.find_requests(runtime, memory, &mut jobs)?;
            if let Some(finder) = &mut self.requests {
                finder.end(runtime, memory, jobs.iter_mut().map(Job::sought))?;
                if !self.gathers {
                    jobs.iter().for_each(|job| finder.count(&job.request));
                }
            }
            if self.gathers {
                self.gathered.extend(jobs.iter_mut().map(|job| job.gathered(runtime.bias, &self.arena)));
            }
            jobs.iter().for_each(|job| sink(job.asked, Sight::Seen(job.observation(&self.arena, &self.all))));
        }
        Ok(())
    }

    /// Those of `rest` that are read together.
    fn batch<'a>(&self, rest: &'a [Wanted]) -> &'a [Wanted] {
        let batch = rest.get(..BATCH).unwrap_or(rest);
        let serves = |wanted: &Wanted| self.requests.as_ref().is_some_and(|finder| finder.has_served(wanted.index));
        if batch.iter().any(serves) { batch.get(..BATCH_WITH_REQUESTS).unwrap_or(batch) } else { batch }
    }

    /// Reads the g's of a batch. What they alone answer goes to `sink`; live goroutines with a stack to read become jobs.
    fn read_batch(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        batch: &[Wanted],
        first: usize,
        sink: &mut Sink<'_>,
    ) -> Result<Vec<Job>, ReadError> {
        self.arena.clear();
        let addresses = batch.iter().map(|wanted| self.all.address(wanted.index).unwrap_or(0));
        let indices = batch.iter().map(|wanted| wanted.index);
        self.ranges.clear();
        if let Some(finder) = &mut self.requests {
            finder.before(runtime, indices, &mut self.ranges);
        }
        self.copies.read(memory, &self.ranges, runtime.layout.g.size as usize, addresses)?;
        if let Some(finder) = &mut self.requests {
            finder.began(runtime, memory, self.copies.first(self.ranges.len()))?;
        }
        let mut jobs = Vec::new();
        for (i, wanted) in batch.iter().enumerate() {
            let copy = self.copies.get(memory, runtime.layout.g.size as usize, i)?.unwrap_or(&[]);
            let fingerprint = Fingerprint::of(runtime, copy);
            if let (Look::Since(known), Some(fingerprint)) = (wanted.look, fingerprint)
                && known == fingerprint
                && known.is_proof()
            {
                sink(first + i, Sight::Same);
                continue;
            }
            let address = self.all.address(wanted.index).unwrap_or(0);
            let job = fingerprint.and_then(|fingerprint| {
                let g = G::decode(&runtime.layout, copy)?;
                Job::new(runtime, wanted, first + i, address, (fingerprint, g))
            });
            match job {
                Some(job) if matches!(job.outcome, Outcome::Unread) => {
                    sink(job.asked, Sight::Seen(job.observation(&[], &self.all)));
                }
                Some(job) => jobs.push(job),
                None => sink(first + i, Sight::Gone),
            }
        }
        Ok(jobs)
    }

    /// The g number `index` of those just read; `None` for one that is not (wholly) mapped.
    fn g(&mut self, runtime: &Runtime, memory: &dyn Memory, index: usize) -> Result<Option<G>, ReadError> {
        let copy = self.copies.get(memory, runtime.layout.g.size as usize, index)?;
        Ok(copy.and_then(|copy| G::decode(&runtime.layout, copy)))
    }

    /// Finds the threads of goroutines that have one.
    fn read_threads(&mut self, runtime: &Runtime, memory: &dyn Memory, jobs: &mut [Job]) -> Result<(), ReadError> {
        let procid = u64::from(runtime.layout.m.procid);
        let mut with_thread: Vec<&mut Job> = jobs.iter_mut().filter(|job| job.g.m != 0).collect();
        if with_thread.is_empty() {
            return Ok(());
        }
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

    /// Finds the requests of goroutines.
    fn find_requests(&mut self, runtime: &Runtime, memory: &dyn Memory, jobs: &mut [Job]) -> Result<(), ReadError> {
        let Some(finder) = &mut self.requests else { return Ok(()) };
        for job in jobs.iter_mut().filter(|job| job.request.is_new()) {
            job.request = finder.unwalked(runtime, &job.g);
        }
        let open = jobs.iter_mut().filter(|job| job.request.is_open());
        let mut sought: Vec<Sought<'_>> = open.map(Job::sought).collect();
        if sought.is_empty() { Ok(()) } else { finder.look(runtime, memory, &mut sought) }
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
            self.copies.read(memory, &[], runtime.layout.g.size as usize, unread.iter().map(|&i| jobs[i].address))?;
            let mut rest = stacks.as_slice();
            for (number, ((&i, range), got)) in unread.iter().zip(&ranges).zip(&got).enumerate() {
                let again = self.g(runtime, memory, number)?;
                let (copied, tail) = rest.split_at_checked(range.len).unwrap_or((rest, &[]));
                rest = tail;
                let job = &mut jobs[i];
                if !again.is_some_and(|again| job.g.same_as(&again)) {
                    job.moved_on();
                    continue;
                }
                if matches!(job.outcome, Outcome::Wanted(_)) {
                    let bytes = copied.get(..*got).unwrap_or(copied);
                    job.stack = *range;
                    let stack = StackBytes { start: range.addr, bytes };
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
                    if let (Outcome::Whole(..), Some(finder)) = (job.outcome, &mut self.requests) {
                        job.request = finder.walked(runtime, (job.index, &job.g), &self.pcs, stack);
                        if self.gathers {
                            job.words = finder.live_words(runtime, &job.g, &self.pcs, stack);
                        }
                    }
                }
            }
            self.ranges = ranges;
            first = false;
        }
    }

    fn walk(&mut self, runtime: &Runtime, job: &mut Job, bytes: &[u8]) -> Outcome {
        let range = job.stack;
        match self.unwind(runtime, job, bytes) {
            End::NeedsBytes { .. } if bytes.len() < range.len => Outcome::Unmapped,
            End::NeedsBytes { up_to } => {
                let (read, above) = (range.len as u64, job.g.bounds.hi.saturating_sub(range.addr));
                let needed = up_to.saturating_sub(range.addr).max(GROWTH * read).min(MAX_STACK_BYTES).min(above);
                if needed > read {
                    if !job.is_uncounted(runtime) {
                        job.leaf = self.kept();
                    }
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

    fn keep(&mut self, outcome: fn(usize, usize) -> Outcome) -> Outcome {
        let (start, end) = self.kept();
        outcome(start, end)
    }

    /// Copies the walked frames into the arena, and says where they are.
    fn kept(&mut self) -> (usize, usize) {
        let start = self.arena.len();
        self.arena.extend_from_slice(&self.pcs);
        (start, self.arena.len())
    }
}

/// Reads the labels of goroutines that have some. What was read is confirmed with the stack.
fn read_labels(runtime: &Runtime, memory: &dyn Memory, jobs: &mut [Job]) -> Result<(), ReadError> {
    let mut labelled: Vec<&mut Job> = jobs.iter_mut().filter(|job| job.g.labels != 0).collect();
    if labelled.is_empty() {
        return Ok(());
    }
    let labels = labels::read(runtime, memory, labelled.iter().map(|job| job.g.labels))?;
    labelled.iter_mut().zip(labels).for_each(|(job, labels)| job.labels = labels);
    Ok(())
}

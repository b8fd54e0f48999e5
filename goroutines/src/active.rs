//! Who runs or wants to, found through the runtime's processors (p's) and run queues instead of by looking at every g.

use fgspy_memory::{Memory, Range, ReadError};

use crate::bytes::{u32_at, u64_at, words};
use crate::{Runtime, Scheduler, bytes};

/// Slots of a p's run queue (`runtime/runtime2.go`, `p.runq`).
const RUN_QUEUE: u32 = 256;

/// The most p's that are believed: far more than any machine has CPUs.
const MAX_PROCESSORS: u64 = 4096;

/// Goroutines of the global run queue that are followed: it is a linked list, and each link costs a system call.
const MAX_GLOBAL: usize = 8;

/// Who runs or wants to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Active<T> {
    /// Those that a thread has taken on: at most one for each p.
    pub running: Vec<T>,
    /// Those on a run queue.
    pub queued: Vec<T>,
}

impl<T> Active<T> {
    /// All of them, first those that run. One may be there twice: it was found at two instants.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.running.iter().chain(&self.queued)
    }
}

/// Finds the goroutines that run or are queued to. Keeps its buffers, and the addresses of the p's.
#[derive(Debug, Default)]
pub struct ActiveFinder {
    header: Vec<u8>,
    processors: Vec<u64>,
    ranges: Vec<Range>,
    buf: Vec<u8>,
    got: Vec<usize>,
}

impl ActiveFinder {
    /// Puts the addresses of g's that run, and of those on a run queue, into `found`: each did or was at some instant of
    /// this call. Returns the length of the runtime's list of all g's, which comes along for nothing.
    ///
    /// Not all: one on its way from one queue to the next is on none, and of a long global queue only the head is
    /// followed. What is found is a hint whom to read; only the g itself says what it does.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn find(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        found: &mut Active<u64>,
    ) -> Result<Option<u64>, ReadError> {
        found.running.clear();
        found.queued.clear();
        let Some(scheduler) = runtime.scheduler else { return memory.read_u64(runtime.list.len) };
        let mut threads = Vec::new();
        for _ in 0..2 {
            self.read(runtime, memory, scheduler)?;
            // The slice of p's is replaced only when GOMAXPROCS changes.
            if self.buf.get(..16) == Some(&self.header) {
                break;
            }
            self.read_processors(memory)?;
        }
        let len = u64_at(&self.buf, 24).filter(|_| self.got.get(2) == Some(&8));
        let global = self.decode(runtime, &mut threads, &mut found.queued);
        self.running(runtime, memory, &threads, &mut found.running)?;
        Self::global(runtime, memory, global, &mut found.queued)?;
        Ok(len)
    }

    /// Reads the slice header of p's, the head of the global queue, the length of the list of g's, and each known p, in
    /// one batch.
    fn read(&mut self, runtime: &Runtime, memory: &dyn Memory, scheduler: Scheduler) -> Result<(), ReadError> {
        let head = scheduler.sched.wrapping_add(runtime.layout.sched.runq_head.into());
        self.ranges.clear();
        self.ranges.push(Range { addr: scheduler.allp, len: 16 });
        self.ranges.push(Range { addr: head, len: 8 });
        self.ranges.push(Range { addr: runtime.list.len, len: 8 });
        let p = Fields::of(runtime);
        let range = |&processor: &u64| Range { addr: processor.wrapping_add(p.start), len: p.len };
        self.ranges.extend(self.processors.iter().map(range));
        memory.read_ranges(&self.ranges, &mut self.buf, &mut self.got)
    }

    /// Reads the addresses of the p's anew, from the slice header that was just read.
    fn read_processors(&mut self, memory: &dyn Memory) -> Result<(), ReadError> {
        self.header.clear();
        self.header.extend_from_slice(self.buf.get(..16).unwrap_or(&[]));
        let (array, count) = (u64_at(&self.header, 0).unwrap_or(0), u64_at(&self.header, 8).unwrap_or(0));
        let len = count.min(MAX_PROCESSORS) as usize * 8;
        let (mut buf, mut got) = (Vec::new(), Vec::new());
        memory.read_ranges(&[Range { addr: array, len }], &mut buf, &mut got)?;
        self.processors.clear();
        self.processors.extend(bytes::words(&buf).filter(|processor| *processor != 0));
        Ok(())
    }

    /// Collects the threads (m's) that hold a p, and the goroutines on the p's own queues. Returns the first goroutine of
    /// the global queue.
    fn decode(&self, runtime: &Runtime, threads: &mut Vec<u64>, queued: &mut Vec<u64>) -> u64 {
        let p = Fields::of(runtime);
        let copies = self.buf.get(32..).unwrap_or(&[]).chunks_exact(p.len.max(1));
        for (copy, got) in copies.zip(self.got.iter().skip(3)) {
            if *got != p.len {
                continue;
            }
            let word = |offset: u64| u64_at(copy, (offset - p.start) as usize).unwrap_or(0);
            let count = |offset: u64| u32_at(copy, (offset - p.start) as usize).unwrap_or(0);
            threads.push(word(p.m));
            queued.push(word(p.runnext));
            let (head, tail) = (count(p.head), count(p.tail));
            let waiting = tail.wrapping_sub(head);
            // More than there is room for: torn.
            if waiting <= RUN_QUEUE {
                let slots = (0..waiting).map(|i| u64::from(head.wrapping_add(i) % RUN_QUEUE));
                queued.extend(slots.map(|slot| word(p.queue + slot * 8)));
            }
        }
        threads.retain(|thread| *thread != 0);
        queued.retain(|g| *g != 0);
        u64_at(&self.buf, 16).unwrap_or(0)
    }

    /// Adds what the threads run.
    fn running(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        threads: &[u64],
        found: &mut Vec<u64>,
    ) -> Result<(), ReadError> {
        if threads.is_empty() {
            return Ok(());
        }
        let curg = u64::from(runtime.layout.m.curg);
        self.ranges.clear();
        self.ranges.extend(threads.iter().map(|thread| Range { addr: thread.wrapping_add(curg), len: 8 }));
        memory.read_ranges(&self.ranges, &mut self.buf, &mut self.got)?;
        found.extend(words(&self.buf).filter(|g| *g != 0));
        Ok(())
    }

    /// Follows the global queue.
    fn global(runtime: &Runtime, memory: &dyn Memory, mut next: u64, found: &mut Vec<u64>) -> Result<(), ReadError> {
        for _ in 0..MAX_GLOBAL {
            if next == 0 {
                break;
            }
            found.push(next);
            let link = next.wrapping_add(runtime.layout.g.schedlink.into());
            next = memory.read_u64(link)?.unwrap_or(0);
        }
        Ok(())
    }
}

/// The part of a p that is read: from its thread to its next goroutine.
struct Fields {
    start: u64,
    len: usize,
    m: u64,
    head: u64,
    tail: u64,
    queue: u64,
    runnext: u64,
}

impl Fields {
    fn of(runtime: &Runtime) -> Fields {
        let p = &runtime.layout.p;
        let [m, head, tail, queue, runnext] = [p.m, p.runqhead, p.runqtail, p.runq, p.runnext].map(u64::from);
        let start = m.min(head).min(tail).min(queue).min(runnext);
        let end = (queue + u64::from(RUN_QUEUE) * 8).max(runnext + 8).max(m + 8);
        Fields { start, len: (end - start) as usize, m, head, tail, queue, runnext }
    }
}

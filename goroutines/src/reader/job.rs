//! A goroutine on its way through a reading.

use fgspy_memory::Range;

use super::{Look, Observation, Stack, Wanted};
use crate::allgs::AllGs;
use crate::fingerprint::Fingerprint;
use crate::labels::Labels;
use crate::request::{Answer, Gathered, LEAF_CALLS, Sought, Word};
use crate::{G, Runtime, Status};

/// First bytes read of each stack, from its stack pointer up; enough for nearly all.
const FIRST_CHUNK: u64 = 2 << 10;

/// A goroutine of the current batch.
pub(super) struct Job {
    /// Where it is in what was asked for.
    pub(super) asked: usize,
    pub(super) index: u32,
    pub(super) address: u64,
    pub(super) g: G,
    pub(super) fingerprint: Fingerprint,
    pub(super) status: Status,
    pub(super) tid: Option<u32>,
    /// The part of its stack that was last read.
    pub(super) stack: Range,
    pub(super) outcome: Outcome,
    /// Where in the arena the frames are that were found in the part of its stack read so far, if that is certain: it did
    /// not move, and it would show if it had.
    pub(super) leaf: (usize, usize),
    pub(super) labels: Option<Labels>,
    pub(super) request: Answer,
    /// The live words of its stack, if these are gathered.
    pub(super) words: Vec<Word>,
}

/// [`Stack`], with its frames in the arena.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Unread,
    /// So many bytes of the stack are to be read.
    Wanted(u64),
    Whole(usize, usize),
    Cut(usize, usize),
    OnThread,
    /// With the frames that were found before it moved.
    Changed(usize, usize),
    Torn,
    Unmapped,
    Broken,
}

impl Job {
    /// `None` when `g` is no live goroutine.
    pub(super) fn new(
        runtime: &Runtime,
        wanted: &Wanted,
        asked: usize,
        address: u64,
        (fingerprint, g): (Fingerprint, G),
    ) -> Option<Job> {
        let status = g.status()?;
        let outcome = match wanted.look {
            Look::G => Outcome::Unread,
            Look::Since(_) | Look::Stack => Job::first_outcome(runtime, status, &g),
        };
        let stack = Range { addr: 0, len: 0 };
        let Wanted { index, .. } = *wanted;
        Some(Job {
            asked,
            index,
            address,
            g,
            fingerprint,
            status,
            tid: None,
            stack,
            outcome,
            leaf: (0, 0),
            labels: None,
            request: Answer::default(),
            words: Vec::new(),
        })
    }

    fn first_outcome(runtime: &Runtime, status: Status, g: &G) -> Outcome {
        match g.context() {
            Some(context)
                if status.is_on_thread()
                    && !runtime.unwinder.has_left_stack(&runtime.binary, runtime.bias, context) =>
            {
                Outcome::OnThread
            }
            Some(context) if g.bounds.holds(context.sp, 8) => Outcome::Wanted(FIRST_CHUNK),
            // The stack pointer is set before the status and cleared after it: the g was copied in between.
            Some(_) if status == Status::Syscall => Outcome::Changed(0, 0),
            // Most likely it moved while its g was copied: another look will tell.
            Some(_) => Outcome::Wanted(0),
            None => Outcome::OnThread,
        }
    }

    /// Whether there is something to read or to confirm: a stack, or (once) the labels of a running goroutine.
    pub(super) fn is_unread(&self, first: bool) -> bool {
        matches!(self.outcome, Outcome::Wanted(_)) || (first && self.labels.is_some())
    }

    pub(super) fn stack_range(&self) -> Range {
        let (Outcome::Wanted(len), Some(context)) = (self.outcome, self.g.context()) else {
            return Range { addr: 0, len: 0 };
        };
        let above = self.g.bounds.hi.saturating_sub(context.sp);
        Range { addr: context.sp, len: len.min(above) as usize }
    }

    /// The goroutine moved while it was read. A running one keeps what its first read said, but for its labels.
    pub(super) fn reject(&mut self) {
        self.labels = None;
        self.words.clear();
        // Where its request was is of no use either; one that was found stays.
        if self.request.is_open() {
            self.request = Answer::default();
        }
        self.outcome = if self.status.is_on_thread() { Outcome::OnThread } else { Outcome::Changed(0, 0) };
    }

    /// The goroutine moved after a part of its stack was read and found to be right: that was true when its g was first
    /// read. Without it deep stacks, which take longer to read, would be missed more often than flat ones.
    pub(super) fn moved_on(&mut self) {
        let (start, end) = self.leaf;
        let labels = self.labels.take_if(|_| start < end);
        self.reject();
        if matches!(self.outcome, Outcome::Changed(..)) {
            (self.outcome, self.labels) = (Outcome::Changed(start, end), labels);
        }
    }

    pub(super) fn sought(&mut self) -> Sought<'_> {
        Sought { index: self.index, address: self.address, g: &self.g, answer: &mut self.request }
    }

    /// What is kept of it where live words are gathered.
    pub(super) fn gathered(&mut self, bias: u64, arena: &[u64]) -> (u32, Gathered) {
        let words = std::mem::take(&mut self.words);
        let leaf = match self.outcome {
            Outcome::Whole(start, end) => arena.get(start..end.min(start + LEAF_CALLS)).unwrap_or(&[]),
            _ => &[],
        };
        let leaf = leaf.iter().map(|pc| pc.wrapping_sub(bias)).collect();
        (self.index, Gathered { address: self.address, g: self.g, words, leaf })
    }

    pub(super) fn observation<'a>(&'a self, arena: &'a [u64], all: &'a AllGs) -> Observation<'a> {
        const NO_LABELS: &Labels = &Labels::new();
        let frames = |start, end| arena.get(start..end).unwrap_or(&[]);
        Observation {
            index: self.index,
            address: self.address,
            g: &self.g,
            fingerprint: self.fingerprint,
            status: self.status,
            tid: self.tid,
            stack: match self.outcome {
                Outcome::Unread => Stack::Unread,
                Outcome::Whole(start, end) => Stack::Whole(frames(start, end)),
                Outcome::Cut(start, end) => Stack::Cut(frames(start, end)),
                Outcome::OnThread => Stack::OnThread,
                Outcome::Changed(start, end) => Stack::Changed(frames(start, end)),
                Outcome::Torn => Stack::Torn,
                Outcome::Unmapped => Stack::Unmapped,
                Outcome::Broken | Outcome::Wanted(_) => Stack::Broken,
            },
            labels: if self.g.labels == 0 { Some(NO_LABELS) } else { self.labels.as_ref() },
            request: self.request.served(),
            serves_one: self.request.serves_one(),
            all,
        }
    }
}

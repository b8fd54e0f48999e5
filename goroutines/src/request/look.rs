//! What a search for one goroutine's request starts from, and how it may end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use fgspy_memory::Range;
use rustc_hash::FxBuildHasher;

use super::anchors::{Anchors, Role, Root};
use super::children::Word;
use super::frames::Frames;
use super::types::Types;
use super::{Idle, Mismatch, Protocol, Request, RequestOptions};
use crate::batch::Reads;
use crate::{G, Runtime};

/// Where to begin.
#[derive(Clone, Debug)]
pub(super) enum Start {
    /// Words of frames of a stack that was walked while the goroutine did not run.
    Walked(Slots),
    /// A connection that awaits a request: there is nothing to look for.
    Awaits(u64),
    /// The upper end of the stack, of which only the start function is known.
    Top(Root),
}

impl Start {
    /// Whether the goroutine serves one request in its life: all of HTTP/2 and of gRPC do, but for those of a pool.
    pub(super) fn serves_one(&self) -> bool {
        match self {
            Start::Walked(slots) => slots.connection.is_none() && !slots.reused,
            Start::Awaits(_) => false,
            Start::Top(root) => matches!(root.role, Role::RunHandler | Role::Stream),
        }
    }
}

/// Words of frames that may lead to a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// The connection: what `(*conn).serve` was called on.
    pub(super) connection: Option<u64>,
    /// The frame of `serverHandler.ServeHTTP`, from its upper end down.
    pub(super) handler: Option<Vec<u64>>,
    /// The frame of `(*conn).serve`; only of what the kernel sampled.
    pub(super) serve: Vec<u64>,
    /// The frames from `runHandler` on.
    pub(super) run_handler: Option<Vec<u64>>,
    /// The frames of `(*ServeMux).ServeHTTP` and of what called it, which may have a copy of the request.
    pub(super) mux: Vec<u64>,
    /// The live words of all frames of a goroutine of HTTP/2, outermost first; only of what the kernel sampled, and only where
    /// its requests are not found in one place of `run_handler` (Go 1.27 on).
    pub(super) live: Vec<Word>,
    /// The arguments and the frame of `handleStream`.
    pub(super) stream: Option<Vec<u64>>,
    /// The goroutine may have served other calls before: it is one of a pool. Where its stack was not walked: even since it
    /// was first looked at.
    pub(super) reused: bool,
    /// Whether these are frames of calls that are being made; else they may have returned.
    pub(super) certain: bool,
    /// Where the lowest of these frames ends, if they are not certain.
    pub(super) lowest: u64,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum No {
    Nothing,
    Idle(Idle),
    Torn,
    Unknown(Mismatch),
}

/// A request, found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) request: Arc<Request>,
    pub(super) proof: Proof,
    /// Addresses of what was made for this request and for no other; empty where that is not certain.
    pub(super) marks: Vec<u64>,
    /// The response to it, by the connection; 0 where there is none.
    pub(super) response: u64,
}

/// When a goroutine served a request that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// When the goroutine was first looked at.
    Then,
    /// When the request was read; it may have begun after the goroutine was first looked at.
    Now,
    /// Perhaps the goroutine has never served it: a goroutine before it did, on the same stack.
    Doubtful,
}

/// How a search ended.
#[derive(Clone, Debug)]
pub(super) struct Searched {
    /// The connection that the goroutine serves, one request after the other.
    pub(super) connection: Option<u64>,
    pub(super) found: Result<Found, No>,
}

impl Searched {
    pub(super) const fn no(no: No) -> Searched {
        Searched { connection: None, found: Err(no) }
    }

    /// It is the request that was seen before.
    pub(super) const fn known(request: Arc<Request>) -> Searched {
        Searched { connection: None, found: Ok(Found { request, proof: Proof::Then, marks: Vec::new(), response: 0 }) }
    }
}

/// What all searches share.
pub(super) struct Shared<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) reads: &'a Reads,
    pub(super) anchors: &'a Anchors,
    pub(super) frames: &'a RefCell<Frames>,
    pub(super) options: RequestOptions,
    /// Which word of the frame of `serverHandler.ServeHTTP`, counted from its upper end, was found to be the request.
    pub(super) request_hint: &'a Cell<Option<usize>>,
    /// Which of the words of [`Slots::mux`] was found to be a request that has a pattern.
    pub(super) mux_hint: &'a Cell<Option<usize>>,
    /// Which of the words of [`Slots::run_handler`] was found to be the request.
    pub(super) run_hint: &'a Cell<Option<usize>>,
    /// Which of the words of [`Slots::stream`] were found to be the stream.
    pub(super) stream_places: &'a RefCell<Vec<usize>>,
    pub(super) types: &'a RefCell<Types>,
    /// What was read of the program's constants, by address and length.
    pub(super) constants: &'a RefCell<Constants>,
}

/// Bytes by their address and length.
pub(super) type Constants = HashMap<(u64, usize), Vec<u8>, FxBuildHasher>;

/// Of [`fgspy_gobin::Segment::flags`]: it may be written to.
const WRITE: u32 = 2;
/// Constants that are remembered.
const MAX_CONSTANTS: usize = 4096;

/// A search for the request of one goroutine.
pub(super) struct Look<'a> {
    pub(super) shared: &'a Shared<'a>,
    /// Its g, as first read, and where that is.
    pub(super) g: G,
    pub(super) address: u64,
    /// The response that its connection was at work on before the g was read.
    pub(super) before: Option<u64>,
    /// The request that it was last seen to serve.
    pub(super) last: Option<Arc<Request>>,
}

/// How a g that is read again compares with what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Since {
    /// Another goroutine, or none.
    Gone,
    /// The same goroutine, which may have run.
    Alive,
    /// It has not run.
    Same,
}

impl Look<'_> {
    /// Where the g is.
    pub(super) fn g_range(&self) -> Range {
        Range { addr: self.address, len: self.shared.runtime.layout.g.size as usize }
    }

    /// Whether both have the same in the places where requests were found.
    pub(super) fn lead_to_same(&self, one: &Slots, other: &Slots) -> bool {
        let word = |words: &Option<Vec<u64>>, at: usize| words.as_ref().and_then(|words| words.get(at).copied());
        let at_run = |slots: &Slots| self.shared.run_hint.get().and_then(|at| word(&slots.run_handler, at));
        let places = self.shared.stream_places.borrow();
        one.connection == other.connection
            && at_run(one) == at_run(other)
            && places.iter().all(|at| word(&one.stream, *at) == word(&other.stream, *at))
    }

    /// Reads the g again, and says what became of the goroutine.
    pub(super) async fn now(&self) -> Since {
        let [g] = self.shared.reads.get([self.g_range()]).await;
        self.since(g.as_deref())
    }

    /// What became of the goroutine, by another copy of its g.
    pub(super) fn since(&self, copy: Option<&[u8]>) -> Since {
        match copy.and_then(|copy| G::decode(&self.shared.runtime.layout, copy)) {
            Some(again) if self.g.same_as(&again) => Since::Same,
            Some(again) if again.goid == self.g.goid && again.status().is_some() => Since::Alive,
            _ => Since::Gone,
        }
    }
}

impl Look<'_> {
    /// Whether an address is in the program's own segments.
    pub(super) fn is_static(&self, address: u64) -> bool {
        let runtime = self.shared.runtime;
        let vaddr = address.wrapping_sub(runtime.bias);
        runtime.binary.segments().iter().any(|segment| vaddr.wrapping_sub(segment.vaddr) < segment.mem_size)
    }

    /// The bytes of a string, which need not be read again where they are the program's own and never change: routes are,
    /// and the usual names of headers.
    pub(super) async fn constant(&self, range: Range) -> Option<Vec<u8>> {
        let (copies, _) = self.constants_and([range], &[]).await;
        copies.into_iter().next()?
    }

    /// As [`Look::constant`], of many, and of `others` that are read along with those that must be.
    pub(super) async fn constants_and(
        &self,
        ranges: impl IntoIterator<Item = Range>,
        others: &[Range],
    ) -> (Vec<Option<Vec<u8>>>, Vec<Option<Vec<u8>>>) {
        let known = |range: &Range| self.shared.constants.borrow().get(&(range.addr, range.len)).cloned();
        let mut copies: Vec<(Range, Option<Vec<u8>>)> =
            ranges.into_iter().map(|range| (range, known(&range))).collect();
        let missing = copies.iter().filter(|(_, copy)| copy.is_none()).map(|(range, _)| *range);
        let missing: Vec<Range> = missing.chain(others.iter().copied()).collect();
        let mut read = self.shared.reads.get_all(&missing).await.into_iter();
        for (range, copy) in copies.iter_mut().filter(|(_, copy)| copy.is_none()) {
            *copy = read.next().flatten();
            if let Some(copy) = copy.as_ref().filter(|_| self.is_constant(range.addr)) {
                let mut constants = self.shared.constants.borrow_mut();
                if constants.len() >= MAX_CONSTANTS {
                    constants.clear();
                }
                constants.insert((range.addr, range.len), copy.clone());
            }
        }
        (copies.into_iter().map(|(_, copy)| copy).collect(), read.collect())
    }

    /// Whether an address is in a part of the program that nobody writes to.
    fn is_constant(&self, address: u64) -> bool {
        let runtime = self.shared.runtime;
        let vaddr = address.wrapping_sub(runtime.bias);
        let segments = runtime.binary.segments().iter();
        segments
            .filter(|segment| segment.flags & WRITE == 0)
            .any(|segment| vaddr.wrapping_sub(segment.vaddr) < segment.mem_size)
    }

    /// Whether nothing is missing of a request that may be known later.
    pub(super) fn is_complete(&self, request: &Request) -> bool {
        let has_patterns = self.shared.runtime.layout.http.pat.is_some();
        !self.shared.options.data || !has_patterns || request.route.is_some() || request.protocol == Protocol::Grpc
    }
}

/// Whether a word can be the address of an object.
pub(super) fn is_pointer(word: u64) -> bool {
    (0x1000..1 << 48).contains(&word) && word.is_multiple_of(8)
}

/// Whether a word can be the address of the bytes of a string.
pub(super) fn is_data(word: u64) -> bool {
    (0x1000..1 << 48).contains(&word)
}

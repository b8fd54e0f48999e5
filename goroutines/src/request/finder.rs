//! From the stacks of goroutines to their requests.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use fgspy_memory::{Range, ReadError};
use rustc_hash::FxBuildHasher;

use super::anchors::{Anchors, Roots};
use super::bits::Bits;
use super::children::{
    Case, Child, ChildCounts, Gathered, Kinship, Liveness, Parent, Parentage, Prover, Serving, Word,
};
use super::frames::Frames;
use super::generation::Generation;
use super::look::{Constants, Found, Look, No, Proof, Searched, Shared, Start};
use super::plan::Wants;
use super::types::Types;
use super::{Idle, Mismatch, Request, RequestCounts, RequestOptions, Served, plan, search};
use crate::allgs::AllGs;
use crate::batch::{self, Reads, Task};
use crate::bytes::words;
use crate::unwind::StackBytes;
use crate::{G, Runtime};

/// Goroutines whose last request is remembered.
const MAX_KNOWN: usize = 1 << 16;

/// What is known of a goroutine's request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    known: Known,
    serves_one: bool,
}

#[derive(Clone, Debug, Default)]
enum Known {
    #[default]
    Nothing,
    /// That there is none.
    No(No),
    /// Where to look for it.
    Start(Start),
    /// The request.
    Found(Arc<Request>),
    /// The request, read for the first time: it is right if no memory was reused meanwhile.
    Fresh(Arc<Request>),
}

impl Answer {
    pub(crate) fn served(&self) -> Served<'_> {
        match &self.known {
            Known::Nothing | Known::Start(_) => Served::NotAsked,
            Known::No(No::Nothing) => Served::Nothing,
            Known::No(No::Idle(idle)) => Served::Idle(*idle),
            Known::No(No::Torn) => Served::Torn,
            Known::No(No::Unknown(why)) => Served::Unknown(*why),
            Known::Found(request) | Known::Fresh(request) => Served::Serving(request),
        }
    }

    /// Whether nothing is known yet.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self.known, Known::Nothing)
    }

    /// Whether it is known where to look, and nobody has looked yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.known, Known::Start(_))
    }

    /// Whether the goroutine serves one request in its life and nothing else, whichever that is.
    pub(crate) fn serves_one(&self) -> bool {
        self.serves_one
    }

    fn to_do(start: Result<Start, No>) -> Answer {
        let start = start.and_then(|start| match start {
            Start::Awaits(_) => Err(No::Idle(Idle::Connection)),
            start => Ok(start),
        });
        let serves_one = start.as_ref().is_ok_and(Start::serves_one);
        Answer { known: start.map_or_else(Known::No, Known::Start), serves_one }
    }
}

/// A goroutine whose request is looked for.
pub(crate) struct Sought<'a> {
    /// The number of its g.
    pub(crate) index: u32,
    /// Where its g is.
    pub(crate) address: u64,
    /// Its g, as first read.
    pub(crate) g: &'a G,
    /// What is known, and where what was found goes.
    pub(crate) answer: &'a mut Answer,
}

/// What is remembered of a goroutine.
#[derive(Debug)]
struct Memory {
    goid: u64,
    /// Its last request.
    request: Option<Arc<Request>>,
    /// Its connection, if it serves one.
    connection: Option<u64>,
    /// It was on the move when it was last read: it may well be at the next time.
    moved: bool,
    /// How many more times to expect that it serves something.
    expects: u8,
    /// When it was last seen to serve its last request, and what that was made of.
    seen: Option<Seen>,
}

/// A request as it was seen, and when: [`Finder::turn`].
#[derive(Debug)]
struct Seen {
    turn: u64,
    serves_one: bool,
    marks: Vec<u64>,
    response: u64,
}

/// How many times in a row nothing may be found before nothing is expected any more. What is expected is prepared for by a few
/// reads, so that it can be told even if it does not stand still; what comes unexpectedly must.
const EXPECTED: u8 = 32;

/// Finds the requests of the goroutines of one program.
pub(crate) struct Finder {
    pub(super) options: RequestOptions,
    pub(super) anchors: Anchors,
    roots: Roots,
    pub(super) frames: RefCell<Frames>,
    request_hint: Cell<Option<usize>>,
    mux_hint: Cell<Option<usize>>,
    run_hint: Cell<Option<usize>>,
    stream_places: RefCell<Vec<usize>>,
    types: RefCell<Types>,
    constants: RefCell<Constants>,
    pub(super) generation: Generation,
    /// The memory's, when samples were collected for the last time and for the time before.
    pub(super) sampled_generations: [Option<u64>; 2],
    /// Connections of the present batch that are asked what they are at work on: number of the g, and address.
    asked: Vec<(u32, u64)>,
    /// In how many more batches, of those with goroutines that have served something, to expect a new request.
    expects: u8,
    /// Whether the memory's generation is read before the present batch.
    asks_generation: bool,
    /// The memory's, when the present batch was begun, or earlier.
    began: Option<u64>,
    /// Number of the g, and the response that its connection was at work on when the present batch was begun.
    before: Vec<(u32, u64)>,
    /// By number of the g.
    known: HashMap<u32, Memory, FxBuildHasher>,
    /// Numbers of g's that have served something, or waited to.
    servers: Bits,
    counts: RequestCounts,
    pub(super) liveness: Liveness,
    prover: Prover,
    /// Counts the times that it was asked for which requests goroutines were started.
    turn: u64,
}

impl Finder {
    pub(crate) fn new(runtime: &Runtime, options: RequestOptions) -> Finder {
        Finder {
            options,
            anchors: Anchors::find(&runtime.binary),
            roots: Roots::default(),
            frames: RefCell::default(),
            request_hint: Cell::default(),
            mux_hint: Cell::default(),
            run_hint: Cell::default(),
            stream_places: RefCell::default(),
            types: RefCell::default(),
            constants: RefCell::default(),
            generation: Generation::default(),
            sampled_generations: [None; 2],
            asked: Vec::new(),
            expects: 0,
            asks_generation: false,
            began: None,
            before: Vec::new(),
            known: HashMap::default(),
            servers: Bits::default(),
            counts: RequestCounts::default(),
            liveness: Liveness::default(),
            prover: Prover::default(),
            turn: 0,
        }
    }

    pub(crate) fn serves_anything(&self) -> bool {
        self.anchors.serve_anything()
    }

    pub(crate) fn counts(&self) -> RequestCounts {
        self.counts
    }

    /// Counts what became of one goroutine.
    pub(crate) fn count(&mut self, answer: &Answer) {
        self.counts.add(answer.served());
    }

    /// Whether g number `index` is known to have served something, or waited to.
    pub(crate) fn has_served(&self, index: u32) -> bool {
        self.servers.has(index)
    }

    /// Adds to `ranges` what must be read before a batch of g's is, for [`Finder::began`].
    pub(crate) fn before(&mut self, runtime: &Runtime, batch: impl Iterator<Item = u32>, ranges: &mut Vec<Range>) {
        self.asked.clear();
        let mut serves = false;
        for index in batch.filter(|index| self.servers.has(*index)) {
            serves = true;
            let Some(known) = self.known.get_mut(&index).filter(|known| known.moved) else { continue };
            known.moved = false;
            if known.expects > 0 {
                self.asked.extend(known.connection.map(|connection| (index, connection)));
            }
        }
        self.asks_generation = serves && self.expects > 0;
        self.expects = self.expects.saturating_sub(u8::from(serves));
        let offset = u64::from(runtime.layout.http.conn_cur_req);
        let asked = self.asked.iter().map(|(_, conn)| Range { addr: conn.wrapping_add(offset), len: 8 });
        let generation = self.generation.caches(runtime).filter(|_| self.asks_generation);
        ranges.extend(asked.chain(generation));
    }

    /// Makes a note of what was read by [`Finder::before`].
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn began(
        &mut self,
        runtime: &Runtime,
        memory: &dyn fgspy_memory::Memory,
        (bytes, got): (&[u8], &[usize]),
    ) -> Result<(), ReadError> {
        let (asked_bytes, bytes) = bytes.split_at_checked(8 * self.asked.len()).unwrap_or((&[], &[]));
        let (asked_got, got) = got.split_at_checked(self.asked.len()).unwrap_or((&[], &[]));
        let responses = self.asked.iter().zip(words(asked_bytes)).zip(asked_got).filter(|(_, got)| **got == 8);
        self.before.clear();
        self.before.extend(responses.map(|(((index, _), response), _)| (*index, response)));
        if !self.asks_generation {
            return Ok(());
        }
        self.began = self.generation.value_of_caches(bytes, got);
        // For the next batch: what is read now is not from before this one.
        if self.began.is_none() { self.generation.resolve(runtime, memory) } else { Ok(()) }
    }

    pub(super) fn generation_now(
        &self,
        runtime: &Runtime,
        memory: &dyn fgspy_memory::Memory,
    ) -> Result<Option<u64>, ReadError> {
        let (mut bytes, mut got) = (Vec::new(), Vec::new());
        memory.read_ranges(&self.generation.ranges(runtime), &mut bytes, &mut got)?;
        Ok(self.generation.value(&bytes, &got))
    }

    /// What a stack says that was walked to its root.
    pub(crate) fn walked(
        &mut self,
        runtime: &Runtime,
        (index, g): (u32, &G),
        pcs: &[u64],
        stack: StackBytes<'_>,
    ) -> Answer {
        let frames = self.frames.get_mut();
        let wants = Wants { mux: self.options.data, serve: false };
        let start = plan::walked(runtime, &self.anchors, frames, g.bounds, (pcs, stack), wants);
        if let Ok(Start::Awaits(connection)) = start {
            let known = self.remember(index, g.goid);
            known.connection = Some(connection);
            known.expects = known.expects.saturating_sub(1);
        }
        Answer::to_do(start)
    }

    /// What the start function of a goroutine says whose stack was not walked.
    pub(crate) fn unwalked(&mut self, runtime: &Runtime, g: &G) -> Answer {
        let root = self.roots.root(&runtime.binary, &self.anchors, g.start_pc.wrapping_sub(runtime.bias));
        Answer::to_do(plan::unwalked(&self.anchors, root))
    }

    /// Looks for the requests of goroutines of which it is known where to look.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn look(
        &mut self,
        runtime: &Runtime,
        memory: &dyn fgspy_memory::Memory,
        sought: &mut [Sought<'_>],
    ) -> Result<(), ReadError> {
        self.prepare(runtime, memory);
        let reads = Reads::default();
        let shared = self.shared(runtime, &reads);
        let tasks = sought.iter_mut().map(|sought| -> Task<'_, Searched> {
            let start = std::mem::take(&mut sought.answer.known);
            let known = self.known.get(&sought.index).filter(|known| known.goid == sought.g.goid);
            let last = known.and_then(|known| known.request.clone());
            let before = self.before.iter().find(|(index, _)| *index == sought.index).map(|(_, response)| *response);
            let before = before.filter(|_| known.is_some());
            let look = Look { shared: &shared, g: *sought.g, address: sought.address, before, last };
            Box::pin(search::search(look, start_of(start)))
        });
        let tasks: Vec<_> = tasks.collect();
        let results = batch::run(memory, &reads, tasks)?;
        for (sought, searched) in sought.iter_mut().zip(results) {
            let searched = searched.unwrap_or(Searched::no(No::Unknown(Mismatch::TooLarge)));
            let who = (sought.index, sought.g.goid, sought.answer.serves_one);
            sought.answer.known = self.accept(who, searched).unwrap_or_else(Known::No);
        }
        Ok(())
    }

    /// Learns what searches need to know of the program.
    pub(super) fn prepare(&mut self, runtime: &Runtime, memory: &dyn fgspy_memory::Memory) {
        if self.anchors.serve_calls() && !self.types.get_mut().are_known() {
            self.types = RefCell::new(Types::find(runtime, memory));
        }
    }

    /// What searches share that read by `reads`.
    pub(super) fn shared<'a>(&'a self, runtime: &'a Runtime, reads: &'a Reads) -> Shared<'a> {
        Shared {
            runtime,
            reads,
            anchors: &self.anchors,
            frames: &self.frames,
            options: self.options,
            request_hint: &self.request_hint,
            mux_hint: &self.mux_hint,
            run_hint: &self.run_hint,
            stream_places: &self.stream_places,
            types: &self.types,
            constants: &self.constants,
        }
    }

    /// The request that g number `index` was last seen to serve.
    pub(super) fn last(&self, index: u32) -> Option<Arc<Request>> {
        self.known.get(&index).and_then(|known| known.request.clone())
    }

    /// What is remembered of a goroutine that was just seen to serve something, or to wait for it.
    fn remember(&mut self, index: u32, goid: u64) -> &mut Memory {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.servers.set(index);
        let fresh = || Memory { goid, request: None, connection: None, moved: false, expects: 0, seen: None };
        let known = self.known.entry(index).or_insert_with(fresh);
        if known.goid != goid {
            *known = fresh();
        }
        known.moved = true;
        known
    }

    /// Believes what was found, if the goroutine served it when it was first looked at: that is proven, or it did so
    /// earlier, and a request that has ended does not come back.
    fn accept(&mut self, who: (u32, u64, bool), searched: Searched) -> Result<Known, No> {
        let (index, goid, serves_one) = who;
        let turn = self.turn;
        let known = self.remember(index, goid);
        known.expects = match &searched.found {
            Ok(_) | Err(No::Torn) => EXPECTED,
            Err(_) => known.expects.saturating_sub(1),
        };
        known.connection = searched.connection.or(known.connection);
        let Found { request, proof, marks, response } = searched.found?;
        let marks = match &mut known.seen {
            // It was not looked for: it is the one that it was.
            Some(before) if marks.is_empty() && serves_one => std::mem::take(&mut before.marks),
            _ => marks,
        };
        known.seen = (proof != Proof::Doubtful).then_some(Seen { turn, serves_one, marks, response });
        if known.request.as_ref().is_some_and(|known| known.identity == request.identity) {
            // Read by its identity, or read again because something was missing.
            known.request = Some(Arc::clone(&request));
            return Ok(Known::Found(request));
        }
        if proof != Proof::Doubtful {
            known.request = Some(Arc::clone(&request));
        }
        if proof == Proof::Then { Ok(Known::Fresh(request)) } else { Err(No::Torn) }
    }

    /// Takes back answers of the present batch that were read from memory which was used for something else meanwhile,
    /// for all that is known: a garbage collection ended, and the goroutine went on.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn end<'a>(
        &mut self,
        runtime: &Runtime,
        memory: &dyn fgspy_memory::Memory,
        answered: impl Iterator<Item = Sought<'a>>,
    ) -> Result<(), ReadError> {
        let is_found = |sought: &Sought<'_>| matches!(sought.answer.known, Known::Fresh(_));
        let mut found: Vec<Sought<'_>> = answered.filter(is_found).collect();
        if found.is_empty() {
            return Ok(());
        }
        self.expects = EXPECTED;
        let now = self.generation_now(runtime, memory)?;
        let began = std::mem::replace(&mut self.began, now);
        if began.is_some() && self.began == began {
            return Ok(());
        }
        if self.began.is_none() {
            self.generation.resolve(runtime, memory)?;
        }
        let size = runtime.layout.g.size as usize;
        let ranges: Vec<Range> = found.iter().map(|sought| Range { addr: sought.address, len: size }).collect();
        let (mut bytes, mut got) = (Vec::new(), Vec::new());
        memory.read_ranges(&ranges, &mut bytes, &mut got)?;
        for ((sought, copy), got) in found.iter_mut().zip(bytes.chunks_exact(size.max(1))).zip(got) {
            let again = G::decode(&runtime.layout, copy).filter(|_| got == size);
            if !again.is_some_and(|again| sought.g.same_as(&again)) {
                sought.answer.known = Known::No(No::Torn);
                self.known.remove(&sought.index);
            }
        }
        Ok(())
    }
}

/// For which requests goroutines were started.
impl Finder {
    /// From now on only what is read anew is known of parents.
    pub(crate) fn next_turn(&mut self) {
        self.turn += 1;
    }

    /// The live words of a stack that was walked to its root.
    pub(crate) fn live_words(&mut self, runtime: &Runtime, g: &G, pcs: &[u64], stack: StackBytes<'_>) -> Vec<Word> {
        self.liveness.words(runtime, &self.anchors, self.frames.get_mut(), (g.bounds, pcs), stack)
    }

    /// Finds out for which requests `children` were started. They, and those that started them, were read in this turn.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn parentage(
        &mut self,
        (runtime, memory): (&Runtime, &dyn fgspy_memory::Memory),
        all: &AllGs,
        children: &[Child],
        gathered: &HashMap<u32, Gathered, FxBuildHasher>,
    ) -> Result<Vec<Parentage>, ReadError> {
        let parents = children.iter().filter_map(|child| child.parent);
        let serving = parents.filter_map(|parent| Some((parent.index, self.serving(parent)?)));
        let serving: HashMap<u32, Serving, FxBuildHasher> = serving.collect();
        let generation = self.generation_now(runtime, memory)?;
        if generation.is_none() {
            self.generation.resolve(runtime, memory)?;
        }
        let case = Case { children, gathered, serving: &serving, generation };
        self.prover.prove((runtime, memory), (&self.anchors, all), &case)
    }

    /// Finds goroutines that serve requests of which `children` have something that were read in this turn and whose parents
    /// are not known.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn suppose(
        &mut self,
        (runtime, memory): (&Runtime, &dyn fgspy_memory::Memory),
        children: &[&Gathered],
    ) -> Result<Vec<Option<Parent>>, ReadError> {
        let marks = self.known.iter().flat_map(|(index, known)| {
            let marks = known.seen.iter().flat_map(|seen| &seen.marks);
            marks.map(|mark| (*mark, *index as usize))
        });
        let marks: HashMap<u64, usize, FxBuildHasher> = marks.collect();
        let supposed = self.prover.suppose((runtime, memory), &marks, children)?;
        let parent = |index: u32| {
            let goid = self.known.get(&index)?.goid;
            Some(Parent { index, goid, kinship: Kinship::Supposed })
        };
        Ok(supposed.into_iter().map(|index| index.and_then(parent)).collect())
    }

    /// What a parent was seen to serve in this turn.
    fn serving(&self, parent: Parent) -> Option<Serving> {
        let known = self.known.get(&parent.index).filter(|known| known.goid == parent.goid)?;
        let seen = known.seen.as_ref().filter(|seen| seen.turn == self.turn)?;
        Some(Serving {
            request: Arc::clone(known.request.as_ref()?),
            serves_one: seen.serves_one,
            marks: seen.marks.clone(),
            connection: known.connection,
            response: seen.response,
        })
    }

    pub(crate) fn child_counts(&self) -> ChildCounts {
        self.prover.counts
    }
}

/// Where to start; nothing else is looked for.
fn start_of(known: Known) -> Result<Start, No> {
    match known {
        Known::Start(start) => Ok(start),
        Known::No(no) => Err(no),
        Known::Nothing | Known::Found(_) | Known::Fresh(_) => Err(No::Nothing),
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder").field("options", &self.options).field("counts", &self.counts).finish_non_exhaustive()
    }
}

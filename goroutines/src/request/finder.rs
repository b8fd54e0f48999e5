//! From the stacks of goroutines to their requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use fgspy_memory::{Memory, ReadError};

use super::anchors::{Anchors, Roots};
use super::frames::Frames;
use super::look::{Found, Look, No, Shared, Start};
use super::{Request, RequestCounts, RequestOptions, Served, plan, search};
use crate::batch::{self, Reads, Task};
use crate::unwind::StackBytes;
use crate::{G, Runtime};

/// Goroutines whose last request is remembered.
const MAX_KNOWN: usize = 1 << 16;

/// What is known of a goroutine's request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer(Known);

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
}

impl Answer {
    pub(crate) fn served(&self) -> Served<'_> {
        match &self.0 {
            Known::Nothing | Known::Start(_) => Served::NotAsked,
            Known::No(No::Nothing) => Served::Nothing,
            Known::No(No::Idle(idle)) => Served::Idle(*idle),
            Known::No(No::Torn) => Served::Torn,
            Known::No(No::Unknown(why)) => Served::Unknown(*why),
            Known::Found(request) => Served::Serving(request),
        }
    }

    /// Whether nothing is known yet.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self.0, Known::Nothing)
    }

    /// Whether it is known where to look, and nobody has looked yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.0, Known::Start(_))
    }

    fn to_do(start: Result<Start, No>) -> Answer {
        Answer(start.map_or_else(Known::No, Known::Start))
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

/// Finds the requests of the goroutines of one program.
pub(crate) struct Finder {
    options: RequestOptions,
    anchors: Anchors,
    roots: Roots,
    frames: RefCell<Frames>,
    /// By number of the g: whose it was, and its last request.
    known: HashMap<u32, (u64, Arc<Request>)>,
    counts: RequestCounts,
}

impl Finder {
    pub(crate) fn new(runtime: &Runtime, options: RequestOptions) -> Finder {
        Finder {
            options,
            anchors: Anchors::find(&runtime.binary),
            roots: Roots::default(),
            frames: RefCell::default(),
            known: HashMap::new(),
            counts: RequestCounts::default(),
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

    /// What a stack says that was walked to its root.
    pub(crate) fn walked(&mut self, runtime: &Runtime, g: &G, pcs: &[u64], stack: StackBytes<'_>) -> Answer {
        let frames = self.frames.get_mut();
        Answer::to_do(plan::walked(runtime, &self.anchors, frames, g.bounds, pcs, stack, self.options.data))
    }

    /// What the start function of a goroutine says whose stack was not walked.
    pub(crate) fn unwalked(&mut self, runtime: &Runtime, g: &G) -> Answer {
        let root = self.roots.root(&runtime.binary, &self.anchors, g.start_pc.wrapping_sub(runtime.bias));
        Answer::to_do(plan::unwalked(root))
    }

    /// Looks for the requests of goroutines of which it is known where to look.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn look(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        sought: &mut [Sought<'_>],
    ) -> Result<(), ReadError> {
        let reads = Reads::default();
        let shared =
            Shared { runtime, reads: &reads, anchors: &self.anchors, frames: &self.frames, options: self.options };
        let tasks = sought.iter_mut().map(|sought| -> Task<'_, Result<Found, No>> {
            let start = std::mem::take(&mut sought.answer.0);
            let look = Look { shared: &shared, g: *sought.g, address: sought.address };
            Box::pin(search::search(look, start_of(start)))
        });
        let tasks: Vec<_> = tasks.collect();
        let results = batch::run(memory, &reads, tasks)?;
        for (sought, result) in sought.iter_mut().zip(results) {
            let result = result.unwrap_or(Err(No::Unknown(super::Mismatch::TooLarge)));
            sought.answer.0 = match result.and_then(|found| self.accept(sought.index, sought.g.goid, found)) {
                Ok(request) => Known::Found(request),
                Err(no) => Known::No(no),
            };
        }
        Ok(())
    }

    /// Believes what was found, if the goroutine served it when it was first looked at: that is proven, or it did so
    /// earlier, and a request that has ended does not come back.
    fn accept(&mut self, index: u32, goid: u64, found: Found) -> Result<Arc<Request>, No> {
        let known = self.known.get(&index).filter(|(whose, known)| *whose == goid && **known == *found.request);
        if let Some((_, known)) = known {
            return Ok(Arc::clone(known));
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(index, (goid, Arc::clone(&found.request)));
        if found.certain { Ok(found.request) } else { Err(No::Torn) }
    }
}

/// Where to start; nothing else is looked for.
fn start_of(known: Known) -> Result<Start, No> {
    match known {
        Known::Start(start) => Ok(start),
        Known::No(no) => Err(no),
        Known::Nothing | Known::Found(_) => Err(No::Nothing),
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder").field("options", &self.options).field("counts", &self.counts).finish_non_exhaustive()
    }
}

//! For which request a goroutine was started, from memory alone.
//!
//! A goroutine of HTTP/1 serves one request after the other, and what it starts is for the one that it served then. That is
//! seen only of requests that last for several looks. For all others there are these proofs, each for itself:
//!
//! - [`reach`]: the child has what was made for one request only: the request itself, its response, a context derived from its.
//! - [`order`]: the child was started after another goroutine that is started anew for each request, on the same processor.
//! - [`waits`]: its parent waits, at this moment, on a group or a channel that the child has. This one is the weakest, because a
//!   program may use a channel again for its next request; so it does not count where the order speaks against it, nor if others
//!   have the same.
//!
//! Only live words count ([`live`]). Who is led to the requests of two parents, or to that of another than its own parent, is
//! nobody's child.

mod live;
mod order;
mod reach;
mod reuse;
mod waits;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use fgspy_memory::{Memory, Range, ReadError};
use rustc_hash::FxBuildHasher;

pub(crate) use live::{Liveness, Word};
pub(crate) use reach::Known;
pub(crate) use waits::Waits;
use waits::WaitsOn;

use self::order::{Numbering, Order};
use self::reach::{Marks, Search};
use self::reuse::Reuse;
use super::Request;
use super::anchors::{Anchors, Roots};
use super::types::Types;
use crate::allgs::AllGs;
use crate::batch::{self, Reads, Task};
use crate::{G, Runtime};

/// A goroutine of which it is asked for which request it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The number of its g.
    pub index: u32,
    /// Its own number.
    pub goid: u64,
    /// The goroutine that takes requests from which it comes; `None` where that is not known, because who has started it is
    /// gone, or because Go does not say who it was (before 1.21).
    pub parent: Option<Parent>,
    /// The number of the goroutine that started it, which may not have been read yet; 0 if that is not known.
    pub started_by: u64,
}

/// A goroutine that takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The number of its g.
    pub index: u32,
    /// Its own number.
    pub goid: u64,
    /// How it is known to be that of the child.
    pub kinship: Kinship,
}

/// How a goroutine is known to be one that a child comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// It has started the child.
    Direct,
    /// It has started another one that has started the child, or so on.
    Distant,
    /// It is not: but it serves a request of which the child has something.
    Supposed,
}

impl Child {
    /// Whether its parent is known, by the runtime's word.
    fn is_known(&self) -> bool {
        self.parent.is_some_and(|parent| parent.kinship != Kinship::Supposed)
    }
}

/// For which request a goroutine was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parentage {
    /// For this one, which its parent serves.
    Of {
        /// The goroutine that takes requests from which it comes.
        parent: Parent,
        /// The request.
        request: Arc<Request>,
        /// Its parent serves nothing else in all its life.
        serves_one: bool,
        /// What proves it.
        proofs: Proofs,
    },
    /// Nothing proves it now. Another look may.
    Unproven,
    /// What was found is contradictory.
    Contradiction,
    /// The goroutine is not there any more.
    Gone,
}

/// What proves for which request a goroutine was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// Its parent serves only this request.
    pub only: bool,
    /// It has what was made for this request.
    pub reach: bool,
    /// It was started after another goroutine that was started for this request.
    pub order: bool,
    /// Its parent waits on what it has.
    pub waits: bool,
}

/// How often what proved for which request goroutines were started; several proofs of one are counted each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildCounts {
    /// Goroutines that it was asked of, each time that it was.
    pub asked: u64,
    /// See [`Proofs`].
    pub only: u64,
    /// See [`Proofs`].
    pub reach: u64,
    /// See [`Proofs`].
    pub order: u64,
    /// See [`Proofs`].
    pub waits: u64,
    /// What was found was contradictory.
    pub contradictions: u64,
}

impl ChildCounts {
    fn add(&mut self, parentage: &Parentage) {
        self.asked += 1;
        match parentage {
            Parentage::Of { proofs, .. } => {
                self.only += u64::from(proofs.only);
                self.reach += u64::from(proofs.reach);
                self.order += u64::from(proofs.order);
                self.waits += u64::from(proofs.waits);
            }
            Parentage::Contradiction => self.contradictions += 1,
            Parentage::Unproven | Parentage::Gone => {}
        }
    }
}

/// A goroutine that was read for this.
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    pub(crate) address: u64,
    pub(crate) g: G,
    /// Its live words, if its stack could be walked.
    pub(crate) words: Vec<Word>,
    /// The link-time addresses to which the calls nearest the leaf return.
    pub(crate) leaf: Vec<u64>,
}

/// Calls nearest the leaf that are kept.
pub(crate) const LEAF_CALLS: usize = 8;

/// What a parent was seen to serve just now.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) request: Arc<Request>,
    pub(crate) serves_one: bool,
    /// Addresses of what was made for this request.
    pub(crate) marks: Vec<u64>,
    /// The connection, if it is one of HTTP/1.
    pub(crate) connection: Option<u64>,
    /// The response, as the connection says.
    pub(crate) response: u64,
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub(crate) struct Prover {
    known: Known,
    roots: RefCell<Roots>,
    types: RefCell<Types>,
    waits: Option<Waits>,
    reuse: Reuse,
    numbering: Numbering,
    pub(crate) counts: ChildCounts,
}

/// What is asked, and what was read for it.
pub(crate) struct Case<'a> {
    pub(crate) children: &'a [Child],
    /// By number of the g.
    pub(crate) gathered: &'a HashMap<u32, Gathered, FxBuildHasher>,
    /// By number of the g, what goroutines were seen to serve.
    pub(crate) serving: &'a HashMap<u32, Serving, FxBuildHasher>,
    /// The memory's generation; `None` if that is not known.
    pub(crate) generation: Option<u64>,
}

impl Case<'_> {
    fn of(&self, (index, goid): (u32, u64)) -> Option<&Gathered> {
        self.gathered.get(&index).filter(|gathered| gathered.g.goid == goid)
    }

    fn child(&self, child: &Child) -> Option<&Gathered> {
        self.of((child.index, child.goid))
    }

    fn serving(&self, child: &Child) -> Option<(Parent, &Serving)> {
        let parent = child.parent?;
        self.of((parent.index, parent.goid))?;
        Some((parent, self.serving.get(&parent.index)?))
    }
}

/// What was found of a parent.
#[derive(Debug, Default)]
struct OfParent {
    /// The goroutine that waits for the client while the handler runs.
    background: Option<u64>,
    waits_on: WaitsOn,
}

impl Prover {
    /// Finds out for which requests goroutines were started, in their order.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn prove(
        &mut self,
        (runtime, memory): (&Runtime, &dyn Memory),
        (anchors, all): (&Anchors, &AllGs),
        case: &Case<'_>,
    ) -> Result<Vec<Parentage>, ReadError> {
        if !self.types.get_mut().are_known() {
            self.types = RefCell::new(Types::find(runtime, memory));
        }
        let is_numbered = self.numbering.look(runtime, memory)?;
        let parents: BTreeSet<u32> = case.children.iter().filter_map(|child| Some(child.parent?.index)).collect();
        let parents: Vec<u32> = parents.into_iter().filter(|parent| case.serving.contains_key(parent)).collect();
        let mut marks = Marks::default();
        for (number, parent) in parents.iter().enumerate() {
            marks.extend(
                case.serving.get(parent).into_iter().flat_map(|serving| &serving.marks).map(|mark| (*mark, number)),
            );
        }
        let waits = self.waits.get_or_insert_with(|| Waits::find(runtime));
        let reads = Reads::default();
        let search = Search { runtime, reads: &reads, types: &self.types, known: &self.known, marks: &marks };
        let (search, waits, roots) = (&search, &*waits, &self.roots);
        // What parents wait for, and what children have.
        let of_parents = parents.iter().map(|parent| -> Task<'_, OfParent> {
            Box::pin(of_parent((runtime, all), (anchors, roots), search.reads, waits, case, *parent))
        });
        let of_parents = batch::run(memory, &reads, of_parents.collect())?;
        let of_parents: Vec<OfParent> = of_parents.into_iter().map(Option::unwrap_or_default).collect();
        let named = case.children.iter().map(|child| -> Task<'_, BTreeSet<usize>> {
            let needs_proof = case.serving(child).is_some_and(|(_, serving)| !serving.serves_one || !child.is_known());
            let words = case.child(child).filter(|_| needs_proof).map(|gathered| gathered.words.as_slice());
            Box::pin(search.named(words.unwrap_or(&[])))
        });
        let named = batch::run(memory, &reads, named.collect())?;
        let still = still(runtime, memory, case)?;
        let shared = shared(case, &parents, &of_parents);
        self.note_waits(case, &parents, &of_parents);
        let mut told = Vec::with_capacity(case.children.len());
        for (child, named) in case.children.iter().zip(named) {
            let number = parents.iter().position(|parent| Some(*parent) == child.parent.map(|parent| parent.index));
            let of_parent = number.and_then(|number| of_parents.get(number));
            let evidence = Evidence { number, of_parent, named: named.unwrap_or_default(), is_numbered };
            let parentage = self.judge(case, child, evidence, &still, &shared);
            self.counts.add(&parentage);
            told.push(parentage);
        }
        Ok(told)
    }

    /// The numbers of the g's of goroutines that serve requests of which children have something whose parents are not known.
    /// `marks` says what was made for which request, by the number of the g.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(crate) fn suppose(
        &mut self,
        (runtime, memory): (&Runtime, &dyn Memory),
        marks: &HashMap<u64, usize, FxBuildHasher>,
        children: &[&Gathered],
    ) -> Result<Vec<Option<u32>>, ReadError> {
        if !self.types.get_mut().are_known() {
            self.types = RefCell::new(Types::find(runtime, memory));
        }
        let reads = Reads::default();
        let search = &Search { runtime, reads: &reads, types: &self.types, known: &self.known, marks };
        let named = children.iter().map(|child| -> Task<'_, BTreeSet<usize>> { Box::pin(search.named(&child.words)) });
        let named = batch::run(memory, &reads, named.collect())?;
        let only = |named: BTreeSet<usize>| named.first().filter(|_| named.len() == 1).map(|index| *index as u32);
        Ok(named.into_iter().map(|named| named.and_then(only)).collect())
    }

    fn judge(
        &self,
        case: &Case<'_>,
        child: &Child,
        evidence: Evidence<'_>,
        still: &HashSet<u32, FxBuildHasher>,
        shared: &HashSet<u64, FxBuildHasher>,
    ) -> Parentage {
        let Some(of_child) = case.child(child) else { return Parentage::Gone };
        let Some((parent, serving)) = case.serving(child) else { return Parentage::Unproven };
        let Evidence { number, of_parent, named, is_numbered } = evidence;
        let of = |proofs| {
            let (request, serves_one) = (Arc::clone(&serving.request), serving.serves_one);
            Parentage::Of { parent, request, serves_one, proofs }
        };
        if serving.serves_one && child.is_known() {
            return of(Proofs { only: true, ..Proofs::default() });
        }
        if named.iter().any(|named| Some(*named) != number) {
            return Parentage::Contradiction;
        }
        // A parent that has run since its request was read may serve another one now, which may be in the same memory. What a
        // child has is what it had when its g was read, if it has not run since either.
        let parent_is_still = still.contains(&parent.index);
        let is_still = parent_is_still && still.contains(&child.index);
        let reach = is_still && !named.is_empty();
        let background = of_parent.and_then(|parent| parent.background).filter(|_| parent.kinship == Kinship::Direct);
        let order = background
            .filter(|_| is_numbered && parent_is_still)
            .map(|background| self.numbering.order(child.goid, background));
        let both_still = is_still && child.is_known();
        let has = |object: &u64| of_child.words.iter().any(|word| word.value == *object);
        let has_made = of_parent.is_some_and(|parent| parent.waits_on.made.iter().any(has));
        // One that another p has started may have a smaller number than one that was there before it.
        let may_be_first = order.is_none_or(|order| matches!(order, Order::After | Order::LaterBatch));
        let is_sure = order == Some(Order::Unknown)
            && of_parent.is_some_and(|parent| self.reuse.makes_anew(parent.waits_on.site));
        let waits =
            both_still && (has_made || (may_be_first || is_sure) && self.waits_on_it(of_child, of_parent, shared));
        let proofs = Proofs { only: false, reach, order: order == Some(Order::After), waits };
        if proofs == Proofs::default() { Parentage::Unproven } else { of(proofs) }
    }

    /// Takes note of what parents wait on, and for which request.
    fn note_waits(&mut self, case: &Case<'_>, parents: &[u32], of_parents: &[OfParent]) {
        for (parent, found) in parents.iter().zip(of_parents) {
            let Some(serving) = case.serving.get(parent) else { continue };
            for object in &found.waits_on.objects {
                self.reuse.note((*object, found.waits_on.site), serving.request.identity, case.generation);
            }
        }
    }

    /// Whether the child has what its parent waits on, and nobody else has that, nor has it been waited on for another request.
    fn waits_on_it(&self, child: &Gathered, parent: Option<&OfParent>, shared: &HashSet<u64, FxBuildHasher>) -> bool {
        let objects = parent.into_iter().flat_map(|parent| &parent.waits_on.objects);
        let mut own = objects.filter(|object| self.reuse.is_of_one(**object) && !shared.contains(object));
        own.any(|object| child.words.iter().any(|word| word.value == *object))
    }
}

/// What was found of a child and its parent.
struct Evidence<'a> {
    /// The number of the parent.
    number: Option<usize>,
    of_parent: Option<&'a OfParent>,
    /// The parents to whose requests the child is led.
    named: BTreeSet<usize>,
    /// It is known how numbers are dealt out.
    is_numbered: bool,
}

async fn of_parent(
    (runtime, all): (&Runtime, &AllGs),
    (anchors, roots): (&Anchors, &RefCell<Roots>),
    reads: &Reads,
    waits: &Waits,
    case: &Case<'_>,
    index: u32,
) -> OfParent {
    let (Some(gathered), Some(serving)) = (case.gathered.get(&index), case.serving.get(&index)) else {
        return OfParent::default();
    };
    if serving.serves_one {
        return OfParent::default();
    }
    let waits_on = waits.of(runtime, reads, gathered).await;
    let background = match serving.connection {
        Some(connection) => {
            let served = order::Served { goid: gathered.g.goid, connection, response: serving.response };
            order::background((runtime, all), (anchors, roots), reads, served).await
        }
        None => None,
    };
    OfParent { background, waits_on }
}

/// The numbers of the g's of goroutines that have not run since they were read.
fn still(runtime: &Runtime, memory: &dyn Memory, case: &Case<'_>) -> Result<HashSet<u32, FxBuildHasher>, ReadError> {
    let size = runtime.layout.g.size as usize;
    let gathered: Vec<(&u32, &Gathered)> = case.gathered.iter().collect();
    let ranges: Vec<Range> = gathered.iter().map(|(_, one)| Range { addr: one.address, len: size }).collect();
    let (mut bytes, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&ranges, &mut bytes, &mut got)?;
    let copies = gathered.iter().zip(bytes.chunks_exact(size.max(1))).zip(got);
    let is_same = |one: &Gathered, copy| G::decode(&runtime.layout, copy).is_some_and(|again| one.g.same_as(&again));
    Ok(copies
        .filter(|(((_, one), copy), got)| *got == size && is_same(one, copy))
        .map(|(((index, _), _), _)| **index)
        .collect())
}

/// What several parents wait on, or children of several have.
fn shared(case: &Case<'_>, parents: &[u32], of_parents: &[OfParent]) -> HashSet<u64, FxBuildHasher> {
    let mut owners: HashMap<u64, u32, FxBuildHasher> = HashMap::default();
    let mut shared = HashSet::default();
    for (parent, found) in parents.iter().zip(of_parents) {
        for object in &found.waits_on.objects {
            if *owners.entry(*object).or_insert(*parent) != *parent {
                shared.insert(*object);
            }
        }
    }
    for child in case.children {
        let words = case.child(child).into_iter().flat_map(|gathered| &gathered.words);
        let parent = child.parent.map(|parent| parent.index);
        let of_others = words.filter(|word| owners.get(&word.value).is_some_and(|owner| Some(*owner) != parent));
        shared.extend(of_others.map(|word| word.value));
    }
    shared
}

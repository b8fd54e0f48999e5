//! What a goroutine's live words lead to: proofs by what was made for one request and cannot become another's.
//!
//! A request, its response and its context are made anew for each request. A child has one of these itself, or something
//! that was derived from it and does not change either:
//!
//! - a context: all of the standard library's begin with the context that they are derived from;
//! - a copy of the request, with such a context;
//! - an `errgroup.Group`, whose function that cancels belongs to such a context.
//!
//! Nothing else is followed. What a program makes itself may be taken from a pool, and be another request's by now.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use fgspy_memory::Range;
use rustc_hash::FxBuildHasher;

use super::live::Word;
use crate::Runtime;
use crate::batch::Reads;
use crate::bytes::u64_at;
use crate::request::http;
use crate::request::look::is_pointer;
use crate::request::types::{self, Types};

/// Words of one goroutine that are followed.
const MAX_FOLLOWED: usize = 96;
/// Contexts that are followed from one to the one it is derived from.
const MAX_CONTEXTS: usize = 32;
/// The contexts of the standard library that are derived from another (`context/context.go`, Go 1.17 to 1.27).
const CONTEXTS: [&str; 6] = [
    "*context.cancelCtx",
    "*context.timerCtx",
    "*context.valueCtx",
    "*context.afterFuncCtx",
    "context.withoutCancelCtx",
    "context.stopCtx",
];
/// What functions that cancel a context are called, or begin with.
const CANCEL: &str = "context.WithCancel";
/// What the methods of an `errgroup.Group` begin with.
const GROUP: &str = "golang.org/x/sync/errgroup.(*Group).";
/// Tables of methods that are remembered, and functions.
const MAX_KNOWN: usize = 1 << 14;

/// Whose a word is, by number of the parent.
pub(super) type Marks = HashMap<u64, usize, FxBuildHasher>;

/// What is remembered of a program's types and functions.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Whether a table of methods (`runtime.itab`) is that of a context of the standard library.
    contexts: RefCell<HashMap<u64, bool, FxBuildHasher>>,
    /// Whether a function at a link-time entry is a method of an `errgroup.Group`.
    groups: RefCell<HashMap<u64, bool, FxBuildHasher>>,
}

/// What all searches of a look share.
pub(super) struct Search<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) reads: &'a Reads,
    pub(super) types: &'a RefCell<Types>,
    pub(super) known: &'a Known,
    pub(super) marks: &'a Marks,
}

impl Search<'_> {
    /// The parents whose requests these words lead to.
    pub(super) async fn named(&self, words: &[Word]) -> BTreeSet<usize> {
        let mut named: BTreeSet<usize> = words.iter().filter_map(|word| self.marks.get(&word.value).copied()).collect();
        let mut seen = BTreeSet::new();
        let is_new = |word: &&Word| is_pointer(word.value) && seen.insert((word.value, word.before));
        for word in words.iter().filter(is_new).take(MAX_FOLLOWED) {
            if self.is_context(word.before).await {
                named.extend(self.along_contexts(word.value).await);
            } else if self.is_in_group(word.func) {
                named.extend(self.by_group(word.value).await);
            }
        }
        named.extend(self.by_copies(words).await);
        named
    }

    /// The parent whose request the context at `context` is derived from.
    async fn along_contexts(&self, context: u64) -> Option<usize> {
        let mut at = context;
        for _ in 0..MAX_CONTEXTS {
            if let Some(parent) = self.marks.get(&at) {
                return Some(*parent);
            }
            let copy = self.reads.bytes(at, 16).await?;
            let (table, data) = (u64_at(&copy, 0)?, u64_at(&copy, 8)?);
            if !is_pointer(data) || !self.is_context(table).await {
                return None;
            }
            at = data;
        }
        None
    }

    /// The parents whose requests these words are copies of.
    async fn by_copies(&self, words: &[Word]) -> BTreeSet<usize> {
        let addresses: BTreeSet<u64> = words.iter().map(|word| word.value).filter(|word| is_pointer(*word)).collect();
        let addresses: Vec<u64> = addresses.into_iter().take(MAX_FOLLOWED).collect();
        let len = self.runtime.layout.http.request_bytes() as usize;
        let ranges: Vec<Range> = addresses.iter().map(|&addr| Range { addr, len }).collect();
        let copies = self.reads.get_all(&ranges).await;
        let mut named = BTreeSet::new();
        for copy in copies.into_iter().flatten() {
            let Some((table, data)) = http::context_of(&self.runtime.layout.http, &copy) else { continue };
            if is_pointer(data) && self.is_context(table).await {
                named.extend(self.along_contexts(data).await);
            }
        }
        named
    }

    /// The parent whose request the context of the group at `group` is derived from. A group begins with the function that
    /// cancels its context (`errgroup.go`), and that function with its code, before what it cancels.
    async fn by_group(&self, group: u64) -> Option<usize> {
        let cancel = u64_at(&self.reads.bytes(group, 8).await?, 0).filter(|cancel| is_pointer(*cancel))?;
        let copy = self.reads.bytes(cancel, 16).await?;
        let (code, context) = (u64_at(&copy, 0)?.wrapping_sub(self.runtime.bias), u64_at(&copy, 8)?);
        let func = self.runtime.binary.func_at(code).filter(|func| func.entry == code)?;
        let cancels = self.runtime.binary.func_name(&func).starts_with(CANCEL);
        if cancels && is_pointer(context) { self.along_contexts(context).await } else { None }
    }

    fn is_in_group(&self, func: u64) -> bool {
        let groups = &mut self.known.groups.borrow_mut();
        if groups.len() >= MAX_KNOWN {
            groups.clear();
        }
        let binary = &self.runtime.binary;
        let is_method = || binary.func_at(func).is_some_and(|func| binary.func_name(&func).starts_with(GROUP));
        *groups.entry(func).or_insert_with(is_method)
    }

    /// Whether a word is the table of methods of a context of the standard library (`runtime.itab`: the interface, the type).
    async fn is_context(&self, table: u64) -> bool {
        if !is_pointer(table) {
            return false;
        }
        if let Some(known) = self.known.contexts.borrow().get(&table) {
            return *known;
        }
        let is_context = self.reads_context(table).await.unwrap_or(false);
        let contexts = &mut self.known.contexts.borrow_mut();
        if contexts.len() >= MAX_KNOWN {
            contexts.clear();
        }
        contexts.insert(table, is_context);
        is_context
    }

    async fn reads_context(&self, table: u64) -> Option<bool> {
        let copy = self.reads.bytes(table, 16).await?;
        let (interface, of) = (u64_at(&copy, 0)?, u64_at(&copy, 8)?);
        if !self.types.borrow().has(interface) || !self.types.borrow().has(of) {
            return Some(false);
        }
        let interface = types::name(self.reads, self.types, interface).await?;
        let of = types::name(self.reads, self.types, of).await?;
        Some(interface == "context.Context" && CONTEXTS.contains(&of.as_str()))
    }
}

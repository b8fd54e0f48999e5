//! What a goroutine waits on: a channel, or a group that it waits to be done.
//!
//! A program may use a channel again for its next request, so only one counts that is waited on in a function which makes
//! channels. Of a `select` nothing is taken: among its channels is often one that belongs to no request, such as that which says
//! that the server shuts down. But functions are known all of whose channels are made anew for each request.

use std::cell::RefCell;
use std::collections::HashMap;

use fgspy_gobin::Func;
use fgspy_memory::Range;
use rustc_hash::FxBuildHasher;

use super::Gathered;
use crate::batch::Reads;
use crate::bytes::u64_at;
use crate::request::look::is_pointer;
use crate::{Runtime, Status};

/// Channels of a `select` that are looked at.
const MAX_CHANNELS: usize = 16;
/// The most code of a function that is searched for calls.
const MAX_CODE: usize = 1 << 15;
/// Functions of which it is remembered what they call.
const MAX_KNOWN: usize = 1 << 12;
/// Functions in which a goroutine waits for others: their receivers are what it waits on.
const WAITS: [&str; 2] = ["sync.(*WaitGroup).Wait", "golang.org/x/sync/errgroup.(*Group).Wait"];
/// What functions that make channels call (`runtime/chan.go`).
const MAKES: [&str; 2] = ["runtime.makechan", "runtime.makechan64"];
/// How the names of functions end which wait in a `select` for a handler that they have started, on channels that they have made:
/// `net/http`'s, and those of frameworks that took it over.
const OWN_CHANNELS: &str = "(*timeoutHandler).ServeHTTP";

/// The functions of a program in which goroutines wait for others.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Link-time entries of [`WAITS`] and [`MAKES`].
    waits: Vec<u64>,
    makes: Vec<u64>,
    /// What is known of functions by their link-time entries.
    known: RefCell<HashMap<u64, Kind, FxBuildHasher>>,
}

/// What a function is that waits on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The runtime's.
    Runtime,
    /// One that makes channels.
    Makes,
    /// One all of whose channels are made anew at each call.
    Own,
    Other,
}

/// What a goroutine waits on, by address.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitsOn {
    /// What may have been used for another request before.
    pub(super) objects: Vec<u64>,
    /// What was made for this one.
    pub(super) made: Vec<u64>,
    /// The call in the program at which it waits on `objects`, by its link-time return address; 0 if that is not known.
    pub(super) site: u64,
}

impl Waits {
    pub(crate) fn find(runtime: &Runtime) -> Waits {
        let entries = |names: &[&str]| -> Vec<u64> {
            runtime.binary.funcs_named(names).into_iter().flatten().map(|func| func.entry).collect()
        };
        Waits { waits: entries(&WAITS), makes: entries(&MAKES), known: RefCell::default() }
    }

    /// What the goroutine waits on.
    pub(super) async fn of(&self, runtime: &Runtime, reads: &Reads, waiting: &Gathered) -> WaitsOn {
        let mut found = WaitsOn::default();
        if waiting.g.status() != Some(Status::Waiting) {
            return found;
        }
        let receivers = waiting.words.iter().filter(|word| self.waits.contains(&word.func)).map(|word| word.value);
        found.objects.extend(receivers.filter(|word| is_pointer(*word)));
        found.site = self.site(runtime, &waiting.leaf);
        let kinds = waiting.leaf.iter().filter_map(|pc| runtime.binary.func_at(pc.wrapping_sub(1)));
        let mut kinds = kinds.map(|func| self.kind(runtime, &func));
        let Some(kind) = kinds.find(|kind| *kind != Kind::Runtime) else { return found };
        let Some((is_select, channels)) = channels(runtime, reads, waiting.address).await else { return found };
        match kind {
            Kind::Own => found.made.extend(channels),
            Kind::Makes if !is_select => found.objects.extend(channels),
            Kind::Makes | Kind::Other | Kind::Runtime => {}
        }
        found
    }

    /// The call nearest the leaf that neither the runtime nor one of [`WAITS`] makes.
    fn site(&self, runtime: &Runtime, leaf: &[u64]) -> u64 {
        let waits = |pc: &u64| {
            let func = runtime.binary.func_at(pc.wrapping_sub(1));
            func.is_some_and(|func| self.waits.contains(&func.entry) || self.kind(runtime, &func) == Kind::Runtime)
        };
        leaf.iter().copied().find(|pc| !waits(pc)).unwrap_or(0)
    }

    fn kind(&self, runtime: &Runtime, func: &Func) -> Kind {
        let known = &mut self.known.borrow_mut();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        *known.entry(func.entry).or_insert_with(|| {
            let name = runtime.binary.func_name(func);
            if name.starts_with("runtime.") {
                return Kind::Runtime;
            }
            let makes = runtime.binary.calls(func, MAX_CODE).any(|target| self.makes.contains(&target));
            match (makes, name.ends_with(OWN_CHANNELS)) {
                (true, true) => Kind::Own,
                (true, false) => Kind::Makes,
                (false, _) => Kind::Other,
            }
        })
    }
}

/// The channels that the goroutine waits on whose g is at `address`, and whether it does so in a `select`.
async fn channels(runtime: &Runtime, reads: &Reads, address: u64) -> Option<(bool, Vec<u64>)> {
    let (layout, mut channels) = (&runtime.layout.sudog, Vec::new());
    let first = address.checked_add(runtime.layout.g.waiting.into())?;
    let mut is_select = false;
    let mut at = u64_at(&reads.bytes(first, 8).await?, 0)?;
    while is_pointer(at) && channels.len() < MAX_CHANNELS {
        let [copy] = reads.get([Range { addr: at, len: layout.size as usize }]).await;
        let copy = copy?;
        if u64_at(&copy, layout.g as usize)? != address {
            return None;
        }
        is_select |= copy.get(layout.is_select as usize).is_none_or(|byte| *byte != 0);
        channels.extend(u64_at(&copy, layout.c as usize).filter(|channel| is_pointer(*channel)));
        at = u64_at(&copy, layout.waitlink as usize)?;
    }
    Some((is_select, channels))
}

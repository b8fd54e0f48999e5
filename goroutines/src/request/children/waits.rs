//! What a goroutine waits on: a channel, or a group that it waits to be done.
//!
//! Of a `select` nothing is taken: among its channels is often one that belongs to no request, such as that which says that
//! the server shuts down, and others may have that as well.

use fgspy_memory::Range;

use super::live::Word;
use crate::batch::Reads;
use crate::bytes::u64_at;
use crate::request::look::is_pointer;
use crate::{G, Runtime, Status};

/// Functions in which a goroutine waits for others: their receivers are what it waits on.
const WAITS: [&str; 2] = ["sync.(*WaitGroup).Wait", "golang.org/x/sync/errgroup.(*Group).Wait"];

/// The functions of a program in which goroutines wait for others.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Link-time entries.
    functions: Vec<u64>,
}

impl Waits {
    pub(crate) fn find(runtime: &Runtime) -> Waits {
        let found = runtime.binary.funcs_named(&WAITS);
        Waits { functions: found.into_iter().flatten().map(|func| func.entry).collect() }
    }

    /// The addresses of what the goroutine waits on.
    pub(super) async fn of(
        &self,
        runtime: &Runtime,
        reads: &Reads,
        (address, g): (u64, &G),
        words: &[Word],
    ) -> Vec<u64> {
        if g.status() != Some(Status::Waiting) {
            return Vec::new();
        }
        let receivers = words.iter().filter(|word| self.functions.contains(&word.func)).map(|word| word.value);
        let mut found: Vec<u64> = receivers.filter(|word| is_pointer(*word)).collect();
        found.extend(channel(runtime, reads, address).await);
        found
    }
}

/// The channel that the goroutine waits on whose g is at `address`.
async fn channel(runtime: &Runtime, reads: &Reads, address: u64) -> Option<u64> {
    let layout = &runtime.layout.sudog;
    let first = address.checked_add(runtime.layout.g.waiting.into())?;
    let sudog = u64_at(&reads.bytes(first, 8).await?, 0).filter(|sudog| is_pointer(*sudog))?;
    let [copy] = reads.get([Range { addr: sudog, len: layout.size as usize }]).await;
    let copy = copy?;
    let is_select = copy.get(layout.is_select as usize).is_none_or(|byte| *byte != 0);
    let is_its = u64_at(&copy, layout.g as usize)? == address && !is_select;
    u64_at(&copy, layout.c as usize).filter(|channel| is_its && is_pointer(*channel))
}

//! Names of Go types, as they are in the target's memory.

use std::cell::RefCell;
use std::collections::HashMap;

use fgspy_memory::Memory;

use crate::Runtime;
use crate::batch::Reads;
use crate::bytes::{u32_at, u64_at};

/// Bytes of a type that are read (`internal/abi.Type`, the same from Go 1.17 to 1.27).
const TYPE_BYTES: usize = 48;
/// In it: flags, and the distance of its name from the module's types.
const TFLAG: usize = 20;
const STR: usize = 40;
/// The name has a star in front that is not part of it (`internal/abi.TFlagExtraStar`).
const EXTRA_STAR: u8 = 2;
/// The longest name that is read.
const MAX_NAME: usize = 64;
/// Types that are remembered.
const MAX_KNOWN: usize = 4096;

/// The types of the main module.
#[derive(Debug, Default)]
pub(super) struct Types {
    /// Where they begin and end.
    range: (u64, u64),
    names: HashMap<u64, Option<String>>,
}

impl Types {
    /// Finds them; none, if the module does not say where they are.
    pub(super) fn find(runtime: &Runtime, memory: &dyn Memory) -> Types {
        let module = runtime.binary.module().vaddr.wrapping_add(runtime.bias);
        let word = |offset: u32| memory.read_u64(module.wrapping_add(offset.into())).ok().flatten();
        let layout = &runtime.layout.moduledata;
        let range = (word(layout.types).unwrap_or(0), word(layout.etypes).unwrap_or(0));
        Types { range, names: HashMap::new() }
    }

    /// Whether they were found.
    pub(super) fn are_known(&self) -> bool {
        self.range.1 != 0
    }

    /// Whether a word can be the address of a type.
    pub(super) fn has(&self, word: u64) -> bool {
        (self.range.0..self.range.1).contains(&word) && word.is_multiple_of(8)
    }

    fn remember(&mut self, address: u64, name: Option<String>) {
        if self.names.len() >= MAX_KNOWN {
            self.names.clear();
        }
        self.names.insert(address, name);
    }
}

/// The name of the type at `address`, with its package's: `metadata.MD`.
pub(super) async fn name(reads: &Reads, types: &RefCell<Types>, address: u64) -> Option<String> {
    let start = {
        let types = types.borrow();
        if let Some(known) = types.names.get(&address) {
            return known.clone();
        }
        types.range.0
    };
    let found = read(reads, start, address).await;
    types.borrow_mut().remember(address, found.clone());
    found
}

async fn read(reads: &Reads, types: u64, address: u64) -> Option<String> {
    let copy = reads.bytes(address, TYPE_BYTES).await?;
    let has_star = copy.get(TFLAG)? & EXTRA_STAR != 0;
    let at = types.wrapping_add(u32_at(&copy, STR)?.into());
    // Flags, the length in 7 bits (longer names are not asked for), and the name.
    let head = u64_at(&reads.bytes(at, 8).await?, 0)?.to_le_bytes();
    let len = usize::from(head[1]);
    if len > MAX_NAME {
        return None;
    }
    let name = String::from_utf8(reads.bytes(at.wrapping_add(2), len).await?).ok()?;
    if has_star { name.strip_prefix('*').map(str::to_owned) } else { Some(name) }
}

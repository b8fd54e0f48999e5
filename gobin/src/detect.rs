//! Facts that need a second look: the Go release of an executable without build information, the base of funcdata, and
//! the number of the runtime's "wrapper" functions.

use std::collections::{BTreeMap, BTreeSet};

use crate::buildinfo::go_string;
use crate::bytes::u64_at;
use crate::elf::Segment;
use crate::image::Image;
use crate::module::ModuleData;
use crate::pclntab::{Func, InlinedCall, Pclntab, PclntabVersion};
use crate::symtab;
use crate::{Arch, GoVersion};

/// The Go release from `runtime.buildVersion`: by its symbol, or by looking for a string variable that holds a version.
///
/// A program may have other variables that hold versions, so only texts that go with the function table's format count,
/// and of several variables the one that `runtime.schedinit` refers to is taken (it checks `buildVersion`; amd64 only).
/// If that does not decide and the texts agree on major and minor, the result has only those; else there is none.
pub(crate) fn version(image: &Image, pclntab: &Pclntab, budget: &mut u64) -> Option<GoVersion> {
    let fits = |version: &GoVersion| version.major == 1 && pclntab.version().fits_minor(version.minor);
    let read = |vaddr| {
        let text = go_string(image, vaddr, GoVersion::MAX_TEXT)?;
        GoVersion::parse(std::str::from_utf8(&text).ok()?).filter(fits)
    };
    let symbol = symtab::symbols(image, &["runtime.buildVersion"]).pop().flatten();
    if let Some(version) = symbol.and_then(|symbol| read(symbol.addr)) {
        return Some(version);
    }
    let texts = version_texts(image, budget);
    let variables = string_variables(image, &texts, budget);
    let candidates: Vec<(u64, GoVersion)> =
        variables.into_iter().filter_map(|vaddr| Some((vaddr, read(vaddr)?))).collect();
    let (_, first) = candidates.first()?;
    if candidates.iter().all(|(_, version)| version.text == first.text) {
        return Some(first.clone());
    }
    if let Some(vaddr) = referred_by_schedinit(image, pclntab, &candidates) {
        return candidates.into_iter().find(|&(at, _)| at == vaddr).map(|(_, version)| version);
    }
    candidates
        .iter()
        .all(|(_, version)| version.minor == first.minor)
        .then(|| GoVersion::parse(&format!("go{}.{}", first.major, first.minor)))?
}

/// Functions of the runtime that every program has from a release on, newest first: none is inlined or left out.
const MARKS: [(&str, u16); 8] = [
    ("runtime.addModuleItabs", 27),
    ("runtime.entersyscallHandleGCWait", 26),
    ("runtime.(*synctestBubble).changegstatus", 25),
    ("runtime.mallocgcSmallNoscan", 24),
    ("runtime.(*timers).run", 23),
    ("runtime.(*_panic).nextDefer", 22),
    ("runtime.(*unwinder).next", 21),
    ("runtime.findRunnable", 19),
];

/// The release that a program is like, whose toolchain has a name that tells nothing: `devel`, or a company's.
pub(crate) fn like(name: &str, pclntab: &Pclntab) -> Option<GoVersion> {
    // Without its names, a program is obfuscated, and like nothing.
    pclntab.funcs_named(&["runtime.schedinit"]).pop()??;
    let oldest = match pclntab.version() {
        PclntabVersion::Go116 => 17,
        PclntabVersion::Go118 => 18,
        PclntabVersion::Go120 => 20,
    };
    let names = MARKS.map(|(name, _)| name);
    let found = pclntab.funcs_named(&names);
    let newest = MARKS.iter().zip(found).find_map(|((_, minor), found)| found.map(|_| *minor));
    Some(GoVersion::inferred(name, newest.unwrap_or(oldest).max(oldest)))
}

const MAX_CANDIDATES: usize = 4096;

/// Where "go1." and a digit, or "devel go1.", stand in the constants.
fn version_texts(image: &Image, budget: &mut u64) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for range in image.segment_ranges(|segment| !segment.is_writable()) {
        image.search(range, 16, budget, |vaddr, bytes| {
            for at in memchr::memmem::find_iter(bytes, b"go1.") {
                if !bytes.get(at + 4).is_some_and(u8::is_ascii_digit) {
                    continue;
                }
                let prefix = at.checked_sub(6).filter(|&start| bytes.get(start..at) == Some(b"devel "));
                found.insert(vaddr.wrapping_add(prefix.unwrap_or(at) as u64));
                if found.len() >= MAX_CANDIDATES {
                    return Some(());
                }
            }
            None
        });
    }
    found
}

/// Where the data has a pointer to one of `texts` and then a plausible length.
fn string_variables(image: &Image, texts: &BTreeSet<u64>, budget: &mut u64) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    if texts.is_empty() {
        return found;
    }
    for range in image.segment_ranges(Segment::is_writable) {
        image.search(range, 16, budget, |vaddr, bytes| {
            let first = (vaddr.wrapping_neg() % 8) as usize;
            for at in (first..bytes.len()).step_by(8) {
                let (Some(pointer), Some(len)) = (u64_at(bytes, at), u64_at(bytes, at + 8)) else { break };
                if (5..=GoVersion::MAX_TEXT as u64).contains(&len) && texts.contains(&pointer) {
                    found.insert(vaddr.wrapping_add(at as u64));
                }
                if found.len() >= MAX_CANDIDATES {
                    return Some(());
                }
            }
            None
        });
    }
    found
}

/// The only candidate whose address or length word `runtime.schedinit` addresses relative to the instruction pointer.
fn referred_by_schedinit(image: &Image, pclntab: &Pclntab, candidates: &[(u64, GoVersion)]) -> Option<u64> {
    const MAX_CODE: usize = 64 << 10;
    if image.elf.arch != Arch::Amd64 {
        return None;
    }
    let func = pclntab.funcs_named(&["runtime.schedinit"]).pop()??;
    let code = image.read(func.entry, usize::try_from(func.end - func.entry).ok()?.min(MAX_CODE))?;
    let words = candidates.iter().flat_map(|&(vaddr, _)| [(vaddr, vaddr), (vaddr.wrapping_add(8), vaddr)]);
    let words: BTreeMap<u64, u64> = words.collect();
    let mut referred = BTreeSet::new();
    for (at, displacement) in code.windows(4).enumerate() {
        let displacement = i32::from_le_bytes(displacement.try_into().ok()?);
        // A displacement counts from the end of its instruction: there may be an immediate byte after it.
        for end in [at + 4, at + 5] {
            let target = func.entry.wrapping_add(end as u64).wrapping_add_signed(displacement.into());
            referred.extend(words.get(&target));
        }
    }
    (referred.len() == 1).then(|| referred.first().copied())?
}

/// The number of `FuncIDWrapper`: functions made by the compiler (method wrappers, equality, hashing).
///
/// It is the last of the numbers, so it moves when one is added (`runtime/symtab.go` up to 1.20, then
/// `internal/abi/symtab.go`). For an unknown release it is the largest number that any function has: every program has
/// such functions, the runtime itself brings some.
pub(crate) fn wrapper_id(version: Option<&GoVersion>, pclntab: &Pclntab) -> u8 {
    match version.map(|version| (version.major, version.minor)) {
        Some((1, 17)) => 22,
        Some((1, 18..=21)) => 21,
        Some((1, 22..=24)) => 22,
        Some((1, 25..=27)) => 23,
        _ => pclntab.funcs().map(|func| func.func_id).max().unwrap_or(u8::MAX),
    }
}

/// How many functions with inlined calls must confirm the base of funcdata, if there are that many.
const WITNESSES: usize = 32;
/// Which words of the module data may hold it: it comes after `etext`, and sits at 38 (1.18), 40 (1.20), 43 (1.27).
const GOFUNC_WORDS: std::ops::Range<u64> = 24..64;

/// Finds what funcdata offsets count from (`moduledata.gofunc`, Go 1.18 and later).
///
/// Its position in the module data depends on the release, so it is not taken from a table but recognised: with the
/// right base, every inline tree begins with a valid inlined call.
pub(crate) fn gofunc(image: &Image, pclntab: &Pclntab, module: &ModuleData) -> Option<u64> {
    if pclntab.version() == PclntabVersion::Go116 {
        return None;
    }
    let witnesses: Vec<(Func, u32)> =
        pclntab.funcs().filter_map(|func| Some((func, pclntab.inline_tree_offset(&func)?))).take(WITNESSES).collect();
    if witnesses.is_empty() {
        return None;
    }
    let mut bases = GOFUNC_WORDS.filter_map(|index| image.read_ptr(module.vaddr.checked_add(8 * index)?));
    bases.find(|&base| {
        let verdicts = witnesses.iter().map(|(func, offset)| verdict(image, pclntab, base, func, *offset));
        // Some functions say nothing for certain; half must.
        let confirmed = verdicts.map(|verdict| verdict.map(u32::from)).sum::<Option<u32>>();
        base != 0 && confirmed.is_some_and(|confirmed| confirmed as usize * 2 >= witnesses.len())
    })
}

/// Whether a function's inline tree is where `base` says: `Some(true)` if its first call has the offset of a name and a
/// place in the function; `Some(false)` if it may have, but zero bytes would look the same; `None` if it is not.
fn verdict(image: &Image, pclntab: &Pclntab, base: u64, func: &Func, offset: u32) -> Option<bool> {
    let tree = base.checked_add(offset.into())?;
    let call = InlinedCall::read(image, pclntab.version(), tree, 0)?;
    let len = i64::try_from(func.end - func.entry).ok()?;
    if !(-1..len).contains(&i64::from(call.parent_pc)) {
        return None;
    }
    let Some(before) = (call.identity.name as usize).checked_sub(1) else { return Some(false) };
    let begins = pclntab.names().get(before) == Some(&0);
    (begins && pclntab.name(call.identity.name).is_some_and(|name| !name.is_empty())).then_some(true)
}

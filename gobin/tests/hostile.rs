//! Damaged, truncated and random files: whatever they contain, gobin answers, and does not read without bound.
//!
//! The bound: opening a file asks its source for at most eight times the file's length plus 4 MiB, and never for more
//! than the file's length at once.

mod common;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::synthetic::Recipe;
use fgspy_gobin::{GoBinary, Source};
use proptest::collection::vec;
use proptest::prelude::*;

/// Far more than anything here takes; a loop without an end takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts what is read, and refuses to be asked for more than there is.
struct Counting {
    bytes: Vec<u8>,
    read: Arc<AtomicU64>,
}

impl Source for Counting {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        assert!(len <= self.bytes.len(), "{len} bytes asked of {}", self.bytes.len());
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        self.bytes.read(offset, len)
    }
}

/// Opens the file and asks everything that can be asked.
fn exercise(bytes: Vec<u8>) {
    let started = Instant::now();
    let bound = 8 * bytes.len() as u64 + (4 << 20);
    let read = Arc::new(AtomicU64::new(0));
    let parsed = GoBinary::parse(Box::new(Counting { bytes, read: Arc::clone(&read) }));
    let total = read.load(Ordering::Relaxed);
    assert!(total <= bound, "opening read {total} bytes, more than {bound}");
    if let Ok(binary) = parsed {
        ask(&binary);
    }
    assert!(started.elapsed() < PATIENCE, "took {:?}", started.elapsed());
}

fn ask(binary: &GoBinary) {
    let mut frames = Vec::new();
    for func in binary.funcs().take(2000) {
        assert!(func.entry < func.end);
        binary.func_name(&func);
        binary.code(&func);
        for vaddr in [func.entry, func.entry + (func.end - func.entry) / 2, func.end - 1] {
            assert!(binary.func_at(vaddr).is_none_or(|found| found.contains(vaddr)));
            binary.sp_delta(vaddr);
            frames.clear();
            binary.source_frames(vaddr, &mut frames);
            assert!(frames.len() <= 257, "{} frames", frames.len());
        }
    }
    for vaddr in [0, 1, u64::MAX, u64::MAX - 7, 1 << 63] {
        assert_eq!(binary.read_vaddr(vaddr, usize::MAX), None);
        binary.read_ptr(vaddr);
        binary.func_at(vaddr);
        binary.sp_delta(vaddr);
    }
    binary.funcs_named(&["", "main.main", "main.outer", "runtime.goexit"]);
    binary.symbols(&["", "main.main", "runtime.allgs"]);
    let _ = format!("{:?} {:?} {:?}", binary.build_info(), binary.version(), binary.module());
}

/// Sets bytes, whose positions are fractions of the length, and cuts the file.
fn damage(mut bytes: Vec<u8>, changes: &[(u32, Vec<u8>)], keep: u32) -> Vec<u8> {
    let place = |fraction: u32, len: usize| ((u64::from(fraction) * len as u64) >> 32) as usize;
    for (fraction, values) in changes {
        let start = place(*fraction, bytes.len());
        for (at, value) in values.iter().enumerate() {
            if let Some(byte) = bytes.get_mut(start + at) {
                *byte = *value;
            }
        }
    }
    // Half of the files keep their length.
    if keep > u32::MAX / 2 {
        bytes.truncate(place(keep - u32::MAX / 2, 2 * bytes.len()));
    }
    bytes
}

/// Values that numbers go wrong with, besides random ones.
fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 1..9),
        Just(vec![0xff; 4]),
        Just(vec![0xff; 8]),
        Just(vec![0; 8]),
        Just(vec![0xff, 0xff, 0xff, 0x7f]),
        Just(vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        (0u64..0x3000).prop_map(|address| (common::synthetic::BASE + address).to_le_bytes().to_vec()),
    ]
}

/// Positions, as fractions of the length, that favour the parts of a synthetic file that mean something: the headers at
/// its start and what lies from 0x2000 on.
fn position() -> impl Strategy<Value = u32> {
    let fraction = |at: u64| ((at << 32) / 0x2600) as u32;
    prop_oneof![any::<u32>(), 0..=fraction(0x120), fraction(0x2000)..=u32::MAX]
}

/// 3000 cases, or more if `PROPTEST_CASES` says so.
fn config() -> ProptestConfig {
    let standard = ProptestConfig::default();
    ProptestConfig { cases: standard.cases.max(3000), failure_persistence: None, ..standard }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_synthetic_files(
        recipe in proptest::sample::select(Recipe::all()),
        changes in vec((position(), values()), 0..12),
        keep: u32,
    ) {
        exercise(damage(recipe.build(), &changes, keep));
    }

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..4096)) {
        exercise(bytes);
    }

    #[test]
    fn random_bytes_behind_an_elf_header(bytes in vec(any::<u8>(), 0..4096)) {
        exercise([&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"[..], &bytes].concat());
    }
}

/// Every byte of the headers and of everything in the data, set to every value that a counter or a size goes wrong with.
#[test]
fn every_byte_damaged() {
    for recipe in Recipe::all().into_iter().filter(|recipe| recipe.sections && !recipe.arm64 && recipe.build_info) {
        let bytes = recipe.build();
        for at in (0..0x120).chain(0x2000..bytes.len()) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                exercise(bytes);
            }
        }
    }
}

#[test]
fn cut_after_every_byte() {
    for recipe in [Recipe::plain(17), Recipe::plain(27)] {
        let bytes = recipe.build();
        for len in (0..0x120).chain(0x2000..bytes.len()) {
            exercise(bytes[..len].to_vec());
        }
    }
}

/// Real executables, damaged where it matters: anywhere in the first 4 KiB, and in the tables.
#[test]
fn damaged_real_files() {
    let paths = common::test_binaries("damaged_real_files");
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for path in paths.into_iter().filter(|path| path.metadata().unwrap().len() < 8 << 20) {
        let whole = std::fs::read(&path).unwrap();
        let binary = common::open(&path);
        let module = *binary.module();
        let offset = |vaddr: u64| {
            let segment = binary.segments().iter().find(|s| vaddr >= s.vaddr && vaddr < s.vaddr + s.file_size).unwrap();
            (vaddr - segment.vaddr + segment.offset) as usize
        };
        let targets =
            [(0, 4096), (offset(module.pclntab), 80), (offset(module.vaddr), 600), (offset(module.pclntab), 1 << 20)];
        for round in 0..24 {
            let mut bytes = whole.clone();
            let (start, len) = targets[round % targets.len()];
            for _ in 0..1 + next() % 64 {
                let at = start + (next() % len) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = next() as u8;
                }
            }
            if round % 5 == 0 {
                bytes.truncate((next() % bytes.len() as u64) as usize);
            }
            exercise(bytes);
        }
    }
}

//! Reading the memory of a process.
#![allow(unsafe_code)] // Implementing an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use fgspy_memory::{MAX_BATCH_BYTES, Memory, Process, Range, ReadError};
use libtest_mimic::{Failed, Trial};

use crate::child::{BIG_WORDS, PAGE, PAGES, word_at};
use crate::spawn::Target;
use crate::test;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("live: ranges across holes", ranges_across_holes),
        test("live: many ranges", many_ranges),
        test("live: one long range", one_long_range),
        test("live: single reads", single_reads),
        test("live: hostile ranges", hostile_ranges),
        test("live: no allocation in the steady state", no_allocation),
    ]
}

fn range(addr: u64, len: usize) -> Range {
    Range { addr, len }
}

/// Checks a batch against what the `holes` child has in memory. `buf` and `got` may hold anything before.
fn check(memory: &impl Memory, base: u64, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) {
    memory.read_ranges(ranges, buf, got).unwrap();
    assert_eq!(got.len(), ranges.len());
    assert_eq!(buf.len(), ranges.iter().map(|range| range.len).sum::<usize>());
    let inside = base..base + (PAGES * PAGE) as u64;
    let mut at = 0;
    for (range, &got) in ranges.iter().zip(got.iter()) {
        let mapped = |addr: u64| inside.contains(&addr) && ((addr - base) / PAGE as u64).is_multiple_of(2);
        let expected = (0..range.len).take_while(|&i| mapped(range.addr + i as u64)).count();
        assert_eq!(got, expected, "{range:x?}");
        for i in 0..range.len {
            let addr = range.addr + i as u64;
            let byte = word_at(base, addr & !7).to_le_bytes()[(addr % 8) as usize];
            assert_eq!(buf[at + i], if i < got { byte } else { 0 }, "{range:x?} at {i}");
        }
        at += range.len;
    }
}

fn ranges_across_holes() -> Result<(), Failed> {
    let mut target = Target::role("holes");
    let base = target.numbers()[0];
    let memory = Process::open(target.pid())?.memory();
    let page = PAGE as u64;
    let ranges = [
        range(base, 8),
        range(base + page + 8, 8),          // in a hole
        range(base + 100, 0),               // empty
        range(base + 2 * page + 13, 77),    // not aligned
        range(base + 2 * page, 3 * PAGE),   // starts mapped, goes on in a hole, and ends mapped
        range(base + 4 * page, PAGE),       // a whole page
        range(base + 5 * page - 3, 8),      // ends in a hole
        range(base + 6 * page - 8, 16),     // starts in a hole
        range(base + 62 * page + 4000, 97), // one byte too long
        range(base + 63 * page + 4095, 1),  // the last byte
    ];
    let (mut buf, mut got) = (vec![0xee; 70_000], vec![99; 3]);
    check(&memory, base, &ranges, &mut buf, &mut got);
    let expected = [8, 0, 0, 77, PAGE, PAGE, 3, 0, 96, 0];
    assert_eq!(got, expected);
    for range in ranges {
        check(&memory, base, &[range], &mut buf, &mut got);
    }
    check(&memory, base, &[], &mut buf, &mut got);
    Ok(())
}

/// More than fit into one call, with failures in every rhythm.
fn many_ranges() -> Result<(), Failed> {
    let mut target = Target::role("holes");
    let base = target.numbers()[0];
    let memory = Process::open(target.pid())?.memory();
    let (mut buf, mut got) = (Vec::new(), Vec::new());
    let at = |page: usize, i: usize| range(base + (page * PAGE + i * 8 % 4000) as u64, 8);
    let only_good: Vec<Range> = (0..5000).map(|i| at(i % 32 * 2, i)).collect();
    let only_bad: Vec<Range> = (0..5000).map(|i| at(i % 32 * 2 + 1, i)).collect();
    let mixed: Vec<Range> = (0..5000).map(|i| at(i * 7 % 64, i)).collect();
    let rarely_bad: Vec<Range> = (0..5000).map(|i| at(if i % 700 == 3 { 1 } else { i % 32 * 2 }, i)).collect();
    for ranges in [only_good, only_bad, mixed, rarely_bad] {
        check(&memory, base, &ranges, &mut buf, &mut got);
    }
    Ok(())
}

fn one_long_range() -> Result<(), Failed> {
    let mut target = Target::role("big");
    let base = target.numbers()[0];
    let memory = Process::open(target.pid())?.memory();
    let (mut buf, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&[range(base, 8), range(base, BIG_WORDS * 8), range(base + 8, 8)], &mut buf, &mut got)?;
    assert_eq!(got, [8, BIG_WORDS * 8, 8]);
    let words = buf.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let expected = [0].into_iter().chain(0..BIG_WORDS as u64).chain([1]).map(|i| i * 3 + 1);
    assert!(words.eq(expected));
    Ok(())
}

fn single_reads() -> Result<(), Failed> {
    let mut target = Target::role("holes");
    let base = target.numbers()[0];
    let memory = Process::open(target.pid())?.memory();
    let page = PAGE as u64;
    let mut out = [0; 24];
    assert_eq!(memory.read_into(base + 8, &mut out), Ok(true));
    let expected = [8, 16, 24].map(|at| word_at(0, at).to_le_bytes()).concat();
    assert_eq!(out[..], expected);
    assert_eq!(memory.read_into(base + page - 16, &mut out), Ok(false));
    assert_eq!(memory.read_into(base + page, &mut []), Ok(true));
    assert_eq!(memory.read_u64(base + 2 * page), Ok(Some(word_at(0, 2 * page))));
    assert_eq!(memory.read_u64(base + page), Ok(None));
    let shared: std::sync::Arc<dyn Memory + Sync> = std::sync::Arc::new(memory.clone());
    assert_eq!(shared.read_u64(base + page), Ok(None));
    let boxed: Box<dyn Memory> = Box::new(memory.clone());
    assert_eq!(boxed.read_u64(base), Ok(Some(word_at(0, 0))));
    Ok(())
}

fn hostile_ranges() -> Result<(), Failed> {
    let mut target = Target::role("holes");
    let base = target.numbers()[0];
    let memory = Process::open(target.pid())?.memory();
    let (mut buf, mut got) = (Vec::new(), Vec::new());
    let addresses = [0, 8, u64::MAX, u64::MAX - 7, u64::MAX - 8, 1 << 63, 0x8000_0000_0000, 0xffff_8000_0000_0000];
    let mut ranges: Vec<Range> = addresses.map(|addr| range(addr, 8)).to_vec();
    ranges.push(range(base, 8));
    memory.read_ranges(&ranges, &mut buf, &mut got)?;
    assert_eq!(got, [0, 0, 0, 0, 0, 0, 0, 0, 8]);
    assert_eq!(buf[..64], [0; 64]);
    for too_large in [vec![range(0, MAX_BATCH_BYTES + 1)], vec![range(0, usize::MAX), range(0, 2)]] {
        assert_eq!(memory.read_ranges(&too_large, &mut buf, &mut got), Err(ReadError::TooLarge));
    }
    Ok(())
}

fn no_allocation() -> Result<(), Failed> {
    let mut target = Target::role("holes");
    let base = target.numbers()[0];
    let memory = Process::open(target.pid())?.memory();
    let ranges: Vec<Range> = (0..3000).map(|i| range(base + i * 80, 16)).collect();
    let (mut buf, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&ranges, &mut buf, &mut got)?;
    let before = ALLOCATIONS.get();
    memory.read_ranges(&ranges, &mut buf, &mut got)?;
    memory.read_into(base, &mut buf[..100])?;
    memory.read_u64(base)?;
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(before > 0, "the counter counts");
    Ok(())
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
pub(crate) struct CountingAllocator;

// SAFETY: everything is left to the system's allocator; counting in a thread-local that needs no destructor neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of this same method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this same method.
        unsafe { System.dealloc(ptr, layout) }
    }
}

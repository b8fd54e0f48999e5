//! Whatever is in a target's memory: finding the runtime, reading goroutines and looking up their frames never panics,
//! ends, and uses no more memory than stated here.

mod damaged;
mod made_up;
mod recorded;

use std::sync::{Mutex, PoisonError};

use fgspy_goroutines::request::MAX_TEXT;
use fgspy_goroutines::symbolize::frames;
use fgspy_goroutines::{
    Frames, MAX_FRAMES, Observation, Reader, Request, RequestOptions, Runtime, attach, attach_by_measuring, census,
};
use fgspy_memory::Memory;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use damaged::{Damage, Damaged};
use made_up::{Crowd, Noise};
use recorded::Recorded;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What attaching and one census may use of memory at a time, in MiB, apart from half a kilobyte for each goroutine: 128
/// each for the bytes of the longest list that is read and for the addresses in it, or instead of the former for the
/// stacks of a batch; 128 for the frames and 256 for the labels that are kept; 64 for the labels that are remembered.
const MAX_MEGABYTES: f32 = 704.0;

/// Memory is measured for the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `act` and says by how much the memory in use grew at most, in MiB.
fn peak_of(act: impl FnOnce()) -> f32 {
    let before = ALLOCATOR.current_usage_as_mb();
    ALLOCATOR.reset_peak_usage();
    act();
    ALLOCATOR.peak_usage_as_mb() - before
}

/// Does to a memory all that fgspy does with one.
fn read_everything(recorded: &Recorded, memory: &dyn Memory) {
    let Recorded { runtime, tids, .. } = recorded;
    for find in [attach, attach_by_measuring] {
        match find(memory, runtime.binary.clone(), runtime.bias, tids) {
            Ok(found) => read_goroutines(&found, memory),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    // What was found while all was well meets the same memory.
    read_goroutines(runtime, memory);
}

fn read_goroutines(runtime: &Runtime, memory: &dyn Memory) {
    let mut reader = Reader::new();
    for _ in 0..2 {
        let _ = reader.round(runtime, memory, &mut |observation| assert!(observation.stack.pcs().len() <= MAX_FRAMES));
    }
    let mut reader = Reader::with_requests(runtime, RequestOptions { data: true, keep_query: true });
    for _ in 0..2 {
        let _ = reader.round(runtime, memory, &mut |observation| {
            observation.request.request().into_iter().for_each(check_text);
        });
    }
    for goroutine in census(runtime, memory).unwrap_or_default() {
        let pcs = goroutine.stack.pcs();
        assert!(pcs.len() <= MAX_FRAMES);
        assert_eq!(matches!(goroutine.stack, Frames::Whole(_) | Frames::Cut(_)), !pcs.is_empty());
        assert_eq!(frames(runtime, pcs, false).len(), pcs.len());
        let _ = runtime.doing(goroutine.status, goroutine.g.wait_reason);
        let _ = runtime.is_system(goroutine.g.start_pc, pcs);
    }
}

/// Checks that what was read of a request is short and can be printed.
fn check_text(request: &Request) {
    for text in [&request.method, &request.path, &request.route, &request.request_id].into_iter().flatten() {
        // Bytes that are not UTF-8 become three.
        assert!(text.len() <= 3 * MAX_TEXT + "…".len() && !text.contains(char::is_control), "{text:?}");
    }
}

fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |input| {
        test(input);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn damaged_memory_is_survived() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for recorded in recorded::zoos() {
        let damage = Damage::any(recorded);
        check(300, prop::collection::vec(damage, 1..60), |damage| {
            let memory = Damaged::new(&recorded.snapshot, &damage);
            let peak = peak_of(|| read_everything(recorded, &memory));
            assert!(peak < MAX_MEGABYTES, "{peak} MiB");
        });
    }
}

#[test]
fn damaged_services_are_survived() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for recorded in recorded::services() {
        let mut found = 0;
        let mut reader = Reader::with_requests(&recorded.runtime, RequestOptions::default());
        let count = &mut |observation: Observation<'_>| found += usize::from(observation.request.request().is_some());
        reader.round(&recorded.runtime, &recorded.snapshot, count).expect("it can be read");
        assert_eq!(found, recorded.serving, "what is damaged next must be what is read");
        let damage = Damage::any(recorded);
        check(150, prop::collection::vec(damage, 1..200), |damage| {
            let memory = Damaged::new(&recorded.snapshot, &damage);
            let peak = peak_of(|| read_goroutines(&recorded.runtime, &memory));
            assert!(peak < MAX_MEGABYTES, "{peak} MiB");
        });
    }
}

#[test]
fn frame_pointers_below_the_stack_pointer_are_survived() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for recorded in recorded::zoos() {
        let layout = &recorded.runtime.layout;
        let bp = u64::from(layout.g.sched + layout.gobuf.bp);
        let damage: Vec<Damage> = recorded
            .observed
            .iter()
            .filter_map(|(address, g)| Some(Damage::Word(address + bp, g.context()?.sp - 64)))
            .collect();
        read_everything(recorded, &Damaged::new(&recorded.snapshot, &damage));
    }
}

#[test]
fn noise_is_survived() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for recorded in recorded::zoos().iter().chain(recorded::services()) {
        check(100, (any::<u64>(), 0u64..3000, any::<bool>()), |(seed, goroutines, changing)| {
            let memory = Noise::new(recorded, seed, goroutines, changing);
            let peak = peak_of(|| read_everything(recorded, &memory));
            assert!(peak < MAX_MEGABYTES, "{peak} MiB");
        });
    }
}

#[test]
fn a_crowd_of_deep_stacks_and_long_labels_fits() {
    /// Their frames and labels alone would take 500 MB, and without limits for strings many times that.
    const GOROUTINES: u64 = 20_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for recorded in recorded::zoos() {
        let memory = Crowd::new(recorded, GOROUTINES);
        let mut goroutines = 0;
        let peak = peak_of(|| goroutines = census(&recorded.runtime, &memory).expect("it can be read").len());
        assert_eq!(goroutines, GOROUTINES as usize);
        assert!(peak < MAX_MEGABYTES, "{peak} MiB");
    }
}

//! Stacks that are, can be; mixtures of two cannot.
//!
//! The goroutines of the zoo stand still, so each of their stacks is one that calls have made, whatever made them: signals,
//! faults, panics, deferred calls, C, reflection. A frame of one on top of a return address of another is not.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Toolchain, Variant, build, matrix, zoo};
use fgspy_gobin::GoBinary;
use fgspy_goroutines::{Chains, Fit, Frames, Runtime, attach, census};
use fgspy_memory::Process;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let matrix = matrix().expect("the required toolchains can be had");
    let trials = matrix.into_iter().map(|(toolchain, variant)| {
        let name = format!("zoo::{}::{}", toolchain.version, variant.word());
        Trial::test(name, move || {
            stacks_can_be_and_mixtures_cannot(&toolchain, variant).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn stacks_can_be_and_mixtures_cannot(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let (fixture, kinds) = zoo::spawn(&build("zoo", toolchain, variant)?, &[])?;
    let process = Process::open(fixture.pid())?;
    let memory = process.memory();
    let binary = GoBinary::parse(Box::new(process.exe().try_clone()?))?;
    let tids: Vec<u32> = process.threads()?.iter().map(|thread| thread.ns_tid).collect();
    let bias = process.load_bias()?.bias;
    let runtime = attach(&memory, binary.into(), bias, &tids)?;
    // The runtime's own move; of these a stack may be read that is none.
    fixture.freeze()?;
    let goroutines = census(&runtime, &memory)?;
    let mut chains = Chains::default();
    let elsewhere = runtime.binary.func_named("runtime.gopark").context("no gopark")?.entry + bias;
    let (mut direct, mut possible, mut started) = (0, 0, 0);
    // By the function: a frame of it, and the return address below that.
    let mut calls: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for goroutine in &goroutines {
        let Frames::Whole(pcs) = &goroutine.stack else { continue };
        match chains.fit(&runtime, goroutine.g.start_pc, pcs) {
            Fit::Direct => direct += 1,
            Fit::Possible => possible += 1,
            Fit::Impossible => {
                ensure!(false, "refused: {}", described(&runtime, &mut chains, goroutine.g.start_pc, pcs))
            }
        }
        // Who was started by C has a g that no go statement made.
        let was_started = runtime.starts_at(pcs) == Some(goroutine.g.start_pc);
        started += usize::from(was_started);
        ensure!(
            !was_started || chains.fit(&runtime, elsewhere, pcs) == Fit::Impossible,
            "started elsewhere: {}",
            described(&runtime, &mut chains, goroutine.g.start_pc, pcs)
        );
        for pair in pcs.windows(2).filter(|pair| chains.fit(&runtime, 0, pair) == Fit::Direct) {
            if let Some(name) = runtime.function_at(pair[0] - 1) {
                calls.insert(name, (pair[0], pair[1]));
            }
        }
    }
    ensure!(direct + possible >= kinds.len(), "{direct} + {possible} stacks of {} kinds", kinds.len());
    ensure!(direct > kinds.len() / 4, "only {direct} stacks were called directly throughout, {possible} perhaps");
    ensure!(started + 5 > direct + possible, "only {started} of {direct} + {possible} began at their start");
    let mut mixtures = 0;
    for (name, (callee, _)) in &calls {
        for (other, (_, caller)) in calls.iter().filter(|(other, _)| *other != name) {
            let fit = chains.fit(&runtime, 0, &[*callee, *caller]);
            ensure!(fit == Fit::Impossible, "{name} on what called {other}: {fit:?}");
            mixtures += 1;
        }
    }
    println!("{} {}: {direct} direct, {possible} possible, {mixtures} mixtures", toolchain.version, variant.word());
    Ok(())
}

/// The frames of a stack with how well each fits the one below it.
fn described(runtime: &Runtime, chains: &mut Chains, start_pc: u64, pcs: &[u64]) -> String {
    let pairs = pcs.windows(2).map(|pair| {
        let names = [pair[0], pair[1]].map(|pc| format!("{pc:#x} {:?}", runtime.function_at(pc.wrapping_sub(1))));
        format!("\n  {} <- {}: {:?}", names[0], names[1], chains.fit(runtime, start_pc, pair))
    });
    pairs.collect()
}

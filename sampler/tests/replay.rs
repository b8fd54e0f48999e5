//! A recorded snapshot is as good as the process: the same goroutines, frames and labels come out of it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Toolchain, Variant, build, toolchains, zoo};
use fgspy_gobin::{GoBinary, Source};
use fgspy_goroutines::symbolize::frames;
use fgspy_goroutines::{Goroutine, Runtime, attach, census};
use fgspy_memory::{Facts, Memory, Process, Recorder, Snapshot};

#[test]
fn a_snapshot_gives_what_its_process_gave() -> Result<()> {
    // The oldest and the newest: with labels in a map and in a slice; at a fixed address and at a random one.
    let oldest = toolchains::get(19)?;
    for (toolchain, variant) in
        [(oldest, Variant::PieStripped), (toolchains::newest()?, Variant::Plain), (toolchains::newest()?, Variant::Cgo)]
    {
        replays(&toolchain, variant).with_context(|| format!("{} {}", toolchain.version, variant.word()))?;
    }
    Ok(())
}

fn replays(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let (fixture, kinds) = zoo::spawn(&build("zoo", toolchain, variant)?, &[])?;
    // Stopped by the test, so that whatever is read twice is the same twice.
    fixture.freeze()?;
    let process = Process::open(fixture.pid())?;
    let memory = Recorder::new(process.memory());
    let exe = Recorder::new(process.exe().try_clone()?);
    let (memory_tape, exe_tape, exe_len) = (memory.tape(), exe.tape(), exe.len());
    let facts = Facts::of(&process);
    let live = everything(Box::new(exe), &memory, &facts)?;
    let snapshot = Snapshot::new(facts, &memory_tape, &exe_tape, exe_len);
    ensure!((memory_tape.dropped_bytes(), exe_tape.dropped_bytes()) == (0, 0), "not all of it was recorded");
    let bytes = snapshot.to_bytes()?;
    drop((fixture, process));

    let loaded = Snapshot::load(&bytes)?;
    let replayed = everything(Box::new(loaded.exe()), &loaded, loaded.facts())?;
    for (live, replayed) in live.iter().zip(&replayed) {
        ensure!(live == replayed, "live     {live}\nreplayed {replayed}");
    }
    ensure!(live.len() == replayed.len(), "{} goroutines live, {} replayed", live.len(), replayed.len());
    ensure!(live.len() >= kinds.len(), "only {} goroutines, of {} kinds", live.len(), kinds.len());
    println!(
        "{}: {} goroutines in {} KB of memory, {} KB of file",
        toolchain.version,
        live.len(),
        loaded.recorded_bytes() / 1000,
        bytes.len() / 1000
    );
    Ok(())
}

/// All that can be said of every goroutine: its fields, and its stack as program counters and source lines.
fn everything(exe: Box<dyn Source>, memory: &dyn Memory, facts: &Facts) -> Result<Vec<String>> {
    let tids: Vec<u32> = facts.threads.iter().map(|thread| thread.ns_tid).collect();
    let bias = facts.load_bias.context("its load bias is not known")?;
    let runtime = attach(memory, Arc::new(GoBinary::parse(exe)?), bias, &tids)?;
    Ok(census(&runtime, memory)?.iter().map(|goroutine| described(&runtime, goroutine)).collect())
}

fn described(runtime: &Runtime, goroutine: &Goroutine) -> String {
    let doing = runtime.doing(goroutine.status, goroutine.g.wait_reason);
    format!("{goroutine:?} {doing} {:?}", frames(runtime, goroutine.stack.pcs(), false))
}

//! Snapshots of small zoos.

use std::sync::{Arc, LazyLock};

use anyhow::Result;
use fgspy_fixtures::{Toolchain, Variant, build, toolchains, zoo};
use fgspy_gobin::GoBinary;
use fgspy_goroutines::{G, Goroutine, Reader, Runtime, attach, census};
use fgspy_memory::{ExeFile, Facts, Process, Recorder, Snapshot};

/// A zoo as it was recorded, and what was found in it.
pub(crate) struct Recorded {
    pub(crate) snapshot: Snapshot,
    pub(crate) runtime: Runtime,
    pub(crate) tids: Vec<u32>,
    pub(crate) goroutines: Vec<Goroutine>,
    /// The same goroutines by the addresses of their g's.
    pub(crate) observed: Vec<(u64, G)>,
    /// Addresses of all g's, dead ones included.
    pub(crate) addresses: Vec<u64>,
}

/// The oldest and the newest zoo: with labels in a map and in a slice.
pub(crate) fn zoos() -> &'static [Recorded] {
    static ZOOS: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
        let toolchains = [toolchains::get(19), toolchains::newest()];
        toolchains
            .into_iter()
            .map(|toolchain| record(&toolchain?))
            .collect::<Result<_>>()
            .expect("zoos can be recorded")
    });
    &ZOOS
}

fn record(toolchain: &Toolchain) -> Result<Recorded> {
    let path = build("zoo", toolchain, Variant::Plain)?;
    let (fixture, _) = zoo::spawn(&path, &[])?;
    fixture.freeze()?;
    let process = Process::open(fixture.pid())?;
    let memory = Recorder::new(process.memory());
    let binary = Arc::new(GoBinary::parse(Box::new(ExeFile::open(&path)?))?);
    let facts = Facts::of(&process);
    let tids: Vec<u32> = facts.threads.iter().map(|thread| thread.ns_tid).collect();
    let runtime = attach(&memory, binary, facts.load_bias.unwrap_or(0), &tids)?;
    let goroutines = census(&runtime, &memory)?;
    let mut observed = Vec::new();
    let mut reader = Reader::new();
    reader.round(&runtime, &memory, &mut |observation| {
        observed.push((observation.address, *observation.g));
    })?;
    let addresses = reader.all().runs().flatten().filter_map(|&index| reader.all().address(index)).collect();
    let snapshot = Snapshot::new(facts, &memory.tape(), &memory.tape(), 0);
    Ok(Recorded { snapshot, runtime, tids, goroutines, observed, addresses })
}

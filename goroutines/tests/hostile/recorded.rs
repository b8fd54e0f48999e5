//! Snapshots of small zoos, and of services at work.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use anyhow::{Result, ensure};
use fgspy_fixtures::requests::{Load, Service};
use fgspy_fixtures::{Fixture, Toolchain, Variant, build, fetch_modules, skip, toolchains, zoo};
use fgspy_gobin::GoBinary;
use fgspy_goroutines::{G, Goroutine, Reader, RequestOptions, Runtime, attach, census};
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
    /// How many goroutines served a request.
    pub(crate) serving: usize,
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

/// Services at work: HTTP/1 and HTTP/2 of the oldest and the newest Go, with headers in maps of both kinds, and gRPC.
pub(crate) fn services() -> &'static [Recorded] {
    static SERVICES: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
        let mut programs = vec![("requests", toolchains::get(19)), ("requests", toolchains::newest())];
        match toolchains::newest().and_then(|newest| fetch_modules("grpc", &newest)) {
            Ok(()) => programs.push(("grpc", toolchains::newest())),
            Err(error) => skip("program grpc", &format!("{error:#}")),
        }
        let recorded = programs.into_iter().map(|(program, toolchain)| record_service(program, &toolchain?));
        recorded.collect::<Result<_>>().expect("services can be recorded")
    });
    &SERVICES
}

fn record(toolchain: &Toolchain) -> Result<Recorded> {
    let path = build("zoo", toolchain, Variant::Plain)?;
    let (fixture, _) = zoo::spawn(&path, &[])?;
    record_frozen(&fixture, &path)
}

fn record_service(program: &str, toolchain: &Toolchain) -> Result<Recorded> {
    let path = build(program, toolchain, Variant::Plain)?;
    let service = Service::start(&path, &["-delay=100ms"], &[])?;
    let _load = Load::start(&path, &service.addresses, &["-clients=4"])?;
    let recorded = record_frozen(&service.fixture, &path)?;
    ensure!(recorded.serving > 0, "{program} was doing nothing");
    Ok(recorded)
}

fn record_frozen(fixture: &Fixture, path: &Path) -> Result<Recorded> {
    fixture.freeze()?;
    let process = Process::open(fixture.pid())?;
    let memory = Recorder::new(process.memory());
    let binary = Arc::new(GoBinary::parse(Box::new(ExeFile::open(path)?))?);
    let facts = Facts::of(&process);
    let tids: Vec<u32> = facts.threads.iter().map(|thread| thread.ns_tid).collect();
    let runtime = attach(&memory, binary, facts.load_bias.unwrap_or(0), &tids)?;
    let goroutines = census(&runtime, &memory)?;
    let mut observed = Vec::new();
    let mut serving = 0;
    let mut reader = Reader::with_requests(&runtime, RequestOptions::default());
    reader.round(&runtime, &memory, &mut |observation| {
        observed.push((observation.address, *observation.g));
        serving += usize::from(observation.request.request().is_some());
    })?;
    let addresses = reader.all().runs().flatten().filter_map(|&index| reader.all().address(index)).collect();
    let snapshot = Snapshot::new(facts, &memory.tape(), &memory.tape(), 0);
    Ok(Recorded { snapshot, runtime, tids, goroutines, observed, addresses, serving })
}

//! A Go program that is traced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fgspy_fixtures::{Fixture, Toolchain, Variant, build};
use fgspy_gobin::GoBinary;
use fgspy_goroutines::{Runtime, attach};
use fgspy_memory::Process;
use fgspy_probes::{Event, Options, Tracer, plan};

/// How long a program may take for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program, what is known of it, and what it did.
pub(crate) struct Target {
    pub(crate) fixture: Fixture,
    pub(crate) runtime: Runtime,
    pub(crate) tracer: Tracer,
    pub(crate) events: Vec<Event>,
}

/// Reads what must be known of a Go program.
pub(crate) fn runtime(pid: u32) -> Result<Runtime> {
    let process = Process::open(pid)?;
    let binary = Arc::new(GoBinary::parse(Box::new(process.exe().try_clone()?))?);
    let tids: Vec<u32> = process.threads()?.iter().map(|thread| thread.ns_tid).collect();
    Ok(attach(&process.memory(), binary, process.load_bias()?.bias, &tids)?)
}

impl Target {
    pub(crate) fn start(
        program: &str,
        toolchain: &Toolchain,
        variant: Variant,
        arguments: &[&str],
        options: Options,
    ) -> Result<Target> {
        Target::of(Fixture::spawn(&build(program, toolchain, variant)?, arguments)?, options)
    }

    /// Traces a program that runs.
    pub(crate) fn of(fixture: Fixture, options: Options) -> Result<Target> {
        let runtime = runtime(fixture.pid())?;
        let tracer =
            Tracer::start(&plan(fixture.pid(), &runtime, &fgspy_probes::sites::sites(&runtime.binary), options))?;
        Ok(Target { fixture, runtime, tracer, events: Vec::new() })
    }

    /// Takes what was sent.
    pub(crate) fn poll(&mut self) {
        let events = &mut self.events;
        self.tracer.poll(&mut |event| events.push(event));
    }

    /// Tells the program to go on, and waits for its answer.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        self.fixture.tell(line)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.poll();
            if let Some(line) = self.fixture.try_line(Duration::from_millis(10))? {
                self.poll();
                return Ok(line);
            }
            if Instant::now() > deadline {
                bail!("no answer; {:?}", self.tracer.counts()?);
            }
        }
    }
}

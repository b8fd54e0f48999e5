//! `cargo xtask bench`: what fgspy costs, and what its peers cost, with the noise of the machine beside it.
//!
//! A benchmark is no test: nothing fails because a machine was slow. Each part measures, keeps what it measured in
//! `bench/data`, and has a section in `bench/RESULTS.md`, which is made anew from all that is kept.

mod arms;
mod fgspy;
mod go;
mod gobench;
mod instructions;
mod load;
mod markdown;
mod proc;
mod reads;
mod report;
mod requests;
mod scale;
mod seed;
mod service;
mod statistics;
mod subject;
mod switches;
mod terminal;
mod trace;
mod turns;
mod words;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;
use fgspy_fixtures::toolchains;
use serde::Serialize;

use self::report::Measured;
use self::subject::{Bench, OLDEST};
use crate::machine::{self, Circumstances};
use fgspy_fixtures::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to measure; everything if nothing is named
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// A short run, only to see that everything works; its report goes to target/bench
    #[arg(long)]
    quick: bool,
    /// Rounds of runs; without it, as many as each part needs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Only targets with so many goroutines in `scale`; the report goes to target/bench
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    sizes: Vec<u32>,
    /// Measure this fgspy; without it, one is built from what is here
    #[arg(long, value_name = "FILE")]
    fgspy: Option<PathBuf>,
}

/// A part of the benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Go's own encoding/json benchmarks with each profiler
    Seed,
    /// fgspy alone, in short turns, to find differences below 1 %
    Turns,
    /// An HTTP server at half load with each profiler
    Service,
    /// CPU and memory for 1 to 1,000,000 goroutines
    Scale,
    /// What it costs to read a stack, by how many are read at once
    Reads,
    /// Instructions of the recording loop, counted by valgrind
    Instructions,
    /// What it costs fgspy to say which request a goroutine serves
    Requests,
    /// What events add to a context switch
    Switches,
    /// An HTTP server at full speed with the probes of `fgspy trace`
    Trace,
}

/// Builds everything, measures, and writes the report.
///
/// # Errors
/// When something does not build, cannot be run or cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Most parts run fgspy; `trace` is fgspy.
    let wants = |part| options.parts.is_empty() || options.parts.contains(&part);
    let bench = Bench {
        fgspy: options.fgspy.as_ref().map_or_else(workspace::release_fgspy, |file| Ok(file.canonicalize()?))?,
        newest: toolchains::newest()?,
        oldest: toolchains::get(OLDEST)?,
        quick: options.quick,
        runs: options.runs,
        sizes: options.sizes.clone(),
        version: if options.fgspy.is_some() { "not built from here".to_owned() } else { machine::commit() },
    };
    go::download(&bench.newest)?;
    circumstances(&bench).warn_of_load();
    let draft = options.quick || !options.sizes.is_empty();
    let folder = workspace::root().join(if draft { "target/bench" } else { "bench" });
    if wants(Part::Seed) {
        part(&bench, &folder, "seed", seed::measure)?;
    }
    if wants(Part::Turns) {
        part(&bench, &folder, "turns", turns::measure)?;
    }
    if wants(Part::Service) {
        part(&bench, &folder, "service", service::measure)?;
    }
    if wants(Part::Scale) {
        part(&bench, &folder, "scale", scale::measure)?;
    }
    if wants(Part::Reads) {
        part(&bench, &folder, "reads", reads::measure)?;
    }
    if wants(Part::Instructions) {
        part(&bench, &folder, "instructions", instructions::measure)?;
    }
    if wants(Part::Requests) {
        part(&bench, &folder, "requests", requests::measure)?;
    }
    if wants(Part::Switches) {
        part(&bench, &folder, "switches", switches::measure)?;
    }
    if wants(Part::Trace) {
        part(&bench, &folder, "trace", trace::measure)?;
    }
    let sections = [
        report::section(&folder, "seed", "The seed: encoding/json", seed::render)?,
        report::section(&folder, "turns", "In turns", turns::render)?,
        report::section(&folder, "service", "A service at half load", service::render)?,
        report::section(&folder, "scale", "Scale", scale::render)?,
        report::section(&folder, "reads", "Reading stacks", reads::render)?,
        report::section(&folder, "instructions", "Instructions", instructions::render)?,
        report::section(&folder, "requests", "Requests", requests::render)?,
        report::section(&folder, "switches", "Context switches", switches::render)?,
        report::section(&folder, "trace", "Tracing at full speed", trace::render)?,
    ];
    report::write(&folder, &sections)
}

fn circumstances(bench: &Bench) -> Circumstances {
    Circumstances::now(&bench.version, &[&bench.newest.version, &bench.oldest.version], go::fgprof_version())
}

/// Measures one part and keeps it.
fn part<D: Serialize>(
    bench: &Bench,
    folder: &Path,
    name: &str,
    measure: impl FnOnce(&Bench) -> Result<D>,
) -> Result<()> {
    let circumstances = circumstances(bench);
    let began = Instant::now();
    let data = measure(bench)?;
    let mut command = format!("cargo xtask bench {name}");
    if bench.quick {
        command += " --quick";
    }
    if let Some(runs) = bench.runs {
        command += &format!(" --runs {runs}");
    }
    if !bench.sizes.is_empty() {
        command += &format!(" --sizes {}", bench.sizes.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    }
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{name}: measured in {seconds:.0} s");
    report::keep(folder, name, &Measured { circumstances, command, quick: bench.quick, seconds, data })
}

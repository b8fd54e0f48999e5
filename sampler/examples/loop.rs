//! The recording loop on a recorded snapshot, for counting its instructions:
//!
//!     loop record PID FILE
//!     loop replay FILE TICKS everything|PROBABILITY
//!
//! `cargo xtask bench instructions` runs it under callgrind.

use std::process::exit;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use fgspy_gobin::{GoBinary, Source};
use fgspy_goroutines::{Runtime, attach};
use fgspy_memory::{Facts, Memory, Process, Recorder, Snapshot};
use fgspy_sampler::{Options, Reading, replay};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match *arguments.as_slice() {
        ["record", pid, file] => record(pid, file),
        ["replay", file, ticks, reading] => play(file, ticks, reading),
        _ => Err(anyhow::anyhow!("usage: loop record PID FILE | loop replay FILE TICKS everything|PROBABILITY")),
    };
    if let Err(error) = done {
        eprintln!("{error:#}");
        exit(1);
    }
}

/// Keeps everything that a recording reads of a process, which had better stand still.
fn record(pid: &str, file: &str) -> Result<()> {
    let process = Process::open(pid.parse()?)?;
    let memory = Recorder::new(process.memory());
    let exe = Recorder::new(process.exe().try_clone()?);
    let (memory_tape, exe_tape, exe_len) = (memory.tape(), exe.tape(), exe.len());
    let facts = Facts::of(&process);
    let runtime = runtime(Box::new(exe), &memory, &facts)?;
    replay(&runtime, &memory, 2, options("everything")?)?;
    let snapshot = Snapshot::new(facts, &memory_tape, &exe_tape, exe_len);
    std::fs::write(file, snapshot.to_bytes()?)?;
    Ok(())
}

fn play(file: &str, ticks: &str, reading: &str) -> Result<()> {
    let snapshot = Snapshot::load(&std::fs::read(file).with_context(|| file.to_owned())?)?;
    let runtime = runtime(Box::new(snapshot.exe()), &snapshot, snapshot.facts())?;
    let accounting = replay(&runtime, &snapshot, ticks.parse()?, options(reading)?)?;
    let reads = accounting.observations();
    if accounting.torn + accounting.broken + accounting.unmapped > 0 {
        bail!("the snapshot lacks something: {accounting:?}");
    }
    println!("{} goroutine-ticks, {reads} reads, {} proven", accounting.goroutine_ticks, accounting.proven);
    Ok(())
}

fn runtime(exe: Box<dyn Source>, memory: &dyn Memory, facts: &Facts) -> Result<Runtime> {
    let tids: Vec<u32> = facts.threads.iter().map(|thread| thread.ns_tid).collect();
    let bias = facts.load_bias.context("its load bias is not known")?;
    Ok(attach(memory, Arc::new(GoBinary::parse(exe)?), bias, &tids)?)
}

fn options(reading: &str) -> Result<Options> {
    let reading = match reading {
        "everything" => Reading::Everything,
        probability => Reading::Share { probability: probability.parse()? },
    };
    Ok(Options { reading, system: true, seed: Some(1), ..Options::default() })
}

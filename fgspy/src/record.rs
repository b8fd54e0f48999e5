//! `fgspy record`.

use std::process::{Child, Command};

use anyhow::Context;
use fgspy_memory::Process;
use fgspy_profile::{Profile, apply};
use fgspy_sampler::{Ended, GoProcess, Options, Recording, Session, Sources, Stop, profile, record};
use thiserror::Error;

use crate::args::RecordArgs;
use crate::output::{self, Output};
use crate::progress::ProgressLine;
use crate::{filter, signals, summary, target};

/// The recording is empty.
#[derive(Debug, Error)]
#[error("nothing was recorded: {0}")]
pub(crate) struct NothingRecorded(&'static str);

/// Records a process, or a program that it starts.
pub(crate) fn run(args: &RecordArgs) -> anyhow::Result<()> {
    let filter = filter::build(&args.filter)?;
    let stop = signals::stop_on_signal()?;
    let mut child = None;
    let process = match args.pid {
        Some(pid) => Process::open(pid)?,
        None => {
            let child = child.insert(start(&args.program)?);
            Process::open(child.id()).with_context(|| format!("{} was started", args.program.join(" ")))?
        }
    };
    let program = process.exe_path().file_name().map_or("fgspy".into(), |name| name.to_string_lossy().into_owned());
    let (path, format) = output::choose(args.output.as_deref(), args.format, &program)?;
    let output = Output::prepare(&path, format)?;
    let target = GoProcess::attach(process)?;
    let options = Options { rate_hz: args.rate, duration: args.duration };
    let mut line = ProgressLine::new(args.quiet, args.duration);
    let (profile, ended) = record_target(target, options, &stop, &mut |progress| line.update(progress));
    drop(line);
    if profile.samples.is_empty() {
        return Err(nothing(ended).into());
    }
    let filtered = apply(&profile, &filter);
    let written = output.write(&filtered)?;
    if !args.quiet {
        eprint!("{}", summary::closing(&filtered, ended, written.as_deref().map(|path| (path, format))));
    }
    child.map_or(Ok(()), wait)
}

/// Records a target that is open. The profile holds whatever was recorded, perhaps nothing.
pub(crate) fn record_target(
    target: GoProcess,
    options: Options,
    stop: &Stop,
    progress: &mut dyn FnMut(&fgspy_sampler::Progress),
) -> (Profile, Ended) {
    let description = target.describe();
    let mut remarks = target::remarks(&target);
    let mut mappings = target.process.maps().unwrap_or_default();
    let (on_cpu, notes) = target::open_on_cpu(target.process.pid());
    remarks.extend(notes);
    let GoProcess { process, memory, runtime } = target;
    let mut session = Session { process, memory, runtime, on_cpu };
    let mut recording: Recording = record(&mut session, options, stop, progress);
    recording.accounting.remarks = remarks;
    // What was loaded meanwhile counts too, unless the target is gone.
    if let Ok(now) = session.process.maps() {
        mappings = now;
    }
    let ended = recording.ended;
    let sources = Sources { runtime: &session.runtime, mappings: &mappings, on_cpu: session.on_cpu.is_some() };
    (profile(recording, description, &sources), ended)
}

fn nothing(ended: Ended) -> NothingRecorded {
    NothingRecorded(match ended {
        Ended::Duration | Ended::Stopped => "the recording ended before the first tick; record longer, or raise --rate",
        Ended::TargetExited => "the target exited before the first tick",
        Ended::TargetReplaced => "the target replaced its program by another (exec) before the first tick",
        Ended::Denied => "the kernel stopped letting us read the target",
    })
}

/// Starts the program to record. It shares our terminal, so Ctrl-C reaches it too.
fn start(program: &[String]) -> anyhow::Result<Child> {
    let (name, arguments) = program.split_first().context("there is no program to start")?;
    Command::new(name).args(arguments).spawn().with_context(|| format!("{name} could not be started"))
}

/// The program goes on for as long as it likes; fgspy does not leave it behind.
fn wait(mut child: Child) -> anyhow::Result<()> {
    if let Ok(None) = child.try_wait() {
        eprintln!("Waiting for the program (process {}) to end.", child.id());
    }
    child.wait()?;
    Ok(())
}

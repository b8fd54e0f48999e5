//! `fgspy record`.

use std::process::{Child, Command};

use anyhow::Context;
use fgspy_memory::Process;
use fgspy_profile::apply;
use fgspy_sampler::{Ended, GoProcess, Options, record_profile};
use thiserror::Error;

use crate::args::RecordArgs;
use crate::output::{self, Output};
use crate::progress::ProgressLine;
use crate::{filter, signals, summary};

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
    let (profile, ended) = record_profile(target, options, &stop, &mut |progress| line.update(progress));
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

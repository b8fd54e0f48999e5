//! `fgspy record`.

mod progress;
mod summary;

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use fgspy_memory::Process;
use fgspy_sampler::{Options, record_profile};

use crate::args::record::RecordArgs;
use crate::args::view;
use crate::exit::{Context, Failure, is_broken_pipe};
use crate::output::error::OutputError;
use crate::output::profile_file::{self, Output};
use crate::signals::{self, Signals};
use crate::{ending, terminal::message::print_message, watchdog};
use progress::ProgressLine;

/// How often a program is looked at, to notice its end.
const WATCH: Duration = Duration::from_millis(50);

/// Records a process, or a program that it starts.
pub(crate) fn run(args: &RecordArgs) -> Result<(), Failure> {
    let signals = signals::catch()?;
    watchdog::watch(signals.stop.clone(), args.duration)?;
    if let Some(pid) = args.pid {
        let process = Process::open(pid)?;
        let output = prepare(args, process.exe_path())?;
        return record(args, process, output, &signals);
    }
    let Some((name, arguments)) = args.program.split_first() else {
        return Err(Failure::other("there is no program to start"));
    };
    let output = prepare(args, Path::new(name))?;
    // It shares our terminal, so Ctrl-C reaches it too.
    let mut child =
        Command::new(name).args(arguments).spawn().with_context(|| format!("{name} could not be started"))?;
    let process = Process::open(child.id()).map_err(Failure::from);
    match process.and_then(|process| record(args, process, output, &signals)) {
        Ok(()) => wait(child, &signals),
        Err(error) => Err(error.context(left_behind(name, &mut child))),
    }
}

/// Makes sure, before anything else, that the result can be written.
fn prepare(args: &RecordArgs, program: &Path) -> Result<Output, Failure> {
    let program = program.file_name().map_or("fgspy".into(), |name| name.to_string_lossy());
    let (path, format) = profile_file::choose(args.output.as_deref(), args.format, &program)?;
    Output::prepare(&path, format).context("nothing was recorded")
}

fn record(args: &RecordArgs, process: Process, output: Output, signals: &Signals) -> Result<(), Failure> {
    let target = args.runtime.attach(process)?;
    let options = Options {
        rate_hz: args.rate,
        duration: args.duration,
        system: args.system,
        requests: args.requests.options(),
        ..args.limits.options()
    };
    let mut line = ProgressLine::new(args.quiet, args.duration);
    let (mut profile, ended) = record_profile(target, options, &signals.stop, &mut |progress, _| line.update(progress));
    drop(line);
    if profile.samples.is_empty() {
        return Err(ending::nothing(ended).into());
    }
    view::reroute(&mut profile, &args.view.route);
    let shown = view::view(&profile, &args.filter, &args.view);
    let format = output.format();
    if output.may_wait() {
        signals.may_wait();
    }
    match output.write(&shown) {
        Ok(path) if !args.quiet => {
            print_message(summary::closing(&profile, &shown, ended, path.as_deref().map(|p| (p, format))))
        }
        Ok(_) => {}
        Err(OutputError::Failed { source, .. }) if is_broken_pipe(&source) => {}
        Err(failed) => return Err(profile_file::rescue(&shown, failed).into()),
    }
    Ok(())
}

/// The state of a program that was started but not recorded.
fn left_behind(name: &str, child: &mut Child) -> String {
    match child.try_wait() {
        Ok(Some(status)) => format!("{name} was started and has ended ({status})"),
        _ => format!("{name} was started as process {} and keeps running", child.id()),
    }
}

/// Waits for the program to end, unless a signal asks fgspy to exit first.
fn wait(mut child: Child, signals: &Signals) -> Result<(), Failure> {
    let mut is_announced = false;
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                print_message(format_args!("The program ended with {status}."));
            }
            return Ok(());
        }
        if signals.leave() {
            print_message(format_args!("The program keeps running as process {}.", child.id()));
            return Ok(());
        }
        // No message for a program that ends at once.
        if is_announced {
            std::thread::sleep(WATCH);
        } else {
            print_message(format_args!("Waiting for the program (process {}) to end.", child.id()));
            is_announced = true;
        }
    }
}

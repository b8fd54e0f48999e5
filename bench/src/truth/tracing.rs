//! Whether Go's own execution trace agrees with a profile of the same time on the totals of each state.

use std::io::BufReader;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::Toolchain;
use fgspy_goroutines::GoProcess;
use fgspy_profile::{Profile, Sample, State};
use fgspy_sampler::{Ended, Stop, record_profile};

use super::go_trace::{STATES, time_by_state};
use super::mode::Mode;
use super::timekeeper::Timekeeper;

/// A program's goroutine time by state, by its profile and by Go's trace.
pub(super) struct Traced {
    pub(super) program: String,
    pub(super) states: Vec<TracedState>,
}

/// One state, in goroutines on average.
pub(super) struct TracedState {
    pub(super) name: &'static str,
    pub(super) profile: f64,
    /// Half the width of the profile's 95 % interval.
    pub(super) half_width: f64,
    pub(super) trace: f64,
}

/// Records a program, every goroutine at every tick, while it writes a trace of itself.
///
/// # Errors
/// When something ends before its time, or the trace cannot be read.
pub(super) fn compare(binary: &Path, toolchain: &Toolchain, program: &str, duration: Duration) -> Result<Traced> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("trace");
    let mut keeper = Timekeeper::start(binary, program)?;
    let target = GoProcess::open(keeper.pid())?;
    keeper.trace(&file)?;
    let (profile, ended) = record_profile(target, Mode::Everything.options(duration), &Stop::new(), &mut |_, _| {});
    keeper.untrace()?;
    ensure!(ended == Ended::Duration, "the recording ended by {ended:?}");
    drop(keeper);
    let times = read(toolchain, &file, &profile).with_context(|| format!("the trace of {program}"))?;
    let in_goroutines = |ns: f64| ns / profile.duration_ns as f64;
    let states = STATES.iter().zip(times).map(|(state, trace)| {
        let belongs = |sample: &Sample| name_in_trace(sample.state) == *state;
        let time: u64 = profile.samples.iter().filter(|sample| belongs(sample)).map(|sample| sample.time_ns).sum();
        TracedState {
            name: state,
            profile: in_goroutines(time as f64),
            half_width: in_goroutines(super::statistics::Z_95 * profile.standard_error_ns(&belongs)),
            trace: in_goroutines(trace as f64),
        }
    });
    Ok(Traced { program: program.to_owned(), states: states.collect() })
}

/// The runtime's word for a state. It does not know whether its threads have a CPU.
fn name_in_trace(state: State) -> &'static str {
    match state {
        State::Running | State::RunningOffCpu => "Running",
        State::Runnable => "Runnable",
        State::Syscall => "Syscall",
        State::Waiting => "Waiting",
    }
}

fn read(toolchain: &Toolchain, file: &Path, profile: &Profile) -> Result<[u64; STATES.len()]> {
    let start = i64::try_from(profile.start_unix_ns)?;
    let mut tool = toolchain.command()?;
    let mut tool = tool.args(["tool", "trace", "-d=parsed"]).arg(file).stdout(Stdio::piped()).spawn()?;
    let output = BufReader::new(tool.stdout.take().context("no standard output")?);
    let times = time_by_state(output, start, start + i64::try_from(profile.duration_ns)?);
    let status = tool.wait()?;
    let times = times?;
    ensure!(status.success(), "go tool trace failed ({status})");
    Ok(times)
}

//! What must hold of any recording.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::toolchains;
use fgspy_goroutines::GoProcess;
use fgspy_profile::{Profile, Sample, State};
use fgspy_sampler::{Ended, Options, Reading, Stop, record_profile};

use crate::load::Load;
use crate::target::Target;

const DURATION: Duration = Duration::from_secs(2);
const RATE_HZ: f64 = 99.0;

/// Records a program while it has something to do and checks the profile.
pub(crate) fn while_it_works(target: &Target) -> Result<()> {
    let _load = target.port().map(Load::on);
    let process = GoProcess::open(target.pid())?;
    let options = Options {
        rate_hz: RATE_HZ,
        duration: Some(DURATION),
        system: true,
        reading: Reading::Everything,
        ..Options::default()
    };
    let (mut least, mut most) = (u64::MAX, 0);
    let (profile, ended) = record_profile(process, options, &Stop::new(), &mut |progress, _| {
        least = least.min(progress.goroutines);
        most = most.max(progress.goroutines);
    });
    ensure!(ended == Ended::Duration, "it ended for {ended:?}");
    ensure!(profile.target.go_version == target.version, "{}, not {}", profile.target.go_version, target.version);
    ensure!(most > 10, "only {most} goroutines");
    times_add_up(&profile, least, most)?;
    nothing_is_broken(&profile)?;
    waits_are_known(&profile, target.minor()?)?;
    frames_have_names(&profile)?;
    println!("{}", summary(&profile, least, most));
    Ok(())
}

fn times_add_up(profile: &Profile, least: u64, most: u64) -> Result<()> {
    let (total, expected) = (profile.total_time(), profile.accounting.expected_ns);
    ensure!(total == expected, "samples of {total} ns, goroutines × time of {expected} ns");
    let duration = Duration::from_nanos(profile.duration_ns);
    ensure!(duration >= DURATION, "only {duration:?} recorded");
    let per_goroutine = total as f64 / profile.duration_ns as f64;
    ensure!(
        (least as f64..=most as f64).contains(&per_goroutine),
        "{per_goroutine} goroutines on average, but between {least} and {most} at each tick"
    );
    Ok(())
}

fn nothing_is_broken(profile: &Profile) -> Result<()> {
    let accounting = &profile.accounting;
    let failed = accounting.broken + accounting.unmapped;
    let observed = accounting.observations();
    ensure!(failed * 1000 <= observed, "{failed} of {observed} stacks are broken: {accounting:?}");
    // Goroutines that run have the stacks that the kernel saw; all others must have their own, whole.
    let still = profile.samples.iter().filter(|sample| !matches!(sample.state, State::Running | State::RunningOffCpu));
    let (whole, made_up) = still.partition::<Vec<&Sample>, _>(|sample| is_all_code(profile, sample));
    let time = |samples: &[&Sample]| samples.iter().map(|sample| sample.time_ns).sum::<u64>();
    // A goroutine that was seen once only, and moved then, has no stack: how many do depends on what the program does, and
    // fgspy says so. Nothing else may be without one.
    ensure!(
        time(&made_up) <= accounting.unplaced_ns,
        "{} of {} ns without a whole stack, but {} ns are said to have none, such as {:?}",
        time(&made_up),
        time(&whole),
        accounting.unplaced_ns,
        made_up.first().map(|sample| names(profile, sample))
    );
    ensure!(accounting.changed * 4 <= observed, "{} of {observed} stacks moved: {accounting:?}", accounting.changed);
    Ok(())
}

fn is_all_code(profile: &Profile, sample: &Sample) -> bool {
    profile.stacks[sample.stack.index()].iter().all(|location| profile.locations[location.index()].address != 0)
}

fn names<'a>(profile: &'a Profile, sample: &Sample) -> Vec<&'a str> {
    let locations = profile.stacks[sample.stack.index()].iter().map(|location| &profile.locations[location.index()]);
    let functions =
        locations.flat_map(|location| &location.lines).map(|line| &profile.functions[line.function.index()]);
    functions.map(|function| profile.strings[function.name.index()].as_str()).collect()
}

/// Every wait reason is one that the sources of this Go version have.
fn waits_are_known(profile: &Profile, minor: u32) -> Result<()> {
    let sources = toolchains::get(minor)?.goroot.join("src/runtime/runtime2.go");
    let sources = std::fs::read_to_string(sources)?;
    let table =
        sources.split("var waitReasonStrings = [...]string{").nth(1).context("no wait reasons in Go's sources")?;
    let table = table.split("\n}").next().unwrap_or_default();
    let known: HashSet<&str> = table.split('"').skip(1).step_by(2).filter(|words| !words.is_empty()).collect();
    ensure!(known.len() > 20, "only {known:?}");
    for sample in &profile.samples {
        let words = sample.wait_reason.map(|reason| profile.strings[reason.index()].as_str());
        let fits = match sample.state {
            State::Waiting => words.is_some_and(|words| known.contains(words)),
            _ => words.is_none(),
        };
        ensure!(fits, "a goroutine that is {:?} waits for {words:?}", sample.state);
    }
    Ok(())
}

fn frames_have_names(profile: &Profile) -> Result<()> {
    let (text, etext, _) = profile.target.text;
    for location in profile.locations.iter().filter(|location| (text..etext).contains(&location.address)) {
        for line in &location.lines {
            let function = profile.functions[line.function.index()];
            let (name, file) = (&profile.strings[function.name.index()], &profile.strings[function.file.index()]);
            ensure!(
                !name.is_empty() && name != "?" && !file.is_empty() && line.line > 0,
                "{:#x} is {name:?}, line {} of {file:?}",
                location.address,
                line.line
            );
        }
    }
    Ok(())
}

fn summary(profile: &Profile, least: u64, most: u64) -> String {
    let accounting = &profile.accounting;
    let states: Vec<String> = profile
        .by_state()
        .iter()
        .filter(|(_, time)| *time > 0)
        .map(|(state, time)| format!("{state:?} {:.2} %", *time as f64 * 100.0 / profile.total_time() as f64))
        .collect();
    format!(
        "{}: {least} to {most} goroutines, {} ticks ({} late), stacks: {} read, {} moved, {} torn, {} broken, {} unmapped; \
         {:.3} s spread, {:.3} s unplaced; {}",
        profile.target.executable,
        accounting.ticks,
        accounting.late_ticks,
        accounting.accepted,
        accounting.changed,
        accounting.torn,
        accounting.broken,
        accounting.unmapped,
        accounting.spread_ns as f64 / 1e9,
        accounting.unplaced_ns as f64 / 1e9,
        states.join(", "),
    )
}

//! Shares of time are true: programs whose shares are known, by measurement inside or by construction.

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Fixture, Toolchain, Variant, build, toolchains, wait_until};
use fgspy_goroutines::GoProcess;
use fgspy_profile::{Class, Filter, Profile, Sample, SampleKey, State, apply};
use fgspy_sampler::{Ended, Options, Reading, Stop, record_profile};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::time::Duration;

fn main() {
    let arguments = Arguments::from_args();
    let toolchains = toolchains::required().expect("the required toolchains can be had");
    // The oldest and the newest: what differs between versions is how goroutines are read, which `truth` covers.
    let ends = [toolchains.first().cloned(), toolchains.last().cloned()];
    let trials = ends.into_iter().flatten().flat_map(|toolchain| {
        let name = |test: &str| format!("{test}::{}", toolchain.version);
        let (shares, mix, queue, unstarted) =
            (toolchain.clone(), toolchain.clone(), toolchain.clone(), toolchain.clone());
        [
            Trial::test(name("fgprofs_example"), move || run(fgprofs_example(&shares))),
            Trial::test(name("ten_states"), move || run(ten_states(&mix))),
            Trial::test(name("more_want_to_run_than_can_be_read"), move || run(long_queue(&queue))),
            Trial::test(name("who_has_not_begun_has_a_place"), move || run(unstarted_goroutines(&unstarted))),
        ]
    });
    // One after the other: each wants the processors for itself.
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn run(result: Result<()>) -> Result<(), Failed> {
    result.map_err(|error| Failed::from(format!("{error:#}")))
}

fn record(fixture: &Fixture, duration: Duration, reading: Reading) -> Result<Profile> {
    let target = GoProcess::open(fixture.pid())?;
    let options = Options { duration: Some(duration), system: true, reading, ..Options::default() };
    let (profile, ended) = record_profile(target, options, &Stop::new(), &mut |_, _| {});
    ensure!(ended == Ended::Duration, "the recording ended by {ended:?}");
    adds_up(&profile)?;
    Ok(profile)
}

/// The samples stand for goroutines × time, exactly; and the measured time is the time asked for.
fn adds_up(profile: &Profile) -> Result<()> {
    let (total, expected) = (profile.total_time(), profile.accounting.expected_ns);
    ensure!(total == expected, "the samples stand for {total} ns of {expected} ns");
    replicates_add_up(profile)
}

/// The ticks of all replicates together saw what the samples say, of each place and state.
fn replicates_add_up(profile: &Profile) -> Result<()> {
    let replicates = &profile.replicates;
    let duration: i64 = replicates.duration_ns.iter().sum();
    ensure!(duration as u64 == profile.duration_ns, "replicates of {duration} ns of {} ns", profile.duration_ns);
    let mut left: HashMap<SampleKey, i64> = HashMap::new();
    for sample in &profile.samples {
        *left.entry(SampleKey { goid: 0, ..sample.key() }).or_default() += sample.time_ns as i64;
    }
    for part in &replicates.parts {
        *left.entry(part.key).or_default() -= part.time_ns.iter().sum::<i64>();
    }
    ensure!(left.values().sum::<i64>() == 0, "replicates and samples differ by {} ns", left.values().sum::<i64>());
    // Time that was spread over places is rounded for each.
    let most = left.values().map(|left| left.abs()).max();
    ensure!(most < Some(100_000), "replicates and samples differ by up to {most:?} ns in one place");
    Ok(())
}

#[derive(Deserialize)]
struct Truth {
    network_ns: u64,
    cpu_ns: u64,
    sleep_ns: u64,
    total_ns: u64,
    goid: u64,
}

fn truth(fixture: &mut Fixture) -> Result<Truth> {
    fixture.tell("")?;
    let line = fixture.line()?;
    serde_json::from_str(&line).context(line)
}

/// fgprof's own example: a loop that waits for the network, computes and sleeps.
fn fgprofs_example(toolchain: &Toolchain) -> Result<()> {
    let mut fixture = Fixture::spawn(&build("shares", toolchain, Variant::Stripped)?, [""; 0])?;
    let before = truth(&mut fixture)?;
    let profile = record(&fixture, Duration::from_secs(10), Reading::Everything)?;
    let after = truth(&mut fixture)?;
    let of_loop = apply(&profile, &Filter { goroutines: vec![after.goid], ..Filter::default() });
    let whole = (after.total_ns - before.total_ns) as f64;
    for (function, from, to) in [
        ("main.slowNetworkRequest", before.network_ns, after.network_ns),
        ("main.cpuIntensiveTask", before.cpu_ns, after.cpu_ns),
        ("main.weirdFunction", before.sleep_ns, after.sleep_ns),
    ] {
        let (time, total) = (time_in(&of_loop, function), of_loop.total_time());
        let (share, true_share) = (time as f64 / total as f64, (to - from) as f64 / whole);
        // Twice the printed half-width: 95 % intervals miss one time in twenty, and this must not.
        let in_function = |sample: &Sample| of_loop.frames(sample.stack).any(|frame| frame.name == function);
        let error = 2.0 * 1.96 * of_loop.standard_error_ns(&in_function) / total as f64;
        eprintln!("{} {function}: {share:.4}, in truth {true_share:.4} ±{error:.4}", toolchain.version);
        ensure!((share - true_share).abs() <= error, "{function}: {share:.4}, in truth {true_share:.4} ±{error:.4}");
    }
    Ok(())
}

/// Nanoseconds of all stacks with a function.
fn time_in(profile: &Profile, function: &str) -> u64 {
    let samples = profile.samples.iter();
    let with = samples.filter(|sample| profile.frames(sample.stack).any(|frame| frame.name == function));
    with.map(|sample| sample.time_ns).sum()
}

/// Ten states, each with a number of goroutines that is known by construction.
fn ten_states(toolchain: &Toolchain) -> Result<()> {
    let fixture = Fixture::spawn(&build("mix", toolchain, Variant::Stripped)?, [""; 0])?;
    let truth = fixture.announced.first().context("no truth was announced")?;
    let truth: BTreeMap<String, u64> = serde_json::from_str(truth)?;
    let profile = record(&fixture, Duration::from_secs(4), Reading::Everything)?;
    let each = |count: u64| count as f64 * profile.duration_ns as f64;
    for (state, function, class) in [
        ("chan", "main.waitChan", Some(Class::Chan)),
        ("select", "main.waitSelect", Some(Class::Select)),
        ("mutex", "main.waitMutex", None), // `semacquire`, which is sync, before Go 1.20
        ("cond", "main.waitCond", Some(Class::Sync)),
        ("waitgroup", "main.waitWaitGroup", Some(Class::Sync)),
        ("sleep", "main.waitSleep", Some(Class::Sleep)),
        ("network", "main.waitNetwork", Some(Class::Network)),
        ("syscall", "main.waitSyscall", Some(Class::Syscall)),
    ] {
        let count = *truth.get(state).with_context(|| format!("no {state} in the truth"))?;
        close(state, time_in(&profile, function) as f64, each(count))?;
        for sample in &profile.samples {
            let here = profile.frames(sample.stack).any(|frame| frame.name == function);
            let class_of = sample.class(&profile);
            ensure!(!here || class.is_none_or(|class| class == class_of), "{state} is {class_of:?}");
        }
    }
    computing(&profile, &truth)
}

/// Who runs is known, and who is queued is known to be, although hardly anybody is read: the scheduler's lists say so.
fn long_queue(toolchain: &Toolchain) -> Result<()> {
    let fixture = Fixture::spawn(&build("mix", toolchain, Variant::Stripped)?, ["-runnable", "400"])?;
    let truth = fixture.announced.first().context("no truth was announced")?;
    let truth = serde_json::from_str(truth)?;
    // As good as nothing: each tick reads as few as it ever does.
    let profile = record(&fixture, Duration::from_secs(4), Reading::Budget { max_cpu: 1e-6 })?;
    let how = &profile.accounting;
    let reads = how.observations() as f64 / how.ticks as f64;
    eprintln!("{reads:.1} reads at each tick");
    ensure!(reads < 40.0, "{reads} reads at each tick");
    computing(&profile, &truth)
}

/// A goroutine that has not begun has nothing on its stack but what it is to begin with; that may be a wrapper, which is shown
/// nowhere else.
fn unstarted_goroutines(toolchain: &Toolchain) -> Result<()> {
    let binary = build("unstarted", toolchain, Variant::Stripped)?;
    let mut command = Command::new(binary);
    let fixture = Fixture::start(command.env("GODEBUG", "asyncpreemptoff=1"), |line| line == "ready")?;
    let mut by_place: BTreeMap<String, u64> = BTreeMap::new();
    wait_until("four goroutines are to begin", || {
        let profile = record(&fixture, Duration::from_millis(300), Reading::Everything)?;
        by_place.clear();
        for sample in profile.samples.iter().filter(|sample| sample.state == State::Runnable) {
            let frames: Vec<&str> = profile.frames(sample.stack).map(|frame| frame.name).collect();
            *by_place.entry(frames.join(" ")).or_default() += sample.time_ns;
        }
        // The runtime's own may not have begun either.
        by_place.retain(|place, _| !place.starts_with("runtime."));
        Ok(by_place.values().sum::<u64>() == 4 * profile.duration_ns)
    })?;
    let plain = by_place.remove("main.plain").context("main.plain is not there")?;
    eprintln!("{by_place:?}, and {plain} ns in main.plain");
    let [(wrapper, time)] = Vec::from_iter(by_place).try_into().ok().context("there are more places")?;
    // Called so until Go 1.21, and since then.
    ensure!(["main.main.func1", "main.main.gowrap1"].contains(&wrapper.as_str()), "{wrapper} is no wrapper");
    ensure!(time == 3 * plain, "{time} ns of three goroutines, {plain} ns of one");
    Ok(())
}

/// Of the computing goroutines, as many as there are processors have one, and the others want one.
fn computing(profile: &Profile, truth: &BTreeMap<String, u64>) -> Result<()> {
    let in_state = |wanted: fn(State) -> bool| {
        let samples = profile.samples.iter().filter(|sample| wanted(sample.state));
        let here = samples.filter(|sample| profile.frames(sample.stack).any(|frame| frame.name == "main.compute"));
        here.map(|sample| sample.time_ns).sum::<u64>() as f64
    };
    let (running, runnable) = (truth["running"] as f64, truth["runnable"] as f64);
    let elapsed = profile.duration_ns as f64;
    let has_processor = in_state(|state| matches!(state, State::Running | State::RunningOffCpu));
    let wants_processor = in_state(|state| state == State::Runnable);
    eprintln!(
        "running {:.3} of {running}, runnable {:.3} of {runnable}",
        has_processor / elapsed,
        wants_processor / elapsed
    );
    close("computing", has_processor + wants_processor, (running + runnable) * elapsed)?;
    // The runtime hands a processor over between two ticks; a tenth of one is far more than that takes.
    ensure!((has_processor / elapsed - running).abs() < 0.1, "running {}", has_processor / elapsed);
    ensure!((wants_processor / elapsed - runnable).abs() < 0.1, "runnable {}", wants_processor / elapsed);
    Ok(())
}

/// Within 0.5 %.
fn close(what: &str, time: f64, truth: f64) -> Result<()> {
    ensure!((time - truth).abs() <= 0.005 * truth, "{what}: {time} ns, in truth {truth} ns");
    Ok(())
}

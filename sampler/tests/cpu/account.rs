//! Running is what the scheduler says that the process used.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Fixture, Quota, Toolchain, Variant, build, skip};
use fgspy_goroutines::GoProcess;
use fgspy_perf::{Config, Mode, OnCpu};
use fgspy_profile::{Class, Profile, State};
use fgspy_sampler::{
    Foreign, Live, Options, Progress, Reading, Session, Sources, Stop, profile, record, record_profile,
};

pub(crate) const TESTS: [(&str, Test); 6] = [
    ("running_is_what_a_quota_gives", |toolchain| quotas(toolchain, How { by_threads: false, is_budget: false })),
    ("running_is_what_a_quota_gives_within_a_budget", |toolchain| {
        quotas(toolchain, How { by_threads: false, is_budget: true })
    }),
    ("running_is_what_a_quota_gives_by_threads", |toolchain| {
        quotas(toolchain, How { by_threads: true, is_budget: false })
    }),
    ("running_is_what_neighbours_leave", neighbours),
    ("running_is_about_what_naps_in_the_kernel_leave", naps),
    ("c_that_waits_for_a_cpu_is_in_no_system_call", c_waits),
];

/// How long each recording takes.
const DURATION: Duration = Duration::from_secs(2);
/// Recordings of each quota.
const RECORDINGS: usize = 7;

type Test = fn(&Toolchain) -> Result<()>;

/// How to record.
#[derive(Clone, Copy, Debug)]
struct How {
    /// Threads are sampled, as without privilege, not whole CPUs.
    by_threads: bool,
    /// Within 1 % of a core, the default.
    is_budget: bool,
}

/// As much as there is, in the way that root has.
const FULL: How = How { by_threads: false, is_budget: false };

/// What a recording says of the CPU time of a process, and the scheduler, in seconds.
#[derive(Debug)]
struct Comparison {
    running: f64,
    /// Half the width of the 95 % interval.
    error: f64,
    truth: f64,
}

impl Comparison {
    fn holds(&self) -> bool {
        (self.running - self.truth).abs() <= self.error
    }
}

fn quotas(toolchain: &Toolchain, how: How) -> Result<()> {
    let binary = build("oncpu", toolchain, Variant::Plain)?;
    let percents = [10, 25, 50];
    let quotas: Result<Vec<Quota>> =
        percents.iter().map(|percent| Quota::new(&percent.to_string(), *percent)).collect();
    let quotas = match quotas {
        Ok(quotas) => quotas,
        Err(error) => {
            skip(&format!("cpu running_is_what_a_quota_gives {how:?}"), &format!("{error:#}"));
            return Ok(());
        }
    };
    // All at once: together they have less than a CPU.
    let all: Result<Vec<Vec<Comparison>>> = std::thread::scope(|scope| {
        let record = |quota: Quota| {
            let binary = &binary;
            scope.spawn(move || {
                // A collector that has something to do, with a thread of its own.
                let mut command = Command::new(binary);
                command.args(["-kinds", "hash,garbage"]).env("GOMAXPROCS", "2");
                let fixture = Fixture::start(&mut command, |line| line == "ready")?;
                quota.limit(fixture.pid())?;
                let compared = (0..RECORDINGS).map(|_| compare(&fixture, how)).collect();
                drop(fixture);
                compared
            })
        };
        let threads: Vec<_> = quotas.into_iter().map(record).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut held = 0;
    for (percent, compared) in percents.iter().zip(all?) {
        held += compared.iter().filter(|comparison| comparison.holds()).count();
        let sum = |of: fn(&Comparison) -> f64| compared.iter().map(of).sum::<f64>();
        let (running, truth) = (sum(|comparison| comparison.running), sum(|comparison| comparison.truth));
        // Their errors are independent.
        let allowed = 1.5 * compared.iter().map(|comparison| comparison.error.powi(2)).sum::<f64>().sqrt();
        eprintln!("quota of {percent} %: {running:.3} s of {truth:.3} s, {compared:.3?}");
        ensure!((running - truth).abs() < allowed, "{running} s running, {truth} s by the scheduler: {compared:?}");
    }
    // 95 % of 21 are 20; fewer than 17 come about by chance once in 10,000 runs.
    ensure!(held >= 17, "{held} of {} intervals have the truth", percents.len() * RECORDINGS);
    Ok(())
}

/// More goroutines that compute than CPUs, and other processes that compute as well.
fn neighbours(toolchain: &Toolchain) -> Result<()> {
    let binary = build("oncpu", toolchain, Variant::Plain)?;
    let cpus = std::thread::available_parallelism()?.get();
    let start = |kinds: &str, each: usize, processors: usize| {
        let mut command = Command::new(&binary);
        command.args(["-kinds", kinds, "-each", &each.to_string()]).env("GOMAXPROCS", processors.to_string());
        Fixture::start(&mut command, |line| line == "ready")
    };
    let _neighbour = start("leaf", cpus, cpus)?;
    let fixture = start("leaf,hash", 3 * cpus, 2 * cpus)?;
    let compared: Result<Vec<Comparison>> = (0..5).map(|_| compare(&fixture, FULL)).collect();
    let compared = compared?;
    let held = compared.iter().filter(|comparison| comparison.holds()).count();
    eprintln!("{compared:.3?}");
    ensure!(held >= 3, "{held} of {} intervals have the truth: {compared:?}", compared.len());
    Ok(())
}

/// Threads that sleep in short system calls are found there, and a moment later are awake: a tick may read one before its ledger
/// says that it has slept. So this is known less well than the rest, and the intervals do not say so.
fn naps(toolchain: &Toolchain) -> Result<()> {
    let fixture = Fixture::spawn(&build("oncpu", toolchain, Variant::Plain)?, ["-kinds", "nap", "-each", "3"])?;
    let compared: Result<Vec<Comparison>> = (0..5).map(|_| compare(&fixture, FULL)).collect();
    let compared = compared?;
    eprintln!("{compared:.3?}");
    let sum = |of: fn(&Comparison) -> f64| compared.iter().map(of).sum::<f64>();
    let (running, truth) = (sum(|comparison| comparison.running), sum(|comparison| comparison.truth));
    ensure!((running - truth).abs() < 0.3 * truth, "{running} s running, {truth} s by the scheduler: {compared:?}");
    Ok(())
}

/// Records once, and compares with what the scheduler says of the same time.
fn compare(fixture: &Fixture, how: How) -> Result<Comparison> {
    let target = GoProcess::open(fixture.pid())?;
    let reading = if how.is_budget { Options::default().reading } else { Reading::Everything };
    let options = Options { duration: Some(DURATION), system: true, reading, ..Options::default() };
    let mut seen: Vec<(f64, f64)> = Vec::new();
    let mut progress = |progress: &Progress, _: &Live<'_>| {
        let now = (progress.elapsed.as_secs_f64(), cpu_seconds(fixture.pid()));
        // The first and the last.
        seen.truncate(1);
        seen.push(now);
    };
    let profile = if how.by_threads {
        let on_cpu = OnCpu::open(Config::new(fixture.pid()))?;
        ensure!(on_cpu.coverage().mode == Mode::Inherited, "{:?}", on_cpu.coverage());
        let description = fgspy_sampler::describe(&target);
        let GoProcess { process, memory, runtime, .. } = target;
        let mut session = Session { process, memory, runtime, on_cpu: Some(on_cpu) };
        let recording = record(&mut session, options, &Stop::new(), &mut progress);
        let sources = Sources { runtime: &session.runtime, foreign: &Foreign::default(), on_cpu: true };
        profile(recording, description, &sources)
    } else {
        record_profile(target, options, &Stop::new(), &mut progress).0
    };
    let [(from, before), (to, after)] = seen[..] else { anyhow::bail!("there were too few ticks: {seen:?}") };
    let whole = profile.duration_ns as f64 / 1e9;
    let error = profile.class_errors().into_iter().find(|(class, _)| *class == Class::Running);
    let (_, error) = error.context("no error is told")?;
    Ok(Comparison {
        running: seconds(&profile, |state| state == State::Running),
        error: error / 1e9,
        truth: (after - before) / (to - from) * whole,
    })
}

/// What the threads of a process have used, by the scheduler's account.
fn cpu_seconds(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let account = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("schedstat")).ok();
    let ran = threads.filter_map(account).filter_map(|account| account.split(' ').next()?.parse::<f64>().ok());
    ran.sum::<f64>() / 1e9
}

fn seconds(profile: &Profile, wanted: impl Fn(State) -> bool) -> f64 {
    let samples = profile.samples.iter().filter(|sample| wanted(sample.state));
    samples.map(|sample| sample.time_ns).sum::<u64>() as f64 / 1e9
}

/// A C loop never waits for anything but a CPU, which it shares here with another.
fn c_waits(toolchain: &Toolchain) -> Result<()> {
    let binary = match build("oncpu", toolchain, Variant::Cgo) {
        Ok(binary) => binary,
        Err(error) => {
            skip("cpu c_that_waits_for_a_cpu_is_in_no_system_call", &format!("{error:#}"));
            return Ok(());
        }
    };
    let start = |kind| {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(&binary).args(["-kinds", kind]);
        Fixture::start(&mut command, |line| line == "ready")
    };
    let (_neighbour, fixture) = (start("leaf")?, start("c")?);
    let target = GoProcess::open(fixture.pid())?;
    let options =
        Options { duration: Some(Duration::from_secs(3)), reading: Reading::Everything, ..Options::default() };
    let (profile, _) = record_profile(target, options, &Stop::new(), &mut |_, _| {});
    let in_c = |state: State| {
        let samples = profile.samples.iter().filter(|sample| sample.state == state);
        let of_kind =
            samples.filter(|sample| profile.frames(sample.stack).any(|frame| frame.name.contains("computeC")));
        of_kind.map(|sample| sample.time_ns).sum::<u64>() as f64 / 1e9
    };
    let [running, off_cpu, call] = [State::Running, State::RunningOffCpu, State::Syscall].map(in_c);
    eprintln!("running {running:.3} s, off CPU {off_cpu:.3} s, in a call {call:.3} s");
    ensure!(call <= 0.05 * (running + off_cpu), "{call} s in a system call");
    ensure!(running > 0.5 && off_cpu > 0.5, "running {running} s, off CPU {off_cpu} s of one of two");
    Ok(())
}

//! Services that nobody here wrote, by the execution trace that they make of themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Program, ask, skip, wait_until};
use fgspy_probes::Options;

use crate::execution_trace::{CLOCKS_NS, Told, read, same_changes, waited_for_cpus};
use crate::target::Target;
use crate::transitions::{Book, COPYSTACK, Change, RUNNABLE, RUNNING, SYSCALL, WAITING};

/// Goroutines that must have lived from birth to end while Go traced.
const FEWEST: usize = 100;

/// Between two requests. A service that has a CPU whenever it wants one: its own clock and ours are read at the same time
/// then.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn agree_with_their_own_trace(program: Program, name: &str) -> Result<()> {
    if let Err(error) = program.binary() {
        skip(name, &format!("{error:#}"));
        return Ok(());
    }
    let service = program.start()?;
    let (pid, port) = (service.fixture.pid(), service.port);
    let profiles = service.profiles.context("it offers no profiles")?;
    let mut target = Target::of(service.fixture, Options { transitions: true, ..Options::default() })?;
    let before = waited_for_cpus(pid)?;
    let done = AtomicBool::new(false);
    let trace = thread::scope(|scope| {
        let ask_on = || {
            while !done.load(Ordering::Relaxed) {
                let _ = ask(port, "/metrics");
                thread::sleep(PAUSE);
            }
        };
        scope.spawn(ask_on);
        let trace = scope.spawn(|| ask(profiles, "/debug/pprof/trace?seconds=2"));
        while !trace.is_finished() {
            target.poll();
            thread::sleep(Duration::from_millis(5));
        }
        done.store(true, Ordering::Relaxed);
        trace.join().ok().context("the thread that asks panicked")?
    })?;
    let lost = waited_for_cpus(pid)?.saturating_sub(before);
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), &trace)?;
    let told = read(file.path())?;
    let whole: Vec<_> = told.iter().filter(|(_, told)| told.is_whole()).collect();
    ensure!(whole.len() >= FEWEST, "only {} goroutines in a trace of {} bytes", whole.len(), trace.len());
    let mut book = Book::new(&target.events);
    wait_until("the last of them has ended", || {
        target.poll();
        book = Book::new(&target.events);
        Ok(whole.iter().all(|(goid, _)| book.all(**goid).is_ok()))
    })?;
    let counts = target.tracer.counts()?;
    ensure!(counts.lost == 0, "{counts:?}");

    let mut lives: Vec<(&Told, &[Change])> = Vec::new();
    for (goid, told) in whole {
        let seen = book.of(*goid)?;
        same_changes(*goid, seen, told)?;
        lives.push((told, seen));
    }
    let changes: usize = lives.iter().map(|(_, seen)| seen.len()).sum();
    // Before Go 1.22 its trace called a system call so only from when somebody else took the processor.
    let states: &[(&[&str], &[u8])] = if target.runtime.version.at_least(1, 22) {
        &[
            (&["Running"], &[RUNNING, COPYSTACK]),
            (&["Syscall"], &[SYSCALL]),
            (&["Runnable"], &[RUNNABLE]),
            (&["Waiting"], &[WAITING]),
        ]
    } else {
        &[
            (&["Running", "Syscall"], &[RUNNING, COPYSTACK, SYSCALL]),
            (&["Runnable"], &[RUNNABLE]),
            (&["Waiting"], &[WAITING]),
        ]
    };
    let mut off = Vec::new();
    for (names, numbers) in states {
        let theirs: u64 = lives.iter().flat_map(|(told, _)| names.iter().map(|name| told.time(name))).sum();
        let stays = lives.iter().flat_map(|(_, seen)| seen.windows(2)).filter(|pair| numbers.contains(&pair[0].to));
        let (times, ours): (u64, u64) =
            stays.fold((0, 0), |(times, ours), pair| (times + 1, ours + pair[1].time_ns - pair[0].time_ns));
        let (name, difference) = (names.join(" or "), ours.abs_diff(theirs));
        // Each stay has two ends.
        let slack = theirs / 100 + 2 * CLOCKS_NS * times + lost / 10;
        ensure!(difference <= slack, "{name}: {ours} ns, Go says {theirs} ns; {times} times, {lost} ns without a CPU");
        let each = (ours as f64 - theirs as f64) / times.max(1) as f64;
        off.push(format!("{name} {} us, {times} times, {each:+.0} ns each", theirs / 1000));
    }
    println!(
        "{}, {}: {} goroutines, {changes} changes are the same; {}; {} us without a CPU",
        program.name(),
        target.runtime.version,
        lives.len(),
        off.join("; "),
        lost / 1000
    );
    Ok(())
}

//! Go's own execution trace of the same run tells the same.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Toolchain, Variant, toolchains, wait_until};
use fgspy_probes::Options;

use crate::target::Target;
use crate::transitions::{Book, COPYSTACK, Change, Done, RUNNABLE, RUNNING, SYSCALL, WAITING, count};

/// Between the two clocks of a change are some hundred instructions, and ours is read in the kernel.
pub(crate) const CLOCKS_NS: u64 = 2_000;

/// What Go's trace says of one goroutine.
#[derive(Debug, Default)]
pub(crate) struct Told {
    state: Option<(String, u64)>,
    times: HashMap<String, u64>,
    changes: HashMap<(String, String), usize>,
}

impl Told {
    /// Nanoseconds in a state.
    pub(crate) fn time(&self, state: &str) -> u64 {
        self.times.get(state).copied().unwrap_or(0)
    }

    /// How often it went from one state into another.
    pub(crate) fn count(&self, from: &str, to: &str) -> usize {
        self.changes.get(&(from.to_owned(), to.to_owned())).copied().unwrap_or(0)
    }

    /// Whether the trace has all of its life.
    pub(crate) fn is_whole(&self) -> bool {
        let is_born = self.changes.iter().any(|((from, _), count)| from == "NotExist" && *count == 1);
        is_born && self.state.as_ref().is_some_and(|(state, _)| state == "NotExist")
    }
}

pub(crate) fn agrees(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("trace");
    let options = Options { transitions: true, ..Options::default() };
    let mut target = Target::start("transitions", toolchain, variant, &[], options)?;
    let before = waited_for_cpus(target.fixture.pid())?;
    let done: Done = serde_json::from_str(&target.ask(&file.display().to_string())?)?;
    let mut book = Book::new(&target.events);
    wait_until("the end of the last goroutine", || {
        target.poll();
        book = Book::new(&target.events);
        Ok(book.all(done.spinner).is_ok())
    })?;
    // A thread may lose its CPU between the two.
    let lost = waited_for_cpus(target.fixture.pid())?.saturating_sub(before);
    let counts = target.tracer.counts()?;
    ensure!(counts.lost == 0, "{counts:?}");
    let told = read(&file)?;
    let (mut compared, mut changes) = (0, 0);
    let mut goids =
        vec![done.ping, done.pong, done.sleeper, done.caller, done.mother, done.locker, done.spinner, done.scanned];
    // Before Go 1.23, there are no coroutines.
    if done.puller != 0 {
        goids.extend([done.puller, done.pulled]);
    }
    for &goid in &goids {
        let of = told.get(&goid).with_context(|| format!("goroutine {goid} is not in Go's trace"))?;
        let seen = book.of(goid)?;
        // Whoever waits is woken once, and both tell of it.
        same_changes(goid, seen, of)?;
        changes += seen.len();
        for (name, states) in
            [("Running", &[RUNNING, COPYSTACK][..]), ("Runnable", &[RUNNABLE]), ("Waiting", &[WAITING])]
        {
            let theirs = of.time(name);
            let ours = states.iter().map(|state| book.time(goid, *state)).sum::<Result<u64>>()?;
            let (off, slack) = (ours.abs_diff(theirs), CLOCKS_NS * seen.len() as u64);
            ensure!(
                off <= theirs / 100 + slack + lost,
                "goroutine {goid}, {name}: {ours} ns, Go says {theirs} ns; {lost} ns without a CPU"
            );
            compared += usize::from(off <= theirs / 100);
        }
    }
    println!(
        "{}: {changes} changes are the same; {compared} of {} times within 1 %, {} µs without a CPU",
        toolchain.version,
        3 * goids.len(),
        lost / 1000
    );
    Ok(())
}

/// Fails unless both tell that it waited, was woken and made system calls as often.
pub(crate) fn same_changes(goid: u64, seen: &[Change], told: &Told) -> Result<()> {
    for (ours, theirs, what) in [
        (&[(RUNNING, WAITING)][..], ("Running", "Waiting"), "waited"),
        // A coroutine that another one lets run is runnable for no time, says Go.
        (&[(WAITING, RUNNABLE), (WAITING, RUNNING)], ("Waiting", "Runnable"), "was woken"),
        (&[(RUNNING, SYSCALL)], ("Running", "Syscall"), "made a system call"),
    ] {
        let ours: usize = ours.iter().map(|&(from, to)| count(seen, from, to)).sum();
        let theirs = told.count(theirs.0, theirs.1);
        ensure!(ours == theirs, "goroutine {goid} {what} {ours} times, Go says {theirs}: {told:?}, {seen:?}");
    }
    Ok(())
}

/// What `go tool trace` of the newest Go, which reads the traces of all, tells of each goroutine in `file`.
pub(crate) fn read(file: &Path) -> Result<HashMap<u64, Told>> {
    let output = toolchains::newest()?.command()?.args(["tool", "trace", "-d=parsed"]).arg(file).output()?;
    ensure!(output.status.success(), "go tool trace: {}", String::from_utf8_lossy(&output.stderr));
    told(&String::from_utf8_lossy(&output.stdout))
}

/// Nanoseconds for which the threads of a process wanted a CPU and had none (Documentation/scheduler/sched-stats.rst).
pub(crate) fn waited_for_cpus(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split_whitespace().nth(1).context("no schedstat")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// By goroutine.
fn told(text: &str) -> Result<HashMap<u64, Told>> {
    let mut told: HashMap<u64, Told> = HashMap::new();
    for line in text.lines().filter(|line| line.starts_with("M=")) {
        let mut words = line.split(' ').skip_while(|word| *word != "StateTransition").skip(1);
        let (Some(time), Some(goid), Some(states)) = (words.next(), words.next(), words.next()) else { continue };
        let Some(goid) = goid.strip_prefix("GoID=") else { continue };
        let time: u64 = time.strip_prefix("Time=").context("a time")?.parse()?;
        let (from, to) = states.split_once("->").with_context(|| line.to_owned())?;
        let of = told.entry(goid.parse()?).or_default();
        if let Some((state, since)) = of.state.replace((to.to_owned(), time)) {
            *of.times.entry(state).or_default() += time - since;
        }
        *of.changes.entry((from.to_owned(), to.to_owned())).or_default() += 1;
    }
    Ok(told)
}

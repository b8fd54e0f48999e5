//! Whether a process can be profiled, found by doing what a recording does.

use std::time::{Duration, Instant};

use fgspy_goroutines::GoProcess;
use fgspy_goroutines::{Frames, Goroutine, Reader, Status, Trust, census};
use fgspy_memory::{Held, Process};
use fgspy_perf::{Config, Coverage, Mode, OnCpu, OpenError, diagnose};
use fgspy_sampler::Reading;

use super::check::{Check, Section};
use super::{executable, host, machine};
use crate::args::limits::{DEFAULT_MAX_CPU, max_cpu};
use crate::args::runtime::RuntimeArgs;
use crate::terminal::numbers::count;

/// The default rate of a recording.
const RATE_HZ: f64 = 99.0;
/// More of a command line than this says nothing more.
const MAX_COMMAND: usize = 200;

/// Looks at a process.
pub(super) fn examine(pid: u32, runtime: &RuntimeArgs) -> Vec<Section> {
    let mut section = Section { title: format!("Process {pid}, on {}", host::kernel()), checks: Vec::new() };
    let checks = &mut section.checks;
    match Process::open(pid) {
        Ok(process) => {
            checks.extend(describe(&process));
            checks.extend(process.held().map(held));
            match runtime.attach(process) {
                Ok(target) => examine_go(&target, checks),
                Err(error) => checks.push(Check::fail("Go", &error.into())),
            }
        }
        Err(error) => checks.push(Check::fail("reading memory", &error.into())),
    }
    vec![section]
}

/// What it is, Go or not.
fn describe(process: &Process) -> Vec<Check> {
    let mut command: String = process.command_line().join(" ").chars().take(MAX_COMMAND).collect();
    if command.is_empty() {
        command = "no command line".to_owned();
    }
    let mut checks = vec![Check::ok("reading memory", format!("permitted; user id {}: {command}", process.uid()))];
    if let Some(thread) = process.asked_by_thread() {
        let finding = format!("{thread} is a thread of process {}: all of the process is read", process.pid());
        checks.push(Check::ok("process", finding));
    }
    let path = process.exe_path().display();
    checks.push(Check::ok(
        "executable",
        if process.exe_deleted() {
            format!("{path}, deleted or replaced since it was started; the one that runs can still be read")
        } else {
            path.to_string()
        },
    ));
    if process.in_container() {
        let own = match process.ns_pid() {
            own if own == process.pid() => String::new(),
            own => format!("; its own process id there is {own}"),
        };
        checks.push(Check::ok("container", format!("it runs in a container of its own{own}")));
    }
    checks
}

/// It cannot run now.
fn held(held: Held) -> Check {
    Check::warn("state", held.by.words())
        .so("none of it runs: a recording shows where its goroutines stand, and no CPU time")
        .fix([held.remedy()])
}

/// Where its runtime is, and which others there are.
fn runtimes(target: &GoProcess) -> Check {
    const TOPIC: &str = "Go runtime";
    let here = target.module_path().display().to_string();
    match target.runtimes.get(1..) {
        Some(others @ [_, ..]) => {
            let others: Vec<&str> = others.iter().map(|other| other.name.as_str()).collect();
            Check::warn(TOPIC, format!("in {here}; others are in {}", others.join(", ")))
                .so("one of them is looked at: the one with the most goroutines, unless you choose")
                .fix(others.iter().map(|other| format!("--runtime {other}")))
        }
        _ => Check::ok(TOPIC, format!("in {here}")),
    }
}

fn examine_go(target: &GoProcess, checks: &mut Vec<Check>) {
    let runtime = &target.runtime;
    if target.library.is_some() || target.runtimes.len() > 1 {
        checks.push(runtimes(target));
    }
    checks.extend(executable::describe(&runtime.binary));
    checks.push(match &runtime.trust {
        Trust::Table => Check::ok("layout", "known from the sources of this Go release, and confirmed in the process"),
        Trust::Like { release } => {
            let finding = format!("of no release that is known by name ({}): read like Go {release}", runtime.version);
            Check::warn("layout", finding).so("its code and the process confirm that; nothing else does")
        }
        Trust::Calibrated { assumed } => {
            let finding = format!("{} is newer than this fgspy: measured in the process", runtime.version);
            let assumed = if assumed.is_empty() { "nothing".to_owned() } else { assumed.join(", ") };
            Check::warn("layout", finding)
                .so(format!("assumed to be as in earlier releases: {assumed}"))
                .fix(["use a newer fgspy, if there is one"])
        }
    });
    checks.push(executable::wait_reasons(runtime.wait_reasons.len() as u64));
    if runtime.scheduler.is_none() {
        let finding = "the run queues of this executable were not found";
        checks.push(
            Check::warn("scheduler", finding)
                .so("if not all goroutines are read at a tick, those that wake up are found later"),
        );
    }
    match census(runtime, &target.memory) {
        Ok(goroutines) => {
            checks.push(Check::ok("goroutines", by_status(&goroutines)));
            checks.push(stacks(&goroutines));
            checks.extend(cost(target, goroutines.len()));
        }
        Err(error) => checks.push(Check::fail("goroutines", &error.into())),
    }
    checks.extend(on_cpu(target.process.pid()));
    checks.push(machine::tracing());
}

fn by_status(goroutines: &[Goroutine]) -> String {
    const WORDS: [(&str, &[Status]); 4] = [
        ("running", &[Status::Running, Status::CopyStack]),
        ("runnable", &[Status::Runnable, Status::Preempted]),
        ("in system calls", &[Status::Syscall]),
        ("waiting", &[Status::Waiting, Status::Leaked]),
    ];
    let parts: Vec<String> = WORDS
        .iter()
        .map(|(word, statuses)| (word, goroutines.iter().filter(|g| statuses.contains(&g.status)).count()))
        .filter(|(_, number)| *number > 0)
        .map(|(word, number)| format!("{number} {word}"))
        .collect();
    format!("{}: {}", goroutines.len(), parts.join(", "))
}

/// How many stacks were read, of those that are in memory: a running goroutine's is on its thread.
fn stacks(goroutines: &[Goroutine]) -> Check {
    let number = |wanted: fn(&Frames) -> bool| goroutines.iter().filter(|g| wanted(&g.stack)).count() as u64;
    let whole = number(|stack| matches!(stack, Frames::Whole(_)));
    let cut = number(|stack| matches!(stack, Frames::Cut(_)));
    let moved = number(|stack| matches!(stack, Frames::Unsteady));
    let unreadable = number(|stack| matches!(stack, Frames::Unreadable));
    let mut finding = format!("{whole} of {} read to their root", whole + cut + moved + unreadable);
    if cut > 0 {
        finding += &format!("; {cut} too deep, read from the leaf down");
    }
    if moved > 0 {
        finding += &format!("; {moved} changed each time they were read");
    }
    if unreadable == 0 {
        return Check::ok("stacks", finding);
    }
    Check::warn("stacks", format!("{finding}; {unreadable} could not be unwound"))
        .so("time of these goroutines is shown without a place")
        .fix(["report this with the Go version and, if you may, the executable"])
}

/// What reading all goroutines takes, by doing it.
fn cost(target: &GoProcess, goroutines: usize) -> Option<Check> {
    let mut reader = Reader::new();
    let mut look = || {
        let start = Instant::now();
        reader.round(&target.runtime, &target.memory, &mut |_| {}).ok()?;
        Some(start.elapsed())
    };
    // The first look fills caches that stay.
    look()?;
    Some(cost_of(look()?, goroutines))
}

fn cost_of(look: Duration, goroutines: usize) -> Check {
    let (milliseconds, share) = (look.as_secs_f64() * 1e3, look.as_secs_f64() * RATE_HZ * 100.0);
    let takes = format!(
        "reading all {goroutines} takes {milliseconds:.1} ms; {RATE_HZ} times a second, that is {share:.1}% of a CPU"
    );
    let is_within = match max_cpu(DEFAULT_MAX_CPU) {
        Ok(Reading::Budget { max_cpu }) => share <= 100.0 * max_cpu,
        _ => true,
    };
    if is_within {
        return Check::ok("cost", takes);
    }
    Check::ok(
        "cost",
        format!(
            "{takes}; a recording reads as many at a tick as --max-cpu allows ({DEFAULT_MAX_CPU}), and reports its error"
        ),
    )
}

/// Sampling its threads, by beginning to.
fn on_cpu(pid: u32) -> Vec<Check> {
    const TOPIC: &str = "on-CPU stacks";
    let config = Config { whole_cpus: true, ..Config::new(pid) };
    match OnCpu::open(config.clone()) {
        Ok(on_cpu) => {
            let coverage = on_cpu.coverage();
            let mut checks = vec![Check::ok(TOPIC, sampled(&coverage))];
            // Kernel frames have a line of their own.
            let notes = coverage.notes(&Config { kernel: false, ..config });
            checks.extend(notes.into_iter().map(|note| Check::warn(TOPIC, note)));
            checks.push(if coverage.kernel {
                Check::ok("kernel frames", "permitted")
            } else {
                machine::kernel_frames(&diagnose(None))
            });
            checks
        }
        Err(error) => vec![machine::refused(TOPIC, &error).so(OpenError::CONSEQUENCE)],
    }
}

/// What is sampled, and what that costs the target.
fn sampled(coverage: &Coverage) -> String {
    match coverage.mode {
        Mode::Cpus => format!("{} can be sampled by perf_event_open", count(coverage.cpus as u64, "CPU")),
        Mode::Inherited | Mode::PerThread => format!(
            "{} can be sampled by perf_event_open, which adds about 4 µs to each of their context switches \
             (nothing with CAP_PERFMON, which lets whole CPUs be sampled)",
            count(coverage.threads as u64, "thread")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Mark;

    #[test]
    fn a_costly_look_says_what_is_done_about_it() {
        let cheap = cost_of(Duration::from_micros(90), 70);
        assert_eq!(cheap.finding, "reading all 70 takes 0.1 ms; 99 times a second, that is 0.9% of a CPU");
        let costly = cost_of(Duration::from_millis(25), 20_000);
        assert_eq!(costly.mark, Mark::Ok);
        let takes = "reading all 20000 takes 25.0 ms; 99 times a second, that is 247.5% of a CPU; ";
        assert!(costly.finding.starts_with(takes) && costly.finding.contains("--max-cpu"), "{}", costly.finding);
    }
}

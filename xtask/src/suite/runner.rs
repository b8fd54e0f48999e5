//! Running `cargo test` and counting what it runs, without waiting for ever for a test that hangs.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::counts::Counts;
use super::failures::Failures;

/// A test program that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Runs `cargo test`, showing its output. A test program that hangs is killed, and cargo goes on with the next.
///
/// # Errors
/// When a test failed or hung, or none ran; `told` says how many passed and failed all the same.
pub(super) fn run(cargo_test: &mut Command, told: &mut Told) -> Result<()> {
    run_with(cargo_test, told, PATIENCE)
}

/// What test programs told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How many tests passed and failed.
    pub(super) counts: Counts,
    /// What those said that failed.
    pub(super) failures: Failures,
}

fn run_with(cargo_test: &mut Command, told: &mut Told, patience: Duration) -> Result<()> {
    let mut cargo = cargo_test.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let stdout = cargo.stdout.take().context("no standard output")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let mut last = String::new();
    let mut hung = Vec::new();
    loop {
        match lines.recv_timeout(patience) {
            Ok(line) => {
                println!("{line}");
                told.counts.read(&line);
                told.failures.read(&line);
                last = line;
            }
            Err(RecvTimeoutError::Timeout) => {
                println!("nothing for {} s: killing the test program", patience.as_secs());
                kill_children(cargo.id());
                hung.push(last.clone());
                ensure!(hung.len() < 10, "too many test programs hang");
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = cargo.wait()?;
    ensure!(hung.is_empty(), "a test program hung; the last lines before: {}", hung.join(" / "));
    ensure!(status.success(), "cargo test failed ({status})");
    ensure!(told.counts.passed > 0, "no test ran");
    Ok(())
}

/// Kills the processes that a process started itself, from any of its threads.
fn kill_children(parent: u32) {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    for thread in threads {
        let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            // It may have ended by itself.
            let _ = kill_process(child, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Result<()>, Counts) {
        let mut told = Told::default();
        let result = run_with(Command::new("sh").args(["-c", script]), &mut told, Duration::from_millis(300));
        (result, told.counts)
    }

    #[test]
    fn a_test_program_that_hangs_is_killed_and_named_and_the_others_run() {
        let (result, counts) = shell("echo test a; sleep 1000; echo 'test result: ok. 2 passed; 0 failed'");
        assert_eq!(result.unwrap_err().to_string(), "a test program hung; the last lines before: test a");
        assert_eq!(counts.passed, 2);
    }

    #[test]
    fn a_run_without_tests_is_no_success() {
        assert_eq!(shell("true").0.unwrap_err().to_string(), "no test ran");
        assert!(shell("echo 'test result: ok. 1 passed; 0 failed'").0.is_ok());
        assert!(shell("echo 'test result: ok. 1 passed; 0 failed'; exit 101").0.is_err());
    }
}

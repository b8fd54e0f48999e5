//! fgspy, attached to a process, as a user would run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fgspy_fixtures::{Signal, wait_until};
use rustix::process::{Pid, kill_process};
use serde::{Deserialize, Serialize};

use super::proc;
use super::terminal::{self, Said};
use fgspy_fixtures::workspace;

/// Whether `fgspy record` has an option.
///
/// # Errors
/// When fgspy cannot be run.
pub(super) fn has_option(fgspy: &Path, option: &str) -> Result<bool> {
    let help = Command::new(fgspy).args(["record", "--help"]).output().context("cannot run fgspy")?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(option))
}

/// An fgspy that is recording. It is killed when this is dropped.
pub(super) struct Attached {
    child: Child,
    said: Said,
    output: PathBuf,
    attach: Duration,
}

/// How a recording went. Times are in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    /// From its start until it had sampled the program once.
    pub(super) attach_s: f64,
    /// How long it recorded.
    pub(super) seconds: f64,
    /// How often it sampled the program.
    pub(super) ticks: u64,
    /// How many of those came late.
    pub(super) late_ticks: u64,
    /// Its CPU time while it recorded, by its own account.
    pub(super) own_cpu_s: f64,
    /// From the request to end until the profile was written.
    pub(super) ending_s: f64,
    /// The most memory that it had until then, in bytes.
    pub(super) peak_bytes: u64,
}

/// What is read of fgspy's JSON.
#[derive(Deserialize)]
struct Profile {
    duration_ns: u64,
    accounting: Accounting,
}

#[derive(Deserialize)]
struct Accounting {
    ticks: u64,
    late_ticks: u64,
    own_cpu_ns: u64,
}

impl Attached {
    /// Starts a recording of process `pid` with these further arguments and waits until it has sampled once.
    ///
    /// # Errors
    /// When it does not come to that.
    pub(super) fn attach(fgspy: &Path, pid: u32, arguments: &[&str]) -> Result<Attached> {
        static RECORDINGS: AtomicU32 = AtomicU32::new(0);
        let recording = RECORDINGS.fetch_add(1, Ordering::Relaxed);
        let output = workspace::root().join(format!("target/bench/recording-{pid}-{recording}.json"));
        let (inner, said) = terminal::open().context("no terminal for fgspy")?;
        let mut command = Command::new(fgspy);
        // Only one goroutine's part of the result is written: the account of the recording is what matters here.
        command
            .args(["record", "--pid", &pid.to_string(), "--goroutine", "1", "--output"])
            .arg(&output)
            .args(arguments);
        // What the reports have was measured within 1 % of a core, whatever the default of this fgspy is.
        if !arguments.contains(&"--max-cpu") && has_option(fgspy, "--max-cpu")? {
            command.args(["--max-cpu", "1%"]);
        }
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(inner).spawn().context("no fgspy")?;
        // The terminal ends when nobody holds its inner side any more, and the command holds it.
        drop(command);
        let mut attached = Attached { child, said, output, attach: Duration::ZERO };
        wait_until("fgspy records", || {
            if let Some(status) = attached.child.try_wait()? {
                bail!("fgspy ended ({status}):\n{}", attached.said.text());
            }
            Ok(attached.said.text().contains("Recording: "))
        })?;
        attached.attach = started.elapsed();
        Ok(attached)
    }

    /// Stops the process, or lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn run(&self, on: bool) -> Result<()> {
        let signal = if on { Signal::CONT } else { Signal::STOP };
        kill_process(Pid::from_child(&self.child), signal).context("fgspy has ended")
    }

    /// Stops the process and waits until all its threads have stopped: what is said of its CPU time is exact then.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn halt(&self) -> Result<()> {
        self.run(false)?;
        wait_until("fgspy is stopped", || proc::is_stopped(self.child.id()))
    }

    /// The CPU time that it has used so far, by the kernel's account.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        proc::cpu_time(self.child.id())
    }

    /// The most memory that it has had so far, in bytes; 0 when it has ended.
    pub(super) fn peak_memory(&self) -> u64 {
        proc::peak_memory(self.child.id()).unwrap_or(0)
    }

    /// Ends the recording, if the end of the target has not, and reads what fgspy says about it.
    ///
    /// # Errors
    /// When it failed, or did not write what is expected.
    pub(super) fn finish(mut self) -> Result<Recorded> {
        let asked = Instant::now();
        // It may have ended with its target.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let (mut ended, mut peak_bytes) = (None, 0);
        wait_until("fgspy has ended", || {
            peak_bytes = self.peak_memory().max(peak_bytes);
            ended = self.child.try_wait()?;
            Ok(ended.is_some())
        })?;
        let ending_s = asked.elapsed().as_secs_f64();
        ensure!(ended.is_some_and(|status| status.success()), "fgspy failed:\n{}", self.said.text());
        let text = fs::read_to_string(&self.output).context("fgspy wrote no profile")?;
        let Profile { duration_ns, accounting } =
            serde_json::from_str(&text).context("fgspy's profile is not as expected")?;
        Ok(Recorded {
            attach_s: self.attach.as_secs_f64(),
            seconds: duration_ns as f64 / 1e9,
            ticks: accounting.ticks,
            late_ticks: accounting.late_ticks,
            own_cpu_s: accounting.own_cpu_ns as f64 / 1e9,
            ending_s,
            peak_bytes,
        })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.output);
    }
}

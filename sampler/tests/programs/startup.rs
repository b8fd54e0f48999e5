//! What it costs to begin: memory, and time up to the first tick.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Program, skip};
use fgspy_goroutines::GoProcess;
use fgspy_sampler::{Options, Stop, record_profile};

/// The variable that makes this program measure itself instead of testing.
const ROLE: &str = "FGSPY_TEST_RECORD_PID";
/// What recording Prometheus may take; the executable alone has 50 MB.
const MAX_RESIDENT_MB: f64 = 150.0;

/// The process that this one was started to record, if so.
pub(crate) fn asked_for() -> Option<u32> {
    std::env::var(ROLE).ok()?.parse().ok()
}

/// Records Prometheus in a process of its own, in which nothing else uses memory.
///
/// How long it took is only printed: on a busy machine that says little.
pub(crate) fn is_frugal() -> Result<()> {
    if let Err(error) = Program::Prometheus.binary() {
        skip("start-up on prometheus", &format!("{error:#}"));
        return Ok(());
    }
    let target = Program::Prometheus.start()?;
    let mut itself = Command::new(std::env::current_exe()?);
    let output = itself.env(ROLE, target.fixture.pid().to_string()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    println!("{said}");
    let resident = said.split(' ').next().and_then(|number| number.parse::<f64>().ok()).context(said.clone())?;
    ensure!(resident < MAX_RESIDENT_MB, "{said}");
    Ok(())
}

/// Records for a second and prints the peak of resident memory (MB) and the time up to the first tick.
pub(crate) fn measure(pid: u32) {
    let start = Instant::now();
    let target = GoProcess::open(pid).expect("it can be read");
    let attached = start.elapsed();
    let options = Options { duration: Some(Duration::from_secs(1)), system: true, ..Options::default() };
    let mut first = None;
    let (profile, _) = record_profile(target, options, &Stop::new(), &mut |_, _| {
        first.get_or_insert_with(|| start.elapsed());
    });
    assert!(!profile.samples.is_empty(), "nothing was recorded");
    let status = std::fs::read_to_string("/proc/self/status").expect("it has a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has a peak");
    let peak: f64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    let first = first.expect("a tick");
    println!("{:.1} MB resident; attached after {attached:?}, first tick {first:?}", peak / 1000.0);
}

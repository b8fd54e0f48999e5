//! Where CPU time is spent is where `runtime/pprof` sees it in the same run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Fixture, Toolchain, Variant, build, skip};
use fgspy_goroutines::GoProcess;
use fgspy_profile::{Profile, Sample, State};
use fgspy_sampler::{Options, Reading, Stop, record_profile};

/// Kinds of work that are compared together.
pub(crate) const GROUPS: [(&str, &str); 4] = [
    ("grow", "grow"),
    ("runtime", "map,garbage,large,move,clear,channel,select,callers"),
    ("code", "leaf,calls,deep,hash,read,clock,reflect,generic,signal,interface"),
    ("c", "c,callback,callbackdeep,leaf"),
];

/// Ticks a second. More samples than by default, so that shares can be compared.
const RATE_HZ: f64 = 200.0;
const DURATION: Duration = Duration::from_secs(8);
/// Shares agree within this, and what chance explains.
const WITHIN: f64 = 0.02;
/// Standard errors that chance explains: there are some 20 shares in each of the groups.
const CHANCE: f64 = 3.5;

/// CPU time by function: of those in whose own code it was, and of those in whose calls.
#[derive(Debug, Default)]
struct Shares {
    own: BTreeMap<String, f64>,
    below: BTreeMap<String, f64>,
    total: f64,
    samples: f64,
}

pub(crate) fn compare(name: &str, toolchain: &Toolchain, kinds: &str) -> Result<()> {
    let is_c = kinds.contains("callback");
    let binary = match build("oncpu", toolchain, if is_c { Variant::Cgo } else { Variant::Plain }) {
        Ok(binary) => binary,
        Err(error) if is_c => {
            skip(&format!("cpu {name}"), &format!("{error:#}"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cpu.pprof");
    let mut command = Command::new(&binary);
    command.args(["-kinds", kinds, "-profile"]).arg(&file);
    let mut fixture = Fixture::start(&mut command, |line| line == "ready")?;
    if let (None, notes) = fgspy_sampler::open_on_cpu(fixture.pid(), false) {
        skip(&format!("cpu {name}"), &notes.join("; "));
        return Ok(());
    }
    let target = GoProcess::open(fixture.pid())?;
    let options = Options {
        duration: Some(DURATION),
        rate_hz: RATE_HZ,
        system: true,
        reading: Reading::Everything,
        ..Options::default()
    };
    fixture.tell("begin")?;
    let begun = fixture.line()?;
    ensure!(begun == "begun <nil>", "{begun}");
    let (profile, _) = record_profile(target, options, &Stop::new(), &mut |_, _| {});
    fixture.tell("end")?;
    let ended = fixture.line()?;
    ensure!(ended == "ended <nil>", "{ended}");
    let (ours, theirs) = (ours(&profile), theirs(toolchain, &binary, &file)?);
    ensure!(theirs.samples > 100.0, "runtime/pprof has {} samples", theirs.samples);
    let mut wrong = differences("own", &ours.own, &theirs.own, &ours, &theirs);
    wrong.extend(differences("below", &ours.below, &theirs.below, &ours, &theirs));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The shares that differ by more than is allowed.
fn differences(
    what: &str,
    ours: &BTreeMap<String, f64>,
    theirs: &BTreeMap<String, f64>,
    our: &Shares,
    their: &Shares,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        let share = |times: &BTreeMap<String, f64>, total| times.get(name).copied().unwrap_or(0.0) / total;
        let (mine, yours) = (share(ours, our.total), share(theirs, their.total));
        let mean = f64::midpoint(mine, yours).min(1.0);
        let chance = (mean * (1.0 - mean) * (1.0 / our.samples + 1.0 / their.samples)).sqrt();
        let line = format!("{what:5} {name}: {:.1} %, by runtime/pprof {:.1} %", mine * 100.0, yours * 100.0);
        if mean > 0.02 {
            eprintln!("{line}");
        }
        if (mine - yours).abs() > WITHIN + CHANCE * chance {
            wrong.push(line);
        }
    }
    wrong
}

/// What fgspy says of goroutines that ran the program's own code.
fn ours(profile: &Profile) -> Shares {
    let mut shares = Shares { samples: profile.accounting.cpu_samples as f64, ..Shares::default() };
    for sample in profile.samples.iter().filter(|sample| sample.state == State::Running) {
        let frames = go_frames(profile, sample);
        shares.add(frames.iter().map(String::as_str), sample.time_ns as f64);
    }
    shares
}

/// The frames of Go code, leaf first: `runtime/pprof` has no others.
fn go_frames(profile: &Profile, sample: &Sample) -> Vec<String> {
    let frames = profile.frames(sample.stack).map(|frame| frame.name.to_owned());
    frames.filter(|name| !name.ends_with("[kernel]") && !name.starts_with('[')).collect()
}

impl Shares {
    fn add<'a>(&mut self, frames: impl Iterator<Item = &'a str>, time: f64) {
        // A signal of theirs is often taken where that of a preemption has just returned to. Ours are no signals.
        let mut names: Vec<&str> = frames.map(same).filter(|name| *name != "runtime.asyncPreempt").collect();
        if !names.iter().any(|name| name.starts_with("main.")) {
            return;
        }
        self.total += time;
        // Before Go 1.21 `runtime.cgocall` is not in the chain of frame pointers of C code.
        let leaf = names.first().map(|name| if name.starts_with("main._Cfunc_") { "runtime.cgocall" } else { name });
        let own = leaf.unwrap_or_default().to_owned();
        *self.own.entry(own).or_default() += time;
        // Of deep stacks `runtime/pprof` keeps the 64 frames nearest the leaf.
        names.truncate(64);
        names.sort_unstable();
        names.dedup();
        let is_root = |name: &str| ["main.work", "main.main.func1", "main.kindGrow.func1"].contains(&name);
        let is_compared = |name: &str| name.starts_with("main.") && !is_root(name) || name == "runtime.newstack";
        for name in names.into_iter().filter(|name| is_compared(name)) {
            *self.below.entry(name.to_owned()).or_default() += time;
        }
    }
}

/// One name for what both call differently, or place in one function or its neighbour within an instruction.
fn same(name: &str) -> &str {
    // What a generic function was made for.
    let name = name.split_once('[').map_or(name, |(generic, _)| generic);
    match name.strip_suffix(".abi0").unwrap_or(name) {
        // C code has no frames there.
        "runtime.asmcgocall" => "runtime.cgocall",
        // The vDSO's.
        "time.now" | "time.Now" | "time.runtimeNow" | "runtime.nanotime1" | "runtime.nanotime" | "runtime.walltime" => {
            "clock"
        }
        name if name.starts_with("syscall.Raw") || name.contains("syscall.Syscall") => "system call",
        name => name,
    }
}

/// What `runtime/pprof` says, by `go tool pprof`.
fn theirs(toolchain: &Toolchain, binary: &Path, file: &Path) -> Result<Shares> {
    let output = toolchain.command()?.args(["tool", "pprof", "-traces"]).arg(binary).arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let mut shares = Shares::default();
    // Each trace begins below a line of dashes: a time and the leaf, then a function in each line.
    for trace in text.split("-----------+").skip(1) {
        let mut lines = trace.lines().skip(1);
        let Some(first) = lines.next() else { continue };
        let mut words = first.split_whitespace();
        let (Some(time), Some(leaf)) = (words.next(), words.next()) else { continue };
        let time = seconds(time).with_context(|| format!("no time in {first}"))?;
        let callers = lines.filter_map(|line| line.split_whitespace().next());
        shares.add(std::iter::once(leaf).chain(callers), time);
        shares.samples += time * RATE_HZ;
    }
    Ok(shares)
}

/// The seconds in `1.25s` or `10ms`.
fn seconds(time: &str) -> Option<f64> {
    let units = [("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("mins", 60.0)];
    units.iter().find_map(|(unit, scale)| Some(time.strip_suffix(unit)?.parse::<f64>().ok()? * scale))
}

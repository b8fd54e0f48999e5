//! Where goroutines compute, and where they were interrupted, is exactly where they can be.
//!
//! The zoo's spinning goroutines run in functions of which every possible stack is known: a leaf without a frame, a
//! function that calls a leaf, inlined calls. Whatever is recorded of them, on a CPU or preempted, must be one of these
//! stacks, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use fgspy_fixtures::{Toolchain, Variant, build, skip, toolchains, zoo};
use fgspy_goroutines::GoProcess;
use fgspy_profile::{Profile, Sample, State};
use fgspy_sampler::{Options, Reading, Stop, record_profile};
use libtest_mimic::{Arguments, Failed, Trial};

/// The stacks in which each kind can be, leaf first, without the runtime's own frames.
const POSSIBLE: [(&str, &[&[&str]]); 3] = [
    ("spin-leaf", &[&["main.leafLoop", "main.spinLeaf"]]),
    ("spin-calls", &[&["main.step", "main.spinCalls"], &["main.spinCalls"]]),
    (
        "spin-inlined",
        &[
            &["main.inlinedTwo", "main.inlinedStep", "main.spinInlined"],
            &["main.inlinedStep", "main.spinInlined"],
            &["main.spinInlined"],
        ],
    ),
];

fn main() {
    let arguments = Arguments::from_args();
    let toolchains = toolchains::required().expect("the required toolchains can be had");
    let trials = toolchains.into_iter().map(|toolchain| {
        let name = format!("spinners::{}", toolchain.version);
        Trial::test(name, move || spinners(&toolchain).map_err(|error| Failed::from(format!("{error:#}"))))
    });
    // One after the other: each wants the processors for itself.
    libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, trials.collect()).exit();
}

fn spinners(toolchain: &Toolchain) -> Result<()> {
    let binary = build("zoo", toolchain, Variant::Stripped)?;
    let (fixture, kinds) = zoo::spawn(&binary, &["-spin", "3"])?;
    let target = GoProcess::open(fixture.pid())?;
    if let (None, notes) = fgspy_sampler::open_on_cpu(fixture.pid(), false) {
        skip(&format!("on_cpu spinners {}", toolchain.version), &notes.join("; "));
        return Ok(());
    }
    let options = Options {
        duration: Some(Duration::from_secs(2)),
        system: true,
        reading: Reading::Everything,
        ..Options::default()
    };
    let (profile, _) = record_profile(target, options, &Stop::new(), &mut |_, _| {});
    let goids: BTreeMap<u64, &str> = kinds.iter().map(|kind| (kind.goid, kind.kind.as_str())).collect();
    let (mut placed, mut unplaced) = (BTreeSet::new(), BTreeSet::new());
    for sample in &profile.samples {
        let Some(kind) = goids.get(&sample.goid) else { continue };
        let Some((_, possible)) = POSSIBLE.iter().find(|(name, _)| name == kind) else { continue };
        ensure!(sample.state != State::Waiting, "{kind} was seen waiting for {}", profile.wait_reason(sample));
        let stack = own_frames(&profile, sample);
        if stack.first().is_some_and(|leaf| leaf.starts_with('[')) {
            unplaced.insert(sample.goid);
            continue;
        }
        ensure!(possible.contains(&stack.as_slice()), "{kind} was seen in {stack:?} ({})", sample.state.word());
        if sample.state == State::Running {
            placed.insert(sample.goid);
        }
    }
    // On a busy machine the kernel may never have sampled one of them. If it has, all its time has a place.
    ensure!(!placed.is_empty(), "no spinning goroutine was seen on a CPU");
    ensure!(placed.is_disjoint(&unplaced), "time of a goroutine that was seen on a CPU is without a place");
    eprintln!("{}: {} spinners were seen on a CPU, {} were not", toolchain.version, placed.len(), unplaced.len());
    Ok(())
}

/// The names of a sample's frames, leaf first, without those of the kernel and of a preemption.
fn own_frames<'a>(profile: &'a Profile, sample: &Sample) -> Vec<&'a str> {
    let frames = profile.frames(sample.stack).map(|frame| frame.name);
    frames.filter(|name| !name.ends_with("[kernel]") && !name.starts_with("runtime.asyncPreempt")).collect()
}

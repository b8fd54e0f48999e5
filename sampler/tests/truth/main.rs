//! Stacks, states, labels and creators are exactly those that the Go runtime itself reports.
//!
//! For every toolchain and variant there is a zoo of still goroutines, one of each kind. It is read from outside, then
//! made to print its own dump (SIGQUIT with GOTRACEBACK=system), and the two must agree in every goroutine and frame.

mod compare;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Toolchain, Variant, build, dump, matrix, zoo};
use fgspy_goroutines::GoProcess;
use fgspy_goroutines::{Goroutine, Trust, attach_by_measuring, census};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let matrix = matrix().expect("the required toolchains can be had");
    let trials = matrix.into_iter().map(|(toolchain, variant)| {
        let name = format!("zoo::{}::{}", toolchain.version, variant.word());
        Trial::test(name, move || zoo_equals_its_own_dump(&toolchain, variant).map_err(described))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn described(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}

fn zoo_equals_its_own_dump(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let binary = build("zoo", toolchain, variant)?;
    let (fixture, kinds) = zoo::spawn(&binary, &[])?;
    let target = GoProcess::open(fixture.pid())?;
    // The test stops the target, so that it and the dump speak of the same moment; fgspy never does.
    fixture.freeze()?;
    let goroutines = census(&target.runtime, &target.memory)?;
    a_measured_layout_reads_the_same(&target, &goroutines)?;
    let dumped = dump::sigquit(fixture)?;
    let by_id = |goid| goroutines.iter().find(|goroutine| goroutine.g.goid == goid);
    for kind in &kinds {
        let goroutine = by_id(kind.goid).with_context(|| format!("{} was not found", kind.kind))?;
        compare::announced(&target.runtime, goroutine, kind).with_context(|| kind.kind.clone())?;
    }
    let mut compared = 0;
    for truth in dumped.iter().filter(|truth| truth.goid != 0 && !truth.unavailable) {
        let goroutine = by_id(truth.goid).with_context(|| format!("goroutine {} was not found", truth.goid))?;
        // The runtime's own have timers, the scavenger above all; the kinds of the zoo stand still.
        let is_kind = kinds.iter().any(|kind| kind.goid == truth.goid);
        let has_gone_on = !is_kind && compare::has_gone_on(&target.runtime, goroutine, truth);
        if compare::is_comparable(goroutine) && !has_gone_on {
            compare::dumped(&target.runtime, goroutine, truth).with_context(|| format!("goroutine {}", truth.goid))?;
            compared += 1;
        }
    }
    ensure!(compared >= kinds.len(), "only {compared} goroutines were compared, of {} kinds", kinds.len());
    Ok(())
}

/// A version that is not in the table is read by a layout measured in the process. Here the table has it, so both ways
/// must read the very same.
fn a_measured_layout_reads_the_same(target: &GoProcess, goroutines: &[Goroutine]) -> Result<()> {
    let tids: Vec<u32> = target.process.threads()?.iter().map(|thread| thread.ns_tid).collect();
    let binary = Arc::clone(&target.runtime.binary);
    let measured = attach_by_measuring(&target.memory, binary, target.runtime.bias, &tids)?;
    ensure!(measured.trust != Trust::Table, "it was not measured");
    let again = census(&measured, &target.memory)?;
    // A measured layout cannot know whether a goroutine is locked to its thread, and believes in `parentGoid` (Go 1.21
    // on), because what is not in the table is newer than that.
    let has_parent = target.runtime.version.minor >= 21;
    let plain = |goroutine: &Goroutine| {
        let Goroutine { g, status, tid, stack, labels } = goroutine;
        let g = (g.goid, g.bounds, g.m, g.parent_goid.filter(|_| has_parent), g.go_pc, g.start_pc, g.wait_reason);
        (g, *status, *tid, stack.clone(), labels.clone())
    };
    for (table, measured) in goroutines.iter().zip(&again) {
        ensure!(plain(table) == plain(measured), "by the table {table:?}\nmeasured     {measured:?}");
    }
    ensure!(goroutines.len() == again.len(), "{} goroutines by the table, {} measured", goroutines.len(), again.len());
    Ok(())
}

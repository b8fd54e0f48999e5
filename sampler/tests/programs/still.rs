//! Goroutines that stand still have exactly the stacks that the Go runtime prints.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::dump;
use fgspy_goroutines::GoProcess;
use fgspy_goroutines::{Frames, Goroutine, Trust, census};

use crate::compare;
use crate::target::Target;

/// A goroutine that has not run for so long is taken to stand still.
const STILL: Duration = Duration::from_secs(1);

/// Reads all goroutines, has the runtime print them, and compares those that stood still. The test stops the program,
/// so that both speak of the same moment; fgspy never does.
pub(crate) fn goroutines_equal_their_dump(target: Target) -> Result<()> {
    let process = GoProcess::open(target.pid())?;
    ensure!(process.runtime.trust == Trust::Table, "its layout is not the table's: {:?}", process.runtime.trust);
    let earlier = frozen(&process, &target)?;
    target.thaw()?;
    std::thread::sleep(STILL);
    let goroutines = frozen(&process, &target)?;
    every_stack_is_whole(&goroutines)?;
    let words = target.last_words()?;
    let truths: BTreeMap<u64, _> = dump::parse(&words)?.into_iter().map(|truth| (truth.goid, truth)).collect();
    let (mut still, mut equal) = (0, 0);
    for goroutine in goroutines.values().filter(|goroutine| has_not_run_since(&earlier, goroutine)) {
        still += 1;
        let goid = goroutine.g.goid;
        let truth = truths.get(&goid).with_context(|| format!("the runtime knows no goroutine {goid}"))?;
        if compare::has_gone_on(&process.runtime, goroutine, truth) {
            println!("goroutine {goid} has gone on from {:?}", goroutine.status);
            continue;
        }
        compare::dumped(&process.runtime, goroutine, truth).with_context(|| format!("goroutine {goid}"))?;
        equal += 1;
    }
    println!("{equal} of {still} still goroutines ({} in all) are as the runtime prints them", goroutines.len());
    ensure!(equal >= 3 && equal * 10 >= still * 9, "only {equal} of {still} goroutines could be compared");
    Ok(())
}

/// All goroutines, while nothing moves.
fn frozen(process: &GoProcess, target: &Target) -> Result<BTreeMap<u64, Goroutine>> {
    target.freeze()?;
    let goroutines = census(&process.runtime, &process.memory)?;
    Ok(goroutines.into_iter().map(|goroutine| (goroutine.g.goid, goroutine)).collect())
}

fn every_stack_is_whole(goroutines: &BTreeMap<u64, Goroutine>) -> Result<()> {
    for (goid, goroutine) in goroutines.iter().filter(|(_, goroutine)| compare::is_comparable(goroutine)) {
        let Goroutine { status, stack, .. } = goroutine;
        ensure!(matches!(stack, Frames::Whole(_)), "goroutine {goid} is {status:?}, its stack {stack:?}");
    }
    Ok(())
}

fn has_not_run_since(earlier: &BTreeMap<u64, Goroutine>, now: &Goroutine) -> bool {
    let same = |then: &Goroutine| then.g.same_as(&now.g) && then.stack == now.stack;
    compare::is_comparable(now) && earlier.get(&now.g.goid).is_some_and(same)
}

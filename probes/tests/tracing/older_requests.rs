//! What no probe sees: requests that were there before, targets that are gone, and code that has no probes.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use fgspy_fixtures::{Fixture, Toolchain, Variant, build};
use fgspy_memory::{Live, Process};
use fgspy_probes::{Event, OlderRequests, Options, TraceError, Tracer, filter, monotonic_ns, plan, sites};

use crate::target::{Target, runtime};

/// Looks at all goroutines.
fn look(earlier: &mut OlderRequests, target: &Target, memory: &Live) -> Result<()> {
    earlier.begin_look(&target.runtime, memory)?;
    while earlier.look(&target.runtime, memory, &monotonic_ns)? {}
    Ok(())
}

/// Requests of four kinds are begun before the probes are set, and end later.
pub(crate) fn requests_are_found(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let mut fixture = Fixture::spawn(&build("held", toolchain, variant)?, [""; 0])?;
    fixture.tell("hold 3")?;
    ensure!(fixture.line()? == "held");
    let memory = Process::open(fixture.pid())?.memory();
    let mut target = Target::of(fixture, Options::default())?;
    let sites = sites::sites(&target.runtime.binary);
    ensure!(sites::without_breakpoint(&target.runtime, &memory, &sites)?.is_empty(), "a probe is not in the code");
    let start_ns = target.tracer.start_ns();
    let mut earlier = OlderRequests::new(&target.runtime, None, start_ns);
    look(&mut earlier, &target, &memory)?;
    let filter = filter::filter(Some("^GET /events"), None, None)?;
    let mut some = OlderRequests::new(&target.runtime, filter, start_ns);
    look(&mut some, &target, &memory)?;
    ensure!(some.requests().count() == 3 && some.requests().all(|one| one.path == "/events"), "{some:?}");

    let mut paths: BTreeMap<String, usize> = BTreeMap::new();
    for one in earlier.requests() {
        ensure!(one.method == "GET" && !one.ended && one.since_ns <= start_ns && one.seen_ns >= start_ns, "{one:?}");
        *paths.entry(one.path.clone()).or_default() += 1;
    }
    let expected = [
        ("/events", 3),
        ("/poll/0", 1),
        ("/poll/1", 1),
        ("/poll/2", 1),
        ("/poll2/0", 1),
        ("/poll2/1", 1),
        ("/poll2/2", 1),
        ("/socket", 3),
    ];
    let expected = expected.map(|(path, count)| (path.to_owned(), count));
    ensure!(paths == BTreeMap::from(expected), "{paths:?}");

    earlier.again(&target.runtime, &memory, &monotonic_ns)?;
    ensure!(earlier.requests().all(|one| !one.ended), "{earlier:?}");
    ensure!(target.ask("release")? == "released");
    ensure!(target.ask("short 10")? == "short");
    for event in &target.events {
        if let Event::RequestBegin { goid, time_ns, .. } = event {
            earlier.begins(*goid, *time_ns);
        }
    }
    earlier.again(&target.runtime, &memory, &monotonic_ns)?;
    ensure!(earlier.requests().count() == 12 && earlier.requests().all(|one| one.ended), "{earlier:?}");
    Ok(())
}

/// A target that ends before its probes are set is no failure of the kernel's.
pub(crate) fn a_target_is_gone(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let fixture = Fixture::spawn(&build("held", toolchain, variant)?, [""; 0])?;
    let pid = fixture.pid();
    let runtime = runtime(pid)?;
    let plan = plan(pid, &runtime, &sites::sites(&runtime.binary), Options::default());
    fixture.end()?;
    match Tracer::start(&plan) {
        Err(TraceError::TargetGone { pid: gone }) => ensure!(gone == pid),
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}

/// A program that has moved its code away from its file.
pub(crate) fn probes_are_not_in_code_that_was_moved(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let fixture = Fixture::spawn(&build("held", toolchain, variant)?, ["-remap"])?;
    let memory = Process::open(fixture.pid())?.memory();
    let target = Target::of(fixture, Options::default())?;
    let sites = sites::sites(&target.runtime.binary);
    ensure!(
        sites::without_breakpoint(&target.runtime, &memory, &sites)?.len() == sites.len(),
        "some probes are in the code"
    );
    Ok(())
}

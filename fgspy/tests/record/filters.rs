//! Filters keep exactly what they say: compared with filtering the whole by what its JSON says.

use std::path::Path;

use regex::Regex;

use crate::common::profile::Sample;
use crate::common::{Profile, folder, record, report, run, zoo};

/// Checks that a filter keeps of a recording what `wanted` says, and that this is something, but not all.
fn keeps(recording: &Path, whole: &Profile, filter: &[&str], wanted: impl Fn(&Sample) -> bool) {
    let arguments: Vec<&str> = ["-f", "json"].iter().chain(filter).copied().collect();
    let kept = Profile::parse(&report(recording, &arguments));
    let expected = whole.plain(&wanted);
    assert!(!expected.is_empty() && expected.len() < whole.samples.len(), "{filter:?} keeps {}", expected.len());
    assert_eq!(kept.plain(|_| true), expected, "{filter:?}");
    let share = 100.0 * kept.time() as f64 / whole.time() as f64;
    let remark = kept.accounting.remarks.last().unwrap();
    assert!(remark.starts_with("filtered by "), "{remark}");
    assert!(remark.ends_with(&format!(": {share:.1} % of the recorded time")), "{remark}");
}

#[test]
fn each_filter_keeps_exactly_what_it_says() {
    let (zoo, kinds) = zoo(&["-spin", "3"]);
    let folder = folder();
    let mut command = record(zoo.pid(), folder.path());
    command.args(["-d", "1s", "-o", "profile.fgspy"]);
    run(command).succeeded();
    let recording = folder.path().join("profile.fgspy");
    let whole = Profile::of(&recording);
    let check = |filter: &[&str], wanted: &dyn Fn(&Sample) -> bool| keeps(&recording, &whole, filter, wanted);

    check(&["--state", "waiting"], &|s| s.state == "waiting");
    check(&["--state", "syscall,running"], &|s| s.state == "syscall" || s.state == "running");
    check(&["--state", "syscall", "--state", "running"], &|s| s.state == "syscall" || s.state == "running");
    // Three compute and two at most can, so some have to wait; where, the scheduler decides.
    check(&["--state", "off-cpu,runnable"], &|s| s.state == "running off cpu" || s.state == "runnable");

    check(&["--wait", "chan"], &|s| s.class == "chan");
    check(&["--wait", "chan receive"], &|s| s.wait_reason == "chan receive");
    check(&["--wait", "mutex,network"], &|s| s.class == "mutex" || s.class == "network");
    check(&["--wait", "sleep,sync.Cond.Wait"], &|s| s.class == "sleep" || s.wait_reason == "sync.Cond.Wait");

    let has = |sample: &Sample, pattern: &str| {
        let pattern = Regex::new(pattern).unwrap();
        whole.functions(sample).iter().any(|name| pattern.is_match(name))
    };
    for pattern in ["Select", "^main\\.spin", "sync\\.|net\\.", "(?i)KINDCHAN"] {
        check(&["--focus", pattern], &|s| has(s, pattern));
        check(&["--ignore", pattern], &|s| !has(s, pattern));
    }
    check(&["--focus", "gopark", "--ignore", "chan"], &|s| has(s, "gopark") && !has(s, "chan"));

    let some: Vec<u64> = kinds.iter().step_by(7).map(|kind| kind.goid).collect();
    let list = some.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    check(&["--goroutine", &list], &|s| some.contains(&s.goroutine));

    let is = |sample: &Sample, key: &str, value: &str| sample.labels.get(key).is_some_and(|found| found == value);
    check(&["--label", "kind=select"], &|s| is(s, "kind", "select"));
    check(&["--label", "kind=labels-do", "--label", "route=/checkout"], &|s| is(s, "kind", "labels-do"));
    check(&["--label", "quotes=\"double\" 'single' back\\slash"], &|s| is(s, "kind", "labels-unicode"));
    check(&["--label", "kind=~chan-.*"], &|s| s.labels.get("kind").is_some_and(|kind| kind.starts_with("chan-")));
    check(&["--label", "kind="], &|s| s.labels.get("kind").is_none_or(String::is_empty));

    check(&["--state", "waiting", "--wait", "select", "--focus", "main\\.", "--label", "kind=~select.*"], &|s| {
        s.class == "select" && s.labels.get("kind").is_some_and(|kind| kind.starts_with("select"))
    });
}

#[test]
fn a_recording_is_filtered_as_it_is_made() {
    let (zoo, kinds) = zoo(&[]);
    let folder = folder();
    let mut command = record(zoo.pid(), folder.path());
    command.args(["-d", "200ms", "-o", "profile.json", "--wait", "select", "--label", "kind=~.*-many"]);
    let outcome = run(command).succeeded();
    outcome.says("Note: filtered by wait=select label kind=~.*-many: ");
    let profile = Profile::read(&folder.path().join("profile.json"));
    let many = kinds.iter().find(|kind| kind.kind == "select-many").unwrap();
    assert_eq!(profile.samples.iter().map(|sample| sample.goroutine).collect::<Vec<_>>(), [many.goid]);
    assert_eq!(profile.time(), profile.duration_ns);
    // The words are about what was kept.
    outcome.says(&format!("{} samples of 1 goroutines stand for ", profile.accounting.ticks));
    outcome.says("\n  select 100.0%\n");
}

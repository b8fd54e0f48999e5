//! Folded stacks of a real program.

use std::collections::BTreeMap;

use fgspy_fixtures::dump;

use crate::common::{Profile, folder, record, report, run, zoo};

#[test]
fn lines_are_stacks_with_their_roots_first_and_their_times() {
    let (zoo, _) = zoo(&["-spin", "1"]);
    let folder = folder();
    let mut command = record(zoo.pid(), folder.path());
    command.args(["-d", "1s", "-o", "profile.fgspy"]);
    run(command).succeeded();
    let recording = folder.path().join("profile.fgspy");
    let json = Profile::of(&recording);
    let folded = String::from_utf8(report(&recording, &["-f", "folded"])).unwrap();

    // What the lines must be, by the JSON of the same recording.
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for sample in &json.samples {
        let activity = if sample.wait_reason.is_empty() { &sample.state } else { &sample.wait_reason };
        let frames = json.functions(sample).into_iter().rev().map(|name| name.replace(';', ","));
        let frames: String = frames.map(|frame| frame + ";").collect();
        *expected.entry(format!("{frames}[{activity}]")).or_default() += sample.time_ns;
    }
    let microseconds = |time: u64| (time + 500) / 1000;
    let expected: BTreeMap<&str, u64> = expected
        .iter()
        .map(|(line, time)| (line.as_str(), microseconds(*time)))
        .filter(|(_, time)| *time > 0)
        .collect();
    let lines: Vec<(&str, u64)> = folded
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(frames, count)| (frames, count.parse().unwrap()))
        .collect();
    assert_eq!(lines.iter().copied().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(lines.len(), expected.len(), "a stack has two lines");

    // The roots are where goroutines start, by the runtime's own word.
    let roots: Vec<String> = dump::sigquit(zoo).unwrap().iter().filter_map(root).collect();
    for (frames, _) in lines {
        let first = frames.split(';').next().unwrap();
        assert!(roots.iter().any(|root| root == first), "{first} starts no goroutine: {roots:?}");
    }
}

/// The function that a goroutine was started with; wrappers that the compiler makes are left out, as in the profile.
fn root(goroutine: &dump::DumpedGoroutine) -> Option<String> {
    let names = goroutine.frames.iter().rev().map(|frame| frame.function.as_str());
    let is_wrapper = |name: &str| name.contains(".gowrap") || name.ends_with("-fm");
    names.into_iter().find(|name| *name != "runtime.goexit" && !is_wrapper(name)).map(str::to_owned)
}

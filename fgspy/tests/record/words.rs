//! What fgspy says while it records and after.

use fgspy_fixtures::Signal;
use regex::Regex;

use crate::common::{Profile, Running, folder, record, run, zoo};

#[test]
fn the_closing_words_say_what_there_is_and_how_it_went() {
    let (zoo, kinds) = zoo(&["-spin", "1"]);
    let folder = folder();
    let mut command = record(zoo.pid(), folder.path());
    command.args(["-d", "500ms", "-o", "profile.json"]);
    let outcome = run(command).succeeded();
    let profile = Profile::read(&folder.path().join("profile.json"));
    let pattern = Regex::new(
        "\\A(\\d+) samples of (\\d+) goroutines stand for [\\d.]+ (?:s|min) of goroutine time in \\d+ ms \\((\\d+\\.\\d) \
         goroutines on average\\)\\.\n  chan \\d+\\.\\d%.* · .*\n(?:  Requests: [^\n]* unknown\\.\n)?  [\\d.]+ ticks a second of 99 asked for, \\d+ late; \
         [\\d.]+% of the stacks read were rejected \\(\\d+ changed while read, \\d+ torn, \\d+ broken, \\d+ unreadable\\)\\.\n  (?:Every \
         goroutine was read at every tick|[\\d.]+% of the goroutines were read at a tick, because of --max-cpu \
         10%); fgspy used [\\d.]+% of a core, and [\\d.]+ (?:ms|µs) to read everything once at the start\\.\n(?s:.*)Wrote json to profile\\.json\n  open it with: jq \\. profile\\.json \\| less\n\\z",
    )
    .unwrap();
    let said = pattern.captures(&outcome.stderr).unwrap_or_else(|| panic!("{}", outcome.stderr));
    assert_eq!(said[1].parse::<u64>().unwrap(), profile.samples.iter().map(|sample| sample.count).sum::<u64>());
    let mut goroutines: Vec<u64> = profile.samples.iter().map(|sample| sample.goroutine).collect();
    goroutines.sort_unstable();
    goroutines.dedup();
    assert_eq!(said[2].parse::<usize>().unwrap(), goroutines.len());
    let average: f64 = said[3].parse().unwrap();
    assert!((average - profile.time() as f64 / profile.duration_ns as f64).abs() <= 0.05);
    assert!(goroutines.len() > kinds.len());
}

/// Who waits for the result wants it exact: with a budget of 1 % a good part of these goroutines would not be read at a tick.
#[test]
fn the_default_reads_every_goroutine_at_every_tick() {
    let (zoo, kinds) = zoo(&["-spin", "1"]);
    assert!(kinds.len() > 50);
    let folder = folder();
    let mut command = record(zoo.pid(), folder.path());
    command.args(["-d", "2s", "-o", "profile.json"]);
    run(command).succeeded().says("\n  Every goroutine was read at every tick; fgspy used ");
}

#[test]
fn more_than_the_budget_is_said_with_what_helps() {
    let (zoo, _) = zoo(&["-spin", "1"]);
    let folder = folder();
    let mut command = record(zoo.pid(), folder.path());
    // 100 ns for each tick: no machine looks at a process in so little.
    command.args(["-d", "500ms", "--max-cpu", "0.001%", "-o", "profile.json"]);
    let outcome = run(command).succeeded();
    let pattern = "\n  More than --max-cpu allows: a tick takes [\\d.]+ (?:ms|µs) here, however little is read\\. --rate \\d+ would fit\\.\n";
    assert!(Regex::new(pattern).unwrap().is_match(&outcome.stderr), "{}", outcome.stderr);
}

#[test]
fn without_a_terminal_there_is_no_progress() {
    let (zoo, _) = zoo(&[]);
    let folder = folder();
    for quiet in [false, true] {
        let mut command = record(zoo.pid(), folder.path());
        // Long enough for a line of progress or two.
        command.args(["-d", "500ms", "-o", "profile.svg"]).args(quiet.then_some("--quiet"));
        let said = run(command).succeeded().stderr;
        assert!(!said.contains(['\u{1b}', '\r']) && !said.contains("Recording"), "{said:?}");
        assert_eq!(said.is_empty(), quiet, "{said}");
    }
}

#[test]
fn a_terminal_shows_progress_until_the_recording_is_over() {
    let (zoo, _) = zoo(&[]);
    let folder = folder();
    let mut command = record(zoo.pid(), folder.path());
    command.args(["-d", "1s", "-o", "profile.svg"]);
    let said = Running::on_terminal(command).wait().succeeded().stderr;
    let line =
        Regex::new("\r\u{1b}\\[K\u{1b}\\[\\?7lRecording: [01] s left, (\\d+) goroutines, (\\d+) observations").unwrap();
    let told: Vec<(u64, u64)> =
        line.captures_iter(&said).map(|found| (found[1].parse().unwrap(), found[2].parse().unwrap())).collect();
    assert!(told.len() >= 3, "{said}");
    assert!(told.is_sorted_by(|a, b| a.0 == b.0 && a.1 < b.1), "{told:?}");
    // Then the line goes, and the words are those of every recording.
    let (_, after) = said.rsplit_once("\u{1b}[?7h\r\u{1b}[K").unwrap();
    assert!(Regex::new("\\A\\d+ samples of ").unwrap().is_match(after), "{after}");

    let mut command = record(zoo.pid(), folder.path());
    command.args(["-o", "profile.svg"]);
    let mut running = Running::on_terminal(command);
    running.until_said("Recording: 0 s, Ctrl-C to end, ");
    running.signal(Signal::INT);
    running.wait().succeeded();
}

#[test]
fn a_filter_that_keeps_nothing_is_pointed_out() {
    let (zoo, kinds) = zoo(&[]);
    let folder = folder();
    let mut command = record(zoo.pid(), folder.path());
    command.args(["-d", "100ms", "-o", "profile.json", "--wait", "chan recieve"]);
    let outcome = run(command).succeeded();
    outcome.says("Nothing that was recorded matches the filter. All of it:\n");
    // Among the right words is the one that was meant.
    let reasons = outcome.stderr.lines().find_map(|line| line.strip_prefix("  wait reasons: ")).unwrap();
    assert!(reasons.split(", ").any(|reason| reason == "chan receive"), "{reasons}");
    assert!(outcome.stderr.contains(&format!(" samples of {} goroutines", count(&outcome.stderr))));
    assert!(count(&outcome.stderr) > kinds.len());
    outcome.says("Note: filtered by wait=chan recieve: 0.0 % of the recorded time");
    assert!(Profile::read(&folder.path().join("profile.json")).samples.is_empty());
}

/// The number of goroutines in the closing words.
fn count(said: &str) -> usize {
    Regex::new("samples of (\\d+) goroutines").unwrap().captures(said).unwrap()[1].parse().unwrap()
}

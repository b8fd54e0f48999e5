//! A process as a whole, and its goroutines, are shown in the state that they are in.

mod common;

use std::collections::BTreeMap;

use fgspy_fixtures::{Fixture, Variant, build, dump, toolchains, wait_until};

use common::{Outcome, Profile, fgspy, folder, record, run, zoo};

fn run_on(name: &str, pid: u32, options: &[&str]) -> Outcome {
    let mut command = fgspy();
    command.args([name, "-p", &pid.to_string()]).args(options);
    run(command)
}

fn text(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

/// Words of a report that is wrapped.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_stopped_process_is_said_to_be_stopped() {
    let (zoo, _) = zoo(&["-spin", "1"]);
    let pid = zoo.pid();
    let note = format!("process {pid} is stopped by a signal: none of it runs. To continue it: kill -CONT {pid}");
    zoo.freeze().unwrap();

    let doctor = words(&text(&run_on("doctor", pid, &[])));
    let expected = format!(
        "warn state stopped by a signal so: none of it runs: a recording shows where its goroutines stand, and no CPU time \
         fix: kill -CONT {pid}"
    );
    assert!(doctor.contains(&expected), "{doctor}");

    let outcome = run_on("dump", pid, &["--json"]).succeeded();
    outcome.says(&format!("Note: {note}\n"));
    let json: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(json["notes"], serde_json::json!([note]));

    let folder = folder();
    let mut command = record(pid, folder.path());
    command.args(["-d", "500ms", "-o", "profile.json"]);
    run(command).succeeded().says(&format!("\n  Note: {note}\n"));
    let profile = Profile::read(&folder.path().join("profile.json"));
    assert!(profile.accounting.remarks.contains(&note), "{:?}", profile.accounting.remarks);
    let on_thread: Vec<_> = profile.samples.iter().filter(|sample| sample.state.starts_with("running")).collect();
    assert!(!on_thread.is_empty());
    for sample in on_thread {
        assert_eq!(sample.state, "running off cpu");
        assert_eq!(profile.functions(sample)[0], "[running when it was stopped by a signal]");
    }

    let said = text(&run_on("requests", pid, &["-d", "500ms"]).succeeded());
    assert!(words(&said).contains(&note), "{said}");
}

#[test]
fn a_process_that_goes_on_is_no_longer_said_to_be_stopped() {
    let (zoo, _) = zoo(&["-spin", "1"]);
    let pid = zoo.pid();
    zoo.freeze().unwrap();
    zoo.thaw();
    wait_until("it goes on", || Ok(!std::fs::read_to_string(format!("/proc/{pid}/stat"))?.contains(") T "))).unwrap();
    assert!(!text(&run_on("doctor", pid, &[])).contains("stopped"));
    let outcome = run_on("dump", pid, &["--json"]).succeeded();
    outcome.does_not_say("stopped");
    let json: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(json["notes"], serde_json::json!([]));
}

/// The state in the header of each goroutine of a dump by fgspy.
fn states(dump: &str) -> BTreeMap<u64, String> {
    let header = |line: &str| {
        let (goid, rest) = line.strip_prefix("goroutine ")?.split_once(" [")?;
        Some((goid.parse().ok()?, rest.split_once(']')?.0.to_owned()))
    };
    dump.lines().filter_map(header).collect()
}

#[test]
fn leaked_goroutines_have_the_words_of_the_runtime() {
    let binary = build("leaked", &toolchains::get(27).unwrap(), Variant::Plain).unwrap();
    let fixture = Fixture::spawn(&binary, [""; 0]).unwrap();
    let outcome = run_on("dump", fixture.pid(), &[]).succeeded();
    let json = run_on("dump", fixture.pid(), &["--json"]).succeeded();
    let found = states(&text(&outcome));
    let truth: BTreeMap<u64, String> =
        dump::sigquit(fixture).unwrap().into_iter().map(|goroutine| (goroutine.goid, goroutine.status)).collect();
    let mut leaked: Vec<&str> = truth.values().map(String::as_str).filter(|state| state.contains("(leaked)")).collect();
    leaked.sort_unstable();
    assert_eq!(
        leaked,
        ["chan receive (leaked)", "chan receive (nil chan) (leaked)", "chan send (leaked)", "select (leaked)"]
    );
    for (goid, state) in &found {
        // The first waits for input: the signal found it there, or on its way out.
        if *goid != 1 {
            assert_eq!(Some(state), truth.get(goid), "goroutine {goid}");
        }
    }
    assert_eq!(found.values().filter(|state| state.contains("(leaked)")).count(), leaked.len());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let of_json = json["goroutines"].as_array().unwrap().iter().filter(|goroutine| goroutine["status"] == "leaked");
    let mut reasons: Vec<&str> = of_json.map(|goroutine| goroutine["wait_reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["chan receive", "chan receive (nil chan)", "chan send", "select"]);
}

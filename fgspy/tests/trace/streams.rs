//! Files that are written while a trace is taken: they are whole at the end, and there is something in them before.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use fgspy_fixtures::{Fixture, Signal, wait_until};

use crate::common::perfetto::Picture;
use crate::common::{Running, fgspy, folder, names, newest, program, run};
use crate::{may_trace, service};

fn trace(pid: u32, arguments: &[&str]) -> Command {
    let mut command = fgspy();
    command.args(["trace", "-p", &pid.to_string()]).args(arguments);
    command
}

/// A program that passes a token as fast as it can.
fn churning() -> Fixture {
    let mut service = Fixture::spawn(&program("held", &newest()), [""; 0]).unwrap();
    service.tell("churn").unwrap();
    assert_eq!(service.line().unwrap(), "churning");
    service
}

fn len(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

#[test]
fn a_perfetto_trace_has_states_arrows_requests_and_stacks() {
    let Some(_turn) = may_trace("a_perfetto_trace_has_states_arrows_requests_and_stacks") else { return };
    let (service, load) = service();
    let output = run(trace(service.fixture.pid(), &["-d", "500ms", "-f", "perfetto"])).succeeded().stdout;
    load.end().unwrap();
    // Reading it is what makes sure that slices nest, and that all that is referred to is there.
    let picture = Picture::read(&output);
    let (mut arrows, mut states, mut stacks) = (HashMap::<u64, (usize, usize)>::new(), 0, 0);
    for track in picture.below("goroutines") {
        assert!(track.name.starts_with("goroutine "), "{track:?}");
        for slice in &track.slices {
            slice.arrows_from.iter().for_each(|arrow| arrows.entry(*arrow).or_default().0 += 1);
            slice.arrows_to.iter().for_each(|arrow| arrows.entry(*arrow).or_default().1 += 1);
            states += usize::from(slice.name != "wakes");
            let lasted = slice.to.map_or(0, |to| to - slice.from);
            let of_handler = slice.arguments.get("stack").is_some_and(|stack| stack.contains("main."));
            stacks += usize::from(slice.name == "sleep" && lasted >= 1_000_000 && of_handler);
        }
    }
    assert!(arrows.len() > 100 && arrows.values().all(|ends| *ends == (1, 1)), "{} arrows", arrows.len());
    assert!(states > 1000 && stacks > 10, "{states} states, {stacks} stacks");
    let requests: Vec<_> = picture.below("requests").flat_map(|track| &track.slices).collect();
    let whole = requests.iter().filter(|request| request.to.is_some() && request.arguments.contains_key("route"));
    assert!(whole.count() > 100, "{} requests", requests.len());
    assert!(requests.iter().all(|request| request.name.contains(" /")), "{requests:?}");
}

/// Goroutines that do nothing while they are traced have their state all the same, and their name.
#[test]
fn who_does_not_move_is_in_a_perfetto_trace() {
    let Some(_turn) = may_trace("who_does_not_move_is_in_a_perfetto_trace") else { return };
    let mut service = Fixture::spawn(&program("held", &newest()), [""; 0]).unwrap();
    service.tell("hold 2").unwrap();
    assert_eq!(service.line().unwrap(), "held");
    let output = run(trace(service.pid(), &["-d", "300ms", "-f", "perfetto"])).succeeded().stdout;
    let picture = Picture::read(&output);
    let requests: Vec<_> = picture.below("requests").flat_map(|track| &track.slices).collect();
    assert_eq!(requests.len(), 8, "{requests:?}");
    for request in &requests {
        assert_eq!((request.to, request.arguments["began"].as_str()), (None, "before the probes were set"));
    }
    let polls: Vec<_> = requests.iter().filter(|request| request.name.starts_with("GET /poll/")).collect();
    assert_eq!(polls.len(), 2, "{requests:?}");
    for poll in polls {
        let name = format!("goroutine {} net/http.(*conn).serve", poll.arguments["goroutine"]);
        let track = picture.below("goroutines").find(|track| track.name == name);
        let track = track.unwrap_or_else(|| panic!("{name} has no track"));
        let [waits] = &track.slices[..] else { panic!("{track:?}") };
        assert_eq!((waits.name.as_str(), waits.to), ("chan", None), "{track:?}");
        assert_eq!(waits.arguments["reason"], "chan receive");
    }
}

#[test]
fn what_was_recorded_survives_fgspy() {
    let Some(_turn) = may_trace("what_was_recorded_survives_fgspy") else { return };
    let ((service, load), folder) = (service(), folder());
    for format in ["perfetto", "json"] {
        let path = folder.path().join(format);
        let partial = folder.path().join(format!("{format}.partial"));
        let mut running = Running::start(trace(service.fixture.pid(), &["-f", format, "-o", path.to_str().unwrap()]));
        running.until_said(&format!("Until then the file is called {}.", partial.display()));
        wait_until("something is written", || Ok(len(&partial) > 200_000)).unwrap();
        running.signal(Signal::KILL);
        running.wait_alone();
        assert!(!path.exists() && partial.exists());
        let written = std::fs::read(&partial).unwrap();
        match format {
            "perfetto" => {
                let picture = Picture::read(&written);
                let ended = |name| {
                    let slices = picture.below(name).flat_map(|track| &track.slices);
                    slices.filter(|slice| slice.to.is_some()).count()
                };
                assert!(ended("goroutines") > 100 && ended("requests") > 10);
            }
            _ => {
                let lines: Vec<&str> = std::str::from_utf8(&written).unwrap().lines().collect();
                assert!(lines[0].contains(r#""kind":"begin""#) && lines.len() > 100);
                assert!(lines[1..].iter().all(|line| line.contains(r#""kind":"request""#) && line.ends_with('}')));
            }
        }
    }
    // One that is interrupted has its file, and what was left is not touched.
    let path = folder.path().join("perfetto");
    let running = &mut Running::start(trace(service.fixture.pid(), &["-f", "perfetto", "-o", path.to_str().unwrap()]));
    running.until_said("The probes are set");
    running.signal(Signal::INT);
    running.wait().succeeded();
    load.end().unwrap();
    assert_eq!(names(folder.path()), ["json.partial", "perfetto", "perfetto.partial"]);
    Picture::read(&std::fs::read(path).unwrap());
}

#[test]
fn a_file_that_cannot_grow_ends_the_trace_and_is_kept() {
    let Some(_turn) = may_trace("a_file_that_cannot_grow_ends_the_trace_and_is_kept") else { return };
    let (service, folder) = (churning(), folder());
    let path = folder.path().join("t.pftrace");
    let mut command = Command::new("bash");
    let limited = format!(
        "ulimit -f 2000; exec {} trace -p {} -f perfetto -o {}",
        env!("CARGO_BIN_EXE_fgspy"),
        service.pid(),
        path.display()
    );
    command.args(["-c", &limited]).stdout(Stdio::piped());
    let outcome = run(command);
    assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
    let partial = folder.path().join("t.pftrace.partial");
    outcome.says(&format!("what was recorded until then is in {}", partial.display()));
    assert_eq!(names(folder.path()), ["t.pftrace.partial"]);
    let written = std::fs::read(&partial).unwrap();
    let picture = Picture::read(&written);
    assert!(written.len() > 100_000 && picture.below("goroutines").any(|track| track.slices.len() > 100));
    drop(service);
}

/// How much memory a trace takes does not depend on how long it is.
#[test]
fn a_long_trace_takes_no_more_memory_than_a_short_one() {
    let Some(_turn) = may_trace("a_long_trace_takes_no_more_memory_than_a_short_one") else { return };
    let (service, folder) = (churning(), folder());
    let path = folder.path().join("t.pftrace");
    let partial = folder.path().join("t.pftrace.partial");
    let arguments = ["-f", "perfetto", "--max-overhead", "1000%", "-o", path.to_str().unwrap()];
    let mut running = Running::start(trace(service.pid(), &arguments));
    let most_kib = |running: &Running| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    wait_until("some is written", || Ok(len(&partial) > 4 << 20)).unwrap();
    let short = most_kib(&running);
    wait_until("much is written", || Ok(len(&partial) > 60 << 20)).unwrap();
    let long = most_kib(&running);
    running.signal(Signal::INT);
    running.wait().succeeded();
    assert!(long < short + (8 << 10), "{short} KiB, then {long} KiB");
}

//! However a recording ends, what was recorded until then is written.

use std::fs::File;
use std::path::Path;

use fgspy_fixtures::{Fixture, Signal, wait_until};

use crate::common::{Profile, Running, folder, names, newest, oldest_and_newest, program, record, zoo};

/// Starts to record `fixture` on a terminal and waits until something is recorded, lets `end` do what ends it, and checks
/// that fgspy is content, says `words` and has written all goroutines that are parked by `main.park`.
fn ends_well(mut fixture: Fixture, words: &str, end: impl FnOnce(&mut Fixture, &Running)) {
    let folder = folder();
    let mut command = record(fixture.pid(), folder.path());
    command.args(["-o", "profile.json"]);
    let mut running = Running::on_terminal(command);
    running.until_recording();
    end(&mut fixture, &running);
    let outcome = running.wait().succeeded();
    outcome.says(words);
    outcome.says("Wrote json to profile.json");
    assert_eq!(names(folder.path()), ["profile.json"]);
    let profile = Profile::read(&folder.path().join("profile.json"));
    assert_eq!(profile.goroutines_in("main.park").len(), 10);
    // Every goroutine that stood still was there all the time that is accounted for.
    for goroutine in profile.goroutines_in("main.park") {
        let of_it = profile.samples.iter().filter(|sample| sample.goroutine == goroutine);
        assert_eq!(of_it.map(|sample| sample.time_ns).sum::<u64>(), profile.duration_ns);
    }
}

const EXITED: &str = "The target exited; this is what was recorded until then.";
const REPLACED: &str = "The target replaced its program by another (exec); this is what was recorded until then.";

#[test]
fn the_target_exits() {
    for toolchain in oldest_and_newest() {
        for how in ["exit", "panic", "kill"] {
            let crasher = Fixture::spawn(&program("crasher", &toolchain), ["-how", how]).unwrap();
            ends_well(crasher, EXITED, |crasher, _| crasher.tell("").unwrap());
        }
    }
}

#[test]
fn the_target_is_killed() {
    let crasher = Fixture::spawn(&program("crasher", &newest()), [""; 0]).unwrap();
    ends_well(crasher, EXITED, |crasher, _| crasher.signal(Signal::KILL));
}

#[test]
fn the_target_executes_another_program() {
    for toolchain in oldest_and_newest() {
        let execer = program("execer", &toolchain);
        let other = program("crasher", &toolchain);
        // One that is not Go's, and one that is and could be mistaken for the old one.
        for line in ["/bin/sleep 1000", other.to_str().unwrap()] {
            let execer = Fixture::spawn(&execer, [""; 0]).unwrap();
            ends_well(execer, REPLACED, |execer, _| execer.tell(line).unwrap());
        }
    }
}

#[test]
fn a_signal_ends_the_recording_and_writes_it() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let crasher = Fixture::spawn(&program("crasher", &newest()), [""; 0]).unwrap();
        ends_well(crasher, "Wrote json", |_, running| running.signal(signal));
    }
}

#[test]
fn a_second_signal_ends_fgspy_at_once() {
    for (second, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (zoo, _) = zoo(&[]);
        let folder = folder();
        let pipe = named_pipe(folder.path());
        let mut command = record(zoo.pid(), folder.path());
        command.args(["-f", "flamegraph", "-o", "pipe"]);
        let mut running = Running::on_terminal(command);
        running.until_recording();
        running.signal(Signal::INT);
        // The picture is larger than the pipe. The line of progress goes when the recording is over. Nobody reads the pipe, so writing never ends.
        running.until("the line is gone", |said| said.ends_with("\r\u{1b}[K"));
        running.signal(second);
        assert_eq!(running.wait().code(), code);
        assert_eq!(names(folder.path()), ["pipe"]);
        drop(pipe);
    }
}

/// A pipe with a name, open so that a writer need not wait for a reader.
fn named_pipe(folder: &Path) -> File {
    let path = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn a_recording_shorter_than_a_tick_has_one() {
    let (zoo, kinds) = zoo(&[]);
    for (duration, rate) in [("1ms", "99"), ("50ms", "0.01")] {
        let folder = folder();
        let mut command = record(zoo.pid(), folder.path());
        command.args(["-d", duration, "-r", rate, "-o", "profile.json"]);
        Running::start(command).wait().succeeded();
        let profile = Profile::read(&folder.path().join("profile.json"));
        assert_eq!(profile.accounting.ticks, 1);
        for kind in &kinds {
            let of_it = profile.samples.iter().filter(|sample| sample.goroutine == kind.goid);
            assert_eq!(
                of_it.map(|sample| (sample.count, sample.time_ns)).collect::<Vec<_>>(),
                [(1, profile.duration_ns)]
            );
        }
    }
}

#[test]
fn a_target_that_ends_before_the_first_tick_has_nothing_to_record() {
    let folder = folder();
    let mut crasher = Fixture::spawn(&program("crasher", &newest()), [""; 0]).unwrap();
    let mut command = record(crasher.pid(), folder.path());
    // The first tick comes after five seconds.
    command.args(["-r", "0.2", "-o", "profile.json"]);
    let mut running = Running::start(command);
    until_perf_is_open(running.pid());
    crasher.tell("").unwrap();
    let outcome = running.wait();
    outcome.failed(3, "nothing was recorded: the target exited before the first tick");
    assert_eq!(names(folder.path()), [""; 0]);
}

/// Waits until fgspy listens to the kernel, which it does just before it begins to record.
fn until_perf_is_open(pid: u32) {
    let open = || -> anyhow::Result<bool> {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
        let mut links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        Ok(links.any(|link| link.to_string_lossy().contains("[perf_event]")))
    };
    wait_until("perf is open", open).unwrap();
}

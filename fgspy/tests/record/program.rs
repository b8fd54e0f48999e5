//! `fgspy record -- PROGRAM`.

use std::path::Path;
use std::process::Command;

use fgspy_fixtures::{Signal, wait_until};

use crate::common::{Profile, Running, fgspy, folder, names, newest, program, run};

/// `fgspy record` in `folder` with arguments before and after the `--`.
fn start(folder: &Path, options: &[&str], program: &[&str]) -> Command {
    let mut command = fgspy();
    command.current_dir(folder).arg("record").args(options).arg("--").args(program);
    command
}

#[test]
fn a_program_is_recorded_from_its_start_to_its_end() {
    let crasher = program("crasher", &newest());
    let crasher = crasher.to_str().unwrap();
    for (code, words) in [("0", None), ("3", Some("The program ended with exit status: 3.\n"))] {
        let folder = folder();
        let ending = format!("-code={code}");
        let command = start(folder.path(), &["-o", "profile.json"], &[crasher, "-now", "-after=500ms", &ending]);
        let outcome = run(command).succeeded();
        assert_eq!(outcome.stdout, b"ready\n");
        outcome.says("The target exited; this is what was recorded until then.\n");
        match words {
            Some(words) => outcome.says(words),
            None => outcome.does_not_say("ended with"),
        }
        let profile = Profile::read(&folder.path().join("profile.json"));
        assert_eq!(profile.goroutines_in("main.park").len(), 10);
        assert!(profile.duration_ns > 250_000_000, "{}", profile.duration_ns);
    }
}

#[test]
fn a_default_name_follows_the_program() {
    let folder = folder();
    let crasher = program("crasher", &newest());
    run(start(folder.path(), &[], &[crasher.to_str().unwrap(), "-now", "-after=200ms"])).succeeded();
    let names = names(folder.path());
    assert!(names.len() == 1 && names[0].starts_with("crasher-20") && names[0].ends_with(".svg"), "{names:?}");
}

#[test]
fn a_program_that_does_not_exist() {
    let folder = folder();
    let words = "/no/such/program could not be started: No such file or directory (os error 2)";
    run(start(folder.path(), &[], &["/no/such/program"])).failed(1, words);
    let words = format!("{} could not be started: Permission denied (os error 13)", folder.path().display());
    run(start(folder.path(), &[], &[folder.path().to_str().unwrap()])).failed(1, &words);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_program_that_is_not_go_is_left_alone() {
    let folder = folder();
    let mut running = Running::start(start(folder.path(), &[], &["sh", "-c", "read line; echo done > end"]));
    assert_eq!(running.wait_alone().code(), Some(4));
    assert_eq!(names(folder.path()), [""; 0]);
    running.close_stdin();
    let outcome = running.wait();
    outcome.says("fgspy: sh was started as process ");
    outcome.says(" and keeps running: process ");
    outcome.says(": not a Go executable: it has no Go function table");
    // Nobody holds its output any more, so it has ended; by itself, as its file says.
    assert_eq!(names(folder.path()), ["end"]);
}

#[test]
fn nothing_is_started_in_vain() {
    let folder = folder();
    let outcome = run(start(folder.path(), &["-o", "missing/profile.svg"], &["touch", "started"]));
    outcome.failed(
        6,
        "nothing was recorded: missing/profile.svg cannot be written: there is no folder missing\n  \
         make it with: mkdir -p missing\n  or choose another place with --output FILE",
    );
    assert_eq!(run(start(folder.path(), &["--state", "idle"], &["touch", "started"])).code(), 2);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn ctrl_c_reaches_the_program_too() {
    let folder = folder();
    let zoo = program("zoo", &newest());
    let mut running = Running::on_terminal(start(folder.path(), &["-o", "profile.json"], &[zoo.to_str().unwrap()]));
    running.until_recording();
    running.signal_group(Signal::INT);
    let outcome = running.wait().succeeded();
    outcome.says("Wrote json to profile.json");
    outcome.says("The program ended with signal: 2 (SIGINT).");
    assert!(!Profile::read(&folder.path().join("profile.json")).samples.is_empty());
}

/// Records a zoo that is started for it, for a moment, and waits until fgspy waits for the zoo.
fn recorded_and_waiting(folder: &Path) -> (Running, String) {
    let zoo = program("zoo", &newest());
    let options = ["-d", "300ms", "-o", "profile.json"];
    let running = Running::start(start(folder, &options, &[zoo.to_str().unwrap()]));
    running.until_said(") to end.\n");
    let said = running.said();
    let words = said.lines().find_map(|line| line.strip_prefix("Waiting for the program (process ")).unwrap();
    let pid = words.strip_suffix(") to end.").unwrap().to_owned();
    assert!(Path::new("/proc").join(&pid).exists());
    // The result does not wait.
    assert!(!Profile::read(&folder.join("profile.json")).samples.is_empty());
    (running, pid)
}

#[test]
fn fgspy_waits_for_the_program() {
    let folder = folder();
    let (mut running, pid) = recorded_and_waiting(folder.path());
    running.close_stdin();
    running.wait().succeeded().does_not_say("ended with");
    assert!(!Path::new("/proc").join(pid).exists());
}

#[test]
fn fgspy_goes_when_it_is_told_to_and_leaves_the_program_alone() {
    let folder = folder();
    let (mut running, pid) = recorded_and_waiting(folder.path());
    running.signal(Signal::TERM);
    assert_eq!(running.wait_alone().code(), Some(0));
    running.until_said(&format!("The program keeps running as process {pid}.\n"));
    let stat = Path::new("/proc").join(&pid).join("stat");
    assert!(!std::fs::read_to_string(&stat).unwrap().contains(") Z "));
    running.close_stdin();
    wait_until("it has ended by itself", || {
        Ok(std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")))
    })
    .unwrap();
}

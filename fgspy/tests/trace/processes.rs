//! Targets that start other programs, and targets in containers.

use std::process::{Command, Stdio};

use fgspy_fixtures::{Fixture, Signal, skip};
use rustix::process::{Pid, kill_process};

use crate::common::{Running, newest, program};
use crate::may_trace;

/// Traces a service that asks itself fifty times, and starts a program for each time. `interrupted` is the process to interrupt,
/// by the one that was started.
fn must_see_all(mut service: Fixture, command: Command, interrupted: impl Fn(u32) -> u32) {
    let mut running = Running::start(command);
    running.until_said("The probes are set");
    service.tell("50").unwrap();
    assert_eq!(service.line().unwrap(), "0", "programs failed that were started for requests");
    let pid = i32::try_from(interrupted(running.pid())).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    let output = String::from_utf8(running.wait().succeeded().stdout).unwrap();
    let counted = output.lines().any(|line| line.split_whitespace().take(3).eq(["GET", "/fork", "50"]));
    assert!(counted && output.contains(" 0 events were lost, 0 contradicted"), "{output}");
}

fn fgspy(arguments: &[&str]) -> Command {
    let mut command = crate::common::fgspy();
    command.arg("trace").args(arguments);
    command
}

/// The service as the first process of a PID namespace, and its number outside.
fn contained() -> Option<(Fixture, u32)> {
    let works = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(program("forker", &newest()));
    let service = Fixture::start(&mut command, |line| line == "ready").unwrap();
    let pid = only_child(service.pid());
    Some((service, pid))
}

fn only_child(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap()
}

#[test]
fn a_target_that_forks_is_followed_and_its_children_are_not() {
    let Some(_turn) = may_trace("a_target_that_forks_is_followed_and_its_children_are_not") else { return };
    let service = Fixture::spawn(&program("forker", &newest()), [""; 0]).unwrap();
    let command = fgspy(&["-p", &service.pid().to_string()]);
    must_see_all(service, command, |fgspy| fgspy);
}

#[test]
fn a_target_in_a_container_is_seen_from_the_host() {
    let name = "a_target_in_a_container_is_seen_from_the_host";
    let Some(_turn) = may_trace(name) else { return };
    let Some((service, pid)) = contained() else { return skip(name, "no PID namespaces here") };
    must_see_all(service, fgspy(&["-p", &pid.to_string()]), |fgspy| fgspy);
}

#[test]
fn a_target_in_a_container_is_seen_from_within() {
    let name = "a_target_in_a_container_is_seen_from_within";
    let Some(_turn) = may_trace(name) else { return };
    let Some((service, pid)) = contained() else { return skip(name, "no PID namespaces here") };
    let mut command = Command::new("nsenter");
    command.args([
        "--target",
        &pid.to_string(),
        "--pid",
        "--mount",
        "--",
        env!("CARGO_BIN_EXE_fgspy"),
        "trace",
        "-p",
        "1",
    ]);
    command.stdout(Stdio::piped());
    must_see_all(service, command, only_child);
}

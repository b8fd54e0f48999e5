//! fgspy only looks: it never stops, signals or writes to its target. Proved by every system call that it makes, and by the
//! state of the target while it looks.
//!
//! The checks are tried first on programs that do what fgspy must not.

mod common;
#[path = "common/trace.rs"]
mod trace;
#[path = "common/watch.rs"]
mod watch;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use fgspy_fixtures::requests::{Load, Service};
use fgspy_fixtures::{Fixture, Signal, skip, wait_until};

use common::{Profile, Running, fgspy, folder, oldest_and_newest, program, run};
use trace::{Call, calls, traced};
use watch::Watch;

/// Whether strace works; if not, the test is skipped.
fn strace_works(test: &str) -> bool {
    trace::works().inspect_err(|reason| skip(test, reason)).is_ok()
}

/// Runs a command under strace while the target is watched, lets `during` do its part, and gives the calls.
fn watched(pid: u32, command: &Command, during: impl FnOnce(&Running)) -> Vec<Call> {
    let folder = folder();
    let file = folder.path().join("calls");
    let watch = Watch::start(pid);
    let mut running = Running::start(traced(command, &file));
    watch.until_looked();
    during(&running);
    running.wait().succeeded();
    assert_eq!(watch.stop(), [""; 0]);
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.ends_with("+++ exited with 0 +++\n"), "the trace is not whole");
    calls(&text)
}

/// Checks that none of the calls disturbs the target, and that they did look at it, in all the ways that looking takes.
fn only_looks(pid: u32, calls: &[Call], perf: bool) {
    for call in calls {
        if let Some(objection) = call.objection(pid) {
            panic!("{call:?} {objection}");
        }
    }
    let on_target = |name: &str, argument: &str| {
        calls.iter().filter(|call| call.name == name && call.arguments.contains(argument) && call.succeeded()).count()
    };
    assert!(on_target("process_vm_readv", &format!("{pid}, ")) > 0);
    // The files of the target are opened below its folder: the trace sees both.
    assert!(on_target("openat", &format!("</proc/{pid}>, \"maps\", O_RDONLY|")) > 0);
    assert!(on_target("openat", &format!("</proc/{pid}>, \"exe\", O_RDONLY|")) > 0);
    assert_eq!(on_target("perf_event_open", &format!("}}, {pid}, ")) > 0, perf);
}

#[test]
fn record_only_looks() {
    if !strace_works("record_only_looks") {
        return;
    }
    for toolchain in oldest_and_newest() {
        let zoo = Fixture::spawn(&program("zoo", &toolchain), ["-spin", "2"]).unwrap();
        let folder = folder();
        let mut command = fgspy();
        command.current_dir(folder.path());
        command.args(["record", "-d", "1s", "-o", "profile.json", "-p", &zoo.pid().to_string()]);
        let calls = watched(zoo.pid(), &command, |_| {});
        only_looks(zoo.pid(), &calls, true);
        // It did its work meanwhile: running goroutines have stacks, so perf was listened to.
        let profile = Profile::read(&folder.path().join("profile.json"));
        assert_eq!(profile.goroutines_in("main.leafLoop").len(), 1);
        assert!(calls.iter().filter(|call| call.name == "process_vm_readv").count() as u64 > profile.accounting.ticks);
    }
}

#[test]
fn dump_only_looks() {
    if !strace_works("dump_only_looks") {
        return;
    }
    for toolchain in oldest_and_newest() {
        let zoo = Fixture::spawn(&program("zoo", &toolchain), ["-spin", "1"]).unwrap();
        for option in [None, Some("--all"), Some("--json")] {
            let mut command = fgspy();
            command.args(["dump", "-p", &zoo.pid().to_string()]).args(option);
            only_looks(zoo.pid(), &watched(zoo.pid(), &command, |_| {}), false);
        }
    }
}

#[test]
fn requests_only_looks() {
    if !strace_works("requests_only_looks") {
        return;
    }
    for toolchain in oldest_and_newest() {
        let binary = program("requests", &toolchain);
        let service = Service::start(&binary, &[], &[]).unwrap();
        let load = Load::start(&binary, service.addresses.get_key_value("http1"), &["-clients=4"]).unwrap();
        let pid = service.fixture.pid();
        let folder = folder();
        let mut command = fgspy();
        command.current_dir(folder.path());
        command.args(["requests", "-d", "1s", "--json", "-o", "report.json", "-p", &pid.to_string()]);
        only_looks(pid, &watched(pid, &command, |_| {}), true);
        load.end().unwrap();
        // It did its work meanwhile.
        let report = std::fs::read(folder.path().join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert!(report["requests_seen"].as_u64().unwrap() > 10);
    }
}

#[test]
fn serve_only_looks() {
    if !strace_works("serve_only_looks") {
        return;
    }
    for toolchain in oldest_and_newest() {
        let zoo = Fixture::spawn(&program("zoo", &toolchain), ["-spin", "1"]).unwrap();
        let mut command = fgspy();
        command.args(["serve", "--listen", "127.0.0.1:0", "-p", &zoo.pid().to_string()]);
        let calls = watched(zoo.pid(), &command, |running| {
            running.until_said("debug=2'\n");
            let said = running.said();
            let address = said.split("http://").nth(1).unwrap().split('/').next().unwrap();
            let queries = ["fgprof?seconds=1", "fgprof?seconds=1&format=folded", "pprof/goroutine?debug=2"];
            for query in queries.into_iter().chain(["pprof/goroutine?debug=1", "pprof/goroutine"]) {
                let answer = get(address, &format!("/debug/{query}"));
                assert!(answer.starts_with(b"HTTP/1.0 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
            }
            running.signal(Signal::INT);
        });
        only_looks(zoo.pid(), &calls, true);
    }
}

fn get(address: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// The objections to what a shell command does to a target.
fn objections(pid: u32, script: &str) -> Vec<&'static str> {
    let folder = folder();
    let file = folder.path().join("calls");
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", &pid.to_string()]);
    run(traced(&command, &file)).succeeded();
    let text = std::fs::read_to_string(file).unwrap();
    let by_others = ["vfork", "wait4", "getppid", "setpgid", "dup2"];
    let calls = calls(&text).into_iter().filter(|call| !by_others.contains(&call.name.as_str()));
    calls.filter_map(|call| call.objection(pid)).collect()
}

#[test]
fn the_check_of_calls_finds_what_it_must() {
    if !strace_works("the_check_of_calls_finds_what_it_must") {
        return;
    }
    let zoo = Fixture::spawn(&program("zoo", &common::newest()), [""; 0]).unwrap();
    assert_eq!(objections(zoo.pid(), "read stat </proc/$1/stat"), [""; 0]);
    assert_eq!(objections(zoo.pid(), "kill -CONT $1"), ["is not among the calls that looking needs"]);
    assert_eq!(objections(zoo.pid(), ": >>/proc/$1/comm")[0], "opens a file of a process for writing");

    // A call in two lines is one.
    let halves =
        "7 openat(5</proc/1>,  <unfinished ...>\n8 gettid() = 8\n7 <... openat resumed>\"exe\", O_RDONLY) = 6</sh>\n";
    let whole = calls(&format!("{halves}7 +++ exited with 0 +++\n"));
    assert_eq!(whole.len(), 2);
    assert_eq!((whole[0].arguments.as_str(), whole[0].result.as_str()), ("5</proc/1>,  \"exe\", O_RDONLY", "6</sh>"));

    // One that the end of its thread forestalled is none, and nothing else may lack a name.
    let nameless = "7 ???( <unfinished ...>\n8 exit_group(0) = ?\n";
    assert_eq!(calls(&format!("{nameless}7 +++ exited with 0 +++\n")).len(), 1);
    for next in ["", "7 tkill(1, SIGSTOP) = 0\n", "8 +++ exited with 0 +++\n"] {
        assert!(std::panic::catch_unwind(|| calls(&format!("{nameless}{next}"))).is_err(), "{next}");
    }

    // What no shell does.
    let pid = zoo.pid();
    let objection = |call: &str| calls(&format!("1 {call}"))[0].objection(pid).is_some();
    let event = |attributes: &str, pid: u32| format!("perf_event_open({{{attributes}, ...}}, {pid}, -1, -1, 0) = 3");
    let clock = "type=PERF_TYPE_SOFTWARE, config=PERF_COUNT_SW_CPU_CLOCK, sample_period=1";
    for call in [
        format!("process_vm_readv({pid}, [...], 1, [...], 1, 0) = 8"),
        format!("openat(5</proc/{pid}>, \"mem\", O_RDONLY|O_CLOEXEC <unfinished ...>"),
        format!("pread64(6</proc/{pid}/pagemap>, 0x7ffd8584b997, 1, 0) = -1 EINVAL (Invalid argument)"),
        event(clock, pid),
        event(clock, 0),
        "exit_group(0)                           = ?".to_owned(),
    ] {
        assert!(!objection(&call), "{call}");
    }
    for call in [
        format!("ptrace(PTRACE_SEIZE, {pid}, NULL, 0) = 0"),
        format!("tgkill({pid}, {pid}, SIGSTOP <unfinished ...>"),
        format!("tkill({pid}, SIGSTOP) = 0"),
        format!("rt_sigqueueinfo({pid}, SIGPROF, {{}}) = 0"),
        "pidfd_send_signal(3, SIGSTOP, NULL, 0) = 0".to_owned(),
        format!("process_vm_writev({pid}, [...], 1, [...], 1, 0) = 8"),
        format!("process_vm_readv({}, [...], 1, [...], 1, 0) = 8", pid + 1),
        format!("openat(5</proc/{pid}>, \"mem\", O_RDWR|O_CLOEXEC) = 6</proc/{pid}/mem>"),
        format!("open(\"/proc/{pid}/mem\", O_WRONLY) = 6</proc/{pid}/mem>"),
        format!("pwrite64(6</proc/{pid}/mem>, \"\"..., 8, 4096) = 8"),
        format!("write(6</proc/{pid}/mem>, \"\"..., 8) = 8"),
        format!("prlimit64({pid}, RLIMIT_NOFILE, NULL, 0x7fff) = 0"),
        format!("sched_setaffinity({pid}, 8, [0]) = 0"),
        event("type=PERF_TYPE_BREAKPOINT, config=0", pid),
        event(&format!("{clock}, sigtrap=1"), pid),
        event(clock, u32::MAX),
    ] {
        assert!(objection(&call), "{call}");
    }
}

#[test]
fn the_watch_sees_tracers_and_stops() {
    let zoo = Fixture::spawn(&program("zoo", &common::newest()), [""; 0]).unwrap();
    let watch = Watch::start(zoo.pid());
    zoo.freeze().unwrap();
    watch.until_looked();
    zoo.thaw();
    let wrong = watch.stop();
    assert!(wrong.iter().any(|line| line == "State:\tT (stopped)"), "{wrong:?}");
    if !strace_works("the_watch_sees_tracers_and_stops") {
        return;
    }
    wait_until("it goes on", || Ok(watch::look(zoo.pid())?.is_empty())).unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-p", &zoo.pid().to_string()]).stdout(Stdio::null());
    let strace = Running::start(strace);
    let tracer = format!("TracerPid:\t{}", strace.pid());
    wait_until("it is traced", || Ok(watch::look(zoo.pid())?.contains(&tracer))).unwrap();
    assert!(Path::new("/proc").join(zoo.pid().to_string()).exists());
}

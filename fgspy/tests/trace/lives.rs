//! Probes come and go; targets end; several look at once; not everybody may.

use std::fs::Permissions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use fgspy_fixtures::{Fixture, Signal, install, skip, wait_until};
use fgspy_gobin::GoBinary;
use fgspy_probes::sites;

use crate::common::{Running, fgspy, folder, newest, program, run, zoo};
use crate::{may_trace, service};

/// The instruction that is at the runtime's probe site in a process, and in its file.
fn instruction(pid: u32, binary: &Path) -> (u8, u8) {
    let file = std::fs::read(binary).unwrap();
    let sites = sites::sites(&GoBinary::parse(Box::new(file.clone())).unwrap());
    let site = sites.iter().find(|site| site.kind == sites::SiteKind::CasStatus).unwrap();
    let mut byte = [0];
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    memory.read_exact_at(&mut byte, site.vaddr).unwrap();
    (byte[0], file[site.file_offset as usize])
}

fn trace(pid: u32) -> Command {
    let mut command = fgspy();
    command.args(["trace", "-p", &pid.to_string()]);
    command
}

/// `int3`.
const PROBE: u8 = 0xcc;

#[test]
fn no_probe_outlives_fgspy_however_it_ends() {
    let Some(_turn) = may_trace("no_probe_outlives_fgspy_however_it_ends") else { return };
    let (zoo, _) = zoo(&[]);
    let binary = program("zoo", &newest());
    for signal in [Signal::KILL, Signal::INT, Signal::TERM] {
        let running = Running::start(trace(zoo.pid()));
        wait_until("probes", || Ok(instruction(zoo.pid(), &binary).0 == PROBE)).unwrap();
        running.signal(signal);
        wait_until("no probes", || {
            let (there, original) = instruction(zoo.pid(), &binary);
            Ok(there == original && original != PROBE)
        })
        .unwrap();
    }
}

#[test]
fn a_target_that_ends_is_no_failure() {
    let Some(_turn) = may_trace("a_target_that_ends_is_no_failure") else { return };
    let binary = program("zoo", &newest());
    let zoo = Fixture::spawn(&binary, [""; 0]).unwrap();
    let mut running = Running::start(trace(zoo.pid()));
    wait_until("probes", || Ok(instruction(zoo.pid(), &binary).0 == PROBE)).unwrap();
    zoo.end().unwrap();
    let outcome = running.wait().succeeded();
    let output = String::from_utf8(outcome.stdout).unwrap();
    assert!(output.contains("The program ended; this is what was traced until then."), "{output}");
}

#[test]
fn a_target_that_becomes_another_is_let_go() {
    let Some(_turn) = may_trace("a_target_that_becomes_another_is_let_go") else { return };
    let binary = program("execer", &newest());
    // Another program, and the same one once more, in which a probe would be at the same place.
    for line in ["/bin/sleep 1000", binary.to_str().unwrap()] {
        let mut execer = Fixture::spawn(&binary, [""; 0]).unwrap();
        let mut running = Running::start(trace(execer.pid()));
        running.until_said("The probes are set");
        execer.tell(line).unwrap();
        let output = String::from_utf8(running.wait().succeeded().stdout).unwrap();
        assert!(output.contains("The program replaced itself by another"), "{output}");
        execer.must_run().unwrap();
        if line == binary.to_str().unwrap() {
            let (there, original) = instruction(execer.pid(), &binary);
            assert_eq!(there, original, "a probe was left in the new program");
        }
    }
}

#[test]
fn two_may_look_at_once() {
    let Some(_turn) = may_trace("two_may_look_at_once") else { return };
    let (service, load) = service();
    let pid = service.fixture.pid();
    let start = || {
        let mut command = trace(pid);
        command.args(["-d", "1s"]);
        Running::start(command)
    };
    let (mut one, mut other) = (start(), start());
    for running in [&mut one, &mut other] {
        let output = String::from_utf8(running.wait().succeeded().stdout).unwrap();
        assert!(output.contains("GET /sleep") && output.contains(" 0 events were lost"), "{output}");
    }
    load.end().unwrap();
}

#[test]
fn what_costs_too_much_is_taken_out() {
    let Some(_turn) = may_trace("what_costs_too_much_is_taken_out") else { return };
    let (service, load) = service();
    let mut command = trace(service.fixture.pid());
    command.args(["--max-overhead", "0.1%"]);
    let output = String::from_utf8(run(command).succeeded().stdout).unwrap();
    load.end().unwrap();
    assert!(output.contains("The probes were removed before the time was over"), "{output}");
    assert!(output.contains("--max-overhead allows more") && output.contains("GET /sleep"), "{output}");
}

#[test]
fn who_may_not_is_told_what_is_missing() {
    if !rustix::process::geteuid().is_root() {
        return skip("who_may_not_is_told_what_is_missing", "only root can run fgspy as another user");
    }
    let folder = folder();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    install(Path::new(env!("CARGO_BIN_EXE_fgspy")), &folder.path().join("fgspy"));
    install(&program("zoo", &newest()), &folder.path().join("zoo"));
    let as_nobody = |name: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
        command.arg(folder.path().join(name)).stdout(Stdio::piped());
        command
    };
    let zoo = Fixture::start(&mut as_nobody("zoo"), |line| line == "ready").unwrap();
    let mut command = as_nobody("fgspy");
    command.args(["trace", "-p", &zoo.pid().to_string()]);
    let outcome = run(command);
    assert_eq!(outcome.code(), 5, "{}", outcome.stderr);
    // Another user's process may not even be read; what else it takes is said all the same.
    let mut command = as_nobody("fgspy");
    command.args(["trace", "-p", &std::process::id().to_string()]);
    let unread = run(command);
    assert_eq!(unread.code(), 5, "{}", unread.stderr);
    unread.says("sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep");
    for words in
        ["CAP_BPF and CAP_PERFMON", "sudo setcap cap_bpf,cap_perfmon", "--cap-add BPF", "capabilities.add: [BPF"]
    {
        outcome.says(words);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut command = trace(u32::MAX - 1);
    command.args(["-d", "1s"]);
    assert_eq!(run(command).code(), 3);
    let (zoo, _) = zoo(&[]);
    for (arguments, words) in [
        (&["--trace", "xyz"][..], "a trace id is 1 to 32 hexadecimal digits"),
        (&["--request", "("], "cannot be followed in the kernel"),
        (&["--request", "a", "--route", "/a"], "cannot be used with"),
        (&["--request", "(a|b)*a(a|b){18}"], "in the kernel"),
    ] {
        let mut command = trace(zoo.pid());
        command.args(arguments);
        let outcome = run(command);
        assert_eq!(outcome.code(), 2, "{}", outcome.stderr);
        outcome.says(words);
    }
}

//! Without a permission, fgspy says which one and how to get it; what it can do without, it does.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fgspy_fixtures::{Fixture, install, skip, zoo};
use seccompiler::{SeccompAction, SeccompFilter};
use tempfile::TempDir;

use crate::common::{Profile, Running, fgspy, folder, newest, program, record, run, zoo};

/// User and group that own nothing.
const NOBODY: u32 = 65534;

/// A folder that everybody may use, with copies of fgspy and a zoo: the build folder and the cache may be closed to
/// others.
struct Commons(TempDir);

impl Commons {
    fn new() -> Commons {
        let folder = folder();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        install(Path::new(env!("CARGO_BIN_EXE_fgspy")), &folder.path().join("fgspy"));
        install(&program("zoo", &newest()), &folder.path().join("zoo"));
        Commons(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A program in it, run by nobody.
    fn as_nobody(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={NOBODY}"))
            .arg(format!("--regid={NOBODY}"))
            .args(["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
            .arg(self.path(name))
            .current_dir(self.0.path())
            .stdout(Stdio::piped());
        command
    }
}

/// Whether we can become somebody else; if not, the test is skipped.
fn may_change_user(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "only root can run fgspy as another user");
    }
    root
}

#[test]
fn a_process_of_another_user() {
    if !may_change_user("a_process_of_another_user") {
        return;
    }
    let commons = Commons::new();
    let (root, _) = zoo(&[]);
    let pid = root.pid().to_string();
    for name in ["record", "dump"] {
        let mut command = commons.as_nobody("fgspy");
        command.args([name, "-p", &pid]);
        run(command).failed(
            5,
            &format!(
                "reading process {pid} (user id 0) is not permitted to user id {NOBODY}: it runs under another user, and \
                 CAP_SYS_PTRACE is missing\n  run as root: sudo fgspy ...\n  \
                 or once: sudo setcap cap_sys_ptrace,cap_perfmon+ep $(command -v fgspy)\n  \
                 in Docker: docker run --cap-add SYS_PTRACE --pid=container:TARGET ...\n  \
                 in Kubernetes: securityContext.capabilities.add: [SYS_PTRACE] for fgspy's container and \
                 shareProcessNamespace: true for the pod"
            ),
        );
    }
}

#[test]
fn a_process_of_ones_own_needs_no_rights() {
    if !may_change_user("a_process_of_ones_own_needs_no_rights") {
        return;
    }
    let commons = Commons::new();
    let mut own = commons.as_nobody("zoo");
    own.args(["-spin", "1"]);
    let own = Fixture::start(&mut own, |line| line == "ready").unwrap();
    let mut command = commons.as_nobody("fgspy");
    command.args(["record", "-p", &own.pid().to_string(), "-d", "1s", "-o", "profile.json"]);
    let outcome = run(command).succeeded();
    let profile = Profile::read(&commons.path("profile.json"));
    let running = profile.samples.iter().find(|sample| sample.state == "running").unwrap();
    assert_eq!(profile.functions(running), ["main.leafLoop", "main.spinLeaf"]);
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    if paranoid.trim().parse::<i32>().unwrap() >= 2 {
        outcome.says("Note: kernel frames are not permitted");
    }
}

/// Starts a command under a seccomp filter that answers perf_event_open with an error number, like the filters of
/// container runtimes.
fn without_perf(errno: i32, command: Command) -> Running {
    let filter = SeccompFilter::new(
        [(libc::SYS_perf_event_open, vec![])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let filter: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
    // A filter is for the thread that sets it, and for all that it starts.
    std::thread::spawn(move || {
        seccompiler::apply_filter(&filter).unwrap();
        Running::start(command)
    })
    .join()
    .unwrap()
}

#[test]
fn without_perf_running_goroutines_have_no_stack_and_get_none() {
    let (zoo, kinds) = zoo(&["-spin", "3"]);
    for errno in [libc::EPERM, libc::ENOSYS] {
        let folder = folder();
        let mut command = record(zoo.pid(), folder.path());
        command.args(["-d", "500ms", "-o", "profile.json"]);
        let outcome = without_perf(errno, command).wait().succeeded();
        outcome.says("Note: running goroutines have no stacks: a seccomp filter refuses perf_event_open");
        let profile = Profile::read(&folder.path().join("profile.json"));
        assert!(profile.accounting.remarks.iter().any(|remark| remark.contains("seccomp")));
        // Parked goroutines lose nothing.
        profile.has_all(&kinds);
        let spinning = profile.samples.iter().filter(|sample| sample.state == "running").collect::<Vec<_>>();
        assert!(!spinning.is_empty());
        for sample in spinning {
            let function = &kinds.iter().find(|kind| kind.goid == sample.goroutine).unwrap().function;
            assert_eq!(profile.functions(sample), ["[running: no perf_event permission]", function]);
        }
    }
}

#[test]
fn a_thread_stands_for_its_process() {
    let (fixture, _): (Fixture, _) = zoo::spawn(&program("zoo", &newest()), &[]).unwrap();
    let pid = fixture.pid();
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).unwrap();
    let tids: Vec<u32> = tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    let tid = tids.into_iter().find(|tid| *tid != pid).unwrap();
    let folder = folder();
    let mut command = fgspy();
    command.current_dir(folder.path()).args(["record", "-d", "100ms", "-o", "x.json", "-p", &tid.to_string()]);
    run(command).succeeded().says(&format!("Note: {tid} is a thread of process {pid}: all of the process is read"));
}

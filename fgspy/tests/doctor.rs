//! `fgspy doctor`, on this machine, on real processes and on executables.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fgspy_fixtures::{Fixture, Variant, build, install, skip, toolchains, wait_until, zoo};
use tempfile::TempDir;

/// The program under test.
fn binary() -> PathBuf {
    std::env::var_os("FGSPY_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_fgspy").into()).into()
}

/// What it printed, and how it ended.
struct Report {
    text: String,
    code: Option<i32>,
}

impl Report {
    fn of(command: &mut Command) -> Report {
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains('\x1b'), "colours in a pipe: {text}");
        // Only a word that is too long by itself, such as a path, may stick out.
        for line in text.lines().filter(|line| line.chars().count() > 100) {
            let (_, last) = line.trim_end().rsplit_once(' ').unwrap();
            assert!(last.chars().count() > 70, "{line}");
        }
        Report { text, code: output.status.code() }
    }

    /// The lines about a topic: that with the mark, and what hangs below.
    fn about(&self, topic: &str) -> Vec<String> {
        let is_check = |line: &str| ["  ok    ", "  warn  ", "  fail  "].iter().any(|mark| line.starts_with(mark));
        let mut lines = self.text.lines().skip_while(|line| {
            !(is_check(line) && line.get(8..).is_some_and(|rest| rest.starts_with(&format!("{topic}  "))))
        });
        let first = lines.next().unwrap_or_else(|| panic!("nothing about {topic}:\n{}", self.text));
        let rest = lines.take_while(|line| !is_check(line) && !line.is_empty());
        std::iter::once(first).chain(rest).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    /// The first line about a topic, without the topic: `ok go1.27.3, amd64`.
    fn finding(&self, topic: &str) -> String {
        let lines = self.about(topic);
        let hanging = |line: &&String| !["so: ", "fix: ", "or: "].iter().any(|label| line.starts_with(label));
        let joined = lines.iter().take_while(hanging).cloned().collect::<Vec<_>>().join(" ");
        joined.replacen(&format!("{topic} "), "", 1)
    }
}

fn doctor(arguments: &[&str]) -> Report {
    Report::of(Command::new(binary()).arg("doctor").args(arguments))
}

fn doctor_of(pid: u32) -> Report {
    doctor(&["-p", &pid.to_string()])
}

fn built(minor: u32, variant: Variant) -> PathBuf {
    build("zoo", &toolchains::get(minor).unwrap(), variant).unwrap()
}

fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

#[test]
fn a_go_process_is_found_to_be_readable_in_every_respect() {
    for (minor, variant, how) in [
        (27, Variant::Plain, "at a fixed address, with symbols, without cgo"),
        (27, Variant::PieStripped, "position independent, stripped (symbols are not needed), without cgo"),
        (19, Variant::Cgo, "position independent, stripped (symbols are not needed), with cgo"),
        (19, Variant::Unoptimised, "at a fixed address, with symbols, without cgo"),
    ] {
        let toolchain = toolchains::get(minor).unwrap();
        let (fixture, kinds) = zoo::spawn(&built(minor, variant), &[]).unwrap();
        let report = doctor_of(fixture.pid());
        let context = format!("Go 1.{minor} {variant:?}:\n{}", report.text);
        assert_eq!(report.code, Some(0), "{context}");
        assert_eq!(report.finding("Go"), format!("ok {}, {}", toolchain.version, arch()), "{context}");
        assert!(report.finding("built").starts_with(&format!("ok {how}")), "{context}");
        assert_eq!(report.finding("program"), "ok zoo, module zoo (devel)", "{context}");
        assert!(report.finding("reading memory").starts_with("ok permitted; user id "), "{context}");
        let layout = "ok known from the sources of this Go release, and confirmed in the process";
        assert_eq!(report.finding("layout"), layout, "{context}");
        let inlined = if variant == Variant::Unoptimised { "; nothing is inlined" } else { " and inlined calls" };
        assert!(report.finding("functions").ends_with(inlined), "{context}");
        assert!(report.finding("wait reasons").ends_with(", in the runtime's own words"), "{context}");

        // `ok 83: 1 running, 6 in system calls, 76 waiting`
        let goroutines = report.finding("goroutines");
        let numbers: Vec<usize> = goroutines.split([' ', ':']).filter_map(|word| word.parse().ok()).collect();
        let (total, parts) = numbers.split_first().unwrap();
        assert!(*total > kinds.len(), "{context}");
        assert_eq!(parts.iter().sum::<usize>(), *total, "{context}");
        // A zoo is still: its stacks can all be read, but those of goroutines that run at this moment.
        let stacks = report.finding("stacks");
        let numbers: Vec<usize> = stacks.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert_eq!(stacks, format!("ok {0} of {0} read to their root", numbers[0]), "{context}");
        assert!(numbers[0] >= kinds.len(), "{context}");
    }
}

#[test]
fn the_race_detector_is_told() {
    let report = doctor(&[built(27, Variant::Race).to_str().unwrap()]);
    assert!(report.finding("built").ends_with("with symbols, with cgo, with the race detector"), "{}", report.text);
}

#[test]
fn an_executable_tells_all_but_what_needs_a_process() {
    for (minor, variant, start) in [
        (27, Variant::Stripped, "at a fixed address, stripped"),
        (19, Variant::PieStripped, "position independent, stripped"),
    ] {
        let path = built(minor, variant);
        let report = doctor(&[path.to_str().unwrap()]);
        assert_eq!(report.code, Some(0), "{}", report.text);
        assert_eq!(report.text.lines().next(), Some(format!("Executable {}", path.display()).as_str()));
        let version = toolchains::get(minor).unwrap().version;
        assert_eq!(report.finding("Go"), format!("ok {version}, {}", arch()), "{}", report.text);
        assert!(report.finding("built").starts_with(&format!("ok {start}")), "{}", report.text);
        assert_eq!(report.finding("layout"), format!("ok known, from the sources of Go 1.{minor}"), "{}", report.text);
        assert_eq!(report.finding("goroutines"), "ok found through runtime.forEachGRace", "{}", report.text);
        assert_eq!(report.text.lines().last(), Some("Everything works."));
    }
}

#[test]
fn what_cannot_be_profiled_fails_and_says_why() {
    for (path, topic, code, words) in [
        ("/bin/sh", "Go", 4, "not a Go executable"),
        ("/no/such/file", "file", 1, "it cannot be opened: No such file or directory"),
        ("/", "file", 1, "it cannot be opened: not a regular file"),
    ] {
        fails(&doctor(&[path]), topic, code, words);
    }
    let (mut sleeper, pid) = sleeper();
    // The last is beyond the largest id there can be (PID_MAX_LIMIT).
    let cases =
        [(pid, "Go", 4, "not a Go executable"), (4_194_305, "reading memory", 3, "no process has the id 4194305")];
    for (pid, topic, code, words) in cases {
        fails(&doctor_of(pid), topic, code, words);
        let mut record = Command::new(binary());
        record.args(["record", "-d", "1ms", "-o", "-", "-f", "folded", "-p", &pid.to_string()]);
        assert_eq!(record.stderr(Stdio::null()).status().unwrap().code(), Some(code));
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

fn fails(report: &Report, topic: &str, code: i32, words: &str) {
    assert_eq!(report.code, Some(code), "{}", report.text);
    let finding = report.finding(topic);
    assert!(finding.starts_with("fail ") && finding.contains(words), "{}", report.text);
    assert_eq!(report.text.lines().last(), Some("1 essential check failed."));
}

#[test]
fn a_zombie_has_exited() {
    let mut child = Command::new("true").spawn().unwrap();
    wait_until(
        "it is a zombie",
        || Ok(std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?.contains(") Z ")),
    )
    .unwrap();
    let report = doctor_of(child.id());
    assert_eq!(report.code, Some(3), "{}", report.text);
    assert!(report.finding("reading memory").contains("has exited already (it is a zombie"), "{}", report.text);
    child.wait().unwrap();
}

#[test]
fn a_thread_stands_for_its_process() {
    let (fixture, _) = zoo::spawn(&built(27, Variant::Plain), &[]).unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", fixture.pid())).unwrap();
    let mut tids = tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse::<u32>().unwrap());
    let tid = tids.find(|tid| *tid != fixture.pid()).unwrap();
    let report = doctor_of(tid);
    assert_eq!(report.code, Some(0), "{}", report.text);
    let expected = format!("ok {tid} is a thread of process {}: all of the process is read", fixture.pid());
    assert_eq!(report.finding("process"), expected);
}

#[test]
fn this_machine_is_examined_without_a_target() {
    let report = doctor(&[]);
    assert!(report.text.starts_with("This machine\n  ok    kernel "), "{}", report.text);
    let tracing = report.about("tracing");
    let works = tracing[0].starts_with("ok tracing works; the trap of a probe costs the target ");
    assert!(works || tracing.iter().any(|line| line.starts_with("so: `fgspy trace` does not work")), "{tracing:?}");
    for topic in ["kernel", "user", "reading memory", "on-CPU stacks", "kernel frames", "open files"] {
        report.about(topic);
    }
    let failed = report.text.lines().any(|line| line.starts_with("  fail  "));
    assert_eq!(report.code, Some(if failed { 5 } else { 0 }), "{}", report.text);
}

#[test]
fn who_is_root_in_a_user_namespace_only_is_told_that_this_does_not_count() {
    let name = "who_is_root_in_a_user_namespace_only_is_told_that_this_does_not_count";
    let apart = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]);
        command
    };
    if !apart().arg("true").output().is_ok_and(|output| output.status.success()) {
        return skip(name, "there are no user namespaces here");
    }
    let report = Report::of(apart().arg(binary()).arg("doctor"));
    let finding = report.finding("tracing");
    assert!(finding.starts_with("warn the kernel does not let this process load eBPF programs ("), "{finding}");
    assert!(
        finding.ends_with(
            "; this is a user namespace (a rootless container?), whose capabilities do not count for that: \
                               run fgspy outside of it"
        ),
        "{finding}"
    );
}

#[test]
fn whoever_has_no_rights_is_told_which_and_how_to_get_them() {
    let Some(unprivileged) = Unprivileged::new("whoever_has_no_rights_is_told_which_and_how_to_get_them") else {
        return;
    };
    let report = unprivileged.doctor(&[]);
    assert_eq!(report.finding("user"), "ok user id 65534 with neither CAP_SYS_PTRACE nor CAP_PERFMON");
    let reading = report.about("reading memory");
    assert!(!reading[0].starts_with("ok "), "{}", report.text);
    assert!(reading.iter().any(|line| line.starts_with("so: ")), "{}", report.text);
    assert!(reading.contains(&"fix: run as root: sudo fgspy ...".to_owned()), "{}", report.text);

    // A process of root: refused, with the code of a refused recording.
    let (fixture, _) = zoo::spawn(&built(27, Variant::Plain), &[]).unwrap();
    let report = unprivileged.doctor(&["-p", &fixture.pid().to_string()]);
    assert_eq!(report.code, Some(5), "{}", report.text);
    let finding = report.finding("reading memory");
    assert!(finding.contains("is not permitted to user id 65534: it runs under another user"), "{}", report.text);
    assert!(report.text.contains("setcap cap_sys_ptrace,cap_perfmon+ep"), "{}", report.text);
}

#[test]
fn without_rights_ones_own_processes_can_still_be_profiled() {
    let name = "without_rights_ones_own_processes_can_still_be_profiled";
    let Some(unprivileged) = Unprivileged::new(name) else { return };
    if std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() != "0") {
        return skip(name, "kernel.yama.ptrace_scope forbids it here");
    }
    let zoo = unprivileged.copy(&built(27, Variant::Plain), "zoo");
    let mut command = Command::new(zoo);
    command.uid(65534).gid(65534);
    let fixture = Fixture::start(&mut command, |line| line == "ready").unwrap();
    let report = unprivileged.doctor(&["-p", &fixture.pid().to_string()]);
    assert_eq!(report.code, Some(0), "{}", report.text);
    assert!(report.finding("reading memory").starts_with("ok permitted; user id 65534: "), "{}", report.text);
    let kernel = report.about("kernel frames");
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    if paranoid.trim() == "2" {
        assert!(kernel[0].starts_with("warn kernel frames kernel.perf_event_paranoid is 2"), "{}", report.text);
        assert!(kernel.contains(&"or: sudo sysctl kernel.perf_event_paranoid=1".to_owned()), "{}", report.text);
    }
}

/// A process that is not Go's.
fn sleeper() -> (Child, u32) {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = child.id();
    wait_until("it is what it will be", || {
        Ok(std::fs::read_link(format!("/proc/{pid}/exe"))? != std::env::current_exe()?)
    })
    .unwrap();
    (child, pid)
}

/// A user without any rights, and a copy of fgspy that he may run.
struct Unprivileged {
    folder: TempDir,
    fgspy: PathBuf,
}

impl Unprivileged {
    /// Only root can become somebody else.
    fn new(test: &str) -> Option<Unprivileged> {
        if !rustix::process::geteuid().is_root() {
            skip(test, "only root can start a process as another user");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut unprivileged = Unprivileged { folder, fgspy: PathBuf::new() };
        unprivileged.fgspy = unprivileged.copy(&binary(), "fgspy");
        Some(unprivileged)
    }

    fn copy(&self, path: &Path, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        install(path, &copy);
        copy
    }

    fn doctor(&self, arguments: &[&str]) -> Report {
        Report::of(Command::new(&self.fgspy).arg("doctor").args(arguments).uid(65534).gid(65534).current_dir("/"))
    }
}

#[test]
fn a_report_that_cannot_be_written_has_its_exit_code() {
    let mut command = Command::new(binary());
    command.arg("doctor").stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("standard output could not be written: No space left on device"), "{said}");
}

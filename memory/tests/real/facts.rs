//! What is known about a process apart from its memory.

use std::path::Path;
use std::process::Command;

use fgspy_gobin::Source;
use fgspy_memory::{BiasSource, LoadBias, OpenError, Process, TaskState, Thread};
use libtest_mimic::{Failed, Trial};

use crate::spawn::{Target, copy_of, missing, role_command, until};
use crate::{test, test_if};

pub(crate) fn tests() -> Vec<Trial> {
    let no_gcc = missing("no gcc", "gcc", &["--version"]);
    vec![
        test("facts: who it is", who_it_is),
        test("facts: a deleted executable", deleted_executable),
        test("facts: a replaced executable", replaced_executable),
        test("facts: an executable named (deleted)", named_deleted),
        test("facts: threads", threads),
        test("facts: a thread id", thread_id),
        test("facts: thread states and times", states_and_times),
        test("facts: files of the target", files),
        test("facts: load bias of a PIE", bias_of_pie),
        test_if("facts: load bias of other executables", no_gcc, bias_of_others),
        test("facts: no such process", no_such_process),
        test_if("facts: a kernel thread", no_kernel_thread(), kernel_thread),
    ]
}

fn who_it_is() -> Result<(), Failed> {
    let before = uptime();
    let mut target = Target::spawn(role_command("wait").args(["first", "sec ond", ""]));
    target.line();
    let process = Process::open(target.pid())?;
    assert_eq!((process.pid(), process.ns_pid(), process.ns_pids()), (target.pid(), target.pid(), &[target.pid()][..]));
    assert_eq!(process.asked_by_thread(), None);
    assert_eq!(process.exe_path(), std::env::current_exe()?);
    assert!(!process.exe_deleted());
    assert_eq!(process.command_line()[1..], ["first", "sec ond", ""]);
    assert_eq!(process.uid(), Process::open(std::process::id())?.uid());
    let started = process.start_time().as_secs_f64();
    assert!(started > before - 0.02 && started < uptime() + 0.02, "{before} {started}"); // a clock tick is 0.01 s
    let namespaces = process.namespaces();
    assert_eq!((namespaces.pid, namespaces.mount, namespaces.user), (Some(false), Some(false), Some(false)));
    assert!(!process.in_container());
    Ok(())
}

fn uptime() -> f64 {
    std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn runs(program: &Path) -> Target {
    Target::spawn(Command::new(program).arg("100"))
}

fn same_bytes(process: &Process, file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(process.exe().len(), bytes.len() as u64);
    assert!(process.exe().read(0, bytes.len()).unwrap() == bytes);
    assert!(*process.exe().try_clone().unwrap().read(1, 4000).unwrap() == bytes[1..4001]);
}

/// Waits until the child of a fork has become the program. The command line is the last thing that exec sets up.
fn opened(target: &Target, program: &Path) -> Process {
    let command_line = format!("/proc/{}/cmdline", target.pid());
    let expected = format!("{}\0100\0", program.display());
    until("it runs", || std::fs::read_to_string(&command_line).is_ok_and(|found| found == expected));
    Process::open(target.pid()).unwrap()
}

fn deleted_executable() -> Result<(), Failed> {
    let sleep = Path::new("/bin/sleep");
    let (dir, path) = copy_of(sleep, "sleep");
    let target = runs(&path);
    let whole = opened(&target, &path);
    assert_eq!((whole.exe_path(), whole.exe_deleted()), (path.as_path(), false));
    dir.close()?;
    let process = Process::open(target.pid())?;
    assert_eq!((process.exe_path(), process.exe_deleted()), (path.as_path(), true));
    same_bytes(&process, sleep);
    let bias = process.load_bias()?;
    assert_eq!((bias.from, bias.confirmed), (BiasSource::Auxv, true));
    assert_eq!(bias, whole.load_bias()?);
    Ok(())
}

fn replaced_executable() -> Result<(), Failed> {
    let sleep = Path::new("/bin/sleep");
    let (dir, path) = copy_of(sleep, "sleep");
    let target = runs(&path);
    opened(&target, &path);
    let other = dir.path().join("other");
    std::fs::write(&other, "another program")?;
    std::fs::rename(other, &path)?;
    let process = Process::open(target.pid())?;
    assert_eq!((process.exe_path(), process.exe_deleted()), (path.as_path(), true));
    same_bytes(&process, sleep);
    Ok(())
}

fn named_deleted() -> Result<(), Failed> {
    let (_dir, path) = copy_of(Path::new("/bin/sleep"), "sleep (deleted)");
    let target = runs(&path);
    let process = opened(&target, &path);
    assert_eq!((process.exe_path(), process.exe_deleted()), (path.as_path(), false));
    Ok(())
}

fn threads() -> Result<(), Failed> {
    let mut target = Target::role("threads");
    target.line();
    let process = Process::open(target.pid())?;
    let mut expected = vec![target.pid()];
    for _ in 0..5 {
        target.say("start");
        expected.push(target.numbers()[0] as u32);
        expected.sort_unstable();
        let threads: Vec<Thread> = expected.iter().map(|&tid| Thread { tid, ns_tid: tid }).collect();
        assert_eq!(process.threads()?, threads);
    }
    Ok(())
}

fn thread_id() -> Result<(), Failed> {
    let mut target = Target::role("threads");
    target.line();
    target.say("start");
    let tid = target.numbers()[0] as u32;
    assert_ne!(tid, target.pid());
    let process = Process::open(tid)?;
    assert_eq!((process.pid(), process.asked_by_thread()), (target.pid(), Some(tid)));
    Ok(())
}

fn states_and_times() -> Result<(), Failed> {
    let mut sleeper = Target::role("wait");
    sleeper.line();
    let process = Process::open(sleeper.pid())?;
    until("it sleeps", || process.thread_state(sleeper.pid()) == Some(TaskState::Sleeping));
    let rest = process.thread_times(sleeper.pid()).ok_or("no schedstat")?;
    assert!(rest.on_cpu.as_nanos() > 0 && rest.slices > 0);

    let mut spinner = Target::role("spin");
    spinner.line();
    let process = Process::open(spinner.pid())?;
    until("it runs", || process.thread_state(spinner.pid()) == Some(TaskState::Running));
    let first = process.thread_times(spinner.pid()).ok_or("no schedstat")?;
    until("it has computed", || {
        process.thread_times(spinner.pid()).is_some_and(|now| now.on_cpu.as_millis() > first.on_cpu.as_millis() + 20)
    });
    assert_eq!(process.thread_state(sleeper.pid()), None, "a thread of another process");
    Ok(())
}

fn files() -> Result<(), Failed> {
    let mut target = Target::role("wait");
    target.line();
    let process = Process::open(target.pid())?;
    let status = |path: &str| process.open_file(Path::new(path)).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(status("/etc/passwd"), Ok(()));
    assert_eq!(status("../../../etc/passwd"), Ok(()), "the root is its own parent");
    assert_eq!(status("/etc"), Err(std::io::ErrorKind::InvalidInput));
    assert_eq!(status("/dev/null"), Err(std::io::ErrorKind::InvalidInput));
    assert_eq!(status("/no/such/file"), Err(std::io::ErrorKind::NotFound));
    Ok(())
}

/// Where the kernel's list says that the file's first byte is mapped.
fn first_mapping(process: &Process) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", process.pid())).unwrap();
    let path = process.exe_path().to_str().unwrap();
    let line = maps.lines().find(|line| line.ends_with(path) && line.split(' ').nth(2) == Some("00000000")).unwrap();
    u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap()
}

fn bias_of_pie() -> Result<(), Failed> {
    let mut target = Target::role("wait");
    target.line();
    let process = Process::open(target.pid())?;
    // rustc links position-independent executables from address 0.
    let expected = LoadBias { bias: first_mapping(&process), from: BiasSource::Auxv, confirmed: true };
    assert_eq!(process.load_bias()?, expected);
    assert_ne!(expected.bias, 0);
    let ours = process.maps()?.into_iter().filter(|mapping| mapping.path.as_deref() == Some(process.exe_path()));
    assert!(ours.count() >= 2);
    Ok(())
}

fn bias_of_others() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let source = dir.path().join("pause.c");
    std::fs::write(&source, "#include <unistd.h>\nint main(void) { puts(\"\"); fflush(0); for (;;) pause(); }\n")?;
    let compile = |name: &str, flags: &[&str]| {
        let out = dir.path().join(name);
        let mut gcc = Command::new("gcc");
        gcc.args(["-w", "-include", "stdio.h"]).args(flags).arg(&source).arg("-o").arg(&out);
        assert!(gcc.status().unwrap().success(), "gcc {flags:?}");
        out
    };
    let bias = |program: &Path| {
        let mut target = Target::spawn(&mut Command::new(program));
        target.line();
        let process = Process::open(target.pid()).unwrap();
        (process.load_bias().unwrap(), first_mapping(&process))
    };
    let (fixed, _) = bias(&compile("fixed", &["-no-pie"]));
    assert_eq!(fixed, LoadBias { bias: 0, from: BiasSource::Linked, confirmed: true });
    let (moved, start) = bias(&compile("moved", &["-static-pie"]));
    assert_eq!(moved, LoadBias { bias: start, from: BiasSource::Auxv, confirmed: true });
    Ok(())
}

fn no_such_process() -> Result<(), Failed> {
    for pid in [0, u32::MAX, i32::MAX as u32] {
        let error = Process::open(pid).unwrap_err();
        assert!(matches!(error, OpenError::NoSuchProcess { pid: named } if named == pid), "{error:?}");
        assert!(error.to_string().contains(&pid.to_string()));
    }
    Ok(())
}

/// `kthreadd` is process 2 wherever the whole system is visible.
fn no_kernel_thread() -> Option<&'static str> {
    let name = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
    (name != "kthreadd\n").then_some("process 2 is not kthreadd here")
}

fn kernel_thread() -> Result<(), Failed> {
    assert!(matches!(Process::open(2), Err(OpenError::KernelThread { pid: 2 })));
    Ok(())
}

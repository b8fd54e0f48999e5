//! What this program does when it is the process that a test looks at. Each role writes a line when it is ready, and
//! ends when its standard input does.
#![allow(unsafe_code)] // Mapping and unmapping single pages has no safe interface.

use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use fgspy_memory::{Memory, Process};

use crate::spawn::{ROLE, role_command};

pub(crate) const PAGE: usize = 4096;
/// Pages of the `holes` role; the odd ones are unmapped.
pub(crate) const PAGES: usize = 64;
/// Words of the `big` role: 9 MiB.
pub(crate) const BIG_WORDS: usize = 9 << 17;

pub(crate) fn run(role: &str) -> ExitCode {
    let (role, argument) = role.split_once(' ').unwrap_or((role, ""));
    match role {
        "wait" => ready("ready"),
        "holes" => ready(&format!("{:x}", map_holes())),
        "big" => {
            let words: Vec<u64> = (0..BIG_WORDS as u64).map(|i| i * 3 + 1).collect();
            ready(&format!("{:x}", words.as_ptr() as u64));
            std::hint::black_box(&words);
            return wait();
        }
        "change" => return change(),
        "exec-self" => {
            ready("ready");
            next_line();
            let error = role_command("wait").exec();
            panic!("exec: {error}");
        }
        "traced" => {
            // SAFETY: makes our parent our tracer; nothing else is passed.
            assert_eq!(unsafe { libc::ptrace(libc::PTRACE_TRACEME) }, 0);
            ready("ready");
            // SAFETY: stops us; the tracer is told first.
            assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
        }
        "threads" => return threads(),
        "spin" => return spin(),
        "undumpable" => {
            // SAFETY: this prctl only sets a flag of our own process.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) }, 0);
            ready("ready");
        }
        "probe" => return probe(argument),
        "watch" => return watch(argument),
        other => panic!("no role {other:?} in {ROLE}"),
    }
    wait()
}

fn ready(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("flush");
}

/// Waits for a line; `None` when the input has ended.
fn next_line() -> Option<String> {
    std::io::stdin().lock().lines().next().map(|line| line.expect("read"))
}

fn wait() -> ExitCode {
    while next_line().is_some() {}
    ExitCode::SUCCESS
}

/// The word at an address of the `holes` role.
pub(crate) fn word_at(base: u64, addr: u64) -> u64 {
    (addr - base).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// Maps pages with known contents and unmaps every other one.
fn map_holes() -> u64 {
    let (len, rw) = (PAGES * PAGE, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: an anonymous mapping at a place the kernel chooses touches nothing that exists.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), len, rw, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    for word in 0..len / 8 {
        // SAFETY: inside the mapping just made, which is writable and aligned to a page.
        unsafe { base.cast::<u64>().add(word).write(word_at(0, word as u64 * 8)) };
    }
    for page in (1..PAGES).step_by(2) {
        // SAFETY: a page of our own mapping that nothing refers to any more.
        assert_eq!(unsafe { libc::munmap(base.byte_add(page * PAGE), PAGE) }, 0);
    }
    base as u64
}

/// A page that is changed and unmapped on command.
fn change() -> ExitCode {
    let rw = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: as in `map_holes`.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, rw, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    ready(&format!("{:x}", base as u64));
    while let Some(line) = next_line() {
        match line.as_str() {
            // SAFETY: the page is ours, and mapped until it is told otherwise.
            "unmap" => assert_eq!(unsafe { libc::munmap(base, PAGE) }, 0),
            // SAFETY: likewise.
            number => unsafe { base.cast::<u64>().write_volatile(number.parse().expect("a number")) },
        }
        ready("done");
    }
    ExitCode::SUCCESS
}

/// Starts a thread for every line, and tells its id as it knows it.
fn threads() -> ExitCode {
    ready("ready");
    while next_line().is_some() {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: gettid has no preconditions.
            tell.send(unsafe { libc::gettid() }).expect("send");
            loop {
                std::thread::park();
            }
        });
        ready(&format!("{:x}", told.recv().expect("recv")));
    }
    ExitCode::SUCCESS
}

/// Computes until the input ends.
fn spin() -> ExitCode {
    std::thread::spawn(|| {
        wait();
        std::process::exit(0);
    });
    ready("ready");
    let mut sum = 0u64;
    loop {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
    }
}

/// Opens another process and tells how that went: for tests that need other credentials or namespaces than the test
/// program has.
fn probe(pid: &str) -> ExitCode {
    match Process::open(pid.parse().expect("a pid")) {
        Ok(process) => println!("ok {}", process.pid()),
        Err(error) => println!("{error:?}\n{error}"),
    }
    ExitCode::SUCCESS
}

/// Opens another process, and tells for every line what has become of it and whether it can be read.
fn watch(pid: &str) -> ExitCode {
    let process = Process::open(pid.parse().expect("a pid")).expect("open");
    ready(&format!("{:?}", process.load_bias().expect("load_bias")));
    while next_line().is_some() {
        ready(&format!("{:?} {:?}", process.still_same(), process.memory().read_u64(0)));
    }
    ExitCode::SUCCESS
}

/// Runs the `probe` role with something before it, and gives what it writes.
pub(crate) fn probe_as(before: &[&str], pid: u32) -> String {
    let mut command: Command = crate::spawn::wrapped_role(before, &format!("probe {pid}"));
    let output = command.output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{before:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

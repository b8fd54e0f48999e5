//! What cannot be recorded is refused at once, with the cause, what to do and the exit code of `fgspy --help`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use fgspy_fixtures::{skip, wait_until};

use crate::common::{fgspy, folder, names, newest, program, record, run};

/// A process that is no Go program. It is killed when this is dropped.
struct Other(Child);

impl Other {
    fn start(program: &Path, arguments: &[&str]) -> Other {
        Other(Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The file that it runs.
    fn executable(&self) -> String {
        std::fs::read_link(format!("/proc/{}/exe", self.pid())).unwrap().display().to_string()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both commands that read a process once.
const COMMANDS: [&str; 2] = ["record", "dump"];

/// Checks that no command that reads a process takes this one.
fn refused(pid: u32, code: i32, words: &str) {
    let folder = folder();
    for name in COMMANDS {
        let mut command = fgspy();
        command.args([name, "-p", &pid.to_string()]).current_dir(folder.path());
        run(command).failed(code, words);
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn the_command_line_is_checked_before_anything_else() {
    let other = Other::start(Path::new("sleep"), &["1000"]);
    let pid = other.pid().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&[], "<--pid <PID>|PROGRAM>"),
        (&["-p", &pid, "--", "true"], "'--pid <PID>' cannot be used with"),
        (&["-p", "zoo"], "`zoo` is not a process id; `pgrep -a NAME` lists"),
        (&["-p", "-1"], "`-1` is not a process id"),
        (&["-p", &pid, "-r", "0"], "the rate must be above 0 and at most 10000 ticks a second; 99 is a good choice"),
        (&["-p", &pid, "-r", "-1"], "the rate must be above 0"),
        (&["-p", &pid, "-r", "100000"], "at most 10000 ticks a second"),
        (&["-p", &pid, "-r", "fast"], "`fast` is not a number of ticks a second"),
        (&["-p", &pid, "-d", "0"], "the time must be longer than 0"),
        (&["-p", &pid, "-d", "-1"], "`-1` is too long or negative"),
        (&["-p", &pid, "-d", "10x"], "`x` is not a unit of time; write 500ms, 10s, 2m or 1h"),
        (&["-p", &pid, "-f", "png"], "there is no format `png`; there are flamegraph, pprof, folded, json, raw"),
        (&["-p", &pid, "--state", "idle"], "there is no state `idle`; there are running, off-cpu, runnable, syscall"),
        (&["-p", &pid, "--state", "mutex"], "`mutex` is a class of waits, not a state; use --wait mutex"),
        (&["-p", &pid, "--focus", "("], "unclosed group"),
        (&["-p", &pid, "--ignore", "["], "unclosed character class"),
        (&["-p", &pid, "--label", "tenant"], "\"tenant\" is not of the form key=value or key=~regex"),
        (&["-p", &pid, "--goroutine", "main"], "'main' for '--goroutine <ID>'"),
        (&["-p", &pid, "-o", "-"], "say which --format to write to standard output: flamegraph, pprof, folded,"),
        (&["-p", &pid, "-o", "profile.png"], "profile.png has an ending that stands for no format (.svg .pb.gz"),
    ];
    for (arguments, words) in cases {
        let mut command = fgspy();
        command.arg("record").args(*arguments);
        let outcome = run(command);
        assert_eq!(outcome.code(), 2, "{arguments:?}: {}", outcome.stderr);
        outcome.says(words);
    }
}

#[test]
fn a_process_that_is_not_there() {
    // Beyond the largest id that Linux ever gives: PID_MAX_LIMIT, include/linux/threads.h.
    for pid in [0, (4 << 20) + 1, u32::MAX] {
        let words = "(it may have exited; a container numbers its own processes differently)";
        refused(pid, 3, &format!("no process has the id {pid} {words}"));
    }
}

#[test]
fn a_process_that_has_exited() {
    let zombie = Other::start(Path::new("true"), &[]);
    let pid = zombie.pid();
    wait_until("it has exited", || Ok(std::fs::read_to_string(format!("/proc/{pid}/stat"))?.contains(") Z "))).unwrap();
    refused(pid, 3, &format!("process {pid} has exited already (it is a zombie until its parent collects it)"));
}

#[test]
fn a_thread_of_the_kernel() {
    if std::fs::read_to_string("/proc/2/comm").ok().as_deref() != Some("kthreadd\n") {
        return skip("a_thread_of_the_kernel", "process 2 is no thread of the kernel here");
    }
    refused(2, 4, "process 2 is a kernel thread: it runs no program that could be profiled");
}

#[test]
fn programs_that_are_not_go() {
    let python = Other::start(Path::new("python3"), &["-c", "import sys; sys.stdin.read()"]);
    let words = |name| Some(std::fs::read_link(format!("/proc/{}/exe", python.pid())).ok()?.to_str()?.contains(name));
    // Started by a shim in some places: it is Python once it runs Python.
    wait_until("it is Python", || Ok(words("python").unwrap_or(false))).unwrap();
    for other in [python, Other::start(Path::new("sleep"), &["1000"])] {
        let words = "not a Go executable: it has no Go function table (gccgo and TinyGo write none; a packed executable must be \
                     unpacked first)";
        refused(other.pid(), 4, &format!("process {} runs {}: {words}", other.pid(), other.executable()));
    }
}

/// A copy of a Go program that waits for ever at its very first instruction, with `edit` applied to its bytes.
#[cfg(target_arch = "x86_64")]
fn stuck_at_its_entry(folder: &Path, edit: impl FnOnce(&mut Vec<u8>)) -> Other {
    use std::os::unix::fs::PermissionsExt;
    let mut bytes = std::fs::read(program("crasher", &newest())).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let half = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    // The entry's place in the file, by the segment that it is in (elf(5): e_entry, e_phoff, e_phentsize, e_phnum).
    let (entry, headers, size, count) = (word(24), word(32) as usize, half(54), half(56));
    let place = (0..count).map(|index| headers + index * size).find_map(|header| {
        let (offset, start, length) = (word(header + 8), word(header + 16), word(header + 32));
        (bytes[header] == 1 && (start..start + length).contains(&entry)).then(|| (entry - start + offset) as usize)
    });
    let place = place.unwrap();
    // mov eax, SYS_pause; syscall; and again.
    bytes[place..place + 9].copy_from_slice(&[0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]);
    edit(&mut bytes);
    let file = folder.join("stuck");
    std::fs::write(&file, bytes).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    Other::start(&file, &[])
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_go_that_is_too_old() {
    let folder = folder();
    let stuck = stuck_at_its_entry(folder.path(), |bytes| {
        // The function table's magic of Go 1.20 and later becomes that of Go 1.2 to 1.15 (internal/abi/symtab.go).
        let magic = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        let place = bytes.windows(magic.len()).position(|window| window == magic).unwrap();
        bytes[place] = 0xfb;
        // And it says so in the one place where a reader looks first.
        let version = newest().version.into_bytes();
        let old = format!("{:width$}", "go1.15.3", width = version.len());
        while let Some(place) = bytes.windows(version.len()).position(|window| window == version) {
            bytes[place..place + version.len()].copy_from_slice(old.as_bytes());
        }
    });
    let words = "built by go1.15.3; Go 1.17 or newer is needed, so rebuild it with a newer Go";
    refused(stuck.pid(), 4, &format!("process {} runs {}: {words}", stuck.pid(), stuck.executable()));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_go_runtime_that_never_starts() {
    let folder = folder();
    let stuck = stuck_at_its_entry(folder.path(), |_| {});
    let words = "the Go runtime in this process has not started yet";
    refused(stuck.pid(), 4, &format!("process {} runs {}: {words}", stuck.pid(), stuck.executable()));
}

#[test]
#[cfg(not(target_arch = "x86_64"))]
fn a_go_that_is_too_old() {
    skip("a_go_that_is_too_old", "its machine code is written for amd64");
}

#[test]
fn a_place_that_cannot_be_written_is_said_before_recording() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(path("there")).unwrap();
    std::fs::write(path("file"), "").unwrap();
    let elsewhere = "choose another place with --output FILE";
    let cases = [
        (
            path("missing/profile.svg"),
            format!("there is no folder {0}\n  make it with: mkdir -p {0}\n  or {elsewhere}", path("missing")),
        ),
        (path("there"), format!("it is a folder\n  name a file in it: --output {}", path("there/profile.svg"))),
        (path("file/profile.svg"), format!("Not a directory (os error 20)\n  {elsewhere}")),
        (path(&format!("{}.svg", "x".repeat(300))), format!("File name too long (os error 36)\n  {elsewhere}")),
    ];
    let other = Other::start(Path::new("sleep"), &["1000"]);
    for (place, words) in cases {
        // It is no Go program either: the place is looked at first. Without --duration, a recording would not end.
        let mut command = record(other.pid(), folder.path());
        command.args(["-o", &place]);
        run(command).failed(6, &format!("nothing was recorded: {place} cannot be written: {words}"));
    }
    // Also where a file would be named for the user. Nothing can be created here, not even by root.
    let outcome = run(record(other.pid(), Path::new("/proc")));
    assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
    outcome.says("fgspy: nothing was recorded: sleep-20");
    outcome.says(elsewhere);
    assert_eq!(names(folder.path()), ["file", "there"]);
    assert_eq!(names(&folder.path().join("there")), [""; 0]);
}

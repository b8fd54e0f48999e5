//! Where the result goes, and that nothing recorded is lost when it cannot go there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use fgspy_fixtures::skip;
use fgspy_fixtures::zoo::ZooKind;
use regex::Regex;

use crate::common::{Outcome, Profile, Running, fgspy, folder, names, record, run, zoo};

/// Checks that a recording which could not be written to `place` was saved in `folder`, can be read there and has all
/// goroutines.
fn saved(outcome: &Outcome, place: &str, cause: &str, folder: &Path, kinds: &[ZooKind]) {
    let pattern = format!(
        "\\Afgspy: {} could not be written: {}\n  the recording was saved to (\\S+)\n  \
         write it again with: fgspy report (\\S+) --output FILE\n\\z",
        regex::escape(place),
        regex::escape(cause)
    );
    let said = Regex::new(&pattern).unwrap().captures(&outcome.stderr).unwrap_or_else(|| panic!("{}", outcome.stderr));
    assert_eq!((outcome.code(), &said[1]), (6, &said[2]));
    let file = PathBuf::from(&said[1]);
    assert_eq!(names(folder), [file.file_name().unwrap().to_str().unwrap()]);
    Profile::of(&file).has_all(kinds);
}

const FULL: &str = "No space left on device (os error 28)";

#[test]
fn a_full_disk() {
    // A file system of our own, seen by fgspy alone: it goes when fgspy ends.
    // (In a user namespace others may mount too, but from there they may not read the target.)
    let works = Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !works.as_ref().is_ok_and(|output| output.status.success()) {
        return skip("a_full_disk", &format!("a small file system cannot be mounted here: {works:?}"));
    }
    let (zoo, kinds) = zoo(&[]);
    let (disk, temporary) = (folder(), folder());
    let disk = disk.path().display();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=32k none \"$0\" && exec \"$@\""]);
    command.arg(disk.to_string()).arg(env!("CARGO_BIN_EXE_fgspy"));
    command.args(["record", "-p", &zoo.pid().to_string(), "-d", "200ms", "-o", &format!("{disk}/profile.svg")]);
    command.env("TMPDIR", temporary.path()).stdout(std::process::Stdio::piped());
    saved(&run(command), &format!("{disk}/profile.svg"), FULL, temporary.path(), &kinds);
}

#[test]
fn a_full_device_and_a_full_standard_output() {
    let (zoo, kinds) = zoo(&[]);
    for place in ["/dev/full", "-"] {
        let (work, temporary) = (folder(), folder());
        let mut command = record(zoo.pid(), work.path());
        command.args(["-d", "200ms", "-f", "folded", "-o", place]).env("TMPDIR", temporary.path());
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let place = if place == "-" { "standard output" } else { place };
        saved(&run(command), place, FULL, temporary.path(), &kinds);
        assert_eq!(names(work.path()), [""; 0]);
    }
}

#[test]
fn a_folder_that_goes_away() {
    let (zoo, kinds) = zoo(&[]);
    let (work, temporary) = (folder(), folder());
    let place = work.path().join("there");
    std::fs::create_dir(&place).unwrap();
    let mut command = record(zoo.pid(), work.path());
    command.args(["-d", "60s", "-o", "there/profile.svg"]).env("TMPDIR", temporary.path());
    let mut running = Running::on_terminal(command);
    running.until_recording();
    std::fs::remove_dir_all(&place).unwrap();
    running.signal(fgspy_fixtures::Signal::INT);
    let mut outcome = running.wait();
    // A terminal has lines of its own.
    let said = outcome.stderr.rsplit('\u{1b}').next().unwrap().replace('\r', "");
    outcome.stderr = said.trim_start_matches("[K").to_owned();
    let cause = "No such file or directory (os error 2)";
    saved(&outcome, "there/profile.svg", cause, temporary.path(), &kinds);
}

/// A command that may write files of so many bytes at most; beyond that the kernel kills those who do not expect it.
fn with_file_limit(bytes: u32, command: &Command) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--fsize={bytes}")).arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().unwrap()).stdout(std::process::Stdio::piped());
    limited
}

#[test]
fn a_file_that_grows_too_large_leaves_the_old_one_alone() {
    let (zoo, kinds) = zoo(&[]);
    let (work, temporary) = (folder(), folder());
    std::fs::write(work.path().join("profile.svg"), "the old one").unwrap();
    let mut command = record(zoo.pid(), work.path());
    command.args(["-d", "200ms", "-o", "profile.svg"]);
    let mut command = with_file_limit(50_000, &command);
    command.env("TMPDIR", temporary.path());
    saved(&run(command), "profile.svg", "File too large (os error 27)", temporary.path(), &kinds);
    assert_eq!(names(work.path()), ["profile.svg"]);
    assert_eq!(std::fs::read_to_string(work.path().join("profile.svg")).unwrap(), "the old one");
}

#[test]
fn nowhere_to_write_at_all() {
    let (zoo, _) = zoo(&[]);
    let (work, temporary) = (folder(), folder());
    let mut command = record(zoo.pid(), work.path());
    command.args(["-d", "200ms", "-o", "profile.svg"]);
    let mut command = with_file_limit(100, &command);
    command.env("TMPDIR", temporary.path());
    let outcome = run(command);
    assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
    let cause = "File too large (os error 27)";
    outcome.says(&format!(
        "fgspy: profile.svg could not be written: {cause}\n  nor could the recording be saved elsewhere\n"
    ));
    outcome.says(&format!("\n  {}/fgspy-", temporary.path().display()));
    outcome.says("\n  /dev/shm/fgspy-");
    assert_eq!(outcome.stderr.matches(cause).count(), 3);
    assert_eq!((names(work.path()), names(temporary.path())), (vec![], vec![]));
}

#[test]
fn a_file_is_named_for_whoever_names_none() {
    let (zoo, _) = zoo(&[]);
    for (arguments, ending, opens) in [
        (&["-d", "100ms"][..], "svg", "xdg-open FILE   (or any browser)"),
        (&["-d", "100ms", "-f", "pprof"][..], "pb.gz", "go tool pprof -http=: FILE"),
    ] {
        let work = folder();
        let mut command = record(zoo.pid(), work.path());
        command.args(arguments);
        let outcome = run(command).succeeded();
        let written = names(work.path());
        assert_eq!(written.len(), 1, "{written:?}");
        let pattern = format!("\\Azoo-20\\d\\d-\\d\\d-\\d\\dT\\d\\d\\.\\d\\d\\.\\d\\dZ\\.{ending}\\z");
        assert!(Regex::new(&pattern).unwrap().is_match(&written[0]), "{written:?}");
        outcome.says(&format!(" to {}\n  open it with: {}\n", written[0], opens.replace("FILE", &written[0])));
    }
}

#[test]
fn the_ending_chooses_the_format() {
    let (zoo, _) = zoo(&[]);
    let work = folder();
    let beginnings = [
        ("profile.svg", "<svg "),
        ("profile.pb.gz", "\\x1f\\x8b"),
        ("profile.folded", "[^\n]+;\\[[^\n]+\\] \\d+\n"),
        ("profile.json", "\\{\n  \"format\": \"fgspy-profile\",\n  \"version\": 1,"),
        ("profile.fgspy", "fgspy\\x00"),
    ];
    for (name, beginning) in beginnings {
        let mut command = record(zoo.pid(), work.path());
        command.args(["-d", "50ms", "-o", name]);
        run(command).succeeded();
        let content = std::fs::read(work.path().join(name)).unwrap();
        let begins = regex::bytes::Regex::new(&format!("\\A(?-u){beginning}")).unwrap().is_match(&content);
        assert!(begins, "{name}: {:?}", String::from_utf8_lossy(&content[..50]));
    }
    assert_eq!(names(work.path()).len(), beginnings.len());
}

#[test]
fn what_goes_to_standard_output_is_all_there_and_alone() {
    let (zoo, _) = zoo(&[]);
    let work = folder();
    let mut command = record(zoo.pid(), work.path());
    command.args(["-d", "100ms", "-f", "json", "-o", "-"]);
    let outcome = run(command).succeeded();
    assert!(Profile::parse(&outcome.stdout).samples.len() > 50);
    outcome.says(" goroutine time in ");
    outcome.does_not_say("Wrote");
    assert_eq!(names(work.path()), [""; 0]);
}

/// The end of a pipe that nobody reads.
fn broken_pipe() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn a_reader_that_has_seen_enough_ends_fgspy_quietly() {
    let (zoo, _) = zoo(&[]);
    let (work, temporary) = (folder(), folder());
    for format in ["flamegraph", "pprof", "folded", "json", "raw"] {
        let mut command = record(zoo.pid(), work.path());
        command.args(["-d", "50ms", "-f", format, "-o", "-"]).env("TMPDIR", temporary.path()).stdout(broken_pipe());
        let outcome = run(command).succeeded();
        assert_eq!(outcome.stderr, "", "{format}");
    }
    let mut command = fgspy();
    command.args(["dump", "-p", &zoo.pid().to_string()]).stdout(broken_pipe());
    assert_eq!(run(command).succeeded().stderr, "");
    assert_eq!((names(work.path()), names(temporary.path())), (vec![], vec![]));
}

#[test]
fn a_recording_is_written_when_nobody_reads_what_fgspy_says() {
    let (zoo, _) = zoo(&[]);
    let work = folder();
    let mut command = record(zoo.pid(), work.path());
    command.args(["-d", "100ms", "-o", "profile.json"]).stderr(broken_pipe());
    assert_eq!(command.status().unwrap().code(), Some(0));
    assert!(Profile::read(&work.path().join("profile.json")).samples.len() > 50);
    // Nor does a failure turn into another.
    let mut command = record(u32::MAX, work.path());
    assert_eq!(command.stderr(broken_pipe()).status().unwrap().code(), Some(3));
}

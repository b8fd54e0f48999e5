//! What is at the place where the result goes: permissions, links, FIFOs.

use std::fs::{Permissions, read_to_string, symlink_metadata, write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use fgspy_fixtures::Signal;

use crate::common::{Running, folder, names, record, run, zoo};

/// The permissions of a file.
fn mode(path: &Path) -> u32 {
    symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Makes a FIFO.
fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn only_the_owner_may_read_the_result() {
    let (zoo, _) = zoo(&[]);
    let work = folder();
    write(work.path().join("old.json"), "old").unwrap();
    std::fs::set_permissions(work.path().join("old.json"), Permissions::from_mode(0o644)).unwrap();
    for name in ["new.json", "old.json"] {
        let mut command = record(zoo.pid(), work.path());
        command.args(["-d", "50ms", "-o", name]);
        run(command).succeeded();
        assert_eq!(mode(&work.path().join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_link_is_written_through() {
    let (zoo, _) = zoo(&[]);
    let (work, other) = (folder(), folder());
    write(other.path().join("old.json"), "old").unwrap();
    for name in ["old.json", "new.json"] {
        let link = work.path().join(name);
        symlink(other.path().join(name), &link).unwrap();
        let mut command = record(zoo.pid(), work.path());
        command.args(["-d", "50ms", "-o", name]);
        run(command).succeeded();
        assert!(symlink_metadata(&link).unwrap().is_symlink());
        assert!(read_to_string(other.path().join(name)).unwrap().starts_with("{\n  \"format\": \"fgspy-profile\""));
    }
    assert_eq!(names(other.path()), ["new.json", "old.json"]);
}

#[test]
fn a_link_that_another_user_made_in_a_shared_folder_is_refused() {
    let (zoo, _) = zoo(&[]);
    let (work, other) = (folder(), folder());
    let (link, theirs) = (work.path().join("profile.json"), other.path().join("theirs"));
    symlink(&theirs, &link).unwrap();
    if std::os::unix::fs::lchown(&link, Some(12345), None).is_err() {
        let why = "only root can give a link to another user";
        return fgspy_fixtures::skip("a_link_that_another_user_made_in_a_shared_folder_is_refused", why);
    }
    std::fs::set_permissions(work.path(), Permissions::from_mode(0o1777)).unwrap();
    let mut command = record(zoo.pid(), work.path());
    command.args(["-d", "50ms", "-o", "profile.json"]);
    let outcome = run(command);
    assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
    outcome.says("profile.json cannot be written: it is a link that another user made in a shared folder");
    assert!(!theirs.exists());
}

#[test]
fn a_fifo_that_nobody_reads_is_refused_at_once() {
    let (zoo, _) = zoo(&[]);
    let work = folder();
    fifo(&work.path().join("profile.folded"));
    let mut command = record(zoo.pid(), work.path());
    command.args(["-d", "1h", "-o", "profile.folded"]);
    let outcome = run(command);
    assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
    outcome.says("profile.folded cannot be written: it is a FIFO that nobody reads; start the reader first");
}

#[test]
fn the_first_interrupt_ends_a_write_to_a_fifo_whose_reader_does_not_read() {
    let (zoo, _) = zoo(&[]);
    let work = folder();
    let path = work.path().join("profile.json");
    fifo(&path);
    // Open for reading and writing, it is open at once; and it has not enough room for the profile.
    let reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let pipe = rustix::pipe::fcntl_setpipe_size(&reader, 4096).unwrap();
    let mut command = record(zoo.pid(), work.path());
    command.args(["-d", "50ms", "-o", "profile.json"]);
    let mut running = Running::start(command);
    fgspy_fixtures::wait_until("the pipe is full", || Ok(rustix::io::ioctl_fionread(&reader)? >= pipe as u64)).unwrap();
    running.signal(Signal::INT);
    assert_eq!(running.wait().code(), 130);
}

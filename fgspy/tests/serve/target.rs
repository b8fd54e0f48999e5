//! A Go program that prints its own profile, and `go tool pprof`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use fgspy_fixtures::{Fixture, Toolchain, toolchains, wait_until};
use tempfile::TempDir;

/// The program in `go/`, built and running.
pub(crate) struct Target {
    pub(crate) fixture: Fixture,
    _folder: TempDir,
}

impl Target {
    /// Builds it (with additional arguments for `go build`), starts it (with arguments of its own), and waits until all
    /// its goroutines but those that compute are parked.
    pub(crate) fn spawn(toolchain: &Toolchain, build_arguments: &[&str], arguments: &[&str]) -> Target {
        let folder = tempfile::tempdir().unwrap();
        let binary = build(toolchain, folder.path(), build_arguments);
        let fixture = Fixture::spawn(&binary, arguments).unwrap();
        let mut target = Target { fixture, _folder: folder };
        wait_until("all its goroutines are parked", || {
            let text = target.asked("text");
            // What was not scheduled yet is at the entry of its function, with no callee to park it.
            let is_parked = |block: &&str| block.contains("\tmain.") && !block.contains("+0x0\t");
            Ok(text.split("\n\n").filter(is_parked).count() > KINDS)
        })
        .unwrap();
        target
    }

    /// What it prints on a command.
    pub(crate) fn asked(&mut self, command: &str) -> String {
        self.fixture.tell(command).unwrap();
        let mut text = String::new();
        loop {
            match self.fixture.line().unwrap().as_str() {
                "end" => return text,
                line => text += &format!("{line}\n"),
            }
        }
    }
}

/// Different stacks in the program, without that of its main goroutine.
pub(crate) const KINDS: usize = 11;

fn build(toolchain: &Toolchain, folder: &Path, arguments: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/go/main.go");
    std::fs::copy(source, folder.join("main.go")).unwrap();
    // 1.18 is the first with generics.
    std::fs::write(folder.join("go.mod"), format!("module self\n\ngo 1.{}\n", toolchain.minor)).unwrap();
    let mut build = toolchain.command().unwrap();
    build.current_dir(folder).env("CGO_ENABLED", "0").args(["build", "-o", "self"]).args(arguments).arg(".");
    let output = build.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("self")
}

/// What `go tool pprof` prints to standard output.
pub(crate) fn pprof(arguments: &[&str]) -> String {
    let output = pprof_output(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn pprof_output(arguments: &[&str]) -> Output {
    static TOOLCHAIN: OnceLock<Toolchain> = OnceLock::new();
    // The newest that has pprof ready; later ones build it when it is first used.
    let toolchain = TOOLCHAIN.get_or_init(|| toolchains::get(24).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut command: Command = toolchain.command().unwrap();
    // It waits half as long again as it records, which may be too short on a busy machine.
    command.args(["tool", "pprof", "-timeout", "60"]).args(arguments).env("PPROF_TMPDIR", folder.path());
    command.output().unwrap()
}

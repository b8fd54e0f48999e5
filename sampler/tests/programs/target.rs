//! The programs, running.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Fixture, Program, RunningProgram, Signal, Toolchain, toolchains, wait_until};
use rustix::process::{Pid, kill_process_group};
use tempfile::TempDir;

/// A running program, and what is known about it from elsewhere.
pub(crate) struct Target {
    /// Its Go version, as `go version` reads it from the executable.
    pub(crate) version: String,
    running: Running,
}

enum Running {
    Server(RunningProgram),
    /// The `go` command leads a process group, to which the compilers that it starts belong.
    Build {
        fixture: Fixture,
        group: Group,
        _files: TempDir,
    },
}

/// A process group, killed when this is dropped.
struct Group(Pid);

impl Target {
    /// Starts a server of the world.
    pub(crate) fn program(program: Program) -> Result<Target> {
        let version = version_of(&program.binary()?)?;
        Ok(Target { version, running: Running::Server(program.start()?) })
    }

    /// Has the newest `go` command compile its standard library, and waits until it has started on it.
    pub(crate) fn go_build() -> Result<Target> {
        let toolchain = toolchains::newest()?;
        let files = tempfile::tempdir()?;
        let scratch = files.path().join("scratch");
        std::fs::create_dir(&scratch)?;
        let mut command = toolchain.command()?;
        command.args(["build", "-a", "std"]).env("GOCACHE", files.path().join("cache")).env("GOTMPDIR", &scratch);
        let mut fixture = Fixture::launch(command.process_group(0))?;
        let group = Group(Pid::from_raw(i32::try_from(fixture.pid())?).context("a process id")?);
        wait_until("it compiles", || {
            fixture.must_run()?;
            Ok(has_compiled(&scratch))
        })?;
        Ok(Target { version: version_of(&toolchain.go())?, running: Running::Build { fixture, group, _files: files } })
    }

    fn fixture(&self) -> &Fixture {
        match &self.running {
            Running::Server(RunningProgram { fixture, .. }) | Running::Build { fixture, .. } => fixture,
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.fixture().pid()
    }

    /// Where it answers HTTP, if it does.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.running {
            Running::Server(server) => Some(server.port),
            Running::Build { .. } => None,
        }
    }

    /// The minor version of its Go.
    pub(crate) fn minor(&self) -> Result<u32> {
        let digits = self.version.strip_prefix("go1.").and_then(|rest| rest.split('.').next());
        digits.and_then(|digits| digits.parse().ok()).with_context(|| format!("{} is no Go 1 version", self.version))
    }

    /// Stops it, and what it waits for, until [`Target::thaw`].
    pub(crate) fn freeze(&self) -> Result<()> {
        if let Running::Build { group, .. } = &self.running {
            kill_process_group(group.0, Signal::STOP)?;
        }
        self.fixture().freeze()
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        if let Running::Build { group, .. } = &self.running {
            kill_process_group(group.0, Signal::CONT)?;
        }
        self.fixture().thaw();
        Ok(())
    }

    /// Ends it, frozen as it is, by SIGABRT, for which the Go runtime prints what it prints for SIGQUIT; but unlike
    /// that, none of these programs handles it. Gives what it wrote to standard error.
    pub(crate) fn last_words(self) -> Result<String> {
        self.fixture().signal(Signal::ABORT);
        self.fixture().thaw();
        match self.running {
            Running::Server(server) => Ok(server.fixture.wait()?.1),
            // The compilers stay frozen until the group is dropped, so that nothing that `go` waits for happens.
            Running::Build { fixture, group: _group, .. } => Ok(fixture.wait()?.1),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails when nobody is left in it, which is as well.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// The Go version of an executable, according to Go.
fn version_of(binary: &Path) -> Result<String> {
    let Toolchain { goroot, .. } = toolchains::newest()?;
    let said = Command::new(goroot.join("bin/go")).arg("version").arg(binary).env("GOTOOLCHAIN", "local").output()?;
    ensure!(said.status.success(), "go version {}: {}", binary.display(), String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout)?;
    Ok(said.trim().rsplit(": ").next().context("no version")?.to_owned())
}

/// Whether a compiler has left something in the `go` command's scratch folder, `go-build123/b001/...`.
fn has_compiled(scratch: &Path) -> bool {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(scratch).flat_map(|work| entries(&work).collect::<Vec<_>>()).count() > 10
}

//! The workspace and its cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The cargo that runs this program, to be run in the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).stdin(Stdio::null());
    // What cargo told this process about this package is not true of the ones it will build.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs a command whose output the user sees.
///
/// # Errors
/// When it cannot be run or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    ensure!(status.success(), "{program} {} failed ({status})", args.join(" "));
    Ok(())
}

/// Runs this same command of xtask optimised: what is tested and measured is the fgspy that users get.
///
/// # Errors
/// When it does not build, or fails.
pub(crate) fn again_in_release() -> Result<()> {
    let arguments = ["run", "--quiet", "--release", "--package", "fgspy-xtask", "--"];
    run(cargo().args(arguments).args(std::env::args_os().skip(1)))
}

/// Builds the fgspy that users get and gives its path.
///
/// # Errors
/// When it does not build.
pub(crate) fn release_fgspy() -> Result<PathBuf> {
    release(&["--package", "fgspy"])
}

/// Builds an executable, optimised, and gives its path.
///
/// # Errors
/// When it does not build.
pub(crate) fn release(what: &[&str]) -> Result<PathBuf> {
    let output = cargo()
        .args(["build", "--locked", "--release", "--message-format", "json-render-diagnostics"])
        .args(what)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "{} does not build ({})", what.join(" "), output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    executables.next_back().context("cargo named no executable")
}

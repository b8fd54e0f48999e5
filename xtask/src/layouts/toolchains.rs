//! The Go toolchains on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::table::Release;

/// The oldest release that fgspy reads.
const OLDEST_MINOR: u32 = 17;

/// One GOROOT.
pub(super) struct Toolchain {
    pub(super) root: PathBuf,
    pub(super) release: Release,
}

impl Toolchain {
    pub(super) fn go(&self) -> PathBuf {
        self.root.join("bin/go")
    }

    fn at(root: &Path) -> Result<Self> {
        let file = root.join("VERSION");
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let release = text.lines().next().and_then(|line| line.trim().strip_prefix("go")?.parse().ok());
        let release = release.with_context(|| format!("{} names no Go release", file.display()))?;
        Ok(Self { root: root.to_owned(), release })
    }

    /// Debian splits a GOROOT over packages: without its -src package there is nothing to read.
    fn usable(&self) -> bool {
        self.release.minor >= OLDEST_MINOR && self.go().is_file() && self.root.join("src/runtime/runtime2.go").is_file()
    }
}

/// The toolchains at the given GOROOTs.
pub(super) fn at(goroots: &[PathBuf]) -> Result<Vec<Toolchain>> {
    goroots.iter().map(|root| Toolchain::at(root)).collect()
}

/// The toolchains where they usually are: that of `go` itself, those it has downloaded, and those of the distribution.
/// One GOROOT for each release.
pub(super) fn found() -> Vec<Toolchain> {
    let mut roots = Vec::new();
    roots.extend(go_env("GOROOT").map(PathBuf::from));
    if let Some(cache) = go_env("GOMODCACHE") {
        roots.extend(children(&Path::new(&cache).join("golang.org"), "toolchain@"));
    }
    roots.extend(children(Path::new("/usr/lib"), "go-1."));
    let toolchains = roots.iter().filter_map(|root| Toolchain::at(root).ok()).filter(Toolchain::usable);
    let by_release: BTreeMap<_, _> = toolchains.map(|t| (t.release, t)).collect();
    by_release.into_values().collect()
}

fn go_env(name: &str) -> Option<String> {
    let output = Command::new("go").args(["env", name]).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|value| !value.is_empty())
}

fn children(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.filter_map(Result::ok);
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix)).map(|e| e.path()).collect()
}

//! Committed files name no host of a package registry and no path of the machine they were written on.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;

use fgspy_fixtures::workspace;

/// Hosts of package registries, in two parts so that this file does not name them either.
const HOSTS: [(&str, &str); 10] = [
    ("pypi", r"\.org"),
    ("pythonhosted", r"\.org"),
    ("crates", r"\.io/"),
    ("static.crates", r"\.io"),
    ("proxy.golang", r"\.org"),
    ("sum.golang", r"\.org"),
    ("registry.npmjs", r"\.org"),
    ("deb.debian", r"\.org"),
    ("snapshot.debian", r"\.org"),
    ("repo1.maven", r"\.org"),
];

/// First parts of paths that exist on the machines of some developers only.
const FOLDERS: [&str; 4] = ["root", "work", "farm", "home/[a-z]+"];

/// Checks every file that git knows, except the lock file, which cargo writes.
///
/// # Errors
/// When one names such a host or path.
pub(super) fn check() -> Result<()> {
    let listed = Command::new("git").current_dir(workspace::root()).args(["ls-files", "-z"]).output()?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let pattern = pattern()?;
    let mut found = Vec::new();
    for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0').filter(|name| *name != "Cargo.lock") {
        // What is deleted but not yet committed cannot be read, and what is no text names nothing.
        let Ok(text) = fs::read_to_string(workspace::root().join(name)) else { continue };
        let lines = text.lines().enumerate().filter(|(_, line)| pattern.is_match(line));
        found.extend(lines.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())));
    }
    if !found.is_empty() {
        bail!("these lines name a registry's host or a path of one machine:\n{}", found.join("\n"));
    }
    Ok(())
}

fn pattern() -> Result<Regex> {
    let hosts = HOSTS.map(|(name, end)| format!("{}{end}", regex::escape(name))).join("|");
    // Only where a path starts: `/proc/PID/root/` is another thing.
    let folders = format!(r#"(?:^|[\s"'`(=:])/(?:{})/"#, FOLDERS.join("|"));
    Regex::new(&format!("{hosts}|{folders}")).context("the pattern is valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_hosts_and_paths_and_nothing_else() {
        let pattern = pattern().unwrap();
        for (name, end) in HOSTS {
            assert!(pattern.is_match(&format!("https://{name}{}", end.replace('\\', ""))), "{name}");
        }
        for folder in ["root", "work", "farm"] {
            assert!(pattern.is_match(&format!("cd /{folder}/x")));
            assert!(pattern.is_match(&format!("\"/{folder}/x\"")));
            assert!(!pattern.is_match(&format!("/proc/1/{folder}/x")));
        }
        assert!(pattern.is_match(concat!("cd /ho", "me/somebody/x")));
        assert!(!pattern.is_match("the framework/network, /usr/lib/go-1.19, crates.io"));
    }
}

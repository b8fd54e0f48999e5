//! Every dependency has a licence that `deny.toml` allows (which cargo-deny reads too).

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use fgspy_fixtures::workspace;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

/// Checks all packages of the lock file, this workspace's own included.
///
/// # Errors
/// When one has no licence or none that is allowed.
pub(super) fn check() -> Result<()> {
    let output = workspace::cargo().args(["metadata", "--format-version=1", "--locked"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")?;
    let deny: Deny = toml::from_str(&fs::read_to_string(workspace::root().join("deny.toml"))?)?;
    let refused = refused(&metadata.packages, &deny.licenses.allow);
    if !refused.is_empty() {
        bail!("licences that deny.toml does not allow: {}", refused.join(", "));
    }
    println!("{} packages, all with a licence of: {}", metadata.packages.len(), deny.licenses.allow.join(", "));
    Ok(())
}

/// Name, version and licence of each package that is not allowed.
fn refused(packages: &[Package], allowed: &[String]) -> Vec<String> {
    let bad = packages.iter().filter(|package| {
        let expression =
            package.license.as_deref().map(|text| spdx::Expression::parse_mode(text, spdx::ParseMode::LAX));
        !matches!(expression, Some(Ok(expression)) if is_allowed(&expression, allowed))
    });
    bad.map(|p| format!("{} {} ({})", p.name, p.version, p.license.as_deref().unwrap_or("none"))).collect()
}

/// Whether a licence expression can be satisfied with allowed licences only. An exception to a licence (`WITH`) gives
/// more rights, so the licence alone decides.
fn is_allowed(expression: &spdx::Expression, allowed: &[String]) -> bool {
    expression.evaluate(|requirement| {
        requirement.license.id().is_some_and(|id| allowed.iter().any(|allowed| allowed == id.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(licence: Option<&str>) -> Vec<String> {
        let package = Package { name: "p".into(), version: "1".into(), license: licence.map(str::to_owned) };
        refused(&[package], &["MIT".into(), "Apache-2.0".into(), "Unicode-3.0".into()])
    }

    #[test]
    fn any_allowed_alternative_is_enough() {
        for licence in [
            "MIT",
            "GPL-3.0-only OR MIT",
            "MIT/GPL-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert_eq!(refusals(Some(licence)), [""; 0], "{licence}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_named() {
        assert_eq!(refusals(Some("GPL-3.0-only")), ["p 1 (GPL-3.0-only)"]);
        assert_eq!(refusals(Some("MIT AND CDDL-1.0")), ["p 1 (MIT AND CDDL-1.0)"]);
        assert_eq!(refusals(Some("no licence at all")), ["p 1 (no licence at all)"]);
        assert_eq!(refusals(None), ["p 1 (none)"]);
    }
}

//! What an executable says about itself, running or not.

use std::path::Path;

use fgspy_gobin::layout::Layout;
use fgspy_gobin::{BuildInfo, GoBinary, Source, anchors};
use fgspy_goroutines::AttachError;
use fgspy_goroutines::TargetError;
use fgspy_memory::ExeFile;
use fgspy_probes::sites::{self, Cost};

use super::check::{Check, Section};
use crate::exit::Failure;
use crate::terminal::numbers::count;

/// Looks at an executable on disk.
pub(super) fn examine_file(path: &Path) -> Section {
    let title = format!("Executable {}", path.display());
    let file = match ExeFile::open(path) {
        Ok(file) => file,
        Err(error) => {
            let error = Failure::from(error).context("it cannot be opened");
            return Section { title, checks: vec![Check::fail("file", &error)] };
        }
    };
    let mut checks = vec![Check::ok("file", format!("{:.1} MB", file.len() as f64 / 1e6))];
    match GoBinary::parse(Box::new(file)) {
        Ok(binary) => {
            checks.extend(describe(&binary));
            checks.extend(understood(&binary, path));
        }
        Err(error) => checks.push(Check::fail("Go", &error.into())),
    }
    Section { title, checks }
}

/// What it is.
pub(super) fn describe(binary: &GoBinary) -> Vec<Check> {
    let info = binary.build_info();
    let go = match binary.version() {
        Some(version) => format!("{version}, {}", binary.arch().name()),
        None => format!("unknown version, {}", binary.arch().name()),
    };
    vec![
        Check::ok("Go", go),
        Check::ok("program", info.map_or_else(|| "unknown: it has no build information".to_owned(), program)),
        Check::ok("built", built(binary)),
        functions(binary),
        probe_sites(binary),
    ]
}

/// Where `fgspy trace` would put its probes, and what is there.
fn probe_sites(binary: &GoBinary) -> Check {
    const TOPIC: &str = "probe sites";
    let sites = sites::sites(binary);
    let slow = sites.iter().filter(|site| site.cost == Cost::SingleStepped).count() as u64;
    let listed: Vec<String> = sites.iter().map(|site| format!("{} ({})", site.function, site.instruction)).collect();
    let listed = listed.join(", ");
    match (sites.is_empty(), slow) {
        (true, _) => Check::warn(TOPIC, "none was found").so("`fgspy trace` does not work for it"),
        (_, 0) => Check::ok(TOPIC, format!("all at instructions that the kernel emulates: {listed}")),
        _ => Check::warn(
            TOPIC,
            format!(
                "{}: {listed}",
                count(slow, "probe site") + " at an instruction that the kernel has to single-step"
            ),
        )
        .so("`fgspy trace` costs the target about ten times as much")
        .fix(["fgspy trace --allow-slow-probes ..."]),
    }
}

/// `example.com/cmd/server, module example.com v1.2.3`
fn program(info: &BuildInfo) -> String {
    let main = info.main.as_ref().map(|(path, version)| format!("module {path} {version}").trim_end().to_owned());
    let parts: Vec<String> =
        [Some(info.path.clone()), main].into_iter().flatten().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "unknown: it was built without modules".to_owned() } else { parts.join(", ") }
}

/// How it was built, as far as profiling is concerned.
fn built(binary: &GoBinary) -> String {
    let mut words = vec![
        if binary.is_pie() { "position independent" } else { "at a fixed address" },
        if binary.symbol("runtime.main").is_some() { "with symbols" } else { "stripped (symbols are not needed)" },
        // Part of runtime/cgo, which every program with C code has.
        if binary.func_named("crosscall2").is_some() { "with cgo" } else { "without cgo" },
    ];
    if setting(binary, "-race") == Some("true") {
        words.push("with the race detector");
    }
    if has_compiler_flag(binary, "-N") {
        words.push("not optimised");
    }
    words.join(", ")
}

/// A build setting, as `go version -m` prints it.
fn setting<'a>(binary: &'a GoBinary, key: &str) -> Option<&'a str> {
    let (_, value) = binary.build_info()?.settings.iter().find(|(name, _)| name == key)?;
    Some(value.as_str())
}

fn has_compiler_flag(binary: &GoBinary, flag: &str) -> bool {
    let flags = setting(binary, "-gcflags").unwrap_or_default();
    flags.split([' ', '=']).any(|word| word == flag)
}

fn functions(binary: &GoBinary) -> Check {
    const TOPIC: &str = "functions";
    let number = count(binary.funcs().count() as u64, "function");
    // Before Go 1.18 inlined calls are found without it.
    let has_inlining = binary.module().gofunc.is_some() || binary.version().is_some_and(|go| !go.at_least(1, 18));
    if has_compiler_flag(binary, "-l") {
        Check::ok(TOPIC, format!("{number}, with files and lines; nothing is inlined"))
    } else if has_inlining {
        Check::ok(TOPIC, format!("{number}, with files, lines and inlined calls"))
    } else {
        Check::warn(TOPIC, format!("{number}, with files and lines; inlined calls were not found"))
            .so("functions that were inlined are missing from stacks")
    }
}

/// Whether the goroutines of a process that runs it can be read, as far as the executable shows it.
fn understood(binary: &GoBinary, path: &Path) -> Vec<Check> {
    let fail = |topic, source| {
        // What it would be for a process that runs it.
        let code = TargetError::Attach { pid: 0, path: String::new(), source };
        let Check { mark, .. } = Check::fail(topic, &code.into());
        mark
    };
    let mut checks = Vec::new();
    match anchors::find(binary) {
        Ok(found) => {
            checks.push(Check::ok("goroutines", format!("found through {}", found.allgs.found_in.name())));
            checks.push(wait_reasons(found.wait_reasons.map_or(0, |reasons| u64::from(reasons.count))));
        }
        Err(error) => {
            let finding = error.to_string();
            let mark = fail("goroutines", AttachError::Anchors(error));
            checks.push(Check { mark, ..Check::ok("goroutines", finding) });
        }
    }
    checks.push(match binary.version() {
        Some(version) => match Layout::for_version(version, binary.arch()) {
            Some(_) => Check::ok("layout", format!("known, from the sources of Go 1.{}", version.minor)),
            None => Check::warn("layout", format!("{version} is newer than this fgspy"))
                .so("the layout of its runtime has to be measured in a running process")
                .fix([format!("see whether that works: fgspy doctor -p $(pidof {})", name(path))]),
        },
        None => {
            let finding = AttachError::NoVersion.to_string();
            Check { mark: fail("layout", AttachError::NoVersion), ..Check::ok("layout", finding) }
        }
    });
    checks
}

/// Whether waits can be distinguished. `number` wait reasons of the runtime were found.
pub(super) fn wait_reasons(number: u64) -> Check {
    if number > 0 {
        Check::ok("wait reasons", format!("{number}, in the runtime's own words"))
    } else {
        Check::warn("wait reasons", "not found").so("what goroutines wait for is unknown, only where")
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

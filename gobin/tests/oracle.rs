//! Compares gobin with the Go runtime itself: a program built from `tests/oracle` says what its own runtime makes of
//! addresses in its own code, inlined calls included.
//!
//! Builds with every `go` command in `FGSPY_GO_TOOLCHAINS` (colon-separated), else with `FGSPY_GO`, else with `go`.

mod common;

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fgspy_gobin::{GoBinary, SourceFrame};

/// How many addresses are compared for each executable.
const ADDRESSES: usize = 60_000;

struct Variant {
    name: &'static str,
    cgo: bool,
    args: &'static [&'static str],
    ldflags: &'static str,
}

const VARIANTS: &[Variant] = &[
    Variant { name: "plain", cgo: false, args: &[], ldflags: "" },
    Variant { name: "stripped", cgo: false, args: &["-trimpath"], ldflags: "-s -w" },
    Variant { name: "pie", cgo: false, args: &["-buildmode=pie"], ldflags: "" },
    Variant { name: "external", cgo: true, args: &[], ldflags: "-linkmode external" },
    Variant { name: "external-pie", cgo: true, args: &["-buildmode=pie"], ldflags: "-linkmode external -s -w" },
    Variant { name: "race", cgo: true, args: &["-race"], ldflags: "" },
];

fn toolchains() -> Vec<PathBuf> {
    let listed = common::paths_from_env("FGSPY_GO_TOOLCHAINS");
    if listed.is_empty() { vec![common::go()] } else { listed }
}

/// `go env GOVERSION`, as (minor release, text). `None` when there is no such command.
fn go_version(go: &Path) -> Option<(u32, String)> {
    let output = Command::new(go).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    let minor = text.strip_prefix("go1.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some((minor, text))
}

fn build(go: &Path, minor: u32, variant: &Variant, to: &Path) {
    let linkname = if minor >= 23 { "-checklinkname=0 " } else { "" };
    let output = Command::new(go)
        .arg("build")
        .args(variant.args)
        .arg(format!("-ldflags={linkname}{}", variant.ldflags))
        .args(["-o".as_ref(), to.as_os_str()])
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle"))
        .envs([("GOENV", "off"), ("GOFLAGS", ""), ("GO111MODULE", "off"), ("GOTOOLCHAIN", "local")])
        .env("CGO_ENABLED", if variant.cgo { "1" } else { "0" })
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", variant.name, String::from_utf8_lossy(&output.stderr));
}

/// What differs between Go releases in what the oracle prints.
struct Printing {
    /// Lines of `func` keywords are known from Go 1.20 on.
    start_lines: bool,
    /// Whether the runtime leaves out a real function that is a wrapper and has inlined calls, not only inlined ones.
    hides_outer_wrappers: bool,
    /// The runtime takes offset 0 into the names for "no name", although the first name is there.
    nameless: String,
}

impl Printing {
    fn of(binary: &GoBinary, minor: u32) -> Printing {
        let first = binary.funcs().next().expect("a function");
        Printing {
            start_lines: minor >= 20,
            hides_outer_wrappers: minor >= 21,
            nameless: binary.func_name(&first).into_owned(),
        }
    }

    fn frame(&self, frame: &SourceFrame) -> String {
        let kind = if frame.inlined { "i" } else { "f" };
        let start = if self.start_lines { frame.start_line } else { 0 };
        let function = if frame.function == self.nameless { "" } else { &frame.function };
        format!("{kind}|{function}|{}|{}|{start}", frame.file, frame.line)
    }
}

/// What the runtime would print. It leaves out wrappers, unless nothing is inlined at the address.
fn expected(binary: &GoBinary, address: u64, printing: &Printing) -> String {
    let mut frames = Vec::new();
    binary.source_frames(address, &mut frames);
    if frames.len() > 1 {
        frames.retain(|frame| !frame.wrapper || (!frame.inlined && !printing.hides_outer_wrappers));
    }
    frames.iter().map(|frame| printing.frame(frame)).collect::<Vec<_>>().join("\t")
}

fn compare(path: &Path, minor: u32) {
    let binary = common::open(path);
    assert_eq!(binary.version().map(|version| u32::from(version.minor)), Some(minor));
    let main = binary.func_named("main.main").expect("main.main").entry;
    let mut addresses = common::sample_addresses(&binary, ADDRESSES);
    // The oracle adds one, and must not end up in the next function.
    addresses.retain(|address| binary.func_at(address + 1) == binary.func_at(*address));
    let mut child = Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = BufWriter::new(child.stdin.take().unwrap());
    let questions = std::iter::once(main).chain(addresses.iter().copied()).collect::<Vec<_>>();
    let writer = std::thread::spawn(move || {
        for question in questions {
            writeln!(input, "{question:#x}").unwrap();
        }
    });
    let printing = Printing::of(&binary, minor);
    let mut inlined = 0;
    let mut compared = 0;
    for (line, address) in BufReader::new(child.stdout.take().unwrap()).lines().zip(&addresses) {
        let truth = line.unwrap();
        let ours = expected(&binary, *address, &printing);
        assert_eq!(ours, truth, "{} at {address:#x}", path.display());
        inlined += usize::from(truth.starts_with("i|"));
        compared += 1;
    }
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(compared, addresses.len(), "{}: the oracle answered too little", path.display());
    assert!(inlined > compared / 50, "{}: only {inlined} of {compared} addresses were in inlined code", path.display());
    println!("{}: {compared} addresses agree, {inlined} of them in inlined code", path.display());
}

#[test]
fn agrees_with_the_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let mut ran = 0;
    for go in toolchains() {
        let Some((minor, version)) = go_version(&go) else {
            let reason = format!("no go command at {}; set FGSPY_GO", go.display());
            fgspy_fixtures::skip("agrees_with_the_runtime", &reason);
            continue;
        };
        for variant in VARIANTS {
            let path = directory.path().join(format!("{version}-{}", variant.name));
            build(&go, minor, variant, &path);
            compare(&path, minor);
            std::fs::remove_file(&path).unwrap();
            ran += 1;
        }
    }
    println!("{ran} executables compared with the Go runtime");
}

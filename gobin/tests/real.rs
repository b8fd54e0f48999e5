//! Compares gobin with `go tool addr2line` on the executables in `FGSPY_TEST_BINARIES` (colon-separated paths).
//!
//! `FGSPY_GO` names the go command; it should be as new as the newest executable. addr2line knows real functions but not
//! inlined ones: it gives the name of the outermost function and the file and line of the innermost.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fgspy_gobin::{GoBinary, PclntabVersion};
use object::{Object, ObjectSection};

/// How many addresses are compared for each executable.
const ADDRESSES: usize = 40_000;

/// What addr2line says: (function, file:line) of each address. `None` when it lacks the symbols that were stripped.
fn addr2line(path: &Path, addresses: &[u64]) -> Option<Vec<(String, String)>> {
    let mut child = Command::new(common::go())
        .args(["tool", "addr2line"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    // Fails when the tool gave up before it read everything; its message is looked at below.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("no symbol section") {
        return None;
    }
    assert!(output.status.success(), "{}: {errors}", path.display());
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2 * addresses.len(), "{}", path.display());
    let pairs: Vec<_> = lines.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    // Without a section of its own it does not find the function table, and knows nothing.
    pairs.iter().any(|(function, _)| function != "?").then_some(pairs)
}

/// How far addr2line is off. It takes the start of `.text` for the start of the Go code when there is no symbol for the
/// latter, but in an externally linked executable C code comes first.
fn addr2line_shift(path: &Path, binary: &GoBinary) -> u64 {
    if binary.symbol("runtime.text").is_some() || binary.pclntab_version() == PclntabVersion::Go116 {
        return 0;
    }
    let bytes = std::fs::read(path).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    file.section_by_name(".text").map_or(0, |text| binary.module().text - text.address())
}

fn compare_lines(path: &Path, binary: &GoBinary) {
    let mut addresses = common::sample_addresses(binary, ADDRESSES);
    // The linker's markers (go:textfipsstart) and the race detector's C functions have no tables at all; addr2line reads
    // the start of some other function's instead.
    addresses.retain(|address| binary.sp_delta(binary.func_at(*address).unwrap().entry).is_some());
    let shift = addr2line_shift(path, binary);
    let questions: Vec<u64> = addresses.iter().map(|address| address - shift).collect();
    let Some(truth) = addr2line(path, &questions) else {
        println!("{}: stripped, addr2line cannot read it", path.display());
        return;
    };
    let mut frames = Vec::new();
    let mut inlined = 0;
    for (address, (function, place)) in addresses.iter().zip(truth) {
        frames.clear();
        binary.source_frames(*address, &mut frames);
        let func = binary.func_at(*address).unwrap();
        assert_eq!(binary.func_name(&func), function, "{} at {address:#x}", path.display());
        let innermost = frames.first().unwrap();
        // In padding after a function there is neither.
        let place = if place == ":-1" { "?:0" } else { &place };
        let ours = format!("{}:{}", innermost.file, innermost.line);
        assert_eq!(ours, place, "{} at {address:#x}", path.display());
        inlined += usize::from(innermost.inlined);
    }
    println!("{}: {} addresses agree with addr2line, {inlined} in inlined code", path.display(), addresses.len());
}

/// Where the runtime of each release has `moduledata.gofunc`, in words (`runtime/symtab.go`).
fn gofunc_word(minor: u16) -> Option<u64> {
    match minor {
        18 | 19 => Some(38),
        20..=26 => Some(40),
        27 => Some(43),
        _ => None,
    }
}

/// Whether everything was built without inlining: then there is no inline tree to know `gofunc` by, and none to read.
fn without_inlining(binary: &GoBinary) -> bool {
    let settings = &binary.build_info().expect("build information").settings;
    settings.iter().any(|(key, value)| key == "-gcflags" && value.contains("all=") && value.contains("-l"))
}

#[test]
fn finds_gofunc_where_the_release_has_it() {
    for path in common::test_binaries("finds_gofunc_where_the_release_has_it") {
        let binary = common::open(&path);
        let minor = binary.version().expect("a version").minor;
        let word = gofunc_word(minor).filter(|_| !without_inlining(&binary));
        let truth = word.map(|word| binary.read_ptr(binary.module().vaddr + 8 * word).unwrap());
        assert_eq!(binary.module().gofunc, truth, "{}", path.display());
        println!("{}: gofunc is {truth:x?}", path.display());
    }
}

/// The number of the wrapper functions is a table by release; it must be the largest that any function has.
#[test]
fn knows_the_wrappers_of_the_release() {
    for path in common::test_binaries("knows_the_wrappers_of_the_release") {
        let binary = common::open(&path);
        let largest = binary.funcs().max_by_key(|func| func.func_id).unwrap();
        let mut frames = Vec::new();
        binary.source_frames(largest.entry, &mut frames);
        assert!(frames.last().unwrap().wrapper, "{}: func_id {}", path.display(), largest.func_id);
    }
}

/// A copy of the file without section headers, as some packers and `sstrip` leave it.
fn without_sections(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[40..48].fill(0);
    bytes[58..64].fill(0);
    bytes
}

/// A copy of the file whose build information cannot be found any more.
fn without_build_info(mut bytes: Vec<u8>) -> Vec<u8> {
    const MAGIC: &[u8] = b"\xff Go buildinf:";
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, MAGIC).collect();
    for at in places {
        bytes[at..at + MAGIC.len()].fill(b'x');
    }
    bytes
}

#[test]
fn needs_no_section_headers() {
    for path in common::test_binaries("needs_no_section_headers") {
        let whole = common::open(&path);
        let bytes = without_sections(std::fs::read(&path).unwrap());
        let bare = GoBinary::parse(Box::new(bytes)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(bare.module(), whole.module(), "{}", path.display());
        assert_eq!(bare.build_info(), whole.build_info(), "{}", path.display());
        // The GNU build id of Go's linker (1.24 on) is in a section only; Go's is in a program header as well.
        let is_go = bare.build_id().is_some_and(|id| id.split('/').count() == 4);
        assert!(bare.build_id() == whole.build_id() || is_go, "{}", path.display());
        assert!(bare.funcs().eq(whole.funcs()), "{}", path.display());
        assert_eq!(bare.symbol("runtime.main"), None);
    }
}

#[test]
fn the_build_id_is_that_of_gos_own_profiles() {
    for path in common::test_binaries("the_build_id_is_that_of_gos_own_profiles") {
        let binary = common::open(&path);
        let version = binary.version().expect("a version").text.clone();
        let minor: u32 = version.split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("go1.N.M");
        let id = binary.build_id().expect("a build id");
        let is_gnu = id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_gnu || (minor < 24 && id.split('/').count() == 4), "{}: {id}", path.display());
    }
}

#[test]
fn finds_the_version_without_build_info() {
    for path in common::test_binaries("finds_the_version_without_build_info") {
        let truth = common::open(&path).version().expect("a version").text.clone();
        let bytes = without_build_info(std::fs::read(&path).unwrap());
        for bytes in [bytes.clone(), without_sections(bytes)] {
            let binary = GoBinary::parse(Box::new(bytes)).unwrap();
            assert_eq!(binary.build_info(), None, "{}", path.display());
            let version = binary.version().map(|version| version.text.clone());
            assert_eq!(version, Some(truth.clone()), "{}", path.display());
        }
    }
}

#[test]
fn agrees_with_addr2line() {
    for path in common::test_binaries("agrees_with_addr2line") {
        compare_lines(&path, &common::open(&path));
    }
}

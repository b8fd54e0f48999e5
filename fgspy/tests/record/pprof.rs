//! What `go tool pprof` and `go tool addr2line` say of what was recorded.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use fgspy_fixtures::zoo::{self, ZooKind};
use fgspy_fixtures::{Toolchain, dump, fetch_modules, skip, wait_until};
use regex::Regex;
use tempfile::TempDir;

use crate::common::{Profile, folder, newest, oldest_and_newest, program, record, report, run};

/// A recording of a zoo in the formats to compare.
struct Recorded {
    folder: TempDir,
    kinds: Vec<ZooKind>,
    json: Profile,
    /// What the runtime says of its goroutines afterwards.
    goroutines: Vec<dump::DumpedGoroutine>,
}

impl Recorded {
    fn new(toolchain: &Toolchain, arguments: &[&str]) -> Recorded {
        let (zoo, kinds) = zoo::spawn(&program("zoo", toolchain), &["-spin", "1"]).unwrap();
        let folder = folder();
        let mut command = record(zoo.pid(), folder.path());
        command.args(["-d", "2s", "-o", "profile.fgspy"]).args(arguments);
        run(command).succeeded();
        let recording = folder.path().join("profile.fgspy");
        let pprof = report(&recording, &["-f", "pprof"]);
        fgspy_fixtures::pprof::read(pprof.as_ref()).unwrap();
        std::fs::write(folder.path().join("profile.pb.gz"), pprof).unwrap();
        let json = Profile::of(&recording);
        Recorded { folder, kinds, json, goroutines: dump::sigquit(zoo).unwrap() }
    }

    fn pprof(&self) -> PathBuf {
        self.folder.path().join("profile.pb.gz")
    }
}

/// `go tool pprof` of the newest version, which builds it when it is first asked for.
fn pprof_tool() -> Command {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    let tool = TOOL.get_or_init(|| {
        let output = newest().command().unwrap().args(["tool", "-n", "pprof"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
    });
    let mut command = Command::new(tool);
    // It must need nothing but the file.
    command.env("PPROF_BINARY_PATH", "/nonexistent").stdin(Stdio::null());
    command
}

/// What it prints, without complaint.
fn pprof(file: &Path, arguments: &[&str]) -> String {
    let home = folder();
    let mut command = pprof_tool();
    let output = command.args(arguments).arg(file).env("PPROF_TMPDIR", home.path()).env("HOME", home.path()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `-raw` prints.
struct Raw {
    /// The lines before the samples.
    head: String,
    types: String,
    samples: Vec<RawSample>,
    locations: BTreeMap<u64, Location>,
    mappings: String,
}

struct RawSample {
    /// Count, time, cpu, offcpu.
    values: [u64; 4],
    /// Leaf first.
    locations: Vec<u64>,
    labels: String,
}

struct Location {
    address: String,
    /// Function and `file:line`, the innermost of inlined calls first.
    lines: Vec<(String, String)>,
}

impl Raw {
    fn of(file: &Path, arguments: &[&str]) -> Raw {
        let arguments: Vec<&str> = ["-raw"].iter().chain(arguments).copied().collect();
        let text = pprof(file, &arguments);
        let (head, rest) = text.split_once("\nSamples:\n").unwrap();
        let (samples, rest) = rest.split_once("\nLocations\n").unwrap();
        let (locations, mappings) = rest.split_once("\nMappings\n").unwrap();
        let (types, samples) = samples.split_once('\n').unwrap_or((samples, ""));
        Raw {
            head: head.to_owned(),
            types: types.to_owned(),
            samples: raw_samples(samples),
            locations: raw_locations(locations),
            mappings: mappings.to_owned(),
        }
    }

    fn functions(&self, sample: &RawSample) -> Vec<&str> {
        let lines = sample.locations.iter().flat_map(|id| &self.locations[id].lines);
        lines.map(|(function, _)| function.as_str()).collect()
    }
}

impl RawSample {
    fn label(&self, key: &str) -> Option<&str> {
        let pattern = Regex::new(&format!("(?:^| ){key}:\\[([^\\]]*)\\]")).unwrap();
        Some(pattern.captures(&self.labels)?.get(1)?.as_str())
    }
}

fn raw_samples(text: &str) -> Vec<RawSample> {
    let line = Regex::new(r"^ *(\d+) +(\d+) +(\d+) +(\d+): ([\d ]+)$").unwrap();
    let mut samples: Vec<RawSample> = Vec::new();
    for text in text.lines() {
        match line.captures(text) {
            Some(found) => samples.push(RawSample {
                values: [1, 2, 3, 4].map(|index| found[index].parse().unwrap()),
                locations: found[5].split_whitespace().map(|id| id.parse().unwrap()).collect(),
                labels: String::new(),
            }),
            // Labels may have line ends of their own.
            None => samples.last_mut().unwrap().labels += text.trim_start(),
        }
    }
    samples
}

fn raw_locations(text: &str) -> BTreeMap<u64, Location> {
    let first = Regex::new(r"^ *(\d+): (0x[0-9a-f]+) (?:M=1 )?(.*)$").unwrap();
    let mut locations = BTreeMap::new();
    let mut id = 0;
    for text in text.lines() {
        let line = match first.captures(text) {
            Some(found) => {
                id = found[1].parse().unwrap();
                locations.insert(id, Location { address: found[2].to_owned(), lines: Vec::new() });
                found.get(3).unwrap().as_str()
            }
            None => text,
        };
        // `main.main /src/main.go:12:0 s=10`: column and first line are not for us.
        let (place, _) = line.trim().rsplit_once(":0 s=").unwrap_or_else(|| panic!("{text:?}"));
        let (function, file) = place.split_once(" /").unwrap_or((place.trim_end_matches(" :0"), ""));
        let file = if file.is_empty() { String::new() } else { format!("/{file}") };
        locations.get_mut(&id).unwrap().lines.push((function.to_owned(), file));
    }
    locations
}

#[test]
fn samples_and_labels_are_those_of_the_contract() {
    for toolchain in oldest_and_newest() {
        let recorded = Recorded::new(&toolchain, &[]);
        let raw = Raw::of(&recorded.pprof(), &[]);
        assert!(raw.head.contains("\nPeriodType: wallclock nanoseconds\nPeriod: 10101010\nTime: "), "{}", raw.head);
        assert_eq!(raw.types, "samples/count time/nanoseconds[dflt] cpu/nanoseconds offcpu/nanoseconds");
        assert!(raw.mappings.contains("/zoo ") && raw.mappings.ends_with(" [FN][FL][LN][IN]\n"), "{}", raw.mappings);
        for sample in &raw.samples {
            let [count, time, cpu, offcpu] = sample.values;
            let state = sample.label("state").unwrap();
            assert!(["running", "running off cpu", "runnable", "syscall", "waiting"].contains(&state), "{state}");
            assert_eq!(sample.label("wait_reason").is_some(), state == "waiting", "{}", sample.labels);
            assert_eq!((cpu, offcpu), if state == "running" { (time, 0) } else { (0, time) });
            assert!(time > 0 || count > 0);
        }
        for kind in &recorded.kinds {
            check_kind(&toolchain, &raw, kind);
        }
    }
}

/// The function that starts all goroutines, which profiles leave out. Some kinds are announced from there.
const START: &str = "runtime.goexit";

/// Checks that a kind's goroutine is there with its function, its status and its label.
fn check_kind(toolchain: &Toolchain, raw: &Raw, kind: &ZooKind) {
    let label = kind.labels.as_ref().and_then(|labels| labels.get("kind")).map(String::as_str);
    let of_it: Vec<&RawSample> = raw.samples.iter().filter(|sample| sample.label("kind") == label).collect();
    let anywhere = kind.function == START;
    let of_it = of_it.into_iter().filter(|s| anywhere || raw.functions(s).contains(&kind.function.as_str()));
    let statuses: Vec<&str> =
        of_it.map(|sample| sample.label("wait_reason").or(sample.label("state")).unwrap()).collect();
    let fits = |status: &&str| {
        let status = if *status == "running off cpu" { "running" } else { status };
        kind.statuses.iter().any(|wanted| wanted == status)
    };
    assert!(!statuses.is_empty() && statuses.iter().any(fits), "{}: {kind:?}: {statuses:?}", toolchain.version);
    let labels = kind.labels.clone().unwrap_or_default();
    for (key, value) in labels.iter().filter(|(key, value)| key.starts_with("key") && !value.is_empty()) {
        assert!(raw.samples.iter().any(|sample| sample.label(key) == Some(value)), "{kind:?}");
    }
}

#[test]
fn times_add_up_to_goroutines_times_elapsed_time() {
    let printed_duration = Regex::new("\nDuration: ([\\d.]+)").unwrap();
    for toolchain in oldest_and_newest() {
        for system in [false, true] {
            let recorded = Recorded::new(&toolchain, if system { &["--system"] } else { &[] });
            let goroutines = recorded.goroutines.iter().filter(|goroutine| system || !is_system(goroutine)).count();
            let raw = Raw::of(&recorded.pprof(), &[]);
            let time: u64 = raw.samples.iter().map(|sample| sample.values[1]).sum();
            assert_eq!(time, recorded.json.time());
            let elapsed = recorded.json.duration_ns;
            assert!(elapsed >= 2_000_000_000, "{elapsed}");
            let share = time as f64 / (goroutines as f64 * elapsed as f64);
            assert!((share - 1.0).abs() < 0.005, "{} {system}: {share} of {goroutines} × {elapsed}", toolchain.version);
            // The kernel's clock says so too: what is printed as the duration is what passed.
            let duration: f64 = printed_duration.captures(&raw.head).unwrap()[1].parse().unwrap();
            assert!((duration - elapsed as f64 / 1e9).abs() < 0.01, "{duration} {elapsed}");
        }
    }
}

/// Whether a goroutine is one of the runtime's own, which Go's goroutine profiles leave out. While it runs a finalizer of
/// the program it is not.
fn is_system(goroutine: &dump::DumpedGoroutine) -> bool {
    let own = |frame: &dump::DumpedFrame| frame.function.starts_with("runtime.") && frame.function != "runtime.main";
    !goroutine.frames.is_empty() && goroutine.frames.iter().all(own)
}

#[test]
fn functions_files_and_lines_are_those_of_addr2line() {
    let type_arguments = Regex::new(r"\[.*\]").unwrap();
    for toolchain in oldest_and_newest() {
        let recorded = Recorded::new(&toolchain, &[]);
        let raw = Raw::of(&recorded.pprof(), &[]);
        let locations: Vec<&Location> = raw.locations.values().filter(|location| location.address != "0x0").collect();
        // Kernel code and what is not code have no place in the executable.
        let locations: Vec<&&Location> = locations.iter().filter(|location| !location.lines[0].1.is_empty()).collect();
        assert!(locations.len() > 150, "{}", locations.len());
        let truth = addr2line(&toolchain, locations.iter().map(|location| location.address.as_str()));
        let mut inlined = 0;
        for (location, (function, place)) in locations.iter().zip(truth) {
            // It has the symbol's name, in which type arguments are written out.
            let function = type_arguments.replace(&function, "[...]").into_owned();
            // It names the function that the machine code belongs to, and the line of the innermost inlined call in it.
            let (innermost, outermost) = (&location.lines[0], &location.lines[location.lines.len() - 1]);
            let name = format!("{} {}", toolchain.version, location.address);
            assert_eq!(innermost.1, place, "{name}");
            // Where that function is a wrapper made by the compiler, only what is inlined into it is shown.
            assert!(outermost.0 == function || is_wrapper(&function), "{name}: {} is not {function}", outermost.0);
            inlined += usize::from(location.lines.len() > 1);
        }
        assert!(inlined > 3, "{inlined}");
    }
}

fn is_wrapper(function: &str) -> bool {
    [".gowrap", ".deferwrap"].iter().any(|part| function.contains(part)) || function.ends_with("-fm")
}

/// What `go tool addr2line` says of addresses in a zoo: function and `file:line`.
fn addr2line<'a>(toolchain: &Toolchain, addresses: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let mut command = toolchain.command().unwrap();
    command.args(["tool", "addr2line"]).arg(program("zoo", toolchain)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let asked: String = addresses.map(|address| format!("{address}\n")).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(asked.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

#[test]
fn pprof_reports_wall_time_by_default_and_has_every_function() {
    let recorded = Recorded::new(&newest(), &[]);
    let top = pprof(&recorded.pprof(), &["-top", "-nodecount=100000", "-nodefraction=0"]);
    assert!(top.lines().any(|line| line == "Type: time"), "{top}");
    let functions: Vec<&str> = top
        .lines()
        .skip_while(|line| !line.contains("flat%"))
        .filter_map(|line| line.rsplit_once("%  "))
        .map(|(_, name)| name.trim_end_matches(" (inline)").trim_end_matches(" (partial-inline)"))
        .collect();
    let type_arguments = Regex::new(r"\[.*\]").unwrap();
    for kind in recorded.kinds.iter().filter(|kind| kind.function != START) {
        // It writes type arguments as dots.
        let name = type_arguments.replace(&kind.function, "[...]");
        assert!(functions.contains(&name.as_ref()), "{kind:?} is not in\n{top}");
    }
    // By default it shows the most important ones: the one that all parked goroutines are in is among them.
    assert!(pprof(&recorded.pprof(), &["-top"]).contains("  runtime.gopark\n"));
}

#[test]
fn pprof_prints_traces_with_labels() {
    let recorded = Recorded::new(&newest(), &[]);
    let traces = pprof(&recorded.pprof(), &["-traces"]);
    let traces: Vec<&str> =
        traces.split("-----------+-------------------------------------------------------\n").collect();
    let select = recorded.kinds.iter().find(|kind| kind.kind == "select-many").unwrap();
    let trace: Vec<&&str> = traces.iter().filter(|trace| trace.contains(" kind:  select-many\n")).collect();
    assert_eq!(trace.len(), 1);
    let lines: Vec<&str> = trace[0].lines().map(str::trim).collect();
    let (labels, stack) = lines.split_at(3);
    assert_eq!(labels, ["kind:  select-many", "state:  waiting", "wait_reason:  select"]);
    let sample = recorded.json.samples.iter().find(|sample| sample.goroutine == select.goid).unwrap();
    let stack: Vec<&str> = stack.iter().map(|line| line.rsplit("   ").next().unwrap()).collect();
    assert_eq!(stack, recorded.json.functions(sample));
}

#[test]
fn tagfocus_slices_by_state() {
    let recorded = Recorded::new(&newest(), &[]);
    let in_state = |state: &str| -> u64 {
        recorded.json.samples.iter().filter(|sample| sample.state == state).map(|sample| sample.time_ns).sum()
    };
    let whole = Raw::of(&recorded.pprof(), &[]).samples.len();
    for (focus, state) in [("state=waiting", "waiting"), ("state=^running$", "running"), ("state=syscall", "syscall")] {
        let raw = Raw::of(&recorded.pprof(), &[&format!("-tagfocus={focus}")]);
        assert!(raw.samples.iter().all(|sample| sample.label("state") == Some(state)), "{focus}");
        assert!(!raw.samples.is_empty() && raw.samples.len() < whole);
        assert_eq!(raw.samples.iter().map(|sample| sample.values[1]).sum::<u64>(), in_state(state), "{focus}");
    }
    let top = pprof(&recorded.pprof(), &["-top", "-tagfocus=state=waiting", "-nodecount=100000", "-nodefraction=0"]);
    assert!(top.contains("main.kindSelectMany\n") && !top.contains("main.spinLeaf"), "{top}");
}

/// Google's own package for these files takes ours, and finds nothing in it to put together.
#[test]
fn the_package_of_the_format_reads_it() {
    let toolchain = newest();
    if let Err(error) = fetch_modules("readpprof", &toolchain) {
        return skip("program readpprof", &format!("{error:#}"));
    }
    let recorded = Recorded::new(&toolchain, &[]);
    let output = Command::new(program("readpprof", &toolchain)).arg(recorded.pprof()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let raw = Raw::of(&recorded.pprof(), &[]);
    let sums: Vec<String> =
        (0..4).map(|at| raw.samples.iter().map(|sample| sample.values[at]).sum::<u64>().to_string()).collect();
    let one = format!("{} [{}]", raw.samples.len(), sums.join(" "));
    assert_eq!(text.trim_end(), format!("{one} {one}"));
}

/// A web server that is killed when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_web_pages_of_pprof_show_it() {
    let recorded = Recorded::new(&newest(), &[]);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = pprof_tool();
    command.arg(format!("-http={address}")).arg("-no_browser").arg(recorded.pprof());
    let home = folder();
    command.env("PPROF_TMPDIR", home.path()).env("HOME", home.path()).stderr(Stdio::null());
    let _server = Server(command.spawn().unwrap());
    wait_until("pprof serves", || Ok(TcpStream::connect(address).is_ok())).unwrap();
    for page in ["/ui/flamegraph", "/ui/top"] {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {page} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{page}: {}", &answer[..answer.len().min(500)]);
        assert!(answer.contains("main.kindSelectMany") && answer.contains("zoo time"), "{page}");
    }
}

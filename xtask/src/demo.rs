//! `cargo xtask demo`: a Go service under load, profiled from outside.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use fgspy_fixtures::{Fixture, Toolchain, Variant, build, toolchains};

use fgspy_fixtures::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds to record
    #[arg(long, default_value_t = 5)]
    seconds: u32,
}

/// Formats that the recording is shown in, by the ending of their file, with what opens them. `{}` is the file.
const PICTURES: [(&str, &str); 3] = [
    ("svg", "flame graph: open {} in a browser"),
    ("pb.gz", "pprof: go tool pprof -http=: {}"),
    ("folded", "one line per stack: less -S {}"),
];

/// Builds fgspy and the service, records the service, and says where the results are. Nothing is left running.
///
/// # Errors
/// When any step fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    eprintln!("Building fgspy.");
    let fgspy = workspace::release_fgspy()?;
    eprintln!("Getting a Go toolchain and building a service with it, stripped of its symbols.");
    let toolchain = toolchains::newest()?;
    let service_binary = build("service", &toolchain, Variant::Stripped)?;
    let folder = workspace::root().join("target/demo");
    fs::create_dir_all(&folder)?;

    let service = Fixture::spawn(&service_binary, [""; 0])?;
    let url = service.announced.iter().find_map(|line| line.strip_prefix("listening on ")).context("no address")?;
    let pid = service.pid().to_string();
    eprintln!("The service ({}) has process id {pid} and listens on {url}; putting load on it.", toolchain.version);
    let load_for = format!("{}s", options.seconds + 60);
    let load = Fixture::launch(Command::new(&service_binary).args(["-load", url, "-for", &load_for]))?;

    let recording = folder.join("service.fgspy");
    let duration = format!("{}s", options.seconds);
    step(Command::new(&fgspy).args(["record", "--pid", &pid, "--duration", &duration, "--output"]).arg(&recording))?;
    for (ending, _) in PICTURES {
        let picture = recording.with_extension(ending);
        step(Command::new(&fgspy).arg("report").arg(&recording).arg("--output").arg(picture).stderr(Stdio::null()))?;
    }
    let dump = folder.join("goroutines.txt");
    step(Command::new(&fgspy).args(["dump", "--pid", &pid]).stdout(fs::File::create(&dump)?))?;
    drop((load, service));

    println!("\nWhere the time of the service's handlers went, the most of it first:\n");
    print_top(&toolchain, &recording.with_extension("pb.gz"))?;
    println!("\nThe same recording in several forms, and all goroutines at one moment:");
    for (ending, how) in PICTURES {
        println!("  {}", how.replace("{}", &recording.with_extension(ending).display().to_string()));
    }
    println!("  every goroutine: less {}", dump.display());
    println!("  any other form:  {} report {} --help", fgspy.display(), recording.display());
    Ok(())
}

/// Shows a command as one would type it, and runs it.
fn step(command: &mut Command) -> Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> =
        words.map(|word| Path::new(word).strip_prefix(workspace::root()).unwrap_or(Path::new(word))).collect();
    eprintln!("\n$ {}", words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "));
    workspace::run(command)
}

/// Lets Go's own pprof say which functions of the service the time was spent in.
fn print_top(toolchain: &Toolchain, profile: &Path) -> Result<()> {
    let pprof = ["tool", "pprof", "-top", "-cum", "-nodecount=10", "-focus=main\\.\\(\\*shop\\)", "-show=^main\\."];
    workspace::run(toolchain.command()?.args(pprof).arg(profile).stderr(Stdio::null()))
}

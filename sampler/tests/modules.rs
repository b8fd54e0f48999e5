//! Go that is not in a Go program of its own: in a C program, in shared libraries, in plugins; and toolchains with names of
//! their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{
    Fixture, Toolchain, Variant, build, build_experiment, build_host, build_mode, toolchains, wait_until,
};
use fgspy_goroutines::{GoProcess, TargetError};
use fgspy_goroutines::{Goroutine, Status, Trust, census};
use fgspy_memory::Process;
use fgspy_profile::{Profile, State};
use fgspy_sampler::{Options, Reading, Stop, record_profile};
use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;

type Test = fn(&Toolchain) -> Result<()>;

/// Their names, and the tests.
const TESTS: [(&str, Test); 7] = [
    ("archive", an_archive_in_c_is_read),
    ("library", a_shared_library_is_found),
    ("replaced", a_library_whose_file_was_replaced_is_read_all_the_same),
    ("two", of_two_runtimes_one_is_chosen),
    ("plugin", a_plugin_has_its_functions),
    ("later", a_plugin_that_is_opened_later_has_them_too),
    ("named", a_toolchain_with_a_name_of_its_own_is_read),
];

fn main() {
    let arguments = Arguments::from_args();
    let newest = toolchains::newest().expect("the newest toolchain can be had").minor;
    let mut trials = Vec::new();
    for minor in [21, 24, newest] {
        for (name, test) in TESTS {
            trials.push(Trial::test(format!("{name}::go1.{minor}"), move || {
                let toolchain = toolchains::get(minor).map_err(described)?;
                test(&toolchain).map_err(described)
            }));
        }
    }
    for (minor, experiment) in [(24, "noswissmap"), (25, "noswissmap"), (27, "mapsplitgroup")] {
        trials.push(Trial::test(format!("headers::{experiment}::go1.{minor}"), move || {
            let toolchain = toolchains::get(minor).map_err(described)?;
            headers_are_read(&toolchain, experiment).map_err(described)
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn described(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}

/// A C program that has loaded copies of the library under these names.
fn host(toolchain: &Toolchain, names: &[&str]) -> Result<(Fixture, TempDir)> {
    let folder = tempfile::tempdir()?;
    let library = build_mode("embedded", toolchain, "c-shared")?;
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
    for path in &paths {
        std::fs::copy(&library, path)?;
    }
    let mut command = Command::new(build_host("embedded", None, folder.path())?);
    Ok((Fixture::start(command.args(&paths), |line| line == "ready")?, folder))
}

/// The functions of a goroutine's stack, leaf first, as the runtime names them.
fn functions(target: &GoProcess, goroutine: &Goroutine) -> Vec<String> {
    let name = |pc: &u64| target.runtime.function_at(pc.wrapping_sub(1)).unwrap_or_default();
    goroutine.stack.pcs().iter().map(name).collect()
}

/// Waits until as many goroutines stand in `leaf` as are expected; gives their stacks.
fn standing(target: &GoProcess, in_function: &str, expected: usize) -> Result<Vec<Vec<String>>> {
    let mut found = Vec::new();
    wait_until(&format!("{expected} goroutines are in {in_function}"), || {
        let all = census(&target.runtime, &target.memory)?;
        let waiting = all.iter().filter(|goroutine| goroutine.status == Status::Waiting);
        found = waiting.map(|goroutine| functions(target, goroutine)).collect();
        found.retain(|stack: &Vec<String>| stack.iter().any(|function| function == in_function));
        Ok(found.len() == expected)
    })?;
    Ok(found)
}

/// The stack of the goroutine that a thread of C's has become: from C down to where it waits.
fn is_called_by_c(target: &GoProcess) -> Result<()> {
    let stacks = standing(target, "main.block", 1)?;
    let stack = stacks.first().context("there is one")?;
    ensure!(stack.iter().filter(|function| *function == "main.block").count() == 4, "{stack:?}");
    ensure!(stack.iter().any(|function| function == "runtime.cgocallback"), "{stack:?}");
    ensure!(stack.last().is_some_and(|function| function == "runtime.goexit"), "{stack:?}");
    Ok(())
}

fn recorded(target: GoProcess, time: Duration) -> Profile {
    let options = Options { duration: Some(time), reading: Reading::Everything, ..Options::default() };
    record_profile(target, options, &Stop::new(), &mut |_, _| {}).0
}

/// The share of the running time of `function` that is below `caller`.
fn share_below(profile: &Profile, function: &str, caller: &str) -> f64 {
    let (mut all, mut below) = (0, 0);
    for sample in profile.samples.iter().filter(|sample| sample.state == State::Running) {
        let names = names(profile, sample);
        if names.contains(&function) {
            all += sample.time_ns;
            below += if names.contains(&caller) { sample.time_ns } else { 0 };
        }
    }
    below as f64 / all as f64
}

fn an_archive_in_c_is_read(toolchain: &Toolchain) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let archive = build_mode("embedded", toolchain, "c-archive")?;
    let mut host = Command::new(build_host("embedded", Some(&archive), folder.path())?);
    let fixture = Fixture::start(&mut host, |line| line == "ready")?;
    let target = GoProcess::open(fixture.pid())?;
    ensure!(target.library.is_none() && target.runtimes.len() == 1, "{:?}", target.runtimes);
    standing(&target, "main.worker", 2)?;
    is_called_by_c(&target)?;
    let share = share_below(&recorded(target, Duration::from_secs(1)), "main.spin", "runtime.cgocallback");
    ensure!(share > 0.9, "{share} of what a thread of C's computes in Go shows who called it");
    Ok(())
}

fn a_shared_library_is_found(toolchain: &Toolchain) -> Result<()> {
    let (fixture, _folder) = host(toolchain, &["libone.so"])?;
    let target = GoProcess::open(fixture.pid())?;
    ensure!(target.module_path().ends_with("libone.so"), "{:?}", target.module_path());
    ensure!(target.runtimes.len() == 1, "{:?}", target.runtimes);
    standing(&target, "main.worker", 2)?;
    is_called_by_c(&target)?;
    ensure!(
        fgspy_sampler::describe(&target).executable.ends_with("/libone.so"),
        "{:?}",
        fgspy_sampler::describe(&target)
    );
    let share = share_below(&recorded(target, Duration::from_secs(1)), "main.spin", "main.Spin");
    ensure!(share > 0.9, "{share} of what a thread of C's computes in Go shows who called it");
    Ok(())
}

fn a_library_whose_file_was_replaced_is_read_all_the_same(toolchain: &Toolchain) -> Result<()> {
    let (fixture, folder) = host(toolchain, &["libone.so"])?;
    let path = folder.path().join("libone.so");
    std::fs::remove_file(&path)?;
    std::fs::write(&path, b"another file")?;
    match GoProcess::open(fixture.pid()) {
        Ok(target) => standing(&target, "main.worker", 2).map(drop),
        // Only the kernel's own link to the mapped file still leads to it, which not everybody may follow.
        Err(error) if !rustix::process::geteuid().is_root() => {
            ensure!(matches!(error, TargetError::NotGo { .. }), "{error}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn of_two_runtimes_one_is_chosen(toolchain: &Toolchain) -> Result<()> {
    let (fixture, folder) = host(toolchain, &["libone.so", "libtwo.so"])?;
    let open = |asked| GoProcess::attach_to(Process::open(fixture.pid())?, asked);
    let (one, two) = (open(Some("libone.so"))?, open(Some("libtwo.so"))?);
    ensure!(one.module_path().ends_with("libone.so") && two.module_path().ends_with("libtwo.so"));
    standing(&one, "main.worker", 2)?;
    standing(&two, "main.worker", 4)?;
    is_called_by_c(&two)?;
    let by_path = folder.path().join("libone.so");
    ensure!(open(by_path.to_str())?.module_path() == by_path, "a path names a runtime too");
    // Each names all, itself first; without a choice it is the one with the most goroutines.
    for (target, first) in [(&one, "libone.so"), (&two, "libtwo.so"), (&open(None)?, "libtwo.so")] {
        let names: Vec<&str> = target.runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
        ensure!(names.len() == 2 && names.first() == Some(&first), "{names:?}");
    }
    let remarks = fgspy_sampler::remarks(&two);
    ensure!(remarks.iter().any(|remark| remark.contains("libone.so") && remark.contains("--runtime")), "{remarks:?}");
    match open(Some("libthree.so")) {
        Err(error @ TargetError::NoSuchRuntime { .. }) => {
            let text = error.to_string();
            ensure!(text.contains("libone.so") && text.contains("libtwo.so"), "{text}");
        }
        other => anyhow::bail!("{:?}", other.map(|target| target.runtimes)),
    }
    Ok(())
}

fn plugin_host(toolchain: &Toolchain) -> Result<(Fixture, String)> {
    let plugin = build_mode("plugged", toolchain, "plugin")?;
    let mut command = Command::new(build_mode("pluginhost", toolchain, "exe")?);
    let fixture = Fixture::start(&mut command, |line| line == "ready")?;
    Ok((fixture, plugin.to_str().context("its path is text")?.to_owned()))
}

fn a_plugin_has_its_functions(toolchain: &Toolchain) -> Result<()> {
    let (mut fixture, plugin) = plugin_host(toolchain)?;
    fixture.tell(&plugin)?;
    ensure!(fixture.line()? == "opened");
    let target = GoProcess::open(fixture.pid())?;
    ensure!(target.runtimes.len() == 1, "a plugin has no runtime of its own: {:?}", target.runtimes);
    let stacks = standing(&target, "plugged.deep", 1)?;
    let stack = stacks.first().context("there is one")?;
    ensure!(stack.iter().filter(|function| *function == "plugged.deep").count() == 4, "{stack:?}");
    ensure!(stack.iter().any(|function| function == "main.hosted"), "{stack:?}");
    let stacks = standing(&target, "plugged.started", 1)?;
    ensure!(stacks.iter().all(|stack| stack.last().is_some_and(|last| last == "runtime.goexit")), "{stacks:?}");
    let all = census(&target.runtime, &target.memory)?;
    let creators = all.iter().filter_map(|goroutine| target.runtime.function_at(goroutine.g.go_pc.wrapping_sub(1)));
    ensure!(
        creators.filter(|creator| creator == "plugged.deep").count() == 1,
        "its creator is a function of the plugin"
    );
    ensure!(has_time_in(&recorded(target, Duration::from_secs(1)), "plugged.Spin"), "it computes in the plugin");
    Ok(())
}

fn a_plugin_that_is_opened_later_has_them_too(toolchain: &Toolchain) -> Result<()> {
    let (fixture, plugin) = plugin_host(toolchain)?;
    let target = GoProcess::open(fixture.pid())?;
    let fixture = Mutex::new(fixture);
    let options =
        Options { duration: Some(Duration::from_secs(2)), reading: Reading::Everything, ..Options::default() };
    let mut told = false;
    let mut progress = |_: &fgspy_sampler::Progress, _: &fgspy_sampler::Live<'_>| {
        if !std::mem::replace(&mut told, true) {
            let mut fixture = fixture.lock().expect("nobody has panicked");
            fixture.tell(&plugin).expect("it listens");
        }
    };
    let (profile, _) = record_profile(target, options, &Stop::new(), &mut progress);
    for function in ["plugged.Spin", "plugged.deep", "plugged.started"] {
        ensure!(has_time_in(&profile, function), "{function} is in the profile");
    }
    let unreadable = |sample: &&fgspy_profile::Sample| sample.state == State::Waiting;
    let names = profile.samples.iter().filter(unreadable).flat_map(|sample| names(&profile, sample));
    ensure!(names.filter(|name| *name == "[its stack cannot be read]").count() == 0, "all stacks are read");
    Ok(())
}

fn names<'a>(profile: &'a Profile, sample: &fgspy_profile::Sample) -> Vec<&'a str> {
    let locations = profile.stacks[sample.stack.index()].iter().map(|location| &profile.locations[location.index()]);
    let functions =
        locations.flat_map(|location| &location.lines).map(|line| &profile.functions[line.function.index()]);
    functions.map(|function| profile.strings[function.name.index()].as_ref()).collect()
}

fn has_time_in(profile: &Profile, function: &str) -> bool {
    profile.samples.iter().any(|sample| names(profile, sample).contains(&function))
}

/// The toolchain's name in the executable is overwritten by one that is as long and says nothing.
fn a_toolchain_with_a_name_of_its_own_is_read(toolchain: &Toolchain) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (version, path) = (toolchain.version.as_bytes(), folder.path().join("named"));
    let name = b"company compiler".get(..version.len()).context("a version is short")?;
    let mut file = std::fs::read(build("held", toolchain, Variant::Stripped)?)?;
    let finder = |file: &[u8]| file.windows(version.len()).position(|at| at == version);
    while let Some(at) = finder(&file) {
        file[at..at + version.len()].copy_from_slice(name);
    }
    std::fs::write(&path, file)?;
    make_executable(&path)?;
    let fixture = Fixture::spawn(&path, std::iter::empty::<&str>())?;
    let target = GoProcess::open(fixture.pid())?;
    let expected = format!("{} (like go1.{})", String::from_utf8_lossy(name).trim(), toolchain.minor);
    ensure!(target.runtime.version.to_string() == expected, "{} is not {expected}", target.runtime.version);
    ensure!(target.runtime.trust == Trust::Like { release: format!("1.{}", toolchain.minor) });
    let all = census(&target.runtime, &target.memory)?;
    let main = all.iter().find(|goroutine| goroutine.g.goid == 1).context("there is goroutine 1")?;
    ensure!(functions(&target, main).iter().any(|function| function == "main.main"));
    Ok(())
}

/// Headers are in a map, which experiments lay out in another way.
fn headers_are_read(toolchain: &Toolchain, experiment: &str) -> Result<()> {
    let program = build_experiment("headers", toolchain, experiment)?;
    for arguments in [&[][..], &["-many"]] {
        let fixture = Fixture::spawn(&program, arguments)?;
        let target = GoProcess::open(fixture.pid())?;
        ensure!(target.runtime.binary.has_experiment(experiment), "{}", target.runtime.version);
        let profile = recorded(target, Duration::from_millis(300));
        let ids: Vec<&str> =
            profile.requests.iter().map(|request| profile.strings[request.trace_id.index()].as_ref()).collect();
        ensure!(ids == ["4bf92f3577b34da6a3ce929d0e0e4736"], "{arguments:?}: {ids:?}");
    }
    Ok(())
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

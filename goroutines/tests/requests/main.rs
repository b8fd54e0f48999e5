//! The request that a goroutine serves is the one that it says itself.
//!
//! Real services under load log which goroutine serves which request when. Meanwhile they are read from outside, and
//! every request that is found at a goroutine must be one that it served at that time, in all that is read of it. Nearly
//! all goroutines in handlers must be found. What the services' clients send and is nobody's business must not be.

mod tally;
mod truth;
mod watch;
mod world;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use fgspy_fixtures::requests::{Load, Service};
use fgspy_fixtures::{Program, Toolchain, Variant, build, fetch_modules, skip, toolchains};
use libtest_mimic::{Arguments, Failed, Trial};

use tally::Tally;
use watch::{Watching, watch};

fn main() {
    let mut arguments = Arguments::from_args();
    // A service, its load and this are more than enough for the machine.
    arguments.test_threads = Some(1);
    let toolchains = toolchains::required().expect("the required toolchains can be had");
    let mut trials = Vec::new();
    for (number, toolchain) in toolchains.into_iter().enumerate() {
        let variant = if number % 3 == 0 { Variant::Plain } else { Variant::Stripped };
        for (name, test) in [("routes", routes as fn(&Toolchain, Variant) -> Result<()>), ("reuse", reuse)] {
            let toolchain = toolchain.clone();
            trials.push(trial(&format!("{name}::{}::{}", toolchain.version, variant.word()), move || {
                test(&toolchain, variant)
            }));
        }
    }
    trials.push(trial("grpc", || with_grpc(grpc)));
    trials.push(trial("pool", || with_grpc(pool)));
    for program in [Program::Caddy, Program::CaddyBin, Program::Prometheus] {
        trials.push(trial(program.name(), move || of_the_world(program)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))))
}

/// The client's side, of which the version does not matter.
fn client() -> Result<PathBuf> {
    build("requests", &toolchains::newest()?, Variant::Plain)
}

/// Runs it against some of the service's listeners.
fn load(client: &Path, service: &Service, ways: &[&str], arguments: &[&str]) -> Result<Load> {
    let ways = service.addresses.iter().filter(|(way, _)| ways.contains(&way.as_str()));
    Load::start(client, ways, arguments)
}

/// All routes, by all protocols.
fn routes(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    const WAYS: [&str; 4] = ["http1", "tls1", "tls2", "h2c"];
    let mut service = Service::start(&build("requests", toolchain, variant)?, &[], &[])?;
    ensure!(service.addresses.contains_key("h2c") == (toolchain.minor >= 24), "{:?}", service.addresses);
    let mut load = load(&client()?, &service, &WAYS, &["-clients=8"])?;
    let watching = Watching { at_once: 16, only_active: false, pause: Duration::from_millis(2), sights: 10_000 };
    let (seen, counts) = watch(service.fixture.pid(), &mut load, watching)?;
    let sent = load.end()?;
    let tally = tally::compare(&service.log()?, &seen)?;
    tally.print(&format!("routes {} {}: {} requests, {counts:?}", toolchain.version, variant.word(), sent.len()));
    tally.ensure_found(service.addresses.keys(), 500, 0.99)
}

/// Requests so short that a goroutine has served many before it is read once, in memory that is used again and again.
fn reuse(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let mut total = 0;
    for (way, mode, sights) in [("http1", "pipeline", 1500), ("tls2", "short", 5000)] {
        let mut service = Service::start(&build("requests", toolchain, variant)?, &[], &[("GOGC", "20")])?;
        let mut load = load(&client()?, &service, &[way], &["-clients=64", "-mode", mode])?;
        let watching = Watching { at_once: 1, only_active: true, pause: Duration::ZERO, sights };
        let (seen, counts) = match watch(service.fixture.pid(), &mut load, watching) {
            Ok(seen) => seen,
            Err(error) => return Err(error.context(format!("the service said: {}", service.fixture.last_words()?))),
        };
        let sent = load.end()?;
        let tally: Tally = tally::compare(&service.log()?, &seen)?;
        tally.print(&format!("{mode} {} {}: {} requests, {counts:?}", toolchain.version, variant.word(), sent.len()));
        total += counts.torn;
        // These do nothing but compute: one whose thread the kernel has taken off its CPU gives no sign of itself.
        if mode == "short" {
            tally.ensure_found([way], 100, 0.75)?;
        }
    }
    ensure!(total > 0, "no request changed while it was read: this proves nothing");
    Ok(())
}

/// Runs a test with the newest toolchain and gRPC's modules, where these can be had.
fn with_grpc(test: impl FnOnce(&Toolchain) -> Result<()>) -> Result<()> {
    let newest = toolchains::newest()?;
    if let Err(error) = fetch_modules("grpc", &newest) {
        skip("program grpc", &format!("{error:#}"));
        return Ok(());
    }
    test(&newest)
}

/// gRPC in all the ways that it can be served.
fn grpc(newest: &Toolchain) -> Result<()> {
    // Up to Go 1.26 golang.org/x/net has an HTTP/2 of its own.
    let before = toolchains::get(26)?;
    for (toolchain, variant) in [(newest, Variant::Plain), (newest, Variant::Stripped), (&before, Variant::Stripped)] {
        let binary = build("grpc", toolchain, variant)?;
        let mut service = Service::start(&binary, &[], &[])?;
        let mut load = Load::start(&binary, &service.addresses, &["-clients=8"])?;
        let watching = Watching { at_once: 16, only_active: false, pause: Duration::from_millis(2), sights: 4000 };
        let (seen, counts) = watch(service.fixture.pid(), &mut load, watching)?;
        let sent = load.end()?;
        let tally = tally::compare(&service.log()?, &seen)?;
        tally.print(&format!("grpc {} {}: {} calls, {counts:?}", toolchain.version, variant.word(), sent.len()));
        // The goroutines of net/http only move bytes meanwhile: that is no request.
        tally.ensure_found(["own", "workers", "http", "xnet"], 250, 0.97)?;
    }
    Ok(())
}

/// One of gRPC's pool that computes is told at first sight: looks are further apart than calls are long. Not told are those
/// that stop or end while they are looked at, which takes a good part of these.
fn pool(newest: &Toolchain) -> Result<()> {
    let binary = build("grpc", newest, Variant::Stripped)?;
    let mut service = Service::start(&binary, &[], &[])?;
    // Where the stream is in a stack is learned from who waits in a handler.
    let _others = load(&binary, &service, &["own"], &["-clients=1"])?;
    let mut load = load(&binary, &service, &["workers"], &["-clients=1", "-only=Compute"])?;
    let watching = Watching { at_once: 16, only_active: false, pause: Duration::from_millis(25), sights: 400 };
    let (seen, counts) = watch(service.fixture.pid(), &mut load, watching)?;
    load.end()?;
    let tally = tally::compare(&service.log()?, &seen)?;
    tally.print(&format!("pool: {counts:?}"));
    tally.ensure_found(["workers"], 30, 0.5)
}

/// A program that nobody here wrote, which does not say what it serves; its clients do. Caddy stands in front of the
/// service of the other tests.
fn of_the_world(program: Program) -> Result<()> {
    if let Err(error) = program.binary() {
        skip(&format!("program {}", program.name()), &format!("{error:#}"));
        return Ok(());
    }
    let newest = client()?;
    let service = Service::start(&newest, &[], &[])?;
    let (running, paths) = match program {
        Program::Prometheus => (program.start()?, "-paths=/metrics,/api/v1/targets,/api/v1/status/tsdb,/api/v1/rules"),
        _ => (program.start_as_proxy_of(&service.addresses["http1"])?, "-paths="),
    };
    let address = ("http1".to_owned(), format!("127.0.0.1:{}", running.port));
    let mut load = Load::start(&newest, [(&address.0, &address.1)], &["-clients=16", paths])?;
    let watching = Watching { at_once: 16, only_active: false, pause: Duration::from_millis(2), sights: 2000 };
    let (seen, counts) = watch(running.fixture.pid(), &mut load, watching)?;
    let sent = load.end()?;
    let known = world::compare(&sent, &seen)?;
    println!("{}: {} requests, {counts:?}, {known:?}", program.name(), sent.len());
    ensure!(known.right >= 1500, "too few of ours to tell");
    Ok(())
}

//! What `fgspy trace` costs a server at full speed.
//!
//! A server and a load go on throughout; in turns there are no probes, none again, probes at the begin and the end of
//! requests at which nothing is done, the same as the command uses them, probes at all changes of state, and these at
//! instructions that the kernel has to step through. The turns are
//! short, as a virtual machine is slow for a while and fast for a while: so it is not the command that is started for each, but its
//! probes are set and taken out here, and what they tell is taken as the command takes it. The servers are two of our own, which do
//! nothing and a little, and two that nobody here wrote.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Fixture, Program, RunningProgram};
use fgspy_goroutines::GoProcess;
use fgspy_memory::Process;
use fgspy_probes::{Limits, Options, Plan, Trace, Tracer, plan, sites};
use serde::{Deserialize, Serialize};

use super::arms::there_and_back;
use super::markdown::{Table, change, interval, number, probability};
use super::statistics::{compare, detectable_ratio, log_ratios, median};
use super::words::{Line, conclusions};
use super::{Bench, go, load, proc};

/// One turn, in parts after which the command takes what the probes told.
const TURN: [Duration; 3] = [Duration::from_millis(25); 3];
/// What passes after probes were set or taken out before the turn counts.
const SETTLE: Duration = Duration::from_millis(10);
/// How long the load would go on.
const LONGEST: Duration = Duration::from_secs(3600);
/// What clients ask for, and of whom, if not of our own server.
const SERVICES: [(&str, Option<Program>, &str); 4] = [
    ("nothing", None, "/nothing"),
    ("orders", None, "/"),
    ("proxy", Some(Program::CaddyBin), "/nothing"),
    ("metrics", Some(Program::Prometheus), "/metrics"),
];
/// `--block-threshold`, unless it is said.
const THRESHOLD_NS: u64 = 1_000_000;

/// The arms.
const ARMS: [&str; 6] = [
    "A: no probes",
    "A\u{2032}: no probes, again",
    "requests only, the traps alone",
    "requests only (`--states off`)",
    "all states",
    "all states, stepped through",
];

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    go: String,
    services: Vec<Service>,
}

/// What clients asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Service {
    name: String,
    /// Each arm has two turns in a round, which are put together.
    rounds: Vec<[Turn; ARMS.len()]>,
}

/// What the server did.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Turn {
    served: u64,
    clock_ns: u64,
    cpu_ns: u64,
}

impl Turn {
    fn rate(&self) -> f64 {
        self.served as f64 * 1e9 / self.clock_ns as f64
    }

    fn cpu_of_one(&self) -> f64 {
        self.cpu_ns as f64 / self.served as f64
    }
}

/// Measures all arms in turn.
///
/// # Errors
/// When a program does not build, or fgspy may not trace here.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let rounds = bench.rounds(if bench.quick { 5 } else { 200 });
    let programs = [go::program(&bench.newest, "server")?, go::program(&bench.newest, "load")?];
    let mut services = Vec::new();
    for (name, program, path) in SERVICES {
        if let Some(Err(error)) = program.map(Program::binary) {
            eprintln!("trace: {name} is left out: {error:#}");
            continue;
        }
        services.push(service(Asked::start(&programs, program, path)?, name, rounds)?);
    }
    Ok(Data { go: bench.newest.version.clone(), services })
}

/// A server that is asked as fast as it answers.
struct Asked {
    pid: u32,
    load: Fixture,
    // What must go on meanwhile.
    _own: Option<Fixture>,
    _running: Option<RunningProgram>,
}

impl Asked {
    fn start([server, load]: &[PathBuf; 2], program: Option<Program>, path: &str) -> Result<Asked> {
        let own = || Fixture::start(go::command(server).args(["-parked", "0"]), |line| line == "ready");
        let of_the_world =
            |running: &RunningProgram| (running.fixture.pid(), format!("http://127.0.0.1:{}", running.port));
        let ((pid, server), own, running) = match program {
            None => {
                let own = own()?;
                ((own.pid(), super::service::url(&own)?), Some(own), None)
            }
            Some(Program::Prometheus) => {
                let running = Program::Prometheus.start()?;
                (of_the_world(&running), None, Some(running))
            }
            Some(proxy) => {
                let behind = own()?;
                let running = proxy.start_as_proxy_of(&super::service::url(&behind)?)?;
                (of_the_world(&running), Some(behind), Some(running))
            }
        };
        let mut command = load::command(load, &(server + path), 0, LONGEST);
        command.arg("-asked").args((program == Some(Program::Prometheus)).then_some("-get"));
        let load = Fixture::start(&mut command, |line| line == "ready")?;
        Ok(Asked { pid, load, _own: own, _running: running })
    }

    /// Requests answered, and CPU time that the server used.
    fn progress(&mut self) -> Result<(u64, Duration)> {
        self.load.tell("count")?;
        let line = self.load.line()?;
        Ok((line.trim().parse().with_context(|| line.clone())?, proc::cpu_time(self.pid)?))
    }
}

fn service(mut asked: Asked, name: &str, rounds: usize) -> Result<Service> {
    let mut probes = probes(asked.pid)?;
    let mut all = Vec::new();
    for round in 0..rounds {
        eprintln!("trace: {name}: round {} of {rounds}", round + 1);
        let mut turns = [Turn::default(); ARMS.len()];
        for (arm, _) in there_and_back(ARMS.len(), round) {
            let turn = turn(&mut asked, probes[arm].as_mut())?;
            ensure!(turn.served > 0, "nothing was served");
            turns[arm].served += turn.served;
            turns[arm].clock_ns += turn.clock_ns;
            turns[arm].cpu_ns += turn.cpu_ns;
        }
        all.push(turns);
    }
    Ok(Service { name: name.to_owned(), rounds: all })
}

/// Probes, and what takes what they tell.
struct Probes {
    plan: Plan,
    tracer: Tracer,
    trace: Trace,
}

/// Those of each arm, not set.
fn probes(pid: u32) -> Result<[Option<Probes>; ARMS.len()]> {
    let target = GoProcess::attach(Process::open(pid)?)?;
    let sites = sites::sites(&target.runtime.binary);
    // `push rbp` is one byte long, and what follows it has to be stepped through.
    let mut stepped = sites.clone();
    stepped.iter_mut().filter(|site| site.instruction == "push").for_each(|site| site.file_offset += 1);
    // As for its table.
    let requests = Options { states: false, ids_of_slow: true, ..Options::default() };
    let traps = Options { traps_only: true, ..requests.clone() };
    let states = Options { block_threshold_ns: Some(THRESHOLD_NS), ..Options::default() };
    let set = |sites: &[sites::Site], options: Options| -> Result<Option<Probes>> {
        let plan = plan(pid, &target.runtime, sites, options);
        let mut tracer = Tracer::start(&plan)?;
        tracer.detach();
        Ok(Some(Probes { plan, tracer, trace: Trace::new(Limits::default()) }))
    };
    let [traps, requests] = [set(&sites, traps)?, set(&sites, requests)?];
    Ok([None, None, traps, requests, set(&sites, states.clone())?, set(&stepped, states)?])
}

/// One turn.
fn turn(asked: &mut Asked, mut probes: Option<&mut Probes>) -> Result<Turn> {
    if let Some(probes) = &mut probes {
        probes.tracer.attach(&probes.plan)?;
    }
    std::thread::sleep(SETTLE);
    let start = Instant::now();
    let before = asked.progress()?;
    for part in TURN {
        std::thread::sleep(part);
        if let Some(Probes { tracer, trace, .. }) = &mut probes {
            tracer.poll(&mut |event| drop(trace.take(event)));
            tracer.set_slow(trace.slow_from_ns())?;
        }
    }
    let after = asked.progress()?;
    let clock_ns = start.elapsed().as_nanos() as u64;
    if let Some(probes) = probes {
        probes.tracer.detach();
    }
    Ok(Turn { served: after.0 - before.0, clock_ns, cpu_ns: (after.1 - before.1).as_nanos() as u64 })
}

/// The section of the report.
pub(super) fn render(data: &Data) -> String {
    let mut text = format!(
        "An HTTP/1 server (ours: {}) and a load of 16 clients, which ask as fast as they can, on the same machine. In turns of {:.3} s, in an \
         order that changes, `fgspy trace` sets its probes and takes them out again. Compared are how many requests are answered in \
         a second, and the CPU time that the server takes for one, within rounds of two turns each. `nothing` is what `net/http` \
         does by itself for a request whose body nobody reads; `orders` decodes a document of twelve items, looks them up under a lock \
         and encodes an answer. `proxy` is Caddy in front of `nothing`, `metrics` Prometheus that says how it is, both as their users \
         get them. *The traps alone*: the probes are set and hit, and the program returns at once.\n",
        data.go,
        TURN.iter().sum::<Duration>().as_secs_f64()
    );
    let mut lines = Vec::new();
    for service in &data.services {
        let name = &service.name;
        let (rates, compared) = table(service, &format!("{name}: requests/s"), Turn::rate, number);
        lines.extend(compared);
        let (costs, _) =
            table(service, &format!("{name}: CPU \u{b5}s a request"), Turn::cpu_of_one, |ns| number(ns / 1e3));
        text += &(rates + &costs);
    }
    text += &conclusions(&lines, "more requests a second", "fewer requests a second");
    text
}

/// A table of the arms, and what was compared for it.
fn table(
    service: &Service,
    what: &str,
    of: impl Fn(&Turn) -> f64,
    shown: impl Fn(f64) -> String,
) -> (String, Vec<Line>) {
    let mut table = Table::new(&["arm", "rounds", what, "change", "95 % interval", "p"]);
    let mut lines = Vec::new();
    let pairs = |arm: usize| service.rounds.iter().map(|turns| (of(&turns[arm]), of(&turns[0]))).collect::<Vec<_>>();
    let detectable = detectable_ratio(&log_ratios(&pairs(1)));
    for (arm, title) in ARMS.iter().enumerate() {
        let values: Vec<f64> = service.rounds.iter().map(|turns| of(&turns[arm])).collect();
        let mut cells = vec![(*title).to_owned(), values.len().to_string(), shown(median(&values).unwrap_or(0.0))];
        match compare(&pairs(arm)).filter(|_| arm > 0) {
            Some(comparison) => {
                cells.extend([change(comparison.ratio), interval(&comparison), probability(comparison.p)]);
                lines.push(Line { title: format!("{}, {title}", service.name), comparison, detectable });
            }
            None => cells.extend([String::new(), String::new(), String::new()]),
        }
        table.row(&cells);
    }
    (format!("\n{}", table.finish()), lines)
}

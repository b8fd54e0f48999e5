//! Observations of a program that serves requests, each between two readings of the clock that the program logs by.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fgspy_fixtures::requests::Load;
use fgspy_gobin::GoBinary;
use fgspy_goroutines::request::RequestCounts;
use fgspy_goroutines::{
    Active, ActiveFinder, Look, Observation, Reader, Request, RequestOptions, Runtime, Served, Sight, Stack, Status,
    Wanted, attach,
};
use fgspy_memory::{Memory, Process};
use rustix::time::{ClockId, clock_gettime};

/// One goroutine as it was read at some time between two moments, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) goid: u64,
    pub(crate) status: Status,
    pub(crate) before: i64,
    pub(crate) after: i64,
    /// The request that it was said to serve.
    pub(crate) request: Option<Box<Request>>,
    /// What was said instead, in words.
    pub(crate) instead: String,
    /// It was on the move: nothing read of its stack is believed.
    pub(crate) rejected: bool,
}

/// How to look at a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watching {
    /// How many goroutines to read between two readings of the clock.
    pub(crate) at_once: usize,
    /// Look only at goroutines that run or want to.
    pub(crate) only_active: bool,
    /// How long to wait between looks at all goroutines.
    pub(crate) pause: Duration,
    /// How many times to see the request of a goroutine.
    pub(crate) sights: usize,
}

/// How long enough requests may take to be seen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at all goroutines of process `pid` again and again, while `load` goes on, until the requests of enough of them
/// were seen.
pub(crate) fn watch(pid: u32, load: &mut Load, watching: Watching) -> Result<(Vec<Seen>, RequestCounts)> {
    let process = Process::open(pid)?;
    let memory = process.memory();
    let runtime = runtime_of(&process, &memory)?;
    let mut reader = Reader::with_requests(&runtime, RequestOptions::default());
    ensure!(reader.finds_requests(), "no function that serves requests was found");
    let (mut finder, mut active) = (ActiveFinder::default(), Active::default());
    let (mut seen, mut sights) = (Vec::new(), 0);
    let deadline = Instant::now() + PATIENCE;
    while sights < watching.sights {
        let counts = reader.request_counts();
        ensure!(Instant::now() < deadline, "only {sights} requests were seen: {counts:?}");
        if let Some(len) = finder.find(&runtime, &memory, &mut active)? {
            reader.refresh(&runtime, &memory, len)?;
        }
        let indices: Vec<u32> = match watching.only_active {
            true => active.iter().filter_map(|&address| reader.all().find(address)).collect(),
            false => reader.all().runs().flatten().copied().collect(),
        };
        let wanted: Vec<Wanted> = indices.into_iter().map(|index| Wanted { index, look: Look::Stack }).collect();
        for wanted in wanted.chunks(watching.at_once) {
            let first = seen.len();
            let before = now();
            reader.read(&runtime, &memory.unchecked(), wanted, &mut |_, sight| {
                if let Sight::Seen(observation) = sight {
                    seen.push(kept(&observation, before));
                }
            })?;
            let after = now();
            for seen in &mut seen[first..] {
                seen.after = after;
                sights += usize::from(seen.request.is_some());
            }
        }
        load.must_run()?;
        std::thread::sleep(watching.pause);
    }
    Ok((seen, reader.request_counts()))
}

fn runtime_of(process: &Process, memory: &dyn Memory) -> Result<Runtime> {
    let binary = Arc::new(GoBinary::parse(Box::new(process.exe().try_clone()?))?);
    let tids: Vec<u32> = process.threads()?.iter().map(|thread| thread.ns_tid).collect();
    Ok(attach(memory, binary, process.load_bias()?.bias, &tids)?)
}

fn kept(observation: &Observation<'_>, before: i64) -> Seen {
    let request = observation.request.request().cloned().map(Box::new);
    Seen {
        goid: observation.g.goid,
        status: observation.status,
        before,
        after: before,
        instead: match observation.request {
            Served::Serving(_) => String::new(),
            other => format!("{other:?}"),
        },
        request,
        rejected: matches!(observation.stack, Stack::Changed(_) | Stack::Unmapped | Stack::Broken),
    }
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

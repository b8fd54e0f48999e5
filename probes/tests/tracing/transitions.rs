//! A program says how often its goroutines changed their state, by whom they were woken, and how long they waited.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Toolchain, Variant, wait_until};
use fgspy_probes::{Event, Options};
use serde::Deserialize;

use crate::target::Target;

#[derive(Debug, Deserialize)]
pub(crate) struct Done {
    pub(crate) ping: u64,
    pub(crate) pong: u64,
    rounds: usize,
    pub(crate) sleeper: u64,
    sleeps: usize,
    slept_ns: u64,
    slept_outer_ns: u64,
    pub(crate) caller: u64,
    calls: usize,
    pub(crate) mother: u64,
    births: usize,
    pub(crate) locker: u64,
    holder: u64,
    locked_ns: u64,
    pub(crate) spinner: u64,
    spun_ns: u64,
    spun_outer_ns: u64,
    /// Before Go 1.23 there is none.
    pub(crate) puller: u64,
    pub(crate) pulled: u64,
    pulls: usize,
    pub(crate) scanned: u64,
    scans: usize,
}

pub(crate) const RUNNABLE: u8 = 1;
pub(crate) const RUNNING: u8 = 2;
pub(crate) const SYSCALL: u8 = 3;
pub(crate) const WAITING: u8 = 4;
const DEAD: u8 = 6;
pub(crate) const COPYSTACK: u8 = 8;

/// One change of a goroutine's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) time_ns: u64,
    pub(crate) from: u8,
    pub(crate) to: u8,
    pub(crate) reason: u8,
    pub(crate) by: Option<u64>,
}

/// What each goroutine did, from its birth to its end.
pub(crate) struct Book {
    pub(crate) by_goid: HashMap<u64, Vec<Change>>,
}

impl Book {
    pub(crate) fn new(events: &[Event]) -> Book {
        let mut by_goid: HashMap<u64, Vec<Change>> = HashMap::new();
        let mut births: HashMap<u64, Change> = HashMap::new();
        for event in events {
            let &Event::Transition { time_ns, g, goid, from, to, reason, by, .. } = event else { continue };
            let change = Change { time_ns, from, to, reason, by };
            // Some versions number a goroutine after it was made runnable.
            if is_dead(from) {
                births.insert(g, change);
                continue;
            }
            let changes = by_goid.entry(goid).or_default();
            if event.was_at_work() {
                // So it never waited.
                changes.pop();
                continue;
            }
            changes.extend(births.remove(&g));
            changes.push(change);
        }
        Book { by_goid }
    }

    pub(crate) fn of(&self, goid: u64) -> Result<&[Change]> {
        self.by_goid.get(&goid).map(Vec::as_slice).with_context(|| format!("goroutine {goid} was not seen"))
    }

    /// From its birth to its end.
    pub(crate) fn all(&self, goid: u64) -> Result<u64> {
        let changes = self.of(goid)?;
        let (first, last) = changes.first().zip(changes.last()).context("nothing")?;
        ensure!(is_dead(first.from) && is_dead(last.to), "goroutine {goid} was not there from birth to end");
        Ok(last.time_ns - first.time_ns)
    }

    /// From its birth until it woke who started it. It ends a little later.
    fn until_woke(&self, goid: u64) -> Result<u64> {
        let birth = self.of(goid)?.first().context("nothing")?;
        let mut wakes = self.of(birth.by.context("nobody started it")?)?.iter().rev();
        let woke = wakes.find(|change| change.from == WAITING && change.by == Some(goid));
        Ok(woke.context("it woke nobody")?.time_ns - birth.time_ns)
    }

    /// Time in a state.
    pub(crate) fn time(&self, goid: u64, state: u8) -> Result<u64> {
        let pairs = self.of(goid)?.windows(2);
        Ok(pairs.filter(|pair| pair[0].to == state).map(|pair| pair[1].time_ns - pair[0].time_ns).sum())
    }
}

pub(crate) fn is_dead(status: u8) -> bool {
    matches!(status, 0 | DEAD | 11)
}

/// How often `goid` went from one state into another.
pub(crate) fn count(changes: &[Change], from: u8, to: u8) -> usize {
    changes.iter().filter(|change| (change.from, change.to) == (from, to)).count()
}

pub(crate) fn all_are_seen(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let options = Options { transitions: true, ..Options::default() };
    let mut target = Target::start("transitions", toolchain, variant, &[], options)?;
    let done: Done = serde_json::from_str(&target.ask("")?)?;
    let counts = target.tracer.counts()?;
    ensure!((counts.lost, counts.full, counts.malformed, counts.unreadable) == (0, 0, 0, 0), "{counts:?}");
    // The last goroutine says what it did before it has ended.
    let mut book = Book::new(&target.events);
    wait_until("the end of the last goroutine", || {
        target.poll();
        book = Book::new(&target.events);
        Ok(book.all(done.spinner).is_ok())
    })?;
    continuous(&book)?;
    let reason = |change: &Change| target.runtime.wait_reason(change.reason).to_owned();
    let wakers = |goid: u64, why: &str| -> Result<Vec<Option<u64>>> {
        let pairs = book.of(goid)?.windows(2);
        Ok(pairs.filter(|pair| pair[0].to == WAITING && reason(&pair[0]) == why).map(|pair| pair[1].by).collect())
    };

    // With one processor, each of the two waits for the other once in each round, whether to send or to receive.
    for (goid, other) in [(done.ping, done.pong), (done.pong, done.ping)] {
        let wakers = [wakers(goid, "chan send")?, wakers(goid, "chan receive")?].concat();
        // Whoever is preempted lets the other one be ahead; and one of them may begin or end with a wait.
        let preempted = count(book.of(goid)?, RUNNING, RUNNABLE) + count(book.of(other)?, RUNNING, RUNNABLE);
        ensure!(
            wakers.len().abs_diff(done.rounds) <= preempted + 1,
            "{}, {preempted} preempted: {done:?}",
            wakers.len()
        );
        ensure!(wakers.iter().all(|by| *by == Some(other)), "{done:?}");
    }

    // Nobody wakes who sleeps.
    ensure!(wakers(done.sleeper, "sleep")? == vec![None; done.sleeps], "{:?}", wakers(done.sleeper, "sleep")?);
    between("slept", book.until_woke(done.sleeper)?, done.slept_ns, done.slept_outer_ns)?;

    // Each call is entered and left once.
    let changes = book.of(done.caller)?;
    let (entered, left) = (count(changes, RUNNING, SYSCALL), count(changes, SYSCALL, RUNNING));
    ensure!(entered == 2 * done.calls, "{entered} calls of {done:?}");
    ensure!(left + count(changes, SYSCALL, RUNNABLE) == entered, "{left} left of {done:?}");

    // Goroutines are born of whom they say, and end.
    let children = book.by_goid.values().filter(|changes| {
        changes.first().is_some_and(|birth| is_dead(birth.from) && birth.by == Some(done.mother))
            && changes.last().is_some_and(|end| is_dead(end.to))
    });
    let children = children.count();
    ensure!(children == done.births, "{children} were born of {done:?}");

    // Who waits for a lock is woken by who held it.
    let for_lock = book.of(done.locker)?.windows(2).filter(|pair| pair[0].to == WAITING);
    let for_lock: Vec<_> = for_lock.map(|pair| (pair[1].by, pair[1].time_ns - pair[0].time_ns)).collect();
    ensure!(for_lock.len() == 1 && for_lock[0].0 == Some(done.holder), "{for_lock:?}, {done:?}");
    between("locked", done.locked_ns, for_lock[0].1, book.all(done.locker)?)?;

    // Whoever pulls and whoever is pulled from let each other run: once for each value, and once to end.
    if done.puller != 0 {
        for (goid, other) in [(done.puller, done.pulled), (done.pulled, done.puller)] {
            let changes = book.of(goid)?;
            let woken: Vec<_> =
                changes.iter().filter(|change| (change.from, change.to) == (WAITING, RUNNING)).collect();
            ensure!(woken.len() == done.pulls + 1, "{} times: {done:?}", woken.len());
            ensure!(woken.iter().all(|change| change.by == Some(other)), "{done:?}");
            ensure!(wakers(goid, "coroutine")? == vec![Some(other); done.pulls + 1], "{done:?}");
        }
        ensure!(book.all(done.puller)? >= book.all(done.pulled)?, "{done:?}");
    }

    // Who is stopped to be scanned waits until it is woken. It may have been scanned while it was not running.
    let stopped = wakers(done.scanned, "preempted")?;
    println!("{}: stopped {} times in {} collections", toolchain.version, stopped.len(), done.scans);
    ensure!(!stopped.is_empty() && stopped.len() <= 2 * done.scans, "{stopped:?}, {done:?}");
    ensure!(stopped.iter().all(Option::is_some), "{stopped:?}, {done:?}");
    ensure!(counts.contradicted == 0, "{counts:?}");

    // Who computes runs, or wants to, or moves its stack, and nothing else.
    let times = [RUNNING, RUNNABLE, COPYSTACK].map(|state| book.time(done.spinner, state));
    let (all, at_work) = (book.all(done.spinner)?, times.into_iter().sum::<Result<u64>>()?);
    ensure!(all == at_work, "{all} ns, of which {at_work} ns at work");
    between("spun", book.until_woke(done.spinner)?, done.spun_ns, done.spun_outer_ns)
}

/// Each goroutine leaves the state that it has entered.
fn continuous(book: &Book) -> Result<()> {
    for (goid, changes) in &book.by_goid {
        for pair in changes.windows(2) {
            ensure!(pair[0].to == pair[1].from, "goroutine {goid}: {pair:?}");
            ensure!(pair[0].time_ns <= pair[1].time_ns, "goroutine {goid}: {pair:?}");
        }
    }
    Ok(())
}

fn between(what: &str, ns: u64, least_ns: u64, most_ns: u64) -> Result<()> {
    ensure!((least_ns..=most_ns).contains(&ns), "{what}: {ns} ns, which is not between {least_ns} and {most_ns} ns");
    Ok(())
}

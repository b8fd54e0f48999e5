//! A trace that is being taken.

use std::os::fd::OwnedFd;

use crate::event::Event;
use crate::loader::ring::Ring;
use crate::loader::{self, Loaded, cpus, sys};
use crate::shared::constants::{COUNTS, TIMED, TIMED_NS};
use crate::shared::{Counter, Number, Shared, tables};
use crate::{Plan, SiteKind, Times, TraceError, TrapCost, monotonic_ns, trap_cost};

/// The most entries that are read of one of the program's maps.
const MAX_ENTRIES: usize = 1 << 20;

/// Probes in a process, and what they tell. Dropping it takes them out.
pub struct Tracer {
    loaded: Loaded,
    ring: Ring,
    link: Option<OwnedFd>,
    cpus: usize,
    start_ns: u64,
    traps: TrapCost,
    malformed: u64,
}

/// What the program took for some of the hits of one kind of site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// How many were timed: about one in 64.
    pub hits: u64,
    /// Nanoseconds that it took for them.
    pub ns: u64,
}

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hits of the probes, by kind, in the order of [`SiteKind::ALL`].
    pub hits: [u64; SiteKind::ALL.len()],
    /// What the program took for them, in the same order.
    pub programs: [Timed; SiteKind::ALL.len()],
    /// Events for which the ring had no room.
    pub lost: u64,
    /// Goroutines, requests or start functions beyond what is kept.
    pub full: u64,
    /// Times that the target's memory could not be read: a probe cannot wait for a page that is not there.
    pub unreadable: u64,
    /// Goroutines that left another state than the one they had entered: transitions were missed, or made elsewhere.
    pub contradicted: u64,
    /// Requests that seemed to begin twice, because their goroutine's stack grew; they are reported once.
    pub repeated: u64,
    /// Requests that the filter did not want.
    pub filtered: u64,
    /// Requests with so many headers that none was read.
    pub headers_unread: u64,
    /// Slow requests whose headers had been replaced by the time that they ended, and were not read.
    pub headers_gone: u64,
    /// Requests that were no longer in memory when the pattern was asked for that they had matched, if they had.
    pub pattern_gone: u64,
    /// Records that made no sense.
    pub malformed: u64,
}

impl Counts {
    /// Hits of all probes.
    pub fn all_hits(&self) -> u64 {
        self.hits.iter().sum()
    }

    /// What the hits took from the target, in nanoseconds, if a trap took this long at each kind of site.
    pub fn cost_ns(&self, trap_ns: &[f64; SiteKind::ALL.len()]) -> f64 {
        let each = self.hits.iter().zip(&self.programs).zip(trap_ns);
        each.map(|((&hits, timed), trap_ns)| hits as f64 * (trap_ns + timed.ns as f64 / timed.hits.max(1) as f64)).sum()
    }
}

/// What is known of a goroutine that was there at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// Its g.
    pub g: u64,
    /// Its number; 0 if it had none yet.
    pub goid: u64,
    /// Its creator's number, 0 if it was there before.
    pub parent: u64,
    /// Where the function begins that it was started with.
    pub start_pc: u64,
    /// The request that it works for.
    pub request: Option<u64>,
    /// Since when it has been doing what it does, in nanoseconds of `CLOCK_MONOTONIC`.
    pub since_ns: u64,
    /// What that is.
    pub class: u8,
    /// How often it changed its state.
    pub transitions: u64,
    /// What it did until now.
    pub total_ns: Times,
}

/// Sums over goroutines that have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Where the function begins that they were started with.
    pub start_pc: u64,
    /// How many there were.
    pub count: u64,
    /// How often they changed their state.
    pub transitions: u64,
    /// What they did.
    pub total_ns: Times,
}

impl Tracer {
    /// Loads the program and sets the probes.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn start(plan: &Plan) -> Result<Tracer, TraceError> {
        let loaded = loader::load(plan)?;
        let ring_map = loaded.map("ring")?;
        let ring = Ring::new(&ring_map.fd, ring_map.spec.max_entries)
            .map_err(|source| TraceError::of("mapping the ring", source))?;
        let traps = trap_cost::measure(&loaded)?;
        let mut tracer = Tracer { loaded, ring, link: None, cpus: cpus::possible(), start_ns: 0, traps, malformed: 0 };
        tracer.attach(plan)?;
        Ok(tracer)
    }

    /// Sets the probes again after [`Tracer::detach`], as the plan says that it was started with.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn attach(&mut self, plan: &Plan) -> Result<(), TraceError> {
        self.tell_start(0)?;
        self.link = Some(self.loaded.attach(plan)?);
        if !plan.options.traps_only {
            self.tell_start(monotonic_ns())?;
        }
        // What was there before is known from now on; what changed its state before this is known from then on. The clock is
        // read only now that the program works: this thread may have had to wait for a CPU, and what begins meanwhile would be
        // seen by no probe.
        self.start_ns = monotonic_ns();
        if plan.options.traps_only { Ok(()) } else { self.tell_start(self.start_ns) }
    }

    /// Tells the program when all probes were set; 0: they are not yet.
    fn tell_start(&self, start_ns: u64) -> Result<(), TraceError> {
        self.tell(Number::Start, start_ns)
    }

    /// Says from how many nanoseconds on a request is slow, for [`crate::Options::ids_of_slow`]; 0, as at the start: all are.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_slow(&self, duration_ns: u64) -> Result<(), TraceError> {
        self.tell(Number::Slow, duration_ns)
    }

    fn tell(&self, which: Number, number: u64) -> Result<(), TraceError> {
        let numbers = self.loaded.map("numbers")?;
        sys::update(&numbers.fd, numbers.spec, &(which as u32).to_ne_bytes(), &number.to_ne_bytes())
            .map_err(|source| TraceError::of("filling a map", source))
    }

    /// When it began, in nanoseconds of `CLOCK_MONOTONIC`: what goroutines do is known from then on.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// What a hit takes here apart from the program, measured before the probes were set.
    pub fn trap_cost(&self) -> TrapCost {
        self.traps
    }

    /// Gives what has happened since it was last asked. Ask some twenty times a second.
    pub fn poll(&mut self, each: &mut dyn FnMut(Event)) {
        let malformed = &mut self.malformed;
        self.ring.drain(&mut |record| match Event::decode(record) {
            Some(event) => each(event),
            None => *malformed += 1,
        });
    }

    /// Takes the probes out of the target. What was sent until then can still be asked for.
    pub fn detach(&mut self) {
        // They are taken out one after the other, and until all are gone some of what happens is not seen. Should the kernel
        // refuse, what contradicts is counted.
        self.tell_start(0).ok();
        self.link = None;
    }

    /// How often what happened.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn counts(&self) -> Result<Counts, TraceError> {
        let map = self.loaded.map("counts")?;
        let mut all = [0u64; COUNTS];
        for (number, sum) in (0u32..).zip(&mut all) {
            let mut value = vec![0; 8 * self.cpus];
            sys::lookup(&map.fd, map.spec, self.cpus, &number.to_ne_bytes(), &mut value)
                .map_err(|source| TraceError::of("reading a map", source))?;
            *sum = value.chunks_exact(8).filter_map(u64::read).sum();
        }
        let of = |number: usize| all.get(number).copied().unwrap_or(0);
        let counter = |which: Counter| of(which as usize);
        Ok(Counts {
            hits: std::array::from_fn(of),
            programs: std::array::from_fn(|kind| Timed { hits: of(TIMED + kind), ns: of(TIMED_NS + kind) }),
            lost: counter(Counter::Lost),
            full: counter(Counter::Full),
            unreadable: counter(Counter::Unreadable),
            contradicted: counter(Counter::Contradicted),
            repeated: counter(Counter::Repeated),
            filtered: counter(Counter::Filtered),
            headers_unread: counter(Counter::HeadersUnread),
            headers_gone: counter(Counter::HeadersGone),
            pattern_gone: counter(Counter::PatternGone),
            malformed: self.malformed,
        })
    }

    /// The goroutines that were seen and have not ended. Times are until their last transition: what they have been doing
    /// since is to be added by whoever knows when to stop.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn goroutines(&self) -> Result<Vec<Goroutine>, TraceError> {
        let entries = self.entries("goroutines")?;
        Ok(entries.iter().filter_map(|(g, value)| goroutine(*g, value)).collect())
    }

    /// The goroutines that have ended, by their start function.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ended(&self) -> Result<Vec<Ended>, TraceError> {
        let entries = self.entries("by_start")?;
        Ok(entries
            .iter()
            .filter_map(|(start_pc, value)| {
                let tables::Ended { count, transitions, total } = Shared::read(value)?;
                Some(Ended { start_pc: *start_pc, count, transitions, total_ns: total })
            })
            .collect())
    }

    /// What is in a map whose keys are numbers of 8 bytes. Of one that changes meanwhile, some may be missing.
    fn entries(&self, name: &str) -> Result<Vec<(u64, Vec<u8>)>, TraceError> {
        let map = self.loaded.map(name)?;
        let failed = |source| TraceError::of("reading a map", source);
        let (mut entries, mut key) = (Vec::new(), None::<Vec<u8>>);
        while let Some(next) = sys::next_key(&map.fd, map.spec, key.as_deref()).map_err(failed)? {
            let mut value = vec![0; (map.spec.value_size as usize).next_multiple_of(8)];
            let number = u64::read(&next).unwrap_or(0);
            match sys::lookup(&map.fd, map.spec, 1, &next, &mut value) {
                Ok(()) => entries.push((number, value)),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(failed(error)),
            }
            if entries.len() >= MAX_ENTRIES {
                break;
            }
            key = Some(next);
        }
        Ok(entries)
    }
}

fn goroutine(g: u64, value: &[u8]) -> Option<Goroutine> {
    let known = tables::Goroutine::read(value)?;
    Some(Goroutine {
        g,
        goid: known.goid,
        parent: known.parent,
        start_pc: known.start,
        request: (known.request != 0).then_some(known.request),
        since_ns: known.since,
        class: known.class,
        transitions: known.transitions,
        total_ns: known.total,
    })
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("attached", &self.link.is_some()).finish_non_exhaustive()
    }
}

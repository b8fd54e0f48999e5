//! How often what was seen was right.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail, ensure};
use fgspy_fixtures::requests::LoggedRequest;
use fgspy_goroutines::Status;
use fgspy_goroutines::request::Identity;

use crate::truth::{Truth, Verdict, has_all_ids};
use crate::watch::Seen;

/// What became of the observations of the requests that came to one listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    /// Goroutines that were in a handler all the time, and whose request was seen.
    pub(crate) found: u64,
    /// The same, not seen.
    pub(crate) missed: u64,
    /// Of those found, running or wanting to.
    pub(crate) active: u64,
    /// Requests that were seen at a goroutine on the way into or out of a handler.
    pub(crate) around: u64,
    /// Requests whose route was seen.
    pub(crate) routes: u64,
    /// Paths of requests of which not all ids were seen.
    nameless: BTreeMap<String, u64>,
    /// What was said of goroutines that were missed.
    instead: BTreeMap<String, u64>,
}

impl Share {
    /// Of the goroutines that were in a handler, those whose request was seen.
    pub(crate) fn found(&self) -> f64 {
        self.found as f64 / (self.found + self.missed) as f64
    }
}

/// What became of the observations of a program.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) shares: BTreeMap<String, Share>,
    /// Requests that were seen: every one of them is right.
    pub(crate) right: u64,
    /// Of those, how often a goroutine had only to forget its request.
    forgetting: u64,
    /// Goroutines in handlers that were on the move, so that nothing is believed of them.
    rejected: u64,
}

/// Compares what was seen with the truth.
///
/// # Errors
/// When a request was seen at a goroutine that did not serve it then, when one request was taken for two, or two for one,
/// or when something was read that is nobody's business.
pub(crate) fn compare(log: &[LoggedRequest], all_seen: &[Seen]) -> Result<Tally> {
    let truth = Truth::new(log);
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    let mut identities: HashMap<(u64, i64), Identity> = HashMap::new();
    let mut owners: HashMap<Identity, (u64, i64)> = HashMap::new();
    for seen in all_seen {
        let said = format!("{:?}", seen.request);
        ensure!(!said.contains("secret"), "this should not have been read: {said}");
        let verdict = match truth.judge(seen) {
            Ok(verdict) => verdict,
            Err(error) => {
                wrong.push(error.context(format!("{seen:?}")));
                continue;
            }
        };
        tally.add(seen, &verdict);
        if let (Some(request), Verdict::Right(logged) | Verdict::Forgetting(logged)) = (&seen.request, verdict) {
            let this = (logged.goroutine, logged.start);
            let known = *identities.entry(this).or_insert(request.identity);
            ensure!(known == request.identity, "{known:?} became {:?}: {logged:?}", request.identity);
            let owner = *owners.entry(request.identity).or_insert(this);
            ensure!(owner == this, "{owner:?} has the identity of {this:?}: {seen:?}");
        }
    }
    if let Some(first) = wrong.first() {
        bail!("{} of {} requests seen are wrong; the first: {first:#}", wrong.len(), tally.right);
    }
    Ok(tally)
}

impl Tally {
    fn add(&mut self, seen: &Seen, verdict: &Verdict<'_>) {
        self.right += u64::from(seen.request.is_some());
        self.forgetting += u64::from(matches!(verdict, Verdict::Forgetting(_)));
        let logged = match verdict {
            Verdict::Right(logged) | Verdict::Forgetting(logged) | Verdict::Either(logged) => logged,
            Verdict::Missed(logged) => logged,
            Verdict::Nothing => return,
        };
        let share = self.shares.entry(logged.listener.clone()).or_default();
        if let Some(request) = &seen.request {
            share.routes += u64::from(request.route.is_some());
            // Which of two without ids it is, is not known.
            if !has_all_ids(request, logged) && !matches!(verdict, Verdict::Either(_)) {
                *share.nameless.entry(logged.path.clone()).or_default() += 1;
            }
        }
        if !(logged.start <= seen.before && seen.after <= logged.end) {
            share.around += 1;
        } else if seen.request.is_some() {
            share.found += 1;
            share.active += u64::from(!matches!(seen.status, Status::Waiting | Status::Syscall));
        } else if seen.rejected {
            self.rejected += 1;
        } else {
            share.missed += 1;
            *share.instead.entry(format!("{:?} {}", seen.status, seen.instead)).or_default() += 1;
        }
    }

    /// Prints it.
    pub(crate) fn print(&self, name: &str) {
        let Tally { right, forgetting, rejected, .. } = self;
        println!("{name}: {right} right, of which {forgetting} left; {rejected} in handlers were on the move");
        for (listener, share) in &self.shares {
            let Share { found, missed, active, around, routes, nameless, instead } = share;
            let part = 100.0 * share.found();
            println!(
                "  {listener}: {part:.3} % of {} ({active} active), {around} around, {routes} with route; missed: {instead:?}; without ids: {nameless:?}",
                found + missed
            );
        }
    }

    /// Checks that of at least `least` goroutines in handlers, at each of the listeners, this part was found.
    ///
    /// # Errors
    /// When it was not.
    pub(crate) fn ensure_found(
        &self,
        listeners: impl IntoIterator<Item = impl AsRef<str>>,
        least: u64,
        part: f64,
    ) -> Result<()> {
        for listener in listeners {
            let listener = listener.as_ref();
            let share = self.shares.get(listener).cloned().unwrap_or_default();
            ensure!(share.found + share.missed >= least, "{listener}: too few to tell: {share:?}");
            ensure!(share.found() >= part, "{listener}: {share:?}");
            let nameless: u64 = share.nameless.values().sum();
            ensure!(nameless * 100 <= share.found + share.around, "{listener}: {share:?}");
        }
        let active: u64 = self.shares.values().map(|share| share.active).sum();
        ensure!(active >= least / 5, "only {active} that run or want to were found");
        Ok(())
    }
}

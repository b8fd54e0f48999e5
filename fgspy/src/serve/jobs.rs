//! Recordings and dumps for clients, in threads of their own, a limited number at a time.

use std::sync::Arc;

use fgspy_export::{Format, write};
use fgspy_goroutines::TargetError;
use fgspy_goroutines::census;
use fgspy_memory::ProcError;
use fgspy_sampler::{Options, Stop};
use hyper::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::answer::{self, Answer, Refusal};
use super::ending::{Ending, end};
use super::request::{Detail, Recording};
use super::target::{Watched, is_gone};
use super::{goroutines, index};
use crate::args::view::{self, RouteArgs};
use crate::ending;

/// Recordings at a time. Each reads all goroutines at its own ticks.
const MAX_RECORDINGS: usize = 4;
/// Ticks a second; what fgprof does.
const RATE_HZ: f64 = 99.0;

pub(super) struct Jobs {
    watched: Arc<Watched>,
    /// How much a recording may use, and what of requests it reads.
    limits: Options,
    route: RouteArgs,
    ending: Ending,
    recordings: Arc<Semaphore>,
    /// Looks at all goroutines take their turns: one is short.
    looks: Arc<Semaphore>,
}

impl Jobs {
    pub(super) fn new(watched: Arc<Watched>, limits: Options, route: RouteArgs, ending: Ending) -> Jobs {
        let (recordings, looks) = (Arc::new(Semaphore::new(MAX_RECORDINGS)), Arc::new(Semaphore::new(1)));
        Jobs { watched, limits, route, ending, recordings, looks }
    }

    /// Records. Ends early, with what there is by then, when the server ends; and with nothing when the client leaves
    /// (its connection then drops this future).
    pub(super) async fn record(&self, recording: Recording) -> Result<Answer, Refusal> {
        let Ok(place) = Arc::clone(&self.recordings).try_acquire_owned() else {
            let sentence = format!("{MAX_RECORDINGS} recordings are under way, which is the limit; try again later");
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        };
        let stop = Stop::new();
        let _when_dropped = StopOnDrop(stop.clone());
        let mut job = spawn_blocking({
            let (watched, limits, route, stop) =
                (Arc::clone(&self.watched), self.limits, self.route.clone(), stop.clone());
            move || {
                let _place = place;
                record(&watched, limits, &route, &recording, &stop)
            }
        });
        let mut ending = self.ending.clone();
        let in_time = tokio::select! {
            done = &mut job => Some(done),
            _ = end(&mut ending) => None,
        };
        let done = match in_time {
            Some(done) => done,
            None => {
                stop.request();
                job.await
            }
        };
        done.unwrap_or_else(|_| Err(failed()))
    }

    /// The page that says what there is.
    pub(super) async fn index(&self) -> Result<Answer, Refusal> {
        let watched = Arc::clone(&self.watched);
        // In a thread of its own: another request may be reading a new executable, and this waits for it.
        let job = spawn_blocking(move || answer::page(index::page(&watched.describe())));
        job.await.map_err(|_| failed())
    }

    /// Reads all goroutines.
    pub(super) async fn goroutines(&self, detail: Detail) -> Result<Answer, Refusal> {
        let place = Arc::clone(&self.looks).acquire_owned().await.map_err(|_| failed())?;
        let watched = Arc::clone(&self.watched);
        let job = spawn_blocking(move || {
            let _place = place;
            look(&watched, detail)
        });
        job.await.unwrap_or_else(|_| Err(failed()))
    }
}

/// Ends a recording whose client has gone.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}

fn record(
    watched: &Watched,
    limits: Options,
    route: &RouteArgs,
    recording: &Recording,
    stop: &Stop,
) -> Result<Answer, Refusal> {
    let target = watched.open().map_err(|error| unavailable(&error))?;
    let options = Options { rate_hz: RATE_HZ, duration: Some(recording.time), ..limits };
    let (mut profile, ended) = fgspy_sampler::record_profile(target, options, stop, &mut |_, _| {});
    if let Some(event) = ending::early(ended) {
        if profile.samples.is_empty() {
            let sentence = format!("nothing was recorded: {event} before the first tick");
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        }
        profile.accounting.remarks.push(format!("{event}; this is what was recorded until then"));
    }
    let mut body = Vec::new();
    view::reroute(&mut profile, route);
    let shown = view::shown(&profile, &recording.filter, recording.group_by);
    write(&shown, recording.format, &mut body).map_err(|_| failed())?;
    Ok(answer::profile(body, recording.format, recording.name))
}

fn look(watched: &Watched, detail: Detail) -> Result<Answer, Refusal> {
    let target = watched.open().map_err(|error| unavailable(&error))?;
    let goroutines = census(&target.runtime, &target.memory)
        .map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let look = goroutines::Look::new(&target, &goroutines);
    let mut body = Vec::new();
    let written = match detail {
        Detail::Pprof => look.write_pprof(&mut body),
        Detail::Counted => look.write_counted(&mut body),
        Detail::Each => look.write_each(&mut body),
    };
    written.map_err(|_| failed())?;
    Ok(match detail {
        Detail::Pprof => answer::profile(body, Format::Pprof, "goroutine"),
        Detail::Counted | Detail::Each => answer::text(body),
    })
}

/// The target cannot be read (any more).
fn unavailable(error: &TargetError) -> Refusal {
    let status = match error {
        TargetError::Process(error) if is_gone(error) => StatusCode::NOT_FOUND,
        TargetError::Proc(ProcError::Gone) => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, error.to_string())
}

/// Writing to memory does not fail, nor do jobs panic; should they, this is what the client learns.
fn failed() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "fgspy failed internally; please report this")
}

#[cfg(test)]
mod tests {
    use fgspy_memory::OpenError;

    use super::*;

    #[test]
    fn a_target_that_is_gone_is_not_found_and_one_that_cannot_be_read_is_unavailable() {
        let gone = unavailable(&TargetError::Process(OpenError::Exited { pid: 7 }));
        assert_eq!(gone.status, 404);
        assert_eq!(gone.sentence, "process 7 has exited already (it is a zombie until its parent collects it)");
        assert_eq!(unavailable(&TargetError::Process(OpenError::NoSuchProcess { pid: 7 })).status, 404);
        assert_eq!(unavailable(&TargetError::Proc(ProcError::Gone)).status, 404);
        let other = TargetError::NotGo { pid: 7, path: "/bin/sh".to_owned(), source: fgspy_gobin::Error::NotGo };
        assert_eq!(unavailable(&other).status, 503);
        assert!(unavailable(&other).sentence.starts_with("process 7 runs /bin/sh: not a Go executable"));
        assert_eq!(unavailable(&TargetError::Process(OpenError::Unstable { pid: 7 })).status, 503);
    }
}

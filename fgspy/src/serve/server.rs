//! Connections: accepting them, bounding them, ending them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::answer::{self, Refusal};
use super::ending::{End, Ending, end};
use super::guard;
use super::jobs::Jobs;
use super::request::Wanted;

/// Connections at a time; further clients wait.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The largest request, which has no body.
const MAX_REQUEST_BYTES: usize = 16 << 10;
/// The longest a connection may last: the longest recording, and time to take in the answer.
const CONNECTION_TIME: Duration = Duration::from_secs(3600 + 600);
/// How long clients have, at the end, to take in what was recorded for them.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long to wait after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `ending` has a reason to end, which it returns.
pub(super) async fn serve(listener: TcpListener, jobs: Jobs, mut ending: Ending) -> End {
    let local = listener.local_addr().is_ok_and(guard::is_loopback);
    let service = Arc::new(Service { jobs, local });
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let reason = loop {
        let accepted = tokio::select! {
            reason = end(&mut ending) => break reason,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        let service = Arc::clone(&service);
        let connection = http().serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { Ok::<_, Infallible>(service.respond(&request).await) }
            }),
        );
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What goes wrong with a connection is its client's business.
            let _ = timeout(CONNECTION_TIME, connection).await;
            drop(place);
        });
    };
    // Recordings under way end with what they have.
    let _ = timeout(FAREWELL, graceful.shutdown()).await;
    reason
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // Profiles are asked for rarely: a connection each, so that none lies idle.
    http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(REQUEST_TIME).max_buf_size(MAX_REQUEST_BYTES);
    http
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(_) => {
            sleep(PAUSE).await;
            None
        }
    }
}

struct Service {
    jobs: Jobs,
    /// Listens on loopback.
    local: bool,
}

impl Service {
    async fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.answer(request).await.map_or_else(Refusal::into_response, answer::Answer::into_response)
    }

    async fn answer(&self, request: &Request<Incoming>) -> Result<answer::Answer, Refusal> {
        guard::check(request, self.local)?;
        match Wanted::parse(request.uri().path(), request.uri().query().unwrap_or_default())? {
            Wanted::Index => self.jobs.index().await,
            Wanted::Recording(recording) => self.jobs.record(*recording).await,
            Wanted::Goroutines(detail) => self.jobs.goroutines(detail).await,
        }
    }
}

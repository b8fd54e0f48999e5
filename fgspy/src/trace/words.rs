//! Names of states and requests in what `fgspy trace` writes.

use fgspy_probes::{OneRequest, class};
use fgspy_profile::{Class, Phase, route};

use crate::terminal::escape::clean;

/// The state of a goroutine that has a thread, whether or not a CPU runs that thread.
pub(super) const RUNNING: &str = "running";

/// The word for a phase. Not everything that the Go runtime calls running is on a CPU; only `fgspy requests` distinguishes them.
pub(super) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::OnCpu => RUNNING,
        _ => phase.word(),
    }
}

/// The word for a state in files, by the number of its class.
pub(super) fn state_word(number: u8) -> &'static str {
    match class(number) {
        Class::RunningOffCpu => Class::Running.word(),
        class => class.word(),
    }
}

/// The route of a request that is not over: its pattern is not known yet.
pub(super) fn provisional_route(one: &OneRequest) -> String {
    route(one.protocol, &one.method, &one.path, "")
}

/// The id of the request's trace, else its own id; empty if it has none. Only ids are taken from headers, nothing else.
pub(super) fn identity(one: &OneRequest) -> String {
    let [traceparent, b3, b3_trace, _, uber, request_id] = one.headers.values.each_ref().map(|value| text(value));
    let part = |text: &str, separator: char, at: usize| text.split(separator).nth(at).unwrap_or_default().to_owned();
    let traces = [part(&traceparent, '-', 1), part(&b3, '-', 0), b3_trace, part(&uber, ':', 0)];
    traces.into_iter().find(|id| is_id(id)).unwrap_or(request_id)
}

fn text(value: &[u8]) -> String {
    clean(&String::from_utf8_lossy(value))
}

/// The digits of a trace id, as many as W3C's or half of it.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 8..=32)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte != b'0')
}

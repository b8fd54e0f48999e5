//! What a reader has to know to take the report for no more than it is.

use fgspy_export::summary;
use fgspy_profile::{Idle, Known, Mean, Profile, RequestFindings, ServingTotals, units};

use crate::terminal::escape::clean;

/// Go versions before this do not say who started a goroutine.
const CHILDREN_SINCE: u32 = 21;
/// Functions that only servers have on their stacks.
const SERVERS: &[&str] =
    &["net/http.(*Server).Serve", "net/http.(*conn).serve", "google.golang.org/grpc.(*Server).Serve"];

/// `12 requests of 2 routes seen`
pub(super) fn seen(requests: usize, routes: usize) -> String {
    match (requests, routes) {
        (0, _) => "no request seen".to_owned(),
        (1, _) => "1 request seen".to_owned(),
        (_, 1) => format!("{requests} requests of 1 route seen"),
        _ => format!("{requests} requests of {routes} routes seen"),
    }
}

/// Why no request is shown, and what to do.
pub(super) fn why_nothing(found: &RequestFindings<'_>) -> Vec<String> {
    let whole = found.whole;
    let Some(totals) = whole.serving_totals().filter(|totals| totals.requests == 0) else {
        return vec![no_match(whole)];
    };
    // Every server that listens has an accept loop, also one without HTTP.
    let idle = |(idle, ns): &(Idle, u64)| *idle != Idle::Accepting && *ns > 0;
    let has_server =
        totals.by_idle_ns.iter().any(idle) || whole.functions.iter().any(|f| SERVERS.contains(&whole.string(f.name)));
    if has_server && totals.unknown_ns > totals.idle_ns {
        vec![
            "The program has a server, but it is unknown which requests its goroutines serve. `fgspy doctor -p PID` checks what \
             fgspy can read of this program."
                .to_owned(),
        ]
    } else if has_server {
        vec![
            "The program has a server, but no request was seen at any tick: there was no traffic, or every request ended \
             within a few ticks. Send requests, record for longer (-d), or use more ticks a second (--rate 999)."
                .to_owned(),
        ]
    } else {
        vec![
            "No HTTP or gRPC server was seen in this program. fgspy finds requests that net/http or google.golang.org/grpc \
             serve, and jobs of goroutines whose runtime/pprof labels have a `trace_id` or `span_id`. For other servers \
             (fasthttp, consumers of queues), `fgspy record` shows time by function and by label."
                .to_owned(),
        ]
    }
}

fn no_match(whole: &Profile) -> String {
    let mut routes: Vec<String> = whole.by_route().iter().map(|route| clean(whole.string(route.route))).collect();
    routes.retain(|route| !route.is_empty());
    routes.truncate(20);
    match routes.is_empty() {
        true => "No request matches, and no route was read.".to_owned(),
        false => format!("No request matches. The routes that were seen: {}.", routes.join(", ")),
    }
}

/// Everything else.
pub(super) fn notes(found: &RequestFindings<'_>) -> Vec<String> {
    let whole = found.whole;
    let mut notes = Vec::new();
    if !found.routes.is_empty() {
        notes.extend(how_to_read(found));
    }
    notes.extend(whole.serving_totals().iter().flat_map(|totals| others(whole, totals)));
    if minor(&whole.target.go_version).is_some_and(|minor| minor < CHILDREN_SINCE) {
        notes.push(format!(
            "{} does not record which goroutine started another (1.21 and later do), so goroutines that a request starts are \
             not counted as its children.",
            whole.target.go_version
        ));
    }
    notes.push(quality(whole));
    notes.extend(summary::over_budget(whole));
    notes.extend(whole.accounting.remarks.iter().map(|remark| clean(remark)));
    notes
}

/// What is not known because not all was read.
pub(super) fn rough(found: &RequestFindings<'_>) -> Option<String> {
    let is_rough = !found.all_were_read && !found.routes.is_empty();
    is_rough.then(|| {
        format!(
            "For many requests only a lower bound (≥) of their time is known: {}. Sums and shares are still correct. A higher \
             --max-cpu reads more.",
            summary::reading(&found.whole.accounting)
        )
    })
}

fn how_to_read(found: &RequestFindings<'_>) -> Vec<String> {
    let tick = units::time(found.tick_ns);
    let mut notes = vec![format!(
        "There is one tick every {tick}: a request shorter than that is seen only by chance, so SEEN is not the number of requests \
         served. IN FLIGHT and shares are still correct; ± is the 95% interval, in percentage points. CPU is the share of a \
         request's own time in which its goroutine was on a CPU."
    )];
    notes.extend(signs(found));
    let has = |wanted: Mean| {
        found.all_were_read && found.routes.iter().any(|route| [wanted, Mean::About].contains(&Mean::of(route)))
    };
    if has(Mean::AtMost) {
        notes.push("≤ MEAN: many requests were seen at one tick only, and shorter ones were missed.".to_owned());
    }
    if has(Mean::AtLeast) {
        notes.push("≥ MEAN: for many requests only a lower bound is known.".to_owned());
    }
    if found.routes.iter().any(|route| found.mean_is(route) == Mean::About) {
        notes.push("~ MEAN: an estimate.".to_owned());
    }
    notes
}

/// What the signs in front of the times of requests say, as far as there are any.
fn signs(found: &RequestFindings<'_>) -> Option<String> {
    let has = |wanted: Known| found.requests.iter().any(|time| time.length.known == wanted);
    let near = format!("A time without a sign is exact to two ticks ({})", units::time(2 * found.tick_ns));
    let mut parts: Vec<String> = has(Known::Near).then_some(near).into_iter().collect();
    if has(Known::AtMost) {
        parts.push("≤ is an upper bound: the request was seen at one tick only".to_owned());
    }
    if has(Known::AtLeast) {
        parts.push(
            "≥ is a lower bound: the request began before the recording or went on after it, or was observed too rarely (a late \
             tick, or not every goroutine was read)"
                .to_owned(),
        );
    }
    (!parts.is_empty()).then(|| format!("{}.", parts.join(". ")))
}

/// What the other goroutines of the server did, and how many are unknown.
fn others(whole: &Profile, totals: &ServingTotals) -> Vec<String> {
    let mean = |ns: u64| ns as f64 / whole.duration_ns.max(1) as f64;
    let count = |ns: u64| units::average(mean(ns));
    let idle: Vec<String> = totals
        .by_idle_ns
        .iter()
        .filter(|(_, ns)| *ns > 0)
        .map(|&(idle, ns)| format!("{} {}", count(ns), words_for(idle)))
        .collect();
    let mut notes = Vec::new();
    if !idle.is_empty() {
        notes.push(format!("Idle, on average: {}.", idle.join(", ")));
    }
    let in_server = totals.request_ns.saturating_add(totals.unknown_ns);
    if totals.unknown_ns > 0 && mean(totals.unknown_ns) >= 0.005 {
        notes.push(format!(
            "Unknown: {} goroutines on average ({} of those that may serve requests), because they were not read, or changed \
             while they were read.",
            count(totals.unknown_ns),
            units::percent(totals.unknown_ns, in_server),
        ));
    }
    notes
}

const fn words_for(idle: Idle) -> &'static str {
    match idle {
        Idle::Accepting => "accept loops",
        Idle::Connection => "connections without a request",
        Idle::Transport => "loops of HTTP/2, gRPC and clients",
        Idle::Worker => "pool workers",
    }
}

/// How well the recording went, in one line.
fn quality(whole: &Profile) -> String {
    let accounting = &whole.accounting;
    let seconds = whole.duration_ns as f64 / 1e9;
    let used = accounting.own_cpu_ns.saturating_sub(accounting.first_look_ns);
    format!(
        "{:.1} ticks a second of {}, {} late; {}; fgspy used {} of a core.",
        accounting.ticks as f64 / seconds.max(1e-9),
        accounting.rate_hz,
        accounting.late_ticks,
        summary::reading(accounting),
        units::percent(used, whole.duration_ns),
    )
}

/// 21 of `go1.21.13`.
fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go1.")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (version, expected) in [
            ("go1.21.13", Some(21)),
            ("go1.9", Some(9)),
            ("go1.27rc1", Some(27)),
            ("devel go1.22-abc", None),
            ("", None),
        ] {
            assert_eq!(minor(version), expected, "{version}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(seen(0, 0), "no request seen");
        assert_eq!(seen(1, 1), "1 request seen");
        assert_eq!(seen(5, 1), "5 requests of 1 route seen");
        assert_eq!(seen(5, 2), "5 requests of 2 routes seen");
    }
}

//! What the goroutine of a request did when, as a line of letters.

use std::ops::Range;

use fgspy_profile::{Class, Phase, Profile, Request, RequestBreakdown, Span};

use crate::terminal::style::Style;

/// The letter of a phase.
const fn letter(phase: Phase) -> &'static str {
    match phase {
        Phase::OnCpu => "C",
        Phase::Runnable => "R",
        Phase::Network => "N",
        Phase::Lock => "L",
        Phase::Channel => "H",
        Phase::Sleep => "S",
        Phase::Syscall => "Y",
        Phase::Other => "O",
    }
}

/// Stands for a time of which nothing is known.
const GAP: &str = "·";

/// What the letters of these phases stand for, in one line.
pub(super) fn legend(phases: &[Phase], style: Style) -> String {
    let entries = phases.iter().map(|&phase| format!("{} {}", style.phase(phase, letter(phase)), phase.word()));
    entries.collect::<Vec<_>>().join("  ")
}

/// A time line in letters.
pub(super) fn draw(phases: &[Option<Phase>], style: Style) -> String {
    let runs = phases.chunk_by(|a, b| a == b);
    let draw = |run: &[Option<Phase>]| match run.first().copied().flatten() {
        Some(phase) => style.phase(phase, &letter(phase).repeat(run.len())),
        None => style.dim(&GAP.repeat(run.len())),
    };
    runs.map(draw).collect()
}

/// What of the time line is shown, in nanoseconds since the recording began: as much of its end as the request is known to have
/// taken. A tick stands for the whole period before it, and for more where it came late: the beginning of the line may be before
/// that of the request.
pub(super) fn window(request: &Request, time: &RequestBreakdown, tick_ns: u64) -> Range<u64> {
    let until_ns = time.served_until_ns.max(request.first_ns);
    let from_ns = until_ns.saturating_sub(time.length.rank_ns.max(tick_ns));
    from_ns.max(request.first_ns)..until_ns
}

/// The phase that the request's own goroutine was in for most of each of so many equal parts of the window. `None` where nothing
/// is known.
pub(super) fn phases(profile: &Profile, request: &Request, window: Range<u64>, parts: usize) -> Vec<Option<Phase>> {
    let mut times = vec![[0u64; Phase::COUNT]; parts];
    let duration_ns = window.end.saturating_sub(window.start);
    let edge =
        |part: usize| window.start.saturating_add((u128::from(duration_ns) * part as u128 / parts as u128) as u64);
    for span in request.spans.iter().filter(|span| span.goid == request.goid) {
        let phase = phase_of(profile, span);
        let first =
            u128::from(span.from_ns.saturating_sub(window.start)) * parts as u128 / u128::from(duration_ns.max(1));
        for (part, times) in times.iter_mut().enumerate().skip((first as usize).saturating_sub(1)) {
            if edge(part) >= span.to_ns {
                break;
            }
            let overlap = edge(part + 1).min(span.to_ns).saturating_sub(edge(part).max(span.from_ns));
            times.get_mut(phase.index()).into_iter().for_each(|time| *time += overlap);
        }
    }
    let most = |times: [u64; Phase::COUNT]| {
        let (phase, time) = Phase::ALL.into_iter().zip(times).rev().max_by_key(|(_, time)| *time)?;
        (time > 0).then_some(phase)
    };
    times.into_iter().map(most).collect()
}

fn phase_of(profile: &Profile, span: &Span) -> Phase {
    let reason = span.wait_reason.map_or("", |reason| profile.string(reason));
    Phase::of(Class::of(span.state, reason))
}

#[cfg(test)]
mod tests {
    use fgspy_profile::{Builder, NewRequest, State, Target};

    use super::*;

    #[test]
    fn each_part_is_what_most_of_it_was() {
        let mut builder = Builder::new(Target::default(), 0);
        let mutex = Some(builder.string("sync.Mutex.Lock"));
        let lock = |from_ns, to_ns, goid| Span { from_ns, to_ns, goid, state: State::Waiting, wait_reason: mutex };
        let run = |from_ns, to_ns| Span { from_ns, to_ns, goid: 7, state: State::Running, wait_reason: None };
        // Goroutine 8 is a child.
        let spans = vec![lock(100, 165, 7), lock(100, 300, 8), run(165, 170), run(180, 200), lock(230, 300, 7)];
        let request = NewRequest { goid: 7, first_ns: 100, last_ns: 300, spans, ..NewRequest::default() };
        builder.request(request);
        let profile = builder.finish(1000, Default::default());
        let drawn = |parts| draw(&phases(&profile, &profile.requests[0], 100..300, parts), Style::PLAIN);
        assert_eq!(drawn(20), "LLLLLLC·CC···LLLLLLL");
        assert_eq!(drawn(10), "LLLCC·LLLL");
        let late = draw(&phases(&profile, &profile.requests[0], 230..300, 7), Style::PLAIN);
        assert_eq!(late, "LLLLLLL", "what was before is left out");
        assert_eq!((drawn(1), drawn(0)), ("L".to_owned(), String::new()));
        let coloured = draw(&phases(&profile, &profile.requests[0], 100..300, 4), Style { colour: true });
        assert_eq!(coloured, "\x1b[35mL\x1b[0m\x1b[91mC\x1b[0m\x1b[35mLL\x1b[0m");
        assert_eq!(legend(&[Phase::Lock, Phase::Channel], Style::PLAIN), "L lock  H channel");
    }
}

//! What the goroutine of a request did when: the phases of a time line.

use std::ops::Range;

use crate::{Class, Phase, Profile, Request, RequestBreakdown, Span};

/// The part of the recording that a time line of `request` shows, in nanoseconds since the recording began. It ends with the
/// request and is as long as the request is known to have taken. A tick stands for the whole period before it, and for more if it
/// came late, so the line may begin before the request did.
pub fn timeline_window(request: &Request, time: &RequestBreakdown, tick_ns: u64) -> Range<u64> {
    let until_ns = time.served_until_ns.max(request.first_ns);
    let from_ns = until_ns.saturating_sub(time.length.rank_ns.max(tick_ns));
    from_ns.max(request.first_ns)..until_ns
}

/// The window in `parts` equal parts: for each, the phase that the request's own goroutine was in for most of it. `None` where
/// nothing is known.
pub fn timeline_phases(profile: &Profile, request: &Request, window: Range<u64>, parts: usize) -> Vec<Option<Phase>> {
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
    use super::*;
    use crate::{Builder, NewRequest, State, Target};

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
        let letters = |window, parts| -> String {
            let letter = |phase| match phase {
                Some(Phase::Lock) => 'L',
                Some(Phase::OnCpu) => 'C',
                Some(_) => '?',
                None => '.',
            };
            timeline_phases(&profile, &profile.requests[0], window, parts).into_iter().map(letter).collect()
        };
        assert_eq!(letters(100..300, 20), "LLLLLLC.CC...LLLLLLL");
        assert_eq!(letters(100..300, 10), "LLLCC.LLLL");
        assert_eq!(letters(230..300, 7), "LLLLLLL", "what was before is left out");
        assert_eq!((letters(100..300, 1), letters(100..300, 0)), ("L".to_owned(), String::new()));
    }
}

//! Which part of a profile to look at.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::serving::{is_trace, trace_of_labels};
use crate::{Builder, Profile, Sample, Serving, State, WaitClass};

/// Which samples to keep: those that every part of it accepts. An empty part accepts everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these states.
    pub states: Vec<State>,
    /// Waits for any of these: the word of a [`WaitClass`] (`mutex`) or a wait reason in the runtime's own words
    /// (`chan receive`). Keeps only [`State::Waiting`].
    pub wait: Vec<String>,
    /// Matches the name of any frame of the stack.
    pub focus: Option<Regex>,
    /// Matches the name of no frame of the stack.
    pub ignore: Option<Regex>,
    /// Any of these goroutine ids.
    pub goroutines: Vec<u64>,
    /// All of these labels.
    pub labels: Vec<LabelMatch>,
    /// Matches the route of the request that was served (`GET /orders/{id}`), or its method and path (`GET /orders/17`).
    pub request: Option<Regex>,
    /// The request that was served is part of this trace, or the target's own labels say so (`trace_id`, `trace id` and the
    /// like): its id, or the first eight digits of it or more. Upper and lower case are the same.
    pub trace: Option<String>,
    /// No goroutines of servers that serve no request: [`Serving::Idle`].
    pub no_idle: bool,
}

/// A condition on one label, written `key=value` or, with a regular expression, `key=~regex`.
///
/// Both are those of Prometheus: the value is compared as a whole, the regular expression has to match all of it, and a
/// label that is not there counts as empty.
#[derive(Clone, Debug)]
pub struct LabelMatch {
    /// The label.
    pub key: String,
    /// What its value must be.
    pub value: ValueMatch,
}

/// A condition on the value of a label.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Equal to this.
    Is(String),
    /// Matched by this, which must be anchored at both ends to match all of it.
    Matches(Regex),
}

/// Why a label condition cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum LabelMatchError {
    /// There is no `=`, or nothing before it.
    #[error("the label condition {0:?} is not of the form key=value or key=~regex")]
    Form(String),
    /// The regular expression has an error.
    #[error("the regular expression of the label condition {condition:?}: {source}")]
    Regex {
        /// The condition as given.
        condition: String,
        /// What is wrong with it.
        source: regex::Error,
    },
}

impl FromStr for LabelMatch {
    type Err = LabelMatchError;

    fn from_str(text: &str) -> Result<LabelMatch, LabelMatchError> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => (key.to_owned(), value),
            _ => return Err(LabelMatchError::Form(text.to_owned())),
        };
        let value = match value.strip_prefix('~') {
            None => ValueMatch::Is(value.to_owned()),
            Some(regex) => ValueMatch::Matches(
                Regex::new(&format!("^(?:{regex})$"))
                    .map_err(|source| LabelMatchError::Regex { condition: text.to_owned(), source })?,
            ),
        };
        Ok(LabelMatch { key, value })
    }
}

impl LabelMatch {
    fn accepts<'a>(&self, mut labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        let value = labels.find(|&(key, _)| key == self.key).map_or("", |(_, value)| value);
        match &self.value {
            ValueMatch::Is(wanted) => value == wanted,
            ValueMatch::Matches(regex) => regex.is_match(value),
        }
    }
}

/// The part of `profile` that `filter` accepts.
///
/// A filter that says anything leaves a remark in the accounting, so that no picture of a part passes for the whole. One
/// that says nothing copies nothing: a profile may be large.
pub fn apply<'a>(profile: &'a Profile, filter: &Filter) -> Cow<'a, Profile> {
    let description = filter.to_string();
    if description.is_empty() {
        return Cow::Borrowed(profile);
    }
    let stacks = accepted_stacks(profile, filter);
    let labels: Vec<bool> = (0..profile.label_sets.len())
        .map(|set| filter.labels.iter().all(|wanted| wanted.accepts(profile.labels(crate::LabelSetId(set as u32)))))
        .collect();
    let requests = filter.request.as_ref().map(|regex| {
        profile.requests.iter().map(|request| profile.matches_request(request, regex)).collect::<Vec<bool>>()
    });
    let traces = filter.trace.as_ref().map(|trace| of_trace(profile, trace));
    let mut builder = Builder::new(profile.target.clone(), profile.start_unix_ns);
    builder.import(profile, |sample| {
        stacks.get(sample.stack.index()).copied().unwrap_or(false)
            && labels.get(sample.labels.index()).copied().unwrap_or(false)
            && (filter.states.is_empty() || filter.states.contains(&sample.state))
            && (filter.goroutines.is_empty() || filter.goroutines.contains(&sample.goid))
            && requests.as_ref().is_none_or(|requests| is_in(requests, sample))
            && traces.as_ref().is_none_or(|(requests, labels)| {
                is_in(requests, sample) || labels.get(sample.labels.index()).copied().unwrap_or(false)
            })
            && !(filter.no_idle && matches!(sample.serving, Serving::Idle(_)))
            && (filter.wait.is_empty() || waits_for(profile, sample, &filter.wait))
    });
    let mut kept = builder.finish(profile.duration_ns, profile.accounting.clone());
    let share = match profile.total_time() {
        0 => 0.0,
        total => 100.0 * kept.total_time() as f64 / total as f64,
    };
    kept.accounting.remarks.push(format!("filtered by {description}: {share:.1} % of the recorded time"));
    Cow::Owned(kept)
}

fn waits_for(profile: &Profile, sample: &Sample, wanted: &[String]) -> bool {
    let reason = profile.wait_reason(sample);
    sample.state == State::Waiting
        && wanted.iter().any(|wanted| wanted == reason || wanted == WaitClass::of(reason).word())
}

/// For each request, and for each label set, whether it is of a trace.
fn of_trace(profile: &Profile, trace: &str) -> (Vec<bool>, Vec<bool>) {
    let requests = profile.requests.iter().map(|request| is_trace(profile.string(request.trace_id), trace));
    let label_sets = (0..profile.label_sets.len()).map(|set| {
        trace_of_labels(profile.labels(crate::LabelSetId(set as u32))).is_some_and(|id| is_trace(id, trace))
    });
    (requests.collect(), label_sets.collect())
}

/// Whether a sample is of one of these requests.
fn is_in(requests: &[bool], sample: &Sample) -> bool {
    sample.serving.request().and_then(|id| requests.get(id.index())).copied().unwrap_or(false)
}

/// For each stack, whether focus and ignore accept it. Each name is matched once.
fn accepted_stacks(profile: &Profile, filter: &Filter) -> Vec<bool> {
    let matched = |regex: &Regex| -> Vec<bool> {
        profile.functions.iter().map(|function| regex.is_match(profile.string(function.name))).collect()
    };
    let focus = filter.focus.as_ref().map(matched);
    let ignore = filter.ignore.as_ref().map(matched);
    let any = |stack: usize, functions: &[bool]| {
        profile
            .frames(crate::StackId(stack as u32))
            .any(|frame| functions.get(frame.function.index()).copied().unwrap_or(false))
    };
    (0..profile.stacks.len())
        .map(|stack| {
            focus.as_ref().is_none_or(|functions| any(stack, functions))
                && !ignore.as_ref().is_some_and(|functions| any(stack, functions))
        })
        .collect()
}

impl fmt::Display for Filter {
    /// The conditions as a user would write them: `state=waiting wait=mutex focus=/ServeHTTP/`; nothing for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.states.is_empty() {
            parts.push(format!("state={}", self.states.iter().map(|s| s.word()).collect::<Vec<_>>().join(",")));
        }
        if !self.wait.is_empty() {
            parts.push(format!("wait={}", self.wait.join(",")));
        }
        parts.extend(self.focus.iter().map(|regex| format!("focus=/{regex}/")));
        parts.extend(self.ignore.iter().map(|regex| format!("ignore=/{regex}/")));
        if !self.goroutines.is_empty() {
            let ids: Vec<String> = self.goroutines.iter().map(u64::to_string).collect();
            parts.push(format!("goroutine={}", ids.join(",")));
        }
        parts.extend(self.labels.iter().map(|label| format!("label {label}")));
        parts.extend(self.request.iter().map(|regex| format!("request=/{regex}/")));
        parts.extend(self.trace.iter().map(|trace| format!("trace={trace}")));
        if self.no_idle {
            parts.push("no-idle".to_owned());
        }
        f.write_str(&parts.join(" "))
    }
}

impl fmt::Display for LabelMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            ValueMatch::Is(value) => write!(f, "{}={value}", self.key),
            ValueMatch::Matches(regex) => {
                let anchored = regex.as_str();
                let bare = anchored.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(anchored);
                write!(f, "{}=~{bare}", self.key)
            }
        }
    }
}

//! What a request asks for.

use std::time::Duration;

use fgspy_export::Format;
use fgspy_profile::{Filter, GroupBy, State};
use hyper::StatusCode;
use regex::Regex;

use super::answer::Refusal;

/// The default length of a recording; fgprof and net/http/pprof do the same.
const DEFAULT_SECONDS: f64 = 30.0;
/// The longest recording: what has been recorded is in memory until its end.
const MAX_SECONDS: f64 = 3600.0;

/// What there is, for those who ask for something else.
pub(super) const PATHS: &str = "/debug/fgprof, /debug/pprof/goroutine and /debug/pprof/profile";

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// The page that says what there is.
    Index,
    /// Where the time goes in the next while.
    Recording(Box<Recording>),
    /// All goroutines now.
    Goroutines(Detail),
}

/// A recording to make.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) time: Duration,
    pub(super) format: Format,
    pub(super) filter: Filter,
    /// What to put at the root of stacks.
    pub(super) group_by: Option<GroupBy>,
    /// What to call the file, without an ending.
    pub(super) name: &'static str,
}

/// How much to tell of goroutines: the `debug` parameter of net/http/pprof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// 0: for `go tool pprof`.
    Pprof,
    /// 1: text, with equal stacks counted together.
    Counted,
    /// 2 and more: text, each goroutine by itself, as in the runtime's dumps.
    Each,
}

impl Wanted {
    /// Reads the path and the query (without its `?`) of a request.
    pub(super) fn parse(path: &str, query: &str) -> Result<Wanted, Refusal> {
        let query = Query::parse(query);
        match path {
            "/" | "/debug/pprof" | "/debug/pprof/" => Ok(Wanted::Index),
            "/debug/fgprof" => Ok(Wanted::Recording(Box::new(Recording {
                time: query.time()?,
                format: query.format()?,
                filter: query.filter(vec![])?,
                group_by: query.group_by()?,
                name: "fgprof",
            }))),
            "/debug/pprof/profile" => Ok(Wanted::Recording(Box::new(Recording {
                time: query.time()?,
                format: Format::Pprof,
                filter: query.filter(vec![State::Running])?,
                group_by: query.group_by()?,
                name: "profile",
            }))),
            "/debug/pprof/goroutine" => {
                if query.get("seconds").is_some() {
                    return Err(bad(
                        "`seconds` (the change of a profile in a while) is not offered for goroutines".to_owned()
                    ));
                }
                Ok(Wanted::Goroutines(query.detail()?))
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing here; there are {PATHS}"))),
        }
    }
}

/// The parameters of a request.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Query {
        Query(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first of that name, if it has a value: what Go's `url.Values.Get` makes of a query.
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn time(&self) -> Result<Duration, Refusal> {
        let Some(text) = self.get("seconds") else { return Ok(Duration::from_secs_f64(DEFAULT_SECONDS)) };
        let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
        match seconds.map(Duration::from_secs_f64) {
            Some(time) if !time.is_zero() => Ok(time),
            _ => Err(bad(format!("`seconds` must be a number above 0 and at most {MAX_SECONDS}; it is `{text}`"))),
        }
    }

    fn format(&self) -> Result<Format, Refusal> {
        let Some(name) = self.get("format") else { return Ok(Format::Pprof) };
        let formats = || Format::ALL.map(Format::name).join(", ");
        Format::from_name(name)
            .ok_or_else(|| bad(format!("there is no `format` called `{name}`; there are {}", formats())))
    }

    /// `request`, `trace` and `no-idle`: the filters of that name of `fgspy record`.
    fn filter(&self, states: Vec<State>) -> Result<Filter, Refusal> {
        let request = match self.get("request").map(Regex::new) {
            None => None,
            Some(Ok(regex)) => Some(regex),
            Some(Err(error)) => return Err(bad(format!("`request` must be a regular expression: {error}"))),
        };
        let no_idle = match self.get("no-idle") {
            None | Some("0") => false,
            Some("1") => true,
            Some(text) => return Err(bad(format!("`no-idle` must be 0 or 1; it is `{text}`"))),
        };
        Ok(Filter { states, request, trace: self.get("trace").map(str::to_owned), no_idle, ..Filter::default() })
    }

    fn group_by(&self) -> Result<Option<GroupBy>, Refusal> {
        let Some(word) = self.get("group-by") else { return Ok(None) };
        let words = || GroupBy::ALL.map(GroupBy::word).join(", ");
        let by = GroupBy::from_word(word);
        by.map(Some).ok_or_else(|| bad(format!("`group-by` must be one of {}; it is `{word}`", words())))
    }

    fn detail(&self) -> Result<Detail, Refusal> {
        match self.get("debug") {
            None => Ok(Detail::Pprof),
            Some(text) => match text.parse::<u32>() {
                Ok(0) => Ok(Detail::Pprof),
                Ok(1) => Ok(Detail::Counted),
                Ok(_) => Ok(Detail::Each),
                Err(_) => Err(bad(format!("`debug` must be 0, 1 or 2; it is `{text}`"))),
            },
        }
    }
}

fn bad(sentence: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(path: &str, query: &str) -> (Duration, Format) {
        match Wanted::parse(path, query) {
            Ok(Wanted::Recording(recording)) => (recording.time, recording.format),
            other => panic!("{other:?}"),
        }
    }

    fn refusal(path: &str, query: &str) -> (u16, String) {
        let refusal = Wanted::parse(path, query).unwrap_err();
        (refusal.status.as_u16(), refusal.sentence)
    }

    #[test]
    fn recordings() {
        let s = Duration::from_secs_f64;
        assert_eq!(recording("/debug/fgprof", ""), (s(30.0), Format::Pprof));
        assert_eq!(recording("/debug/fgprof", "seconds=&format="), (s(30.0), Format::Pprof));
        assert_eq!(recording("/debug/fgprof", "seconds=0.25&format=folded"), (s(0.25), Format::Folded));
        assert_eq!(recording("/debug/fgprof", "seconds=2&seconds=3&other=x"), (s(2.0), Format::Pprof));
        assert_eq!(recording("/debug/fgprof", "format=flame%67raph&seconds=3600"), (s(3600.0), Format::FlameGraph));
        assert_eq!(recording("/debug/pprof/profile", "seconds=5"), (s(5.0), Format::Pprof));
    }

    fn view(path: &str, query: &str) -> (String, Option<GroupBy>) {
        match Wanted::parse(path, query) {
            Ok(Wanted::Recording(recording)) => (recording.filter.to_string(), recording.group_by),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_of_recordings() {
        let s = str::to_owned;
        assert_eq!(view("/debug/fgprof", ""), (s(""), None));
        assert_eq!(view("/debug/fgprof", "request=&trace=&no-idle=&group-by="), (s(""), None));
        assert_eq!(view("/debug/fgprof", "request=%5EGET%20/x&no-idle=0"), (s("request=/^GET /x/"), None));
        assert_eq!(view("/debug/fgprof", "trace=4bf92f35&no-idle=1"), (s("trace=4bf92f35 no-idle"), None));
        assert_eq!(
            view("/debug/pprof/profile", "request=x&group-by=route"),
            (s("state=running request=/x/"), Some(GroupBy::Route))
        );
    }

    #[test]
    fn goroutines() {
        for (query, expected) in [
            ("", Detail::Pprof),
            ("debug=0", Detail::Pprof),
            ("debug=1", Detail::Counted),
            ("debug=2", Detail::Each),
            ("debug=99", Detail::Each),
        ] {
            match Wanted::parse("/debug/pprof/goroutine", query) {
                Ok(Wanted::Goroutines(detail)) => assert_eq!(detail, expected, "{query}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence() {
        for seconds in ["0", "-1", "x", "nan", "inf", "3600.1", "1e-12", "5s", " 5"] {
            let (status, sentence) = refusal("/debug/fgprof", &format!("seconds={seconds}"));
            assert_eq!(status, 400);
            assert_eq!(sentence, format!("`seconds` must be a number above 0 and at most 3600; it is `{seconds}`"));
        }
        assert_eq!(
            refusal("/debug/fgprof", "format=html"),
            (400, "there is no `format` called `html`; there are flamegraph, pprof, folded, json, raw".to_owned())
        );
        assert_eq!(
            refusal("/debug/pprof/goroutine", "debug=-1"),
            (400, "`debug` must be 0, 1 or 2; it is `-1`".to_owned())
        );
        let (status, sentence) = refusal("/debug/fgprof", "request=%28");
        assert!(status == 400 && sentence.starts_with("`request` must be a regular expression: "), "{sentence}");
        assert_eq!(refusal("/debug/fgprof", "no-idle=yes"), (400, "`no-idle` must be 0 or 1; it is `yes`".to_owned()));
        assert_eq!(
            refusal("/debug/fgprof", "group-by=label"),
            (400, "`group-by` must be one of request, route, state, creator; it is `label`".to_owned())
        );
        assert_eq!(refusal("/debug/pprof/goroutine", "seconds=3").0, 400);
        for path in ["/debug/fgprof/", "/debug/pprof/heap", "/x", "", "//", "/debug/pprof/goroutine/.."] {
            assert_eq!(refusal(path, "").0, 404, "{path}");
        }
    }
}

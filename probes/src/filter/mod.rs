//! Which requests to trace: what the user asked for, as a filter that the kernel runs.

mod dfa;

pub use dfa::TooLarge;

use crate::Filter;

/// A filter for requests whose `METHOD path` `request` matches (a regular expression) or that match `route` (a pattern of
/// `net/http.ServeMux`), and of which a header names `trace` (its first 1 to 32 digits). `None` if nothing was asked for.
///
/// # Errors
/// When an expression is none, or too large for the kernel.
pub fn filter(request: Option<&str>, route: Option<&str>, trace: Option<&str>) -> Result<Option<Filter>, TooLarge> {
    let route = route.map(of_route);
    let dfa = match (request, route.as_deref()) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(dfa::of(one)?),
        // One text cannot be followed by two automata: the request's must match what is the route's too.
        (Some(_), Some(_)) => return Err(TooLarge::Unsupported("give --request or --route, not both".into())),
    };
    let trace = trace.map(str::to_ascii_lowercase);
    Ok((dfa.is_some() || trace.is_some()).then_some(Filter { dfa, trace }))
}

/// The regular expression for the `METHOD path` of requests that match a pattern of `net/http.ServeMux`: `GET
/// /orders/{id}`, `/static/{rest...}`, `/exact/{$}`, `/subtree/`; a host is not looked at. Without a method: any.
pub fn of_route(pattern: &str) -> String {
    let (method, place) = pattern.trim().split_once([' ', '\t']).unwrap_or(("", pattern.trim()));
    let path = place.trim_start().find('/').map_or("", |at| place.trim_start().get(at..).unwrap_or(""));
    let mut out = if method.is_empty() { "^[^ ]* ".to_owned() } else { format!("^{} ", escaped(method)) };
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        out += &escaped(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        match name {
            "$" => {}
            _ if name.ends_with("...") => out += ".*",
            _ => out += "[^/]+",
        }
        rest = after;
        if name == "$" || name.ends_with("...") {
            return out + "$";
        }
    }
    out += &escaped(rest);
    // What ends in a slash stands for all that is below.
    out + if path.ends_with('/') { "" } else { "$" }
}

fn escaped(text: &str) -> String {
    let special = |c: char| !c.is_ascii_alphanumeric() && c.is_ascii() && !matches!(c, '/' | '_' | ' ');
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_the_mux_match_what_the_mux_does() {
        for (pattern, matching, other) in [
            ("GET /orders/{id}", &["GET /orders/17"][..], &["POST /orders/17", "GET /orders/", "GET /orders/17/x"][..]),
            ("/static/{rest...}", &["GET /static/a/b", "PUT /static/"], &["GET /statics"]),
            ("/exact/{$}", &["GET /exact/"], &["GET /exact/x", "GET /exact"]),
            ("/subtree/", &["GET /subtree/a/b", "GET /subtree/"], &["GET /subtree"]),
            ("example.com/a.b", &["GET /a.b"], &["GET /aXb", "GET /a.b/"]),
            ("POST /", &["POST /anything"], &["GET /anything"]),
        ] {
            let dfa = filter(None, Some(pattern), None).unwrap().unwrap().dfa.unwrap();
            for text in matching {
                assert!(dfa.accepts(text.as_bytes()), "{pattern} {text} {}", of_route(pattern));
            }
            for text in other {
                assert!(!dfa.accepts(text.as_bytes()), "{pattern} {text} {}", of_route(pattern));
            }
        }
    }

    #[test]
    fn nothing_asked_is_no_filter() {
        assert!(filter(None, None, None).unwrap().is_none());
        assert_eq!(filter(None, None, Some("4BF9")).unwrap().unwrap().trace.as_deref(), Some("4bf9"));
        assert!(filter(Some("a"), Some("/a"), None).is_err());
    }
}

//! Patterns of `net/http.ServeMux`, and the requests that must have matched one although nobody saw it.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::route::{collapse, without_query};

/// Which patterns requests matched, by their method and the shape of their path (the path with `{id}` in place of ids).
///
/// A request that was seen only before its mux had matched it has no pattern. If all requests of the same method and shape that
/// have one have the same, and that pattern matches the path of this one too, then it is this one's. Else it is not known.
#[derive(Debug, Default)]
pub struct Patterns {
    /// `None` where there are several.
    known: HashMap<(String, String), Option<String>>,
}

impl Patterns {
    /// Takes note of the pattern that a request matched.
    pub fn learn(&mut self, method: &str, path: &str, pattern: &str) {
        let known = self.known.entry(key(method, path)).or_insert_with(|| Some(pattern.to_owned()));
        if known.as_deref() != Some(pattern) {
            *known = None;
        }
    }

    /// The pattern that a request must have matched, by others of its kind.
    pub fn of(&self, method: &str, path: &str) -> Option<&str> {
        let pattern = self.known.get(&key(method, path))?.as_deref()?;
        matches(pattern, method, path).then_some(pattern)
    }
}

fn key(method: &str, path: &str) -> (String, String) {
    (method.to_owned(), collapse(without_query(path)))
}

/// Whether a pattern matches a request, by the rules of `net/http.ServeMux` since Go 1.22 (`net/http/pattern.go`). One with a host does
/// not: the request's is not known.
fn matches(pattern: &str, method: &str, path: &str) -> bool {
    let (wanted, place) = match pattern.split_once([' ', '\t']) {
        Some((wanted, place)) => (Some(wanted), place.trim_start_matches([' ', '\t'])),
        None => (None, pattern),
    };
    // GET matches HEAD too.
    if wanted.is_some_and(|wanted| wanted != method && (wanted, method) != ("GET", "HEAD")) {
        return false;
    }
    let (Some(place), Some(path)) = (place.strip_prefix('/'), without_query(path).strip_prefix('/')) else {
        return false;
    };
    let (mut wanted, mut parts) = (place.split('/').peekable(), path.split('/'));
    while let Some(segment) = wanted.next() {
        let is_last = wanted.peek().is_none();
        let Some(part) = parts.next() else { return false };
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some("$") => return is_last && part.is_empty() && parts.next().is_none(),
            Some(name) if name.ends_with("...") => return is_last,
            Some(_) if part.is_empty() => return false,
            Some(_) => {}
            None if segment.is_empty() && is_last => return true,
            None if unescaped(segment) != unescaped(part) => return false,
            None => {}
        }
    }
    parts.next().is_none()
}

/// A part of a path with its `%2F` and the like replaced by what they stand for.
fn unescaped(part: &str) -> Cow<'_, [u8]> {
    if !part.contains('%') {
        return part.as_bytes().into();
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_servemux_says() {
        for (pattern, method, path) in [
            ("/", "GET", "/anything/at/all"),
            ("/orders/", "PUT", "/orders/"),
            ("/orders/", "PUT", "/orders/17/items"),
            ("GET /orders/{id}", "GET", "/orders/17?full=1"),
            ("GET /orders/{id}", "HEAD", "/orders/17"),
            ("POST\t /orders/{id}/items/{item}", "POST", "/orders/17/items/a%2Fb"),
            ("/files/{path...}", "GET", "/files/a/b/c"),
            ("/files/{path...}", "GET", "/files/"),
            ("/exact/{$}", "GET", "/exact/"),
            ("/{$}", "GET", "/"),
            ("/a%20b/c", "GET", "/a%20b/c"),
            ("/a%2Db", "GET", "/a-b"),
        ] {
            assert!(matches(pattern, method, path), "{pattern} {method} {path}");
        }
        for (pattern, method, path) in [
            ("GET /orders/{id}", "POST", "/orders/17"),
            ("HEAD /orders/{id}", "GET", "/orders/17"),
            ("/orders/{id}", "GET", "/orders/"),
            ("/orders/{id}", "GET", "/orders"),
            ("/orders/{id}", "GET", "/orders/17/"),
            ("/orders/{id}", "GET", "/orders/17/items"),
            ("/orders/", "GET", "/orders"),
            ("/files/{path...}", "GET", "/files"),
            ("/exact/{$}", "GET", "/exact/17"),
            ("/exact/{$}", "GET", "/exact"),
            ("example.com/orders/{id}", "GET", "/orders/17"),
            ("/", "OPTIONS", "*"),
            ("/orders", "GET", "/Orders"),
            ("", "GET", "/"),
        ] {
            assert!(!matches(pattern, method, path), "{pattern} {method} {path}");
        }
    }

    #[test]
    fn a_pattern_is_another_request_s_too_if_that_is_the_only_one_of_its_kind() {
        let mut patterns = Patterns::default();
        patterns.learn("GET", "/orders/17", "/orders/{order}");
        patterns.learn("GET", "/orders/18?x", "/orders/{order}");
        assert_eq!(patterns.of("GET", "/orders/19"), Some("/orders/{order}"));
        // Not of another method, nor of another shape, even where the pattern would match.
        assert_eq!((patterns.of("PUT", "/orders/19"), patterns.of("GET", "/orders/latest")), (None, None));
        patterns.learn("GET", "/orders/latest", "/orders/latest");
        assert_eq!(patterns.of("GET", "/orders/latest"), Some("/orders/latest"));
        // Two of one kind.
        patterns.learn("GET", "/orders/20", "GET /orders/20");
        assert_eq!(patterns.of("GET", "/orders/19"), None);
        // One that does not match.
        patterns.learn("GET", "/users/1", "GET /users/1");
        assert_eq!((patterns.of("GET", "/users/2"), patterns.of("GET", "/users/1")), (None, Some("GET /users/1")));
    }
}

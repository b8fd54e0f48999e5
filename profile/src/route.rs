//! The route of a request: what it has in common with others of its kind, so that times can be added up.

use std::borrow::Cow;
use std::collections::HashMap;

use regex::Regex;

use crate::{Profile, Protocol, StringId};

/// How many parts of a path are looked at; what follows is left out.
const MAX_DEPTH: usize = 8;
/// The longest part that may be a word.
const MAX_WORD: usize = 64;
/// What stands for an id.
const ID: &str = "{id}";
/// What stands for the parts beyond [`MAX_DEPTH`].
const MORE: &str = "…";
/// How many digits a number between other letters must have to be an id: `v2` and `2024` in a name are none.
const DIGITS: usize = 5;

/// The route of a request that came by `protocol`, with what is known of it; the rest is empty.
///
/// For gRPC the full method, `/shop.Orders/Get`; for a job its name. Else the pattern that it matched, with the method if the pattern has
/// none: `GET /orders/{id}`. Else the method and the path, without its query, in which numbers, UUIDs, hexadecimal digits
/// and other ids have become `{id}`. Empty if nothing is known.
pub fn route(protocol: Protocol, method: &str, path: &str, pattern: &str) -> String {
    if protocol == Protocol::Grpc && !path.is_empty() {
        return without_query(path).to_owned();
    }
    if protocol == Protocol::Labels {
        return path.to_owned();
    }
    if pattern.contains([' ', '\t']) {
        return pattern.to_owned();
    }
    let place = if pattern.is_empty() { collapse(without_query(path)) } else { pattern.to_owned() };
    match (method, place.as_str()) {
        ("", _) => place,
        (method, "") => method.to_owned(),
        (method, place) => format!("{method} {place}"),
    }
}

impl Profile {
    /// Gives every request its route anew: what the first group of `rule` (all of it, if it has none) matches of
    /// `GET /orders/17`, method and path without the query. Where that is nothing, the route is that of
    /// [`crate::Builder::request`].
    pub fn reroute(&mut self, rule: &Regex) {
        let mut requests = std::mem::take(&mut self.requests);
        let mut ids: HashMap<String, StringId> = HashMap::new();
        for request in &mut requests {
            let (method, path) = (self.string(request.method), self.string(request.path));
            let line = format!("{method} {}", without_query(path));
            let route = match by_rule(rule, &line) {
                Some(route) => route.to_owned(),
                None => route(request.protocol, method, path, self.string(request.pattern)),
            };
            request.route = *ids.entry(route).or_insert_with_key(|route| self.find_or_add(route));
        }
        self.requests = requests;
    }

    fn find_or_add(&mut self, text: &str) -> StringId {
        let found = self.strings.iter().position(|known| known == text);
        let index = found.unwrap_or_else(|| {
            self.strings.push(text.to_owned());
            self.strings.len() - 1
        });
        StringId(index as u32)
    }
}

/// What the first group of `rule`, or all of it, matches of `line`; `None` where that is nothing.
fn by_rule<'a>(rule: &Regex, line: &'a str) -> Option<&'a str> {
    let found = rule.captures(line)?;
    let part = if rule.captures_len() > 1 { found.get(1) } else { found.get(0) };
    part.map(|part| part.as_str()).filter(|text| !text.is_empty())
}

/// A path without what follows the `?`.
pub(crate) fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// A path with `{id}` in place of what looks like one.
pub(crate) fn collapse(path: &str) -> String {
    let mut route = String::with_capacity(path.len());
    // What stands before the first slash is nothing, or the host of CONNECT.
    for (depth, part) in path.split('/').enumerate() {
        if depth > 0 {
            route.push('/');
        }
        if depth > MAX_DEPTH {
            route.push_str(MORE);
            break;
        }
        route.push_str(&collapse_part(part));
    }
    route
}

/// One part of a path: `17` becomes `{id}`, `17.json` becomes `{id}.json` and `cus_NffrFeUfNV2Hib` becomes `cus_{id}`.
fn collapse_part(part: &str) -> Cow<'_, str> {
    if is_id(part) {
        return ID.into();
    }
    if let Some((stem, ending)) = part.rsplit_once('.')
        && is_ending(ending)
        && is_id(stem)
    {
        return format!("{ID}.{ending}").into();
    }
    let is_separator = |c: char| !c.is_ascii_alphanumeric();
    let mut collapsed = String::new();
    let mut changed = false;
    for piece in part.split_inclusive(is_separator) {
        let word = piece.strip_suffix(is_separator).unwrap_or(piece);
        let number = word.len() >= DIGITS && is_number(word);
        if number || is_hex(word) || is_opaque(word) {
            changed = true;
            collapsed.push_str(ID);
            collapsed.push_str(piece.get(word.len()..).unwrap_or_default());
        } else {
            collapsed.push_str(piece);
        }
    }
    if changed { collapsed.into() } else { part.into() }
}

/// Whether a whole part is an id.
fn is_id(part: &str) -> bool {
    part.len() > MAX_WORD || is_number(part) || is_uuid(part) || is_hex(part) || is_date(part) || is_opaque(part)
}

/// `json`.
fn is_ending(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric()) && !is_number(text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Groups of 8, 4, 4, 4 and 12 hexadecimal digits (RFC 9562, section 4).
fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let mut groups = text.split('-');
    let lengths = [8, 4, 4, 4, 12];
    let hex = |group: &str, length| group.len() == length && group.bytes().all(|b| b.is_ascii_hexdigit());
    lengths.into_iter().all(|length| groups.next().is_some_and(|group| hex(group, length))) && groups.next().is_none()
}

/// Eight hexadecimal digits or more. One must be a decimal digit: `defaced` and its like are words.
fn is_hex(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()) && digits.bytes().any(|b| b.is_ascii_digit())
}

/// Numbers with something between them, four digits or more in all: `2026-11-23`, `10.0.0.17`; but not `1.2.3`.
fn is_date(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits >= 4
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"-.:_,+TZ".contains(&b))
}

/// Whether a run of letters and digits is none that a person would write: it changes between letters and digits, or
/// between small and capital letters, too often.
fn is_opaque(text: &str) -> bool {
    if text.len() < 8 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (mut to_or_from_digit, mut to_capital) = (0, 0);
    for (a, b) in text.bytes().zip(text.bytes().skip(1)) {
        if a.is_ascii_digit() != b.is_ascii_digit() {
            to_or_from_digit += 1;
        } else if a.is_ascii_lowercase() && b.is_ascii_uppercase() {
            to_capital += 1;
        }
    }
    match text.len() {
        ..12 => to_or_from_digit >= 4,
        length => to_or_from_digit >= 3 || (to_or_from_digit + to_capital) * 4 >= length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(method: &str, path: &str, pattern: &str) -> String {
        route(Protocol::Http1, method, path, pattern)
    }

    #[test]
    fn the_pattern_is_the_route_and_has_a_method() {
        assert_eq!(http("GET", "/orders/17", "GET /orders/{id}"), "GET /orders/{id}");
        assert_eq!(http("GET", "/orders/17", "/orders/"), "GET /orders/");
        assert_eq!(http("PUT", "/x", "api.example.com/"), "PUT api.example.com/");
        assert_eq!(http("HEAD", "/x", "GET api.example.com/x"), "GET api.example.com/x");
        assert_eq!(http("", "", "/orders/{id}"), "/orders/{id}");
    }

    #[test]
    fn the_full_method_is_the_route_of_grpc() {
        assert_eq!(route(Protocol::Grpc, "POST", "/shop.Orders/Get", ""), "/shop.Orders/Get");
        assert_eq!(route(Protocol::Grpc, "POST", "/v1.shop12345678/Get7", "/"), "/v1.shop12345678/Get7");
        assert_eq!(route(Protocol::Grpc, "", "", ""), "");
        assert_eq!(route(Protocol::Labels, "", "charge 17?", ""), "charge 17?");
    }

    #[test]
    fn without_a_pattern_the_path_is_the_route_without_query_and_ids() {
        assert_eq!(http("GET", "/orders/17?token=secret", ""), "GET /orders/{id}");
        assert_eq!(route(Protocol::Http2, "POST", "/", ""), "POST /");
        assert_eq!(http("OPTIONS", "*", ""), "OPTIONS *");
        assert_eq!(http("CONNECT", "db.example.com:5432", ""), "CONNECT db.example.com:5432");
        assert_eq!(http("GET", "", ""), "GET");
        assert_eq!(http("", "/a/1", ""), "/a/{id}");
        assert_eq!(http("", "", ""), "");
    }

    #[test]
    fn ids_are_collapsed() {
        for (path, expected) in [
            ("/7", "/{id}"),
            ("/orders/17/items/3", "/orders/{id}/items/{id}"),
            ("/orders/17/", "/orders/{id}/"),
            ("/u/3F2504E0-4F89-11D3-9A0C-0305E82C3301/x", "/u/{id}/x"),
            ("/u/{3f2504e0-4f89-11d3-9a0c-0305e82c3301}", "/u/{id}"),
            ("/blob/9f86d081884c7d65", "/blob/{id}"),
            ("/tx/0x1f9840a85d", "/tx/{id}"),
            ("/o/507f1f77bcf86cd799439011", "/o/{id}"),
            ("/e/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/e/{id}"),
            ("/v/dQw4w9WgXcQ", "/v/{id}"),
            ("/c/cus_NffrFeUfNV2Hib/cards", "/c/cus_{id}/cards"),
            ("/t/QWxhZGRpbjpvcGVuU2VzYW1l", "/t/{id}"),
            ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0", "/t/{id}.{id}"),
            ("/day/2026-11-23", "/day/{id}"),
            ("/at/2026-11-23T10:20:30Z", "/at/{id}"),
            ("/host/10.0.0.17", "/host/{id}"),
            ("/orders/17.json", "/orders/{id}.json"),
            ("/order-1234567/x", "/order-{id}/x"),
            ("/tr/4bf92f3577b34da6a3ce929d0e0e4736", "/tr/{id}"),
        ] {
            assert_eq!(collapse(path), expected, "{path}");
        }
        assert_eq!(collapse(&format!("/s/{}", "a".repeat(65))), "/s/{id}");
    }

    #[test]
    fn words_are_not() {
        for path in [
            "/",
            "",
            "//a//b",
            "/api/v1/orders",
            "/api/v1beta1/namespaces",
            "/defaced/feedface",
            "/listAllOpenOrdersByCustomer",
            "/OAuth2Callback",
            "/static/app.min.js",
            "/fonts/roboto-v27-latin.woff2",
            "/releases/1.2.3",
            "/how-to-build-a-server-in-2024",
            "/kubernetes/v1.27/release",
            "/internationalization/misunderstanding",
            "/größe/straße",
            "/%7Euser/%2Fx",
        ] {
            assert_eq!(collapse(path), path);
        }
    }

    #[test]
    fn a_path_is_followed_to_a_bounded_depth() {
        assert_eq!(collapse("/1/a/2/b/3/c/4/d"), "/{id}/a/{id}/b/{id}/c/{id}/d");
        assert_eq!(collapse("/1/a/2/b/3/c/4/d/5/e/6"), "/{id}/a/{id}/b/{id}/c/{id}/d/…");
    }

    #[test]
    fn a_rule_of_the_user_takes_its_group_or_all_of_it() {
        let rule = |rule: &str, line| by_rule(&Regex::new(rule).unwrap(), line).map(str::to_owned);
        assert_eq!(rule("^\\w+ (/[^/]+)", "GET /shop/17").as_deref(), Some("/shop"));
        assert_eq!(rule("/[^/]+", "GET /shop/17").as_deref(), Some("/shop"));
        assert_eq!(rule("^POST (/.*)", "GET /shop/17"), None);
        assert_eq!(rule("GET /(x)?", "GET /shop/17"), None, "the group took no part");
        assert_eq!(rule("x*", "GET /"), None, "an empty match is none");
    }
}

//! Which requests are allowed: pages of other web sites must not reach a server on loopback.

use std::net::{IpAddr, SocketAddr};

use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Request, StatusCode, header};

use super::answer::Refusal;

/// Whether only this machine can reach an address.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Refuses requests that only a page of another web site would make. `local` when the server listens on loopback.
pub(super) fn check<B>(request: &Request<B>, local: bool) -> Result<(), Refusal> {
    if request.method() != Method::GET {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is supported"));
    }
    if request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "a page of another web site made this request; open the address directly",
        ));
    }
    let named_in_target = request.uri().authority();
    if local && !(names_us(request.headers()) && named_in_target.is_none_or(is_own_name)) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the Host of this request is not this machine's own name; use http://localhost:PORT/ or an IP address",
        ));
    }
    Ok(())
}

/// Whether every Host header names this machine in a way that no other DNS server controls.
///
/// A web page can have the name of its own site point to 127.0.0.1 (DNS rebinding); then the browser lets it read what
/// we answer, but sends that name as the Host. Browsers always send one, so a request without one is no browser's.
fn names_us(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().all(|host| {
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        host.as_ref().is_some_and(is_own_name)
    })
}

fn is_own_name(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    // "localhost" and names below it are never looked up in DNS (RFC 6761).
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    !authority.as_str().contains('@')
        && (address.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(local: bool, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri("/debug/fgprof");
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        check(&request.body(()).unwrap(), local).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn own_names_only() {
        for host in [
            "localhost",
            "LocalHost:6061",
            "localhost.:6061",
            "a.localhost",
            "127.0.0.1:6061",
            "[::1]:6061",
            "10.0.0.7",
        ] {
            assert_eq!(status(true, &[("host", host)]), 200, "{host}");
        }
        assert_eq!(status(true, &[]), 200);
        for host in
            ["evil.example:6061", "localhost.evil.example", "notlocalhost", "x@127.0.0.1", "", "127.0.0.1.evil", " "]
        {
            assert_eq!(status(true, &[("host", host)]), 403, "{host}");
            assert_eq!(status(false, &[("host", host)]), 200, "{host}");
        }
        assert_eq!(status(true, &[("host", "localhost"), ("host", "evil.example")]), 403);
    }

    #[test]
    fn the_name_in_the_request_line_counts_too() {
        let request = Request::builder().uri("http://evil.example/").header("host", "localhost").body(()).unwrap();
        assert_eq!(check(&request, true).unwrap_err().status, 403);
        assert!(check(&request, false).is_ok());
    }

    #[test]
    fn no_page_of_another_site() {
        assert_eq!(status(false, &[("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(status(true, &[("sec-fetch-site", "same-origin")]), 200);
        assert_eq!(status(true, &[("sec-fetch-site", "none")]), 200);
    }

    #[test]
    fn only_get() {
        for method in [Method::POST, Method::HEAD, Method::OPTIONS] {
            let request = Request::builder().method(method).body(()).unwrap();
            assert_eq!(check(&request, true).unwrap_err().status, 405);
        }
    }

    #[test]
    fn loopback() {
        let is = |address: &str| is_loopback(address.parse().unwrap());
        assert!(is("127.0.0.1:1") && is("127.9.9.9:1") && is("[::1]:1") && is("[::ffff:127.0.0.1]:1"));
        assert!(!is("0.0.0.0:1") && !is("[::]:1") && !is("192.168.0.1:1"));
    }
}

//! A stack as one line: the few frames that say where it is, those of the program itself.

use crate::{Profile, StackId};

/// How many frames of the program to show.
const FRAMES: usize = 3;

/// The first elements of the paths of Go's standard packages (`go list std`, Go 1.17 to 1.27).
const STANDARD: &[&str] = &[
    "archive",
    "arena",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "simd",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "uuid",
    "vendor",
    "weak",
];

/// Packages that carry requests rather than answer them.
const PLUMBING: &[&str] = &["golang.org/x/", "google.golang.org/grpc", "google.golang.org/protobuf"];

/// A stack in one line, leaf first: what the program called, and the functions of the program that did so.
///
/// `sync.(*Mutex).Lock ← store.(*Cache).Get ← main.checkout`
///
/// Names come from the target as they are: whoever prints the line must escape control characters.
pub fn short_stack(profile: &Profile, stack: StackId) -> String {
    let names: Vec<&str> = profile.frames(stack).map(|frame| frame.name).filter(|name| !is_kernel(name)).collect();
    let first = names.iter().position(|name| is_program(name));
    let shown: Vec<&str> = match first {
        Some(first) => {
            // What the runtime does for `<-` and the like has the phase for a name already.
            let called = first.checked_sub(1).and_then(|callee| names.get(callee)).copied();
            let called = called.filter(|name| package(name) != "runtime");
            let program = names.iter().skip(first).copied().filter(|name| is_program(name));
            called.into_iter().chain(program.take(FRAMES)).collect()
        }
        None => {
            let open = |name: &&str| !matches!(package(name).split('/').next(), Some("runtime" | "internal"));
            let outside: Vec<&str> = names.iter().copied().filter(open).take(FRAMES).collect();
            if outside.is_empty() { names.into_iter().take(1).collect() } else { outside }
        }
    };
    shown.into_iter().map(short).collect::<Vec<_>>().join(" ← ")
}

fn is_kernel(name: &str) -> bool {
    name.ends_with("[kernel]")
}

/// Whether a function is the program's own, or of a library that it was built with to do its work.
fn is_program(name: &str) -> bool {
    let package = package(name);
    let is_code = !name.starts_with('[') && !package.is_empty();
    is_code
        && !STANDARD.contains(&package.split('/').next().unwrap_or_default())
        && !PLUMBING.iter().any(|plumbing| package.starts_with(plumbing))
}

/// The path of a function's package: `net/http` of `net/http.(*conn).serve`.
fn package(name: &str) -> &str {
    let (folders, rest) = split(name);
    let end = rest.find('.').unwrap_or(rest.len());
    name.get(..folders.len() + end).unwrap_or(name)
}

/// The name with the last element of its package's path only, unless it is Go's own: `pgx/v5.(*Conn).Query` of
/// `github.com/jackc/pgx/v5.(*Conn).Query`, as the last says little there.
fn short(name: &str) -> &str {
    let (folders, rest) = split(name);
    if !is_program(name) {
        return name;
    }
    let digits = rest.strip_prefix('v').and_then(|rest| rest.split('.').next()).unwrap_or_default();
    let is_version = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let parent = folders.trim_end_matches('/').rsplit('/').next().filter(|_| is_version).unwrap_or_default();
    let start = folders.len().saturating_sub(if parent.is_empty() { 0 } else { parent.len() + 1 });
    name.get(start..).unwrap_or(name)
}

/// What comes before the last element of the package's path, and the rest. Types in brackets have paths of their own.
fn split(name: &str) -> (&str, &str) {
    let plain = name.find(['(', '[']).unwrap_or(name.len());
    let at = name.get(..plain).and_then(|plain| plain.rfind('/')).map_or(0, |slash| slash + 1);
    name.split_at_checked(at).unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use crate::{Builder, Target};

    use super::*;

    fn line_of(names: &[&str]) -> String {
        let mut builder = Builder::new(Target::default(), 0);
        let locations: Vec<_> = names.iter().map(|name| builder.synthetic(name)).collect();
        let stack = builder.stack(&locations);
        short_stack(&builder.finish(1, Default::default()), stack)
    }

    #[test]
    fn what_the_program_called_and_who_did() {
        let lock =
            ["internal/sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock", "shop/store.(*Cache).Get", "main.checkout"];
        let serve = ["net/http.HandlerFunc.ServeHTTP", "main.auth.func1", "net/http.(*conn).serve"];
        assert_eq!(
            line_of(&[&lock[..], &serve].concat()),
            "sync.(*Mutex).Lock ← store.(*Cache).Get ← main.checkout ← main.auth.func1"
        );
        assert_eq!(line_of(&["main.spin", "main.main"]), "main.spin ← main.main");
        assert_eq!(line_of(&["runtime.chanrecv1", "main.wait", "main.main"]), "main.wait ← main.main");
    }

    #[test]
    fn packages_by_their_path() {
        let query = "github.com/jackc/pgx/v5.(*Conn).Query";
        let get = "main.Get[github.com/shop/model.Order]";
        assert_eq!(
            line_of(&["net.(*conn).Read", query, get]),
            format!("net.(*conn).Read ← pgx/v5.(*Conn).Query ← {get}")
        );
        assert_eq!(package(query), "github.com/jackc/pgx/v5");
        assert_eq!(package(get), "main");
        assert_eq!(short("v1.Run"), "v1.Run");
        assert!(
            is_program("video.Play") && is_program("shop.(*Order).Pay") && !is_program("vendor/golang.org/x/net.F")
        );
        assert!(!is_program("google.golang.org/grpc/internal/transport.(*http2Server).HandleStreams"));
    }

    #[test]
    fn without_the_program_it_is_what_stands_nearest() {
        let serve = ["internal/poll.(*FD).Read", "net.(*conn).Read", "bufio.(*Reader).Peek", "net/http.(*conn).serve"];
        assert_eq!(line_of(&serve), "net.(*conn).Read ← bufio.(*Reader).Peek ← net/http.(*conn).serve");
        assert_eq!(line_of(&["runtime.gopark"]), "runtime.gopark");
        assert_eq!(line_of(&["[its stack was not read]"]), "[its stack was not read]");
        assert_eq!(line_of(&[]), "");
    }
}

//! What `go version -m` prints: how and from what an executable was built (`debug/buildinfo`, `runtime/debug`).

use std::borrow::Cow;

use crate::bytes::{u8_at, u64_at, varint};
use crate::elf::Segment;
use crate::image::{Image, Range};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The blob starts at a multiple of this address.
const ALIGN: u64 = 16;
const HEADER: usize = 32;
/// The module list of very large programs is about 100 KB.
const MAX_TEXT: usize = 4 << 20;
const MAX_DEPS: usize = 20_000;
const MAX_SETTINGS: usize = 1000;
/// 16 bytes before and after the module text, by which the runtime finds it (`modload.infoStart`, `infoEnd`).
const SENTINEL: usize = 16;

/// The build information in an executable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// The toolchain, `go1.27.3`. Empty when the linker was told to leave it out.
    pub go_version: String,
    /// Import path of the main package, `example.com/cmd/server`. Empty when built without modules.
    pub path: String,
    /// Path and version of the main module, such as (`example.com`, `(devel)`).
    pub main: Option<(String, String)>,
    /// Path and version of the modules it was built from. A replaced module is listed as its replacement.
    pub deps: Vec<(String, String)>,
    /// Build settings such as (`-ldflags`, `-s -w`), (`GOARCH`, `amd64`), (`vcs.revision`, ...). From Go 1.18 on.
    pub settings: Vec<(String, String)>,
}

/// Finds and reads the build information.
pub(crate) fn read(image: &Image, budget: &mut u64) -> Option<BuildInfo> {
    // The section's alignment was once smaller than the blob's (golang.org/issue/70592), so it is searched as well.
    let section = image.section_range(".go.buildinfo");
    let ranges = section.into_iter().chain(image.segment_ranges(Segment::is_writable));
    let ranges: Vec<Range> = ranges.collect();
    let vaddr = ranges.into_iter().find_map(|range| {
        image.search(range, HEADER as u64, budget, |vaddr, bytes| {
            let found = memchr::memmem::find_iter(bytes, MAGIC).map(|at| vaddr.wrapping_add(at as u64));
            found.into_iter().find(|found| found % ALIGN == 0)
        })
    })?;
    let (go_version, module_text) = texts(image, vaddr)?;
    let mut info = parse_module_text(&module_text);
    info.go_version = go_version;
    Some(info)
}

/// The toolchain version and the module text of the blob at `vaddr`.
fn texts(image: &Image, vaddr: u64) -> Option<(String, String)> {
    let header = image.read(vaddr, HEADER)?;
    let pointer_size = u8_at(&header, 14)?;
    let flags = u8_at(&header, 15)?;
    let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
    if flags & 2 != 0 {
        // From Go 1.18: two strings, each after its length.
        let at = vaddr.checked_add(HEADER as u64)?;
        let (version, at) = inline_string(image, at)?;
        let module = inline_string(image, at).map_or(Cow::Borrowed(&[][..]), |(module, _)| module);
        return Some((text(version), text(strip_sentinels(module))));
    }
    // Before: the addresses of two Go strings. Only little-endian ones can be in an executable that is supported.
    if flags & 1 != 0 || pointer_size != 8 {
        return None;
    }
    let string = |at| go_string(image, image.read_ptr(vaddr.checked_add(at)?)?, MAX_TEXT);
    let module = string(24).unwrap_or_default();
    Some((text(string(16)?), text(strip_sentinels(module))))
}

fn inline_string(image: &Image, vaddr: u64) -> Option<(Cow<'_, [u8]>, u64)> {
    // The length may be the last thing in a segment.
    let prefix = (1..=5).rev().find_map(|len| image.read(vaddr, len))?;
    let mut at = 0;
    let len = varint(&prefix, &mut at)? as usize;
    let start = vaddr.checked_add(at as u64)?;
    let bytes = image.read(start, Some(len).filter(|&len| len <= MAX_TEXT)?)?;
    Some((bytes, start.checked_add(len as u64)?))
}

/// The bytes of the Go string whose header (pointer, length) is at `vaddr`.
pub(crate) fn go_string(image: &Image, vaddr: u64, max: usize) -> Option<Cow<'_, [u8]>> {
    let header = image.read_relocated(vaddr, 16)?;
    let len = usize::try_from(u64_at(&header, 8)?).ok().filter(|&len| len <= max)?;
    if len == 0 {
        return Some(Cow::Borrowed(&[]));
    }
    image.read(u64_at(&header, 0)?, len)
}

fn strip_sentinels(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let inner = text.len().checked_sub(SENTINEL).and_then(|end| text.get(SENTINEL..end));
    match inner {
        Some(inner) if inner.last() == Some(&b'\n') => Cow::Owned(inner.to_vec()),
        _ => Cow::Borrowed(&[]),
    }
}

fn parse_module_text(text: &str) -> BuildInfo {
    let mut info = BuildInfo::default();
    for line in text.lines() {
        let Some((kind, rest)) = line.split_once('\t') else { continue };
        match kind {
            "path" => info.path = rest.to_owned(),
            "mod" => info.main = Some(module(rest)),
            "dep" if info.deps.len() < MAX_DEPS => info.deps.push(module(rest)),
            "=>" => {
                let replaced = info.deps.last_mut().or(info.main.as_mut());
                if let Some(replaced) = replaced {
                    *replaced = module(rest);
                }
            }
            "build" if info.settings.len() < MAX_SETTINGS => info.settings.extend(setting(rest)),
            _ => {}
        }
    }
    info
}

fn module(fields: &str) -> (String, String) {
    let mut fields = fields.split('\t').map(str::to_owned);
    (fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
}

/// `key=value`, either of which is quoted like a Go string when it has odd characters.
fn setting(text: &str) -> Option<(String, String)> {
    let (key, rest) =
        if text.starts_with(['"', '`']) { unquote(text)? } else { (text.split('=').next()?.to_owned(), text) };
    let rest = if text.starts_with(['"', '`']) { rest } else { text.get(key.len()..)? };
    let value = rest.strip_prefix('=')?;
    let value = match unquote(value) {
        Some((value, "")) => value,
        _ => value.to_owned(),
    };
    Some((key, value))
}

/// Takes a Go string literal off the front: its value, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        return raw.split_once('`').map(|(value, rest)| (value.to_owned(), rest));
    }
    let body = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, body.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                c @ ('\\' | '"' | '\'') => value.push(c),
                // Other escapes do not occur in flags; keep them as written.
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn reads_the_module_text() {
        let text = "path\texample.com/cmd/a\nmod\texample.com\t(devel)\t\ndep\tx.org/y\tv1.2.3\th1:abc=\n\
                    dep\tx.org/old\tv1.0.0\n=>\tx.org/new\tv2.0.0\th1:def=\nbuild\t-compiler=gc\n\
                    build\t-ldflags=\"-s -w -X \\\"main.v=1\\\"\"\nbuild\t\"odd key\"=`a b`\nbuild\tCGO_CFLAGS=\nnonsense\n";
        let info = parse_module_text(text);
        assert_eq!(info.path, "example.com/cmd/a");
        assert_eq!(info.main, Some(pair("example.com", "(devel)")));
        assert_eq!(info.deps, [pair("x.org/y", "v1.2.3"), pair("x.org/new", "v2.0.0")]);
        let settings = [
            pair("-compiler", "gc"),
            pair("-ldflags", "-s -w -X \"main.v=1\""),
            pair("odd key", "a b"),
            pair("CGO_CFLAGS", ""),
        ];
        assert_eq!(info.settings, settings);
    }

    #[test]
    fn limits_hold() {
        let text = "dep\tx\tv1\n".repeat(MAX_DEPS + 5) + &"build\ta=b\n".repeat(MAX_SETTINGS + 5);
        let info = parse_module_text(&text);
        assert_eq!((info.deps.len(), info.settings.len()), (MAX_DEPS, MAX_SETTINGS));
    }

    #[test]
    fn sentinels_are_required() {
        let wrapped = [&[b'<'; 16][..], b"path\tx\n", &[b'>'; 16]].concat();
        assert_eq!(strip_sentinels(wrapped.into()).as_ref(), b"path\tx\n");
        assert_eq!(strip_sentinels(vec![b'x'; 40].into()).as_ref(), b"");
        assert_eq!(strip_sentinels(vec![b'x'; 20].into()).as_ref(), b"");
    }
}

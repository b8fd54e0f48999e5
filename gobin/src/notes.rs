//! Build ids from ELF notes.

use std::fmt::Write;

use crate::bytes::u32_at;
use crate::elf::{PT_NOTE, SHT_NOTE};
use crate::image::Image;

/// Sections and program headers with notes that are looked at.
const MAX_PLACES: usize = 32;
const MAX_NOTES: u64 = 64 << 10;
const MAX_ID: usize = 256;
const NT_GNU_BUILD_ID: u32 = 3;
/// `ELF_NOTE_GOBUILDID_TAG` in Go's `cmd/link/internal/ld/elf.go`.
const GO_BUILD_ID: u32 = 4;

/// The GNU build id in hexadecimal, else the Go build id.
///
/// Sections are asked before program headers: from 1.24 on Go's linker writes a GNU build id by default, into a section that no
/// program header of type `PT_NOTE` has (`cmd/link/internal/ld/elf.go`; Go's own profiles look at sections only, `elfBuildID` in
/// `runtime/pprof/elf.go`).
pub(crate) fn build_id(image: &Image) -> Option<String> {
    let sections = image.elf.sections.iter().filter(|section| section.kind == SHT_NOTE);
    let sections = sections.map(|section| (section.offset, section.size));
    let headers = image.elf.program_headers.iter().filter(|header| header.kind == PT_NOTE);
    let headers = headers.map(|header| (header.segment.offset, header.segment.file_size));
    let mut go = None;
    for (offset, size) in sections.chain(headers).take(MAX_PLACES) {
        let len = usize::try_from(size.min(MAX_NOTES)).ok()?;
        let Some(bytes) = image.read_file(offset, len) else { continue };
        let mut rest = bytes.as_ref();
        while let Some((note, after)) = Note::split(rest) {
            match (note.owner, note.kind) {
                (b"GNU\0", NT_GNU_BUILD_ID) => return Some(hexadecimal(note.content)),
                (b"Go\0\0", GO_BUILD_ID) => go = go.or_else(|| String::from_utf8(note.content.to_vec()).ok()),
                _ => {}
            }
            rest = after;
        }
    }
    go
}

#[derive(Debug, PartialEq, Eq)]
struct Note<'a> {
    /// With its terminator and padding.
    owner: &'a [u8],
    kind: u32,
    /// Cut at [`MAX_ID`].
    content: &'a [u8],
}

impl Note<'_> {
    /// Takes the first note off `bytes`.
    fn split(bytes: &[u8]) -> Option<(Note<'_>, &[u8])> {
        let padded = |len: u32| usize::try_from(len).ok()?.checked_next_multiple_of(4);
        let (owner_len, content_len, kind) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?, u32_at(bytes, 8)?);
        let (owner, rest) = bytes.get(12..)?.split_at_checked(padded(owner_len)?)?;
        let content = rest.get(..usize::try_from(content_len).ok()?)?;
        let after = rest.get(padded(content_len)?..).unwrap_or_default();
        Some((Note { owner, kind, content: content.get(..MAX_ID).unwrap_or(content) }, after))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_notes() {
        let mut bytes = vec![4, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0];
        bytes.extend(b"Go\0\0a/b/c\0\0\0rest");
        let note = Note { owner: b"Go\0\0", kind: 4, content: b"a/b/c" };
        assert_eq!(Note::split(&bytes), Some((note, &b"rest"[..])));
        assert_eq!(Note::split(&bytes[..18]), None);
        assert_eq!(Note::split(&[0xff; 64]), None);
        assert_eq!(Note::split(&[0; 12]), Some((Note { owner: b"", kind: 0, content: b"" }, &b""[..])));
    }

    #[test]
    fn writes_hexadecimal() {
        assert_eq!(hexadecimal(&[0, 0x0f, 0xff]), "000fff");
    }
}

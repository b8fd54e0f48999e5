//! `/proc/PID/maps`: what is mapped where (proc_pid_maps(5)).

use std::io::{self, BufRead};
use std::path::PathBuf;

use crate::procdir::path_of;
use crate::text::number;

/// The most mappings that are read. The kernel's own default limit is 65530 (`vm.max_map_count`).
const MAX_MAPPINGS: usize = 1 << 20;

/// The longest line that is looked at: a path of 4096 bytes, each of which may be written in four, and the columns.
const MAX_LINE: u64 = 20 << 10;

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address after it; greater than `start`.
    pub end: u64,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// Where in the file it starts, in bytes; 0 where there is no file.
    pub offset: u64,
    /// The file's inode number; 0 where there is no file.
    pub inode: u64,
    /// The file's device, major and minor. On btrfs and overlayfs it differs from what stat(2) says of the same file.
    pub device: (u32, u32),
    /// The path as the target sees it (with ` (deleted)` behind a deleted file's), or a name such as `[heap]`.
    pub path: Option<PathBuf>,
}

impl Mapping {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has no length. Never so for what the kernel lists.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads one line: `start-end perms offset major:minor inode   path`.
    fn parse(line: &[u8]) -> Option<Mapping> {
        let mut rest = line;
        let mut column = || {
            let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            word
        };
        let (start, end) = pair(column(), b'-', 16)?;
        let [r, w, x, ..] = *column() else { return None };
        let offset = number(column(), 16)?;
        let (major, minor) = pair(column(), b':', 16)?;
        let inode = number(column(), 10)?;
        let path = rest.trim_ascii_start();
        Some(Mapping {
            start,
            end: (end > start).then_some(end)?,
            readable: r == b'r',
            writable: w == b'w',
            executable: x == b'x',
            offset,
            inode,
            device: (u32::try_from(major).ok()?, u32::try_from(minor).ok()?),
            path: (!path.is_empty()).then(|| path_of(unescape(path))),
        })
    }
}

/// Reads mappings until `input` ends or has given [`MAX_MAPPINGS`]. Lines that make no sense are left out.
pub(crate) fn parse(mut input: impl BufRead) -> io::Result<Vec<Mapping>> {
    let (mut maps, mut line) = (Vec::new(), Vec::new());
    while maps.len() < MAX_MAPPINGS {
        line.clear();
        if io::Read::take(&mut input, MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        maps.extend(Mapping::parse(line.strip_suffix(b"\n").unwrap_or(&line)));
    }
    Ok(maps)
}

fn pair(text: &[u8], between: u8, radix: u32) -> Option<(u64, u64)> {
    let at = text.iter().position(|&b| b == between)?;
    Some((number(text.get(..at)?, radix)?, number(text.get(at + 1..)?, radix)?))
}

/// The kernel writes a line feed in a path as `\012` and leaves everything else alone (`show_map_vma` in the kernel's
/// `fs/proc/task_mmu.c`), so a path that really holds `\012` looks the same.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match rest.strip_prefix(br"\012") {
            Some(after) => {
                out.push(b'\n');
                after
            }
            None => {
                out.push(first);
                tail
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &[u8] = b"00400000-004d2000 r-xp 00000000 fd:00 1234                       /opt/a b\\012c (deleted)\n\
        c000000000-c000400000 rw-p 00000000 00:00 0 \n\
        garbage\n\
        7ffd000-7ffc000 rw-p 00000000 00:00 0 \n\
        7ffc0000-7ffd0000 rw-s 00001000 00:1b 99                           [stack]\n";

    #[test]
    fn reads_lines() {
        let maps = parse(TEXT).unwrap();
        let first = Mapping {
            start: 0x40_0000,
            end: 0x4d_2000,
            readable: true,
            writable: false,
            executable: true,
            offset: 0,
            inode: 1234,
            device: (0xfd, 0),
            path: Some(PathBuf::from("/opt/a b\nc (deleted)")),
        };
        assert_eq!(maps[0], first);
        assert_eq!((maps[1].start, maps[1].len(), &maps[1].path), (0xc0_0000_0000, 0x40_0000, &None));
        assert_eq!((maps[2].offset, maps[2].device), (0x1000, (0, 0x1b)));
        assert_eq!(maps[2].path.as_deref(), Some(Path::new("[stack]")));
        assert_eq!(maps.len(), 3, "the nonsense lines are left out");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut text = b"1000-2000 r--p 00000000 00:00 0 /".to_vec();
        text.resize(text.len() + 3 * MAX_LINE as usize, b'x');
        let maps = parse(&text[..]).unwrap();
        assert_eq!(maps.len(), 1);
        assert!(maps[0].path.as_ref().unwrap().as_os_str().len() < MAX_LINE as usize);
    }

    #[test]
    fn real_maps_all_make_sense() {
        let text = std::fs::read("/proc/self/maps").unwrap();
        let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty()).count();
        let maps = parse(&text[..]).unwrap();
        assert_eq!(maps.len(), lines);
        let code = real_maps_all_make_sense as fn() as usize as u64;
        let own = maps.iter().find(|m| m.start <= code && code < m.end).unwrap();
        assert!(own.executable && own.readable && !own.writable);
        assert_eq!(own.path, std::env::current_exe().ok());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            parse(&text[..]).unwrap();
        }

        #[test]
        fn never_panics_on_damage(at in 0..TEXT.len(), with: u8) {
            let mut text = TEXT.to_vec();
            text[at] = with;
            for mapping in parse(&text[..]).unwrap() {
                proptest::prop_assert!(!mapping.is_empty());
            }
        }
    }
}

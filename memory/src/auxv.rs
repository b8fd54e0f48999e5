//! `/proc/PID/auxv`: what the kernel told the program when it started (getauxval(3)).

/// Entries that are looked at; the kernel writes about 20 (`AT_VECTOR_SIZE` in its `include/linux/auxvec.h`).
const MAX_ENTRIES: usize = 256;

/// Bytes that are worth reading of the file.
pub(crate) const MAX_BYTES: u64 = MAX_ENTRIES as u64 * 16;

const AT_NULL: u64 = 0;
const AT_PHDR: u64 = 3;
const AT_ENTRY: u64 = 9;

/// The entries we use; all of them addresses in the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Auxv {
    /// `AT_PHDR`: the executable's program headers.
    pub(crate) phdr: Option<u64>,
    /// `AT_ENTRY`: the executable's entry point (not the dynamic loader's).
    pub(crate) entry: Option<u64>,
}

/// Reads the vector of a 64-bit little-endian process: pairs of a type and a value, ended by type 0.
pub(crate) fn parse(bytes: &[u8]) -> Auxv {
    let mut auxv = Auxv::default();
    let (words, _) = bytes.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    for &[kind, value] in pairs.iter().take(MAX_ENTRIES) {
        let value = u64::from_le_bytes(value);
        match u64::from_le_bytes(kind) {
            AT_NULL => break,
            AT_PHDR => auxv.phdr = Some(value),
            AT_ENTRY => auxv.entry = Some(value),
            _ => {}
        }
    }
    auxv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(pairs: &[(u64, u64)]) -> Vec<u8> {
        pairs.iter().flat_map(|&(kind, value)| [kind.to_le_bytes(), value.to_le_bytes()]).flatten().collect()
    }

    #[test]
    fn stops_at_the_end_mark() {
        let bytes = vector(&[(AT_PHDR, 0x40), (6, 4096), (AT_ENTRY, 0x1000), (AT_NULL, 0), (AT_ENTRY, 7)]);
        assert_eq!(parse(&bytes), Auxv { phdr: Some(0x40), entry: Some(0x1000) });
        assert_eq!(parse(&bytes[..20]), Auxv { phdr: Some(0x40), entry: None });
        assert_eq!(parse(&[]), Auxv::default());
    }

    #[test]
    fn our_own_program_headers_are_where_it_says() {
        let auxv = parse(&std::fs::read("/proc/self/auxv").unwrap());
        let maps = crate::maps::parse(&std::fs::read("/proc/self/maps").unwrap()[..]).unwrap();
        let exe = std::env::current_exe().unwrap();
        let ours = |addr: u64| {
            maps.iter().any(|m| m.start <= addr && addr < m.end && m.path.as_deref() == Some(exe.as_path()))
        };
        assert!(ours(auxv.phdr.unwrap()) && ours(auxv.entry.unwrap()));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..5000)) {
            parse(&bytes);
        }
    }
}

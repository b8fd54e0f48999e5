//! Names of kernel functions, from `/proc/kallsyms`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::OnceLock;

/// Lines beyond this are not read. Large kernels with all modules loaded have about 300,000.
const MAX_SYMBOLS: usize = 2 << 20;
/// Bytes beyond this are not read.
const MAX_BYTES: u64 = 256 << 20;
/// No kernel function is as long as this; an address further from the last symbol before it belongs to none.
const MAX_FUNCTION: u64 = 1 << 20;

/// Names kernel addresses. The table (some 10 MB) is read when the first name is asked for.
#[derive(Debug, Default)]
pub struct KernelSymbols {
    table: OnceLock<Option<Table>>,
}

impl KernelSymbols {
    /// An empty table, read when first used.
    pub fn new() -> KernelSymbols {
        KernelSymbols::default()
    }

    /// The function that contains `address`. `None` when there is none, and for every address when the kernel shows
    /// none: without CAP_SYSLOG and with `kernel.kptr_restrict` or `kernel.perf_event_paranoid` too high it prints
    /// zeros.
    pub fn name(&self, address: u64) -> Option<&str> {
        self.table.get_or_init(read).as_ref()?.name(address)
    }

    /// Whether addresses can be named at all. Reads no more than the first symbols.
    pub fn available(&self) -> bool {
        let Ok(file) = File::open("/proc/kallsyms") else { return false };
        let first = BufReader::new(file.take(64 << 10)).lines().map_while(Result::ok);
        first.filter_map(|line| u64::from_str_radix(line.split_once(' ')?.0, 16).ok()).any(|address| address != 0)
    }
}

fn read() -> Option<Table> {
    Table::parse(BufReader::new(File::open("/proc/kallsyms").ok()?.take(MAX_BYTES)))
}

/// Function names by start address.
#[derive(Debug)]
struct Table {
    /// Start address, and start and end of the name in `names`; sorted by address.
    functions: Vec<(u64, u32, u32)>,
    names: String,
}

impl Table {
    /// Reads lines of `address type name [module]`. `None` when no function has an address.
    fn parse(mut lines: impl BufRead) -> Option<Table> {
        let (mut functions, mut names, mut line) = (Vec::new(), String::new(), String::new());
        while functions.len() < MAX_SYMBOLS {
            line.clear();
            if lines.read_line(&mut line).ok()? == 0 {
                break;
            }
            let mut fields = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let address = u64::from_str_radix(address, 16).unwrap_or(0);
            if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
                continue;
            }
            let start = u32::try_from(names.len()).ok()?;
            names.push_str(name);
            functions.push((address, start, u32::try_from(names.len()).ok()?));
        }
        // Of several names for one address, the first one listed stays first.
        functions.sort_by_key(|function| function.0);
        functions.dedup_by_key(|function| function.0);
        (!functions.is_empty()).then_some(Table { functions, names })
    }

    fn name(&self, address: u64) -> Option<&str> {
        let after = self.functions.partition_point(|function| function.0 <= address);
        let &(start, from, to) = self.functions.get(after.checked_sub(1)?)?;
        (address - start < MAX_FUNCTION).then(|| self.names.get(from as usize..to as usize))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "ffffffff81000010 T second\nffffffff81000000 T first\nffffffff81000000 t alias\n\
        ffffffff81000020 D data\nffffffff81000100 t in_module\t[ext4]\nbroken\n\
        ffffffff81000200 T last\n";

    #[test]
    fn an_address_belongs_to_the_last_function_that_starts_before_it() {
        let table = Table::parse(LISTING.as_bytes()).expect("has addresses");
        assert_eq!(table.name(0xffff_ffff_8100_0000), Some("first"));
        assert_eq!(table.name(0xffff_ffff_8100_000f), Some("first"));
        assert_eq!(table.name(0xffff_ffff_8100_0010), Some("second"));
        assert_eq!(table.name(0xffff_ffff_8100_0028), Some("second"), "data is no function");
        assert_eq!(table.name(0xffff_ffff_8100_0180), Some("in_module"));
        assert_eq!(table.name(0xffff_ffff_8100_0200), Some("last"));
    }

    #[test]
    fn addresses_far_from_any_function_have_no_name() {
        let table = Table::parse(LISTING.as_bytes()).expect("has addresses");
        assert_eq!(table.name(0xffff_ffff_80ff_ffff), None);
        assert_eq!(table.name(0xffff_ffff_8100_0200 + MAX_FUNCTION), None);
        assert_eq!(table.name(0), None);
        assert_eq!(table.name(u64::MAX), None);
    }

    #[test]
    fn hidden_addresses_are_no_table() {
        assert!(Table::parse("0000000000000000 T first\n0000000000000000 t second\n".as_bytes()).is_none());
        assert!(Table::parse("".as_bytes()).is_none());
    }
}

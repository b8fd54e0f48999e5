//! The text of `debug=1`: each stack once, with how many goroutines have it.
//!
//! The form is that of `printCountProfile` and `printStackRecord` in Go's `runtime/pprof/pprof.go`. One difference: calls
//! that were inlined share the address of the frame they were inlined into.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::{Frame, Group, Look};

pub(super) fn write(look: &Look<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut groups: Vec<(Group<'_>, String)> = look
        .groups()
        .into_iter()
        .map(|group| {
            let key = key(&group.frames, group.labels);
            (group, key)
        })
        .collect();
    groups.sort_by(|(group, key), (other, other_key)| {
        (Reverse(group.count), key).cmp(&(Reverse(other.count), other_key))
    });
    writeln!(out, "goroutine profile: total {}", look.user().count())?;
    for (group, key) in groups {
        writeln!(out, "{} {key}", group.count)?;
        if let Some(missing) = group.missing {
            writeln!(out, "# {}", missing.name())?;
        }
        write_aligned(&rows(look, &group.frames), out)?;
        writeln!(out)?;
    }
    Ok(())
}

/// What tells a stack from others, and its first lines.
fn key(frames: &[Frame<'_>], labels: &[(String, String)]) -> String {
    let mut key = "@".to_owned();
    for frame in frames {
        let _ = write!(key, " {:#x}", frame.pc);
    }
    if !labels.is_empty() {
        let mut pairs: Vec<String> =
            labels.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect();
        pairs.sort();
        let _ = write!(key, "\n# labels: {{{}}}", pairs.join(", "));
    }
    key
}

/// Address, function with offset, place in the source. The runtime's functions nearest the leaf are left out, unless
/// there are no others.
fn rows(look: &Look<'_>, frames: &[Frame<'_>]) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    let mut leading = 0;
    for (frame, lines) in frames.iter().filter_map(|frame| Some((frame, frame.shown()?))) {
        let address = format!("{:#x}", frame.address);
        let entry = look.runtime.binary.func_at(frame.address.wrapping_sub(look.runtime.bias));
        let entry = entry.map_or(frame.address, |function| function.entry.wrapping_add(look.runtime.bias));
        if lines.is_empty() {
            rows.push([address.clone(), String::new(), String::new()]);
        }
        for line in lines {
            if leading == rows.len() && is_runtime(&line.function) {
                leading += 1;
            }
            let function = format!("{}+{:#x}", line.function, frame.address.wrapping_sub(entry));
            rows.push([address.clone(), function, format!("{}:{}", line.file, line.line)]);
        }
    }
    if leading < rows.len() {
        rows.drain(..leading);
    }
    rows
}

fn is_runtime(function: &str) -> bool {
    function.starts_with("runtime.") || function.starts_with("internal/runtime/")
}

/// Columns begin at multiples of 8, reached by tabs, as Go's `text/tabwriter` does it.
fn write_aligned(rows: &[[String; 3]], out: &mut dyn Write) -> io::Result<()> {
    const TAB: usize = 8;
    let length = |text: &str| text.chars().count();
    let width = |column: fn(&[String; 3]) -> &str| {
        rows.iter().map(|row| length(column(row)) + 1).max().unwrap_or(0).next_multiple_of(TAB)
    };
    let (first, second) = (width(|[address, ..]| address), width(|[_, function, _]| function));
    let tabs = |width: usize, text: &str| "\t".repeat((width - length(text)).div_ceil(TAB));
    for row @ [address, function, place] in rows {
        if row[1].is_empty() {
            writeln!(out, "#\t{address}")?;
        } else {
            writeln!(out, "#\t{address}{}{function}{}{place}", tabs(first, address), tabs(second, function))?;
        }
    }
    Ok(())
}

/// A string as Go's `%q` writes it (`strconv.Quote`).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            ..' ' | '\x7f' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c if !is_printable(c) => {
                let code = u32::from(c);
                let _ = if code < 0x1_0000 { write!(quoted, "\\u{code:04x}") } else { write!(quoted, "\\U{code:08x}") };
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether Go prints a character as it is (`strconv.IsPrint`): no blanks but the ASCII one, no controls, nothing private
/// or unassigned.
fn is_printable(c: char) -> bool {
    // Rust escapes the same when it prints strings, except quotes; combining marks only at the start.
    let escaped = ['a', c].iter().collect::<String>().escape_debug().count() > 2;
    !escaped || c == '\''
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        // What `go run` of fmt.Printf("%q") printed for these strings.
        for (text, expected) in [
            ("", r#""""#),
            ("plain value", r#""plain value""#),
            ("it's \"so\" \\", r#""it's \"so\" \\""#),
            ("\x07\x08\x0c\n\r\t\x0b\x00\x1b\x7f", r#""\a\b\f\n\r\t\v\x00\x1b\x7f""#),
            ("Größe 世界 ☺", r#""Größe 世界 ☺""#),
            ("e\u{301} x\u{301} \u{301}", "\"e\u{301} x\u{301} \u{301}\""),
            ("\u{ad}\u{a0}\u{3000}", r#""\u00ad\u00a0\u3000""#),
            ("\u{85}\u{feff}\u{200b}\u{e000}\u{10ffff}", r#""\u0085\ufeff\u200b\ue000\U0010ffff""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn aligns_as_tabwriter_does() {
        let row = |address: &str, function: &str| [address.to_owned(), function.to_owned(), "f.go:1".to_owned()];
        let rows = [row("0x47b4e3", "main.f+0x23"), row("0x7b4e3", "net/http.(*conn).serve+0x1"), row("0x1", "")];
        let mut out = Vec::new();
        write_aligned(&rows, &mut out).unwrap();
        let expected = "#\t0x47b4e3\tmain.f+0x23\t\t\tf.go:1\n\
            #\t0x7b4e3\t\tnet/http.(*conn).serve+0x1\tf.go:1\n#\t0x1\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn labels_come_sorted_after_the_program_counters() {
        let labels = [("z".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        let frames = [0x10, 0xff].map(|pc| Frame { pc, address: pc - 1, lines: Vec::new() });
        assert_eq!(key(&frames, &labels), "@ 0x10 0xff\n# labels: {\"a\":\"2\", \"z\":\"1\"}");
        assert_eq!(key(&frames, &[]), "@ 0x10 0xff");
    }
}

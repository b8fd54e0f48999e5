//! Text that fits into columns: cut, padded, wrapped.

/// The text in at most so many columns. If something was cut off, it ends in `…`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
    cut.extend((columns > 0).then_some('…'));
    cut
}

/// The same for a line that may have colours. They must come before the part that is cut.
pub(crate) fn cut_styled(line: &str, columns: usize) -> String {
    let codes = line.chars().count().saturating_sub(width(line));
    cut(line, columns + codes)
}

/// Filled up with spaces on the right.
pub(crate) fn left(text: &str, columns: usize) -> String {
    format!("{}{}", text, " ".repeat(columns.saturating_sub(width(text))))
}

/// Filled up with spaces on the left.
pub(crate) fn right(text: &str, columns: usize) -> String {
    format!("{}{}", " ".repeat(columns.saturating_sub(width(text))), text)
}

/// How many columns a line takes, without the codes for colours in it.
pub(crate) fn width(line: &str) -> usize {
    let mut columns = 0;
    let mut in_code = false;
    for c in line.chars() {
        match c {
            '\x1b' => in_code = true,
            _ if in_code => in_code = !c.is_ascii_alphabetic(),
            _ => columns += 1,
        }
    }
    columns
}

/// A paragraph in lines of so many columns; all but the first are indented as its text is.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let indent = text.len() - text.trim_start_matches([' ', '-']).len();
    let mut lines = vec![text.get(..indent).unwrap_or_default().to_owned()];
    let mut is_empty = true;
    // Not at every kind of space: what belongs together is joined by one that does not break.
    for word in text.get(indent..).unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        let last = lines.last().map_or(0, |line| width(line));
        if !is_empty && last + 1 + width(word) > columns {
            lines.push(" ".repeat(indent));
            is_empty = true;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if is_empty { "" } else { " " });
            line.push_str(word);
        }
        is_empty = false;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_padded() {
        assert_eq!(cut("GET /größe", 10), "GET /größe");
        assert_eq!(cut("GET /größe", 8), "GET /gr…");
        assert_eq!((cut("ab", 1), cut("ab", 0)), ("…".to_owned(), String::new()));
        assert_eq!((left("ab", 4), right("ab", 4), right("abc", 2)), ("ab  ".into(), "  ab".into(), "abc".into()));
    }

    #[test]
    fn paragraphs_are_wrapped_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("- one two three", 9), ["- one two", "  three"]);
        assert_eq!(wrap("one two\u{a0}three", 8), ["one", "two\u{a0}three"]);
        assert_eq!(wrap("", 8), [""]);
    }
}

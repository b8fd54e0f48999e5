//! Text that comes from the target, made safe to print.

/// The text with `?` in place of each character that could control the terminal or change the direction of the text.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '?' } else { c }).collect()
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_directions_become_question_marks() {
        assert_eq!(clean("a\x1b[2Jb\nc"), "a?[2Jb?c");
        assert_eq!(clean("/tmp/\u{202e}gnp.x"), "/tmp/?gnp.x");
        assert_eq!(clean("GET /größe"), "GET /größe");
    }
}

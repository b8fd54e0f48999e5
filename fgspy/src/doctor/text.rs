//! The findings as text.

use super::check::{Check, Mark, Section};
use crate::terminal::escape::clean;
use crate::terminal::style::Style;

/// The columns that there are on every terminal, nearly.
const WIDTH: usize = 100;
/// Where topics start: behind two blanks and the longest mark.
const TOPIC: usize = 8;

/// All sections, and a last line that sums up.
pub(super) fn render(sections: &[Section], style: Style) -> String {
    let mut text = String::new();
    let checks = || sections.iter().flat_map(|section| &section.checks);
    let topic_width = checks().map(|check| check.topic.len()).max().unwrap_or(0);
    for section in sections {
        text += &format!("{}\n", clean(&section.title));
        for check in &section.checks {
            render_check(&mut text, check, topic_width, style);
        }
        text.push('\n');
    }
    let count = |wanted: fn(&Check) -> bool| checks().filter(|check| wanted(check)).count();
    let failed = count(|check| matches!(check.mark, Mark::Fail(_)));
    let warned = count(|check| check.mark == Mark::Warn);
    text += &match (failed, warned) {
        (0, 0) => "Everything works.\n".to_owned(),
        (0, 1) => "Everything essential works; 1 warning.\n".to_owned(),
        (0, n) => format!("Everything essential works; {n} warnings.\n"),
        (1, _) => "1 essential check failed.\n".to_owned(),
        (n, _) => format!("{n} essential checks failed.\n"),
    };
    text
}

fn render_check(text: &mut String, check: &Check, topic_width: usize, style: Style) {
    let (word, colour) = match check.mark {
        Mark::Ok => ("ok", "32"),
        Mark::Warn => ("warn", "33"),
        Mark::Fail(_) => ("fail", "31"),
    };
    let mark = style.paint(colour, word);
    let indent = TOPIC + topic_width + 2;
    let pad = " ".repeat(TOPIC - 2 - word.len());
    let topic = check.topic;
    *text += &format!("  {mark}{pad}{topic:topic_width$}  {}\n", wrap(&check.finding, indent, indent));
    let mut detail = |label: &str, content: &str| {
        let hang = indent + label.len();
        *text += &format!("{:indent$}{label}{}\n", "", wrap(content, hang, hang));
    };
    if let Some(consequence) = &check.consequence {
        detail("so:  ", consequence);
    }
    for (i, remedy) in check.remedies.iter().enumerate() {
        let remedy = remedy.strip_prefix("or ").unwrap_or(remedy);
        detail(if i == 0 { "fix: " } else { "or:  " }, remedy);
    }
}

/// Breaks a text between words. The first line starts at column `first`, the others at `indent`.
fn wrap(text: &str, first: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut column = first;
    for word in clean(text).split_whitespace() {
        let length = word.chars().count();
        let is_first = wrapped.is_empty();
        if !is_first && column + 1 + length > WIDTH {
            wrapped += &format!("\n{:indent$}", "");
            column = indent;
        } else if !is_first {
            wrapped.push(' ');
            column += 1;
        }
        wrapped += word;
        column += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(checks: Vec<Check>) -> Section {
        Section { title: "This machine".to_owned(), checks }
    }

    #[test]
    fn columns_are_aligned_and_details_hang_below() {
        let checks = vec![
            Check::ok("kernel", "Linux 6.1"),
            Check::warn("kernel frames", "not permitted").so("less is seen").fix(["sudo x", "or sudo y"]),
        ];
        let expected = "\
This machine
  ok    kernel         Linux 6.1
  warn  kernel frames  not permitted
                       so:  less is seen
                       fix: sudo x
                       or:  sudo y

Everything essential works; 1 warning.
";
        assert_eq!(render(&[section(checks)], Style::PLAIN), expected);
    }

    #[test]
    fn nothing_is_wider_than_the_screen() {
        let long = "many words and a-rather-long-one ".repeat(20);
        let checks = vec![Check::warn("topic", &long).so(&long).fix([&long, &long])];
        let text = render(&[section(checks)], Style::PLAIN);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert_eq!(text.matches("a-rather-long-one").count(), 80);
        // A word that is too long by itself is not broken: it may be a path to be copied.
        let path = "x".repeat(150);
        assert!(render(&[section(vec![Check::ok("topic", &path)])], Style::PLAIN).contains(&path));
    }

    #[test]
    fn colour_only_where_wanted() {
        let checks = || vec![Check::ok("a", "b"), Check::warn("c", "d")];
        assert!(!render(&[section(checks())], Style::PLAIN).contains('\x1b'));
        let coloured = render(&[section(checks())], Style { colour: true });
        assert!(coloured.contains("  \x1b[32mok\x1b[0m    a  b\n  \x1b[33mwarn\x1b[0m  c  d\n"), "{coloured}");
    }

    #[test]
    fn a_target_cannot_write_to_the_terminal() {
        let text = render(&[section(vec![Check::ok("path", "/tmp/\x1b[2Jevil\u{202e}\nx")])], Style::PLAIN);
        assert!(text.contains("/tmp/?[2Jevil??x\n"), "{text}");
    }

    #[test]
    fn the_last_line_counts() {
        let fail = || Check { mark: Mark::Fail(5), ..Check::ok("x", "y") };
        let last = |checks: Vec<Check>| render(&[section(checks)], Style::PLAIN).lines().last().unwrap().to_owned();
        assert_eq!(last(vec![Check::ok("a", "b")]), "Everything works.");
        assert_eq!(last(vec![Check::warn("a", "b"); 2]), "Everything essential works; 2 warnings.");
        assert_eq!(last(vec![Check::warn("a", "b"), fail()]), "1 essential check failed.");
        assert_eq!(last(vec![fail(), fail()]), "2 essential checks failed.");
    }
}

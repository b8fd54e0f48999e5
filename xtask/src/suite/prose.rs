//! The documents and the text in the sources are in plain technical English: lines of a width that an editor shows, none of the
//! phrases that readers had to read twice, and no link or path that leads nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fgspy_fixtures::workspace;
use regex::Regex;

/// The longest line of prose in a document, in characters. Tables and code may be wider.
const WIDTH: usize = 120;
/// The longest that the map may be, in lines.
const MAP: (&str, usize) = ("ARCHITECTURE.md", 250);
/// Phrases that occur nowhere: not in documents, messages, help or comments.
const NOWHERE: [&str; 10] = [
    "who computes",
    "lot is drawn",
    "lots are drawn",
    "lots were drawn",
    "drawn by lot",
    "could not be told",
    "cannot be told",
    "is told",
    "are told",
    "keeps no account",
];
/// Phrases that do not occur in documents.
const NOT_IN_DOCUMENTS: [&str; 9] = [
    "is said",
    "are said",
    "told apart",
    "held against",
    "no difference could be shown",
    "whoever",
    "nobody knows",
    "by lot",
    "lots",
];

/// All that is wrong with documents and sources.
fn faults() -> Result<Vec<String>> {
    let root = workspace::root();
    let mut wrong = Vec::new();
    for file in documents(root)? {
        let text = read(&file)?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        wrong.extend(wide(&text).into_iter().map(|line| format!("{name}:{line}: wider than {WIDTH} characters")));
        let found = phrases(&document_words(&text), &[&NOWHERE[..], &NOT_IN_DOCUMENTS[..]].concat());
        wrong.extend(found.into_iter().map(|phrase| format!("{name}: has the phrase \"{phrase}\"")));
        let folder = file.parent().unwrap_or(root);
        wrong.extend(dead_links(&text, folder).into_iter().map(|link| format!("{name}: {link} does not exist")));
        wrong.extend(dead_paths(&text, root).into_iter().map(|path| format!("{name}: `{path}` does not exist")));
        if name == MAP.0 && text.lines().count() > MAP.1 {
            wrong.push(format!("{name}: longer than {} lines", MAP.1));
        }
    }
    for file in sources(root)? {
        let found = phrases(&source_words(&read(&file)?), &NOWHERE);
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        wrong.extend(found.into_iter().map(|phrase| format!("{name}: has the phrase \"{phrase}\"")));
    }
    Ok(wrong)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// What people write by hand: the documents in the root folder, and those under `docs`. The reports in `bench` are generated.
fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = files(root, "md", false)?;
    files.extend(self::files(&root.join("docs"), "md", true)?);
    Ok(files)
}

/// The sources of all crates but this file, which has the phrases.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for krate in super::structure::members(root)? {
        all.extend(files(&root.join(krate).join("src"), "rs", true)?);
    }
    all.retain(|file| !file.ends_with("suite/prose.rs"));
    Ok(all)
}

/// The files in a folder whose names end in `.ending`, in order.
fn files(folder: &Path, ending: &str, deep: bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && deep {
            found.extend(files(&path, ending, true)?);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Code in a block of its own is indented by four spaces; items of lists are indented by less.
fn is_code_or_table(line: &str) -> bool {
    line.starts_with("    ") || line.trim_start().starts_with('|')
}

/// The numbers of lines of prose that are too long, from 1 on.
fn wide(text: &str) -> Vec<usize> {
    let long = |line: &str| !is_code_or_table(line) && line.chars().count() > WIDTH;
    text.lines().enumerate().filter(|(_, line)| long(line)).map(|(number, _)| number + 1).collect()
}

/// The words of a document in one line, without code.
fn document_words(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("    "));
    let all = lines.collect::<Vec<_>>().join(" ");
    all.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The words of a source file in one line: a phrase may go from one line of a comment, or of a string, to the next.
fn source_words(text: &str) -> String {
    let words = text.lines().map(|line| {
        let line = line.trim().trim_end_matches('\\');
        line.trim_start_matches("//").trim_start_matches(['/', '!'])
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Which of the phrases occur, as whole words, in any case and with any white space between them.
fn phrases<'a>(words: &str, phrases: &[&'a str]) -> Vec<&'a str> {
    let words = format!(" {} ", words.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase());
    let ends = |at: Option<char>| at.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let occurs = |phrase: &str| {
        words
            .match_indices(phrase)
            .any(|(at, _)| ends(words[..at].chars().next_back()) && ends(words[at + phrase.len()..].chars().next()))
    };
    phrases.iter().copied().filter(|phrase| occurs(phrase)).collect()
}

/// Links to files that are not there.
fn dead_links(text: &str, folder: &Path) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)#:]+)(?:#[^)]*)?\)").expect("a constant");
    let links = link.captures_iter(text).map(|found| found[1].to_owned());
    links.filter(|link| !folder.join(link).exists()).collect()
}

/// Files named in backquotes, from the root of the workspace on, that are not there.
fn dead_paths(text: &str, root: &Path) -> Vec<String> {
    let path = Regex::new(r"`([a-z]+/[A-Za-z0-9_/.-]+\.(?:rs|toml|txt|c|h|md))`").expect("a constant");
    let paths = path.captures_iter(text).map(|found| found[1].to_owned());
    paths.filter(|path| !root.join(path).exists()).collect()
}

#[test]
fn documents_and_messages_are_in_plain_english() {
    let faults = faults().expect("the workspace can be read");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_across_lines_and_as_whole_words() {
        let text = "    //! Reads what is\n    //! Told to it.\n    let words = \"lots \\\n    were drawn\";";
        assert_eq!(
            phrases(&source_words(text), &["is told", "lots were drawn", "old"]),
            ["is told", "lots were drawn"]
        );
        assert_eq!(phrases("this told", &["is told"]), Vec::<&str>::new());
    }

    #[test]
    fn code_in_documents_is_no_prose() {
        let text = "Not `is told` here.\n\n    is told\n\n| is told |";
        assert_eq!(phrases(&document_words(text), &["is told"]), ["is told"], "tables count");
        assert_eq!(phrases(&document_words("`is told`\n\n    is told"), &["is told"]), Vec::<&str>::new());
    }

    #[test]
    fn wide_lines_are_those_of_prose() {
        let long = "x".repeat(WIDTH + 1);
        assert_eq!(wide(&format!("short\n{long}\n| {long} |\n    {long}\n{}", "é".repeat(WIDTH))), [2]);
    }

    #[test]
    fn links_and_paths_that_lead_nowhere_are_found() {
        let root = workspace::root();
        let text = "[a](README.md#limits) [b](no.md) [c](https://example.org/) [d](#here) `xtask/src/none.rs` `xtask/src/main.rs`";
        assert_eq!(dead_links(text, root), ["no.md"]);
        assert_eq!(dead_paths(text, root), ["xtask/src/none.rs"]);
    }
}

//! Folded stacks: a line of text for each stack, for `flamegraph.pl`, inferno, speedscope and `grep`.
//!
//! ```text
//! main.main;main.serve;net.(*conn).Read;[IO wait] 1250000
//! ```
//!
//! Frames are separated by `;`, root first, as Brendan Gregg's tools expect them. The last frame is no function: it says,
//! in brackets, what the goroutine was doing there: the runtime's wait reason (`[chan receive]`) or the state
//! (`[running]`). So the picture shows it without any option, and `grep '\[running\]'` or `grep -v '\[sleep\]'` slice the
//! file.
//!
//! The number is wall time in **microseconds**, rounded: the tools want whole numbers, and nanoseconds would be longer
//! than they are precise. Say `--countname=us` to `flamegraph.pl` or inferno to have the unit in the picture. What rounds
//! to nothing has no line.
//!
//! In names, `;` becomes `,` and control characters become spaces. Stacks with equal names are added up, those with the
//! most time under a common root come first.

use std::io::{self, BufWriter, Write};

use fgspy_profile::{Profile, Tree, What};

use crate::text;

/// Writes `profile` as folded stacks.
pub fn write(profile: &Profile, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let tree = Tree::new(profile);
    let children = tree.children(profile);
    let mut path = String::new();
    // A node, and the length of its parent's path.
    let mut todo: Vec<(u32, usize)> = vec![(0, 0)];
    while let Some((index, parent)) = todo.pop() {
        let Some(node) = tree.nodes.get(index as usize) else { continue };
        path.truncate(parent);
        let text = node.what.text(profile);
        match node.what {
            What::Root => {}
            What::Function { .. } => {
                push(&mut path, text);
                path.push(';');
            }
            What::Activity { .. } => {
                let microseconds = node.time() / 1_000 + u64::from(node.time() % 1_000 >= 500);
                if microseconds > 0 {
                    path.push('[');
                    push(&mut path, text);
                    writeln!(out, "{path}] {microseconds}")?;
                }
            }
        }
        let length = path.len();
        todo.extend(children.get(index as usize).into_iter().flatten().rev().map(|&child| (child, length)));
    }
    out.flush()
}

fn push(path: &mut String, name: &str) {
    if name.is_empty() {
        path.push_str("[unknown]");
    }
    path.extend(name.chars().map(|c| match c {
        ';' => ',',
        c if text::is_unfit(c) => ' ',
        c => c,
    }));
}

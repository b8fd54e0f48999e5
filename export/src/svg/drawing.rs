//! The picture at rest: what is seen where no script runs, and until it does.

use std::fmt::Write;

use fgspy_profile::{Class, Node, Profile, Tree, What, units};

use super::boxes::{Boxes, Shape};
use super::label;
use super::measures::{CHARACTER, MIN_REST, ROW};
use crate::text::xml;

/// The boxes at least `min_time` nanoseconds wide, `width` pixels in all; and how many rows they take.
pub(super) fn flame(
    profile: &Profile,
    tree: &Tree,
    boxes: &Boxes,
    min_time: u64,
    width: f64,
) -> Result<(String, u32), std::fmt::Error> {
    let mut out = String::new();
    let mut rows = 0;
    let scale = width / boxes.total.max(1) as f64;
    // The boxes that the walk is in, each with where the next child begins.
    let mut open: Vec<(&Shape, u64)> = Vec::new();
    let shown = boxes.boxes.iter().filter(|shape| shape.time >= min_time);
    for shape in shown.map(Some).chain([None]) {
        let depth = shape.map_or(0, |shape| shape.depth);
        while open.len() > depth as usize {
            let Some((parent, next)) = open.pop() else { break };
            if is_function(tree, parent) && rest(&mut out, parent, next, scale, boxes.total)? {
                rows = rows.max(parent.depth.saturating_add(2));
            }
        }
        let Some(shape) = shape else { break };
        let Some(node) = tree.nodes.get(shape.node as usize) else { continue };
        if let Some((_, next)) = open.last_mut() {
            *next = shape.start.saturating_add(shape.time);
        }
        open.push((shape, shape.start));
        rows = rows.max(depth.saturating_add(1));
        draw(&mut out, profile, node, shape, scale, boxes.total)?;
    }
    Ok((out, rows))
}

fn is_function(tree: &Tree, shape: &Shape) -> bool {
    tree.nodes.get(shape.node as usize).is_some_and(|node| !matches!(node.what, What::Activity { .. }))
}

/// A box in place of the children of `parent` from `next` on, if they are worth one.
fn rest(out: &mut String, parent: &Shape, next: u64, scale: f64, total: u64) -> Result<bool, std::fmt::Error> {
    let time = parent.start.saturating_add(parent.time).saturating_sub(next);
    let (x, y) = (next as f64 * scale, f64::from(parent.depth.saturating_add(1)) * ROW);
    let width = time as f64 * scale - 1.0;
    if width + 1.0 < MIN_REST {
        return Ok(false);
    }
    let (span, share) = (units::time(time), xml(&units::percent(time, total)));
    write!(out, "<g class=\"rest\"><title>boxes too narrow to be shown: {span}, {share} of all</title>")?;
    write!(out, "<rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{}\"/>", ROW - 1.0)?;
    text(out, "t", x, y, &label::fit("too narrow", room(width)))?;
    out.push_str("</g>\n");
    Ok(true)
}

fn draw(out: &mut String, profile: &Profile, node: &Node, shape: &Shape, scale: f64, total: u64) -> std::fmt::Result {
    let (x, whole) = (shape.start as f64 * scale, shape.time as f64 * scale);
    let y = f64::from(shape.depth) * ROW;
    let width = if whole > 3.0 { whole - 1.0 } else { whole };
    let (main, main_time) = dominant(node);
    let n = main.index();
    let (group, fill, ink) = match node.what {
        What::Root => ("b ink", "root".to_owned(), "t".to_owned()),
        What::Function { .. } => ("b ink", format!("f{n}"), "t".to_owned()),
        What::Activity { .. } => ("b end", format!("a{n}"), format!("t{n}")),
    };
    let about = about(profile, node, shape, total).iter().map(|line| xml(line)).collect::<Vec<_>>().join("&#10;");
    let height = ROW - 1.0;
    write!(out, "<g class=\"{group}\"><title>{about}</title>")?;
    write!(out, "<rect class=\"body {fill}\" x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{height}\"/>")?;
    let is_root = node.what == What::Root;
    let mixed = is_root || (whole > 3.0 && (main_time as f64) < 0.995 * shape.time as f64);
    if mixed {
        let (top, high) = if is_root { (y, height) } else { (y + ROW - 4.0, 3.0) };
        let mut left = x;
        for (class, &time) in Class::ALL.into_iter().zip(&node.times).filter(|&(_, &time)| time > 0) {
            let part = width * time as f64 / shape.time.max(1) as f64;
            let n = class.index();
            write!(out, "<rect class=\"a{n}\" x=\"{left:.2}\" y=\"{top}\" width=\"{part:.2}\" height=\"{high}\"/>")?;
            if is_root {
                let share = format!("{} {}", class.word(), units::percent(time, shape.time));
                let label = if share.len() <= room(part) { share } else { label::fit(class.word(), room(part)) };
                text(out, &format!("t{n}"), left, y, &label)?;
            }
            left += part;
        }
    }
    if !is_root {
        text(out, &ink, x, y, &label::fit(node.what.text(profile), room(width)))?;
    }
    out.push_str("</g>\n");
    Ok(())
}

fn text(out: &mut String, class: &str, x: f64, y: f64, label: &str) -> std::fmt::Result {
    if label.is_empty() {
        return Ok(());
    }
    write!(out, "<text class=\"{class}\" x=\"{:.2}\" y=\"{:.1}\">{}</text>", x + 3.0, y + 12.5, xml(label))
}

/// How many characters fit into a box.
fn room(width: f64) -> usize {
    ((width - 5.0) / CHARACTER).max(0.0) as usize
}

/// The class with the most time in a node, and that time.
fn dominant(node: &Node) -> (Class, u64) {
    let classes = Class::ALL.into_iter().zip(node.times);
    classes.fold((Class::Running, 0), |best, this| if this.1 > best.1 { this } else { best })
}

/// What the tooltip says, line by line.
fn about(profile: &Profile, node: &Node, shape: &Shape, total: u64) -> Vec<String> {
    let name = match node.what {
        What::Root => "all goroutines",
        what => what.text(profile),
    };
    let mut lines = vec![name.to_owned()];
    if let What::Function { file, .. } = node.what {
        lines.extend(place(profile.string(file), node.lines));
    }
    let goroutines = match profile.duration_ns {
        0 => 0.0,
        duration => shape.time as f64 / duration as f64,
    };
    lines.push(format!(
        "{}, {} of all, {} goroutines on average",
        units::time(shape.time),
        units::percent(shape.time, total),
        units::average(goroutines)
    ));
    let mut classes: Vec<(Class, u64)> = Class::ALL.into_iter().zip(node.times).filter(|&(_, time)| time > 0).collect();
    classes.sort_by_key(|&(_, time)| std::cmp::Reverse(time));
    for (class, time) in classes {
        lines.push(format!("{} {}, {}", class.word(), units::time(time), units::percent(time, shape.time)));
    }
    lines
}

/// `cart.go:12`, or `cart.go:12–40` when several lines were seen; nothing when the file is unknown.
fn place(file: &str, (low, high): (u32, u32)) -> Option<String> {
    match (file, low) {
        ("", _) => None,
        (file, 0) => Some(file.to_owned()),
        (file, _) if low == high => Some(format!("{file}:{low}")),
        (file, _) => Some(format!("{file}:{low}–{high}")),
    }
}

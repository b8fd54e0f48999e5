//! Which boxes a flame graph has, and where.

use fgspy_profile::{Profile, Tree};

/// The boxes of a flame graph.
pub(super) struct Boxes {
    /// In the order of a walk from the root that visits a node before its children, heaviest child first.
    pub(super) boxes: Vec<Shape>,
    /// Wall time of the whole, in nanoseconds.
    pub(super) total: u64,
    /// Boxes too narrow to be in the file.
    pub(super) left_out: usize,
    /// Wall time for which there is no box at the end of the stack, because it is too narrow.
    pub(super) left_out_time: u64,
}

/// One box.
pub(super) struct Shape {
    /// Its node in the tree.
    pub(super) node: u32,
    /// Rows below the root.
    pub(super) depth: u32,
    /// Where it begins, in nanoseconds from the left edge.
    pub(super) start: u64,
    /// How wide it is, in nanoseconds.
    pub(super) time: u64,
}

/// All boxes of at least `min_ns` nanoseconds, but at most about `max_boxes`: the widest.
///
/// A box that is left out takes everything below it along; what is below it is no wider.
pub(super) fn boxes(profile: &Profile, tree: &Tree, min_ns: u64, max_boxes: usize) -> Boxes {
    let times: Vec<u64> = tree.nodes.iter().map(fgspy_profile::Node::time).collect();
    let time = |node: u32| times.get(node as usize).copied().unwrap_or(0);
    let min_ns = min_ns.max(1).max(cut(&times, max_boxes));
    let children = tree.children(profile);
    let mut found = Boxes { boxes: Vec::new(), total: time(0), left_out: 0, left_out_time: 0 };
    let mut todo = vec![(0u32, 0u32, 0u64)];
    while let Some((node, depth, start)) = todo.pop() {
        found.boxes.push(Shape { node, depth, start, time: time(node) });
        let first = todo.len();
        let mut start = start;
        for &child in children.get(node as usize).into_iter().flatten() {
            if time(child) < min_ns {
                found.left_out_time = found.left_out_time.saturating_add(time(child));
                continue;
            }
            todo.push((child, depth.saturating_add(1), start));
            start = start.saturating_add(time(child));
        }
        if let Some(new) = todo.get_mut(first..) {
            new.reverse();
        }
    }
    found.left_out = tree.nodes.len().saturating_sub(found.boxes.len());
    found
}

/// The time below which boxes must go for at most `max_boxes` to stay, unless many are equally wide.
fn cut(times: &[u64], max_boxes: usize) -> u64 {
    if times.len() <= max_boxes {
        return 0;
    }
    let mut sorted = times.to_vec();
    let (_, cut, _) = sorted.select_nth_unstable_by(max_boxes, |a, b| b.cmp(a));
    cut.saturating_add(1)
}

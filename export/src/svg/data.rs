//! The data that the script in the picture draws from.

use std::collections::HashMap;

use fgspy_profile::{Class, Profile, Tree, What};
use serde_json::{Value, json};

use super::boxes::Boxes;
use super::{CHARACTER, LEGEND_TOP, MARGIN, ROW, STATUS};
use crate::text::clean;

/// As JSON: `texts` (names and files), `classes` (their words), `boxes`: each a list of depth, index of its name, index of
/// its file, lowest line, highest line, class if it is an activity or -1, then pairs of a class and its nanoseconds; the
/// duration in nanoseconds, the share of the width below which a box is not shown, and the measures of the picture.
pub(super) fn data(profile: &Profile, tree: &Tree, boxes: &Boxes, min_share: f64) -> Value {
    let mut texts = Texts { known: HashMap::new(), all: Vec::new() };
    let mut rows = Vec::with_capacity(boxes.boxes.len());
    for shape in &boxes.boxes {
        let Some(node) = tree.nodes.get(shape.node as usize) else { continue };
        let (file, class) = match node.what {
            What::Root => ("", -1),
            What::Function { file, .. } => (profile.string(file), -1),
            What::Activity { class, .. } => ("", class.index() as i64),
        };
        let mut row: Vec<Value> = vec![
            shape.depth.into(),
            texts.index(node.what.text(profile)).into(),
            texts.index(file).into(),
            node.lines.0.into(),
            node.lines.1.into(),
            class.into(),
        ];
        for (class, &time) in node.times.iter().enumerate().filter(|&(_, &time)| time > 0) {
            row.push(class.into());
            row.push(time.into());
        }
        rows.push(Value::Array(row));
    }
    let classes: Vec<Value> = Class::ALL.iter().map(|class| class.word().into()).collect();
    json!({
        "classes": classes,
        "texts": texts.all.iter().map(|text| clean(text)).collect::<Vec<_>>(),
        "boxes": rows,
        "duration": profile.duration_ns,
        "minShare": min_share,
        "row": ROW,
        "margin": MARGIN,
        "character": CHARACTER,
        "legendTop": LEGEND_TOP,
        "status": STATUS,
    })
}

struct Texts<'a> {
    known: HashMap<&'a str, usize>,
    all: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    fn index(&mut self, text: &'a str) -> usize {
        *self.known.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() - 1
        })
    }
}

//! The data that the script in the picture draws from.

use std::collections::HashMap;

use fgspy_profile::{Class, Profile, Tree, What};
use serde::Serialize;

use super::boxes::Boxes;
use super::measures::{CHARACTER, LEGEND_TOP, MARGIN, MIN_REST, ROW, STATUS};
use crate::text::clean;

/// What `page.js` reads.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data {
    /// The words of the classes.
    classes: [&'static str; Class::COUNT],
    /// Names and files.
    texts: Vec<String>,
    /// Each box: its depth, the index of its name and that of its file, lowest line, highest line, its class if it is an
    /// activity or -1, then pairs of a class and its nanoseconds.
    boxes: Vec<Vec<i64>>,
    /// Of the recording, in nanoseconds.
    duration: u64,
    /// The share of the width below which a box is not shown.
    min_share: f64,
    /// Pixels from which on what is too narrow to be shown has a box in its place.
    min_rest: f64,
    row: f64,
    margin: f64,
    character: f64,
    legend_top: f64,
    status: f64,
}

pub(super) fn data(profile: &Profile, tree: &Tree, boxes: &Boxes, min_share: f64) -> Data {
    let mut texts = Texts { known: HashMap::new(), all: Vec::new() };
    let mut rows = Vec::with_capacity(boxes.boxes.len());
    for shape in &boxes.boxes {
        let Some(node) = tree.nodes.get(shape.node as usize) else { continue };
        let (file, class) = match node.what {
            What::Root => ("", -1),
            What::Function { file, .. } => (profile.string(file), -1),
            What::Activity { class, .. } => ("", class.index() as i64),
        };
        let name = texts.index(node.what.text(profile));
        let (low, high) = node.lines;
        let mut row = vec![shape.depth.into(), name, texts.index(file), low.into(), high.into(), class];
        for (class, &time) in node.times.iter().enumerate().filter(|&(_, &time)| time > 0) {
            row.extend([class as i64, i64::try_from(time).unwrap_or(i64::MAX)]);
        }
        rows.push(row);
    }
    Data {
        classes: Class::ALL.map(Class::word),
        texts: texts.all.into_iter().map(clean).collect(),
        boxes: rows,
        duration: profile.duration_ns,
        min_share,
        min_rest: MIN_REST,
        row: ROW,
        margin: MARGIN,
        character: CHARACTER,
        legend_top: LEGEND_TOP,
        status: STATUS,
    }
}

/// Every text once.
struct Texts<'a> {
    known: HashMap<&'a str, usize>,
    all: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    fn index(&mut self, text: &'a str) -> i64 {
        let index = *self.known.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() - 1
        });
        index as i64
    }
}

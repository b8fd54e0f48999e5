//! The flame graph: one SVG file that needs nothing but a browser.
//!
//! # How to read it
//!
//! Each box is a function, its width the wall time that goroutines spent in it or in what it called, summed over all
//! goroutines. Callers stand above what they call, as in `go tool pprof -http` and in a stack trace read downwards: the
//! eye starts at the top of the page, and the entry functions, which tell one kind of goroutine from another, are there
//! without scrolling, however deep the stacks are. Among siblings the widest is on the left.
//!
//! Colour says what goroutines were doing there. The first row is the whole, divided by class. A function's box has a pale
//! tint of the class that took most of its time and, when others took more than 0.5 %, a strip along its lower edge with
//! their shares. Below the last function of a stack stands a tile in full colour with the runtime's own wait reason, or
//! the state. Of the ways tried (boxes filled in full colour, boxes filled with the shares, grey boxes with strips) this
//! one keeps names readable and lets the eye find a colour from afar.
//!
//! # What it can do
//!
//! Click a box to zoom, Escape to go back. Click a class in the legend to see it alone, with shift to add or remove it: the
//! boxes are laid out anew for those classes, so that one goroutine that waits for a lock is not lost among a thousand
//! that wait for work. `/` searches by regular expression, lower case for any case. Without scripts (in an `<img>`, in a
//! preview) the picture is still there, with the browser's tooltips.
//!
//! Boxes narrower than [`Options::min_width_percent`] appear only when zooming makes them wide enough; until then a grey box
//! stands for those of one parent. Those that would need more than a hundredfold zoom, and those beyond the 50,000 widest,
//! are not in the file; the foot of the picture counts them.

mod boxes;
mod data;
mod drawing;
mod header;
mod label;
mod measures;
mod palette;

use std::fmt;
use std::io::{self, Write};

use fgspy_profile::{Profile, Tree};

use crate::text;
use measures::{MARGIN, MAX_BOXES, ROW, STATUS, WIDTH, ZOOM};

/// How to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The title; without one, the name of the executable.
    pub title: Option<String>,
    /// The width below which a box is not shown before zooming, as a percentage of the whole.
    pub min_width_percent: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options { title: None, min_width_percent: 0.1 }
    }
}

/// Writes `profile` as a flame graph. The same profile and options always give the same bytes.
pub fn write(profile: &Profile, options: &Options, mut out: impl Write) -> io::Result<()> {
    let page = page(profile, options).map_err(io::Error::other)?;
    out.write_all(page.as_bytes())?;
    out.flush()
}

fn page(profile: &Profile, options: &Options) -> Result<String, fmt::Error> {
    let tree = Tree::new(profile);
    let total = tree.nodes.first().map_or(0, fgspy_profile::Node::time);
    let min_share = options.min_width_percent.clamp(0.0, 100.0) / 100.0;
    let min_time = (total as f64 * min_share).ceil();
    let boxes = boxes::boxes(profile, &tree, (min_time / ZOOM).ceil() as u64, MAX_BOXES);

    let inner = WIDTH - 2.0 * MARGIN;
    let (legend, legend_end) = header::legend(profile, WIDTH - MARGIN)?;
    let (remarks, remarks_height) = header::remarks(profile)?;
    let (flame, rows) = drawing::flame(profile, &tree, &boxes, min_time as u64, inner)?;
    let (foot, foot_height) = header::foot(profile, &boxes)?;
    let flame_top = legend_end + remarks_height + STATUS;
    let foot_top = flame_top + f64::from(rows) * ROW + 8.0;
    let height = foot_top + foot_height + MARGIN;

    let mut page = format!(
        "<svg id=\"fgspy\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\">\n"
    );
    let name = options.title.as_deref().unwrap_or(crate::summary::program(profile));
    page += &format!("<title>{} – fgspy</title>\n", text::xml(name));
    page += &format!("<style>\n{}{}</style>\n", include_str!("svg/page.css"), palette::css());
    page += &header::title(profile, options.title.as_deref());
    page += &legend;
    page += &format!("<g id=\"remarks\" transform=\"translate(0 {legend_end})\">\n{remarks}</g>\n");
    page += &format!("<g id=\"status\" transform=\"translate(0 {})\"></g>\n", flame_top - STATUS);
    page += &format!("<g id=\"flame\" transform=\"translate({MARGIN} {flame_top})\">\n{flame}</g>\n");
    if total == 0 {
        page += &format!("<text class=\"lead\" x=\"{MARGIN}\" y=\"{flame_top}\">There are no samples.</text>\n");
    }
    page += &format!("<g id=\"foot\" transform=\"translate(0 {foot_top})\">\n{foot}</g>\n");
    if total > 0 {
        let data = data::data(profile, &tree, &boxes, min_share);
        let data = serde_json::to_string(&data).map_err(|_| fmt::Error)?;
        page += &format!("<script type=\"application/json\" id=\"data\">{}</script>\n", inert(&data));
        page += &format!("<script><![CDATA[\n{}]]></script>\n", include_str!("svg/page.js"));
    }
    page += "</svg>\n";
    Ok(page)
}

/// JSON that means nothing to XML and HTML; these characters can only stand within its strings.
fn inert(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

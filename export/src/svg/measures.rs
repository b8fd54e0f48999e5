//! How large everything is in the picture.

/// Height of a row of boxes, in pixels.
pub(super) const ROW: f64 = 19.0;

/// Space to the left and right of everything.
pub(super) const MARGIN: f64 = 16.0;

/// Where the legend begins.
pub(super) const LEGEND_TOP: f64 = 66.0;

/// Height of the line below legend and remarks, where the script says what is shown.
pub(super) const STATUS: f64 = 24.0;

/// Width of the picture at rest; the script makes it as wide as the window.
pub(super) const WIDTH: f64 = 1200.0;

/// Width of a character in a box: 0.603 em of 11 pixels, as in most fixed-width fonts.
pub(super) const CHARACTER: f64 = 6.64;

/// Pixels from which on children too narrow to be shown have a box in their place.
pub(super) const MIN_REST: f64 = 6.0;

/// How far zooming shows more than the picture at rest.
pub(super) const ZOOM: f64 = 100.0;

/// The most boxes that a file has, for browsers' sake.
pub(super) const MAX_BOXES: usize = 50_000;

//! What is printed on a terminal: colours, text that fits its columns, the table of routes, a view that is redrawn, messages.

pub(crate) mod escape;
pub(crate) mod message;
pub(crate) mod numbers;
pub(crate) mod screen;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;

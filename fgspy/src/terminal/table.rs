//! The table of routes: one line each, in so many columns.

use fgspy_profile::Phase;

use super::escape::clean;
use super::numbers;
use super::style::Style;
use super::text::{cut, left, right};

/// What the table says of a route.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) route: String,
    pub(crate) cells: Vec<String>,
    /// Shares of its time by phase, in the order of [`Phase::ALL`].
    pub(crate) shares: [f64; Phase::COUNT],
    /// How much those count, in comparison with other rows: its time.
    pub(crate) weight: f64,
}

/// A column of [`Row::cells`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// How soon it goes where there is no room, the lowest first. That of a phase is its share of all time.
    pub(crate) keep: f64,
}

/// In place of a route of which nothing was read.
pub(crate) const NO_ROUTE: &str = "[route not read]";
/// So many columns a route should have, if its name takes them.
const ROUTE: usize = 28;
/// Stands for a share of nothing, or nearly.
const NOTHING: &str = "·";

/// What may be left out of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Cell(usize),
    Phase(Phase),
}

/// A part with what it says, its title first.
struct Drawn {
    part: Part,
    keep: f64,
    texts: Vec<String>,
    width: usize,
}

impl Drawn {
    fn new(part: Part, keep: f64, texts: Vec<String>) -> Drawn {
        let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        Drawn { part, keep, texts, width }
    }
}

/// The table in lines of at most so many columns. Phases that no route has are left out; where there is no room, so are
/// the columns that say least.
pub(crate) fn lines(columns: &[Column], rows: &[Row], width: usize, style: Style) -> Vec<String> {
    titled(columns, rows, width, style, title(Phase::OnCpu))
}

/// The same, with another title for what ran: not everybody can tell whether it was on a CPU.
pub(crate) fn titled(columns: &[Column], rows: &[Row], width: usize, style: Style, ran: &str) -> Vec<String> {
    let names: Vec<String> =
        rows.iter().map(|row| if row.route.is_empty() { NO_ROUTE.to_owned() } else { clean(&row.route) }).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("ROUTE".len());
    let mut parts = parts(columns, rows, ran);
    let taken = |parts: &[Drawn]| parts.iter().map(|part| part.width + 2).sum::<usize>();
    while parts.len() > 1 && taken(&parts) + longest.min(ROUTE) > width {
        let least = parts.iter().enumerate().min_by(|a, b| a.1.keep.total_cmp(&b.1.keep)).map_or(0, |(at, _)| at);
        parts.remove(least);
    }
    let route_width = width.saturating_sub(taken(&parts)).min(longest);
    let title = parts.iter().map(|part| (part.part, part.texts.first(), part.width));
    let mut lines = vec![line(("ROUTE", route_width), title, style, &[])];
    for (index, (row, name)) in rows.iter().zip(&names).enumerate() {
        let cells = parts.iter().map(|part| (part.part, part.texts.get(index + 1), part.width));
        lines.push(line((name, route_width), cells, style, &row.shares));
    }
    lines
}

fn parts(columns: &[Column], rows: &[Row], ran: &str) -> Vec<Drawn> {
    let cells = columns.iter().enumerate().map(|(index, column)| {
        let cells = rows.iter().map(|row| row.cells.get(index).cloned().unwrap_or_default());
        let texts = std::iter::once(column.title.to_owned()).chain(cells).collect();
        Drawn::new(Part::Cell(index), column.keep, texts)
    });
    let all: f64 = rows.iter().map(|row| row.weight).sum::<f64>().max(f64::MIN_POSITIVE);
    let phases = Phase::ALL.into_iter().filter_map(|phase| {
        let part = |row: &Row| row.shares.get(phase.index()).copied().unwrap_or(0.0);
        let most = rows.iter().map(part).fold(0.0, f64::max);
        numbers::share(most)?;
        let cells = rows.iter().map(|row| numbers::share(part(row)).unwrap_or(NOTHING.to_owned()));
        let title = if phase == Phase::OnCpu { ran } else { title(phase) };
        let texts = std::iter::once(title.to_owned()).chain(cells).collect();
        let time: f64 = rows.iter().map(|row| row.weight * part(row)).sum();
        Some(Drawn::new(Part::Phase(phase), time / all, texts))
    });
    cells.chain(phases).collect()
}

fn line<'a>(
    (route, width): (&str, usize),
    parts: impl Iterator<Item = (Part, Option<&'a String>, usize)>,
    style: Style,
    shares: &[f64],
) -> String {
    let is_title = shares.is_empty();
    let most = shares.iter().copied().fold(0.0, f64::max);
    let route = left(&cut(route, width), width);
    let mut line = if is_title { style.bold(&route) } else { route };
    for (part, text, width) in parts {
        let text = text.map_or("", String::as_str);
        let painted = match part {
            _ if is_title => style.bold(text),
            Part::Cell(_) => text.to_owned(),
            Part::Phase(_) if text == NOTHING => style.dim(text),
            Part::Phase(phase) => {
                let share = shares.get(phase.index()).copied().unwrap_or(0.0);
                if share == most { style.bold(&style.phase(phase, text)) } else { style.phase(phase, text) }
            }
        };
        line += "  ";
        line += &right(&painted, width);
    }
    line.truncate(line.trim_end().len());
    line
}

/// A word for the phase that is as short as a share, or nearly.
fn title(phase: Phase) -> &'static str {
    match phase {
        Phase::OnCpu => "CPU",
        Phase::Network => "net",
        Phase::Channel => "chan",
        Phase::Syscall => "sys",
        Phase::Runnable | Phase::Lock | Phase::Sleep | Phase::Other => phase.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { title: "SEEN", keep: 2.0 },
        Column { title: "IN FLIGHT", keep: 3.0 },
        Column { title: "MEAN", keep: 0.1 },
        Column { title: "LONGEST", keep: 0.03 },
    ];

    fn row(route: &str, cells: [&str; 4], shares: &[(Phase, f64)]) -> Row {
        let mut row = Row {
            route: route.into(),
            cells: cells.map(str::to_owned).to_vec(),
            shares: [0.0; Phase::COUNT],
            weight: cells[1].parse().unwrap(),
        };
        shares.iter().for_each(|(phase, share)| row.shares[phase.index()] = *share);
        row
    }

    fn rows() -> [Row; 3] {
        let first = [(Phase::Lock, 0.62), (Phase::Network, 0.21), (Phase::Sleep, 0.12), (Phase::OnCpu, 0.05)];
        let second = [(Phase::OnCpu, 0.7), (Phase::Runnable, 0.2), (Phase::Channel, 0.096), (Phase::Other, 0.004)];
        [
            row("GET /orders/{id}", ["1204", "48.2", "41 ms", "612 ms"], &first),
            row("POST /v1/customers/{id}/orders/{id}/items", ["12", "0.31", "≤20 ms", "<20 ms"], &second),
            row("", ["1", "0.01", "<20 ms", "<20 ms"], &[(Phase::Network, 1.0)]),
        ]
    }

    #[track_caller]
    fn assert_lines(width: usize, expected: &[&str]) {
        let lines = lines(&COLUMNS, &rows(), width, Style::PLAIN);
        assert_eq!(lines, expected, "\n{}", lines.join("\n"));
        assert!(lines.iter().all(|line| line.chars().count() <= width));
    }

    #[test]
    fn a_hundred_columns() {
        assert_lines(
            100,
            &[
                "ROUTE                             SEEN  IN FLIGHT    MEAN  LONGEST  CPU  runnable   net  lock  sleep",
                "GET /orders/{id}                  1204       48.2   41 ms   612 ms   5%         ·   21%   62%    12%",
                "POST /v1/customers/{id}/orders/…    12       0.31  ≤20 ms   <20 ms  70%       20%     ·     ·      ·",
                "[route not read]                     1       0.01  <20 ms   <20 ms    ·         ·  100%     ·      ·",
            ],
        );
    }

    #[test]
    fn fewer_columns_say_less() {
        assert_lines(
            60,
            &[
                "ROUTE                            SEEN  IN FLIGHT   net  lock",
                "GET /orders/{id}                 1204       48.2   21%   62%",
                "POST /v1/customers/{id}/orders…    12       0.31     ·     ·",
                "[route not read]                    1       0.01  100%     ·",
            ],
        );
        assert_lines(
            36,
            &[
                "ROUTE                      IN FLIGHT",
                "GET /orders/{id}                48.2",
                "POST /v1/customers/{id}/…       0.31",
                "[route not read]                0.01",
            ],
        );
    }
}

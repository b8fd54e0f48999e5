//! What could not be taken away from one request is taken from others like it.
//!
//! Each request is a cell of its own, in each thing that it does. Who is read by lot is taken to serve the request that it
//! was last seen to serve, until it is found to serve another: then the lot takes back what was too much, of this request
//! and of all those of which the lot was not drawn. That is more than this one request has if it was found out early, and
//! less if late. So only the sum over many requests comes out right, and there must be no loss on the way: a request that
//! would have less than no time has none, and what it owes is paid by those most like it.

use std::collections::HashMap;
use std::hash::Hash;

use fgspy_profile::{Serving, State};

use crate::estimate::{Cell, RawStackId, RouteId};

/// A cell's time, while it is being balanced.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Balance {
    /// In nanoseconds; below 0 for what it owes.
    pub(crate) target: f64,
    /// It was not known for certain.
    pub(crate) is_corrected: bool,
}

/// What makes two cells of requests alike.
type Place = (RouteId, State, Option<u8>, Option<RawStackId>);

/// Balances cells of requests of the same route: those that owe have nothing left afterwards, unless all of the route has too
/// little. First pays what was done at the same place, then in the same state, then by the same route; and what was not
/// known for certain pays before what was.
pub(crate) fn balance(cells: &[Cell], balances: &mut [Balance], route: impl Fn(&Cell) -> Option<RouteId>) {
    let mut by_place: HashMap<Place, Vec<usize>> = HashMap::new();
    let mut by_state: HashMap<(RouteId, State), Vec<usize>> = HashMap::new();
    let mut by_route: HashMap<RouteId, Vec<usize>> = HashMap::new();
    let mut owing: Vec<(Place, usize)> = Vec::new();
    for (index, (cell, balance)) in cells.iter().zip(balances.iter()).enumerate() {
        let Some(route) = route(cell).filter(|_| matches!(cell.serving, Serving::Request(_))) else { continue };
        let place = (route, cell.state, cell.wait_reason, cell.stack);
        if balance.target < 0.0 {
            owing.push((place, index));
        }
        by_place.entry(place).or_default().push(index);
        by_state.entry((route, cell.state)).or_default().push(index);
        by_route.entry(route).or_default().push(index);
    }
    settle(owing.iter().map(|(place, _)| by_place.get_key_value(place)), balances, &[true]);
    settle(owing.iter().map(|((route, state, ..), _)| by_state.get_key_value(&(*route, *state))), balances, &[true]);
    settle(owing.iter().map(|((route, ..), _)| by_route.get_key_value(route)), balances, &[true, false]);
}

/// Settles what is owed within each of `groups`: `payers` says who pays, those who are not certain or all, in which order.
fn settle<'a, K: Copy + Eq + Hash + 'a>(
    groups: impl Iterator<Item = Option<(&'a K, &'a Vec<usize>)>>,
    balances: &mut [Balance],
    payers: &[bool],
) {
    let mut done = std::collections::HashSet::new();
    for (key, members) in groups.flatten() {
        if done.insert(*key) {
            settle_one(members, balances, payers);
        }
    }
}

fn settle_one(members: &[usize], balances: &mut [Balance], payers: &[bool]) {
    let mut owed = 0.0;
    let mut first = None;
    for &index in members {
        if let Some(balance) = balances.get_mut(index).filter(|balance| balance.target < 0.0) {
            owed -= std::mem::take(&mut balance.target);
            first = first.or(Some(index));
        }
    }
    for &only_corrected in payers {
        let pays = |balance: &Balance| balance.is_corrected || !only_corrected;
        let have =
            |index: &usize| balances.get(*index).filter(|balance| pays(balance)).map_or(0.0, |balance| balance.target);
        let have: f64 = members.iter().map(have).sum();
        if owed <= 0.0 || have <= 0.0 {
            continue;
        }
        let paid = owed.min(have);
        for &index in members {
            if let Some(balance) = balances.get_mut(index).filter(|balance| pays(balance)) {
                balance.target *= 1.0 - paid / have;
            }
        }
        owed -= paid;
    }
    if let Some(balance) = first.and_then(|first| balances.get_mut(first)).filter(|_| owed > 0.0) {
        balance.target = -owed;
    }
}

#[cfg(test)]
mod tests {
    use fgspy_profile::RequestId;

    use super::*;
    use crate::estimate::RawLabelsId;

    fn cell(request: u32, state: State) -> Cell {
        let serving = Serving::Request(RequestId(request));
        Cell { start_pc: 1, go_pc: 2, state, wait_reason: None, labels: RawLabelsId::default(), serving, stack: None }
    }

    /// Requests from 100 on are of another route.
    fn balanced(cells: &[(u32, State, f64, bool)]) -> Vec<f64> {
        let mut balances: Vec<Balance> =
            cells.iter().map(|&(_, _, target, is_corrected)| Balance { target, is_corrected }).collect();
        let cells: Vec<Cell> = cells.iter().map(|&(request, state, ..)| cell(request, state)).collect();
        let route = |cell: &Cell| cell.serving.request().map(|id| RouteId(id.0 / 100));
        balance(&cells, &mut balances, route);
        balances.into_iter().map(|balance| balance.target).collect()
    }

    #[test]
    fn those_who_are_alike_and_uncertain_pay() {
        use State::{Running, Syscall};
        let cells = [
            (1, Syscall, -30.0, true),
            (2, Syscall, 60.0, true),
            (3, Syscall, 40.0, true),
            (4, Syscall, 50.0, false),
            (5, Running, 50.0, true),
            (100, Syscall, 50.0, true),
        ];
        assert_eq!(balanced(&cells), [0.0, 42.0, 28.0, 50.0, 50.0, 50.0]);
    }

    #[test]
    fn then_those_of_the_same_route_and_nobody_else() {
        use State::{Running, Syscall};
        let mut cells = [
            (1, Syscall, -30.0, true),
            (2, Syscall, 10.0, true),
            (3, Running, 10.0, true),
            (4, Syscall, 40.0, false),
            (100, Syscall, 50.0, true),
        ];
        assert_eq!(balanced(&cells), [0.0, 0.0, 0.0, 30.0, 50.0]);
        cells[0].2 = -100.0;
        assert_eq!(balanced(&cells), [-40.0, 0.0, 0.0, 0.0, 50.0]);
    }
}

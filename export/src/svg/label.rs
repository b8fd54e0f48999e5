//! Names short enough for their boxes.

/// The longest form of a name that fits into `room` characters: whole, without the path of its package, without its
/// package, without its receiver, cut off. Nothing if hardly anything fits.
///
/// `github.com/acme/shop/cart.(*Cart).Price` is `cart.(*Cart).Price`, then `(*Cart).Price`, then `Price`. A name that is
/// cut off ends in `…`, but not where that would take the place of one of very few letters.
pub(super) fn fit(name: &str, room: usize) -> String {
    let local = without_path(name);
    let bare = without_package(local);
    let method = without_receiver(bare);
    if let Some(whole) = [name, local, bare, method].into_iter().find(|form| form.chars().count() <= room) {
        return whole.to_owned();
    }
    match room {
        0..3 => String::new(),
        3..8 => method.chars().take(room).collect(),
        _ => method.chars().take(room - 1).chain(['…']).collect(),
    }
}

/// What follows the last slash of the package path; slashes in type arguments or brackets are no part of it.
fn without_path(name: &str) -> &str {
    let end = name.find(['(', '[', ' ']).unwrap_or(name.len());
    match name.get(..end).and_then(|path| path.rfind('/')) {
        Some(slash) => name.get(slash + 1..).unwrap_or(name),
        None => name,
    }
}

/// What follows the first dot of a name without path; the whole if nothing follows.
fn without_package(name: &str) -> &str {
    match name.split_once('.') {
        Some((package, rest)) if !rest.is_empty() && !package.contains(['[', ' ', '(']) => rest,
        _ => name,
    }
}

/// What follows a receiver in parentheses; the whole if there is none or nothing follows.
fn without_receiver(name: &str) -> &str {
    match name.split_once(").") {
        Some((receiver, rest)) if !rest.is_empty() && receiver.starts_with('(') => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn names_lose_first_what_says_least() {
        let name = "github.com/acme/shop/cart.(*Cart).Price";
        assert_eq!(fit(name, 39), name);
        assert_eq!(fit(name, 38), "cart.(*Cart).Price");
        assert_eq!(fit(name, 18), "cart.(*Cart).Price");
        assert_eq!(fit(name, 17), "(*Cart).Price");
        assert_eq!(fit(name, 12), "Price");
        assert_eq!(fit(name, 5), "Price");
        assert_eq!(fit(name, 4), "Pric");
        assert_eq!(fit(name, 3), "Pri");
        assert_eq!(fit(name, 2), "");
        assert_eq!(fit("net/http.(*conn).serveTheConnection", 8), "serveTh…");
        assert_eq!(fit("net/http.(*conn).serveTheConnection", 7), "serveTh");
        assert_eq!(fit("io", 2), "io");
    }

    #[test]
    fn odd_names_keep_what_they_have() {
        assert_eq!(fit("main.Map[a/b.T]", 12), "Map[a/b.T]");
        assert_eq!(fit("[running: no perf_event permission]", 12), "[running: n…");
        assert_eq!(fit("a/b/", 3), "");
        assert_eq!(fit("main.", 4), "main");
        assert_eq!(fit("(*T).", 4), "(*T)");
        assert_eq!(fit("a.(*L[...]).Get.func1", 9), "Get.func1");
        assert_eq!(fit("", 0), "");
        assert_eq!(fit("äöü.ßß", 3), "ßß");
    }
}

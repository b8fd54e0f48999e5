//! Whether a program uses again, for its next request, what it has waited on for another one.
//!
//! The same address is not the same object: the garbage collector gives the memory of one that is gone to the next. While no
//! memory is reused ([`crate::request::generation`]), it is. So each call at which goroutines wait is watched: if one object is
//! waited on there for two requests within a generation, the program uses these objects again, and none of that call proves
//! anything. If many requests had an object of their own, the program makes them anew, and an address that had another object
//! in an earlier generation has a new one.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::request::Identity;

/// Objects that are remembered, and calls.
const MAX_OBJECTS: usize = 1 << 14;
const MAX_SITES: usize = 1 << 12;
/// So many requests must have had an object of their own at a call. One that is taken from a pool comes back sooner: pools are
/// no larger than the number of requests that are served at a time, or soon have been used up once.
const TRUSTED: u32 = 32;

/// What goroutines were seen to wait on.
#[derive(Debug, Default)]
pub(super) struct Reuse {
    objects: HashMap<u64, Noted, FxBuildHasher>,
    sites: HashMap<u64, Site, FxBuildHasher>,
}

/// For whom an object was last waited on.
#[derive(Clone, Copy, Debug)]
struct Noted {
    site: u64,
    identity: Identity,
    generation: Option<u64>,
    /// It was for that request only, as far as is known.
    is_of_one: bool,
}

/// A call at which goroutines wait.
#[derive(Clone, Copy, Debug, Default)]
struct Site {
    /// An object was used for two requests.
    reuses: bool,
    /// Requests that had an object of their own, beside others of the same generation.
    fresh: u32,
    /// The last request, and its generation.
    last: Option<(Identity, u64)>,
}

impl Site {
    /// An object was waited on that had not been seen in this generation.
    fn saw_new(&mut self, identity: Identity, generation: Option<u64>) {
        let Some(generation) = generation else { return };
        let is_beside_others = self.last.is_some_and(|(last, of)| last != identity && of == generation);
        self.fresh = self.fresh.saturating_add(u32::from(is_beside_others));
        self.last = Some((identity, generation));
    }

    fn makes_anew(self) -> bool {
        !self.reuses && self.fresh >= TRUSTED
    }
}

impl Reuse {
    /// Takes note that at `site` the object at an address is waited on for a request.
    pub(super) fn note(&mut self, (object, site): (u64, u64), identity: Identity, generation: Option<u64>) {
        if self.objects.len() >= MAX_OBJECTS {
            self.objects.clear();
        }
        if self.sites.len() >= MAX_SITES {
            self.sites.clear();
        }
        // Of no call it is known what it does with objects of that of which nothing is known.
        let known = (site != 0).then(|| self.sites.entry(site).or_default());
        let before = self.objects.get(&object).copied();
        let is_of_one = match (before, known) {
            (Some(before), _) if before.identity == identity => before.is_of_one,
            (None, known) => {
                known.into_iter().for_each(|site| site.saw_new(identity, generation));
                true
            }
            (Some(before), Some(site)) if before.generation.is_some() && before.generation == generation => {
                site.reuses = true;
                false
            }
            (Some(_), Some(site)) => {
                site.saw_new(identity, generation);
                site.makes_anew()
            }
            (Some(_), None) => false,
        };
        self.objects.insert(object, Noted { site, identity, generation, is_of_one });
    }

    /// Whether objects that are waited on at `site` are known to be made anew for each request.
    pub(super) fn makes_anew(&self, site: u64) -> bool {
        self.sites.get(&site).is_some_and(|site| site.makes_anew())
    }

    /// Whether an object was waited on for one request only.
    pub(super) fn is_of_one(&self, object: u64) -> bool {
        let site = |noted: &Noted| self.sites.get(&noted.site).copied().unwrap_or_default();
        self.objects.get(&object).is_some_and(|noted| noted.is_of_one && !site(noted).reuses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: u64 = 0x40_1000;

    /// As many requests as it takes to trust a call, each with an object of its own, in generation 1.
    fn trusted() -> Reuse {
        let mut reuse = Reuse::default();
        for number in 0..=u64::from(TRUSTED) {
            reuse.note((0x1000 + 8 * number, SITE), Identity(number), Some(1));
        }
        reuse
    }

    #[test]
    fn an_object_is_of_the_first_request() {
        let mut reuse = Reuse::default();
        reuse.note((0x1000, SITE), Identity(1), Some(1));
        reuse.note((0x1000, SITE), Identity(1), Some(1));
        assert!(reuse.is_of_one(0x1000) && !reuse.is_of_one(0x2000));
        // It may be the same object, or another one in the same place.
        reuse.note((0x1000, SITE), Identity(2), Some(2));
        assert!(!reuse.is_of_one(0x1000));
    }

    #[test]
    fn a_place_has_another_object_where_these_are_made_anew() {
        let mut reuse = trusted();
        reuse.note((0x1000, SITE), Identity(99), Some(2));
        assert!(reuse.is_of_one(0x1000));
        // Of another call nothing is known.
        reuse.note((0x1008, 0), Identity(98), Some(2));
        assert!(!reuse.is_of_one(0x1008));
    }

    #[test]
    fn who_uses_an_object_twice_is_never_trusted() {
        let mut reuse = trusted();
        reuse.note((0x1000, SITE), Identity(99), Some(1));
        assert!(!reuse.is_of_one(0x1000) && !reuse.is_of_one(0x1008));
        reuse.note((0x1010, SITE), Identity(98), Some(2));
        assert!(!reuse.is_of_one(0x1010));
    }

    #[test]
    fn objects_of_one_request_or_of_several_generations_say_nothing_of_reuse() {
        let mut reuse = Reuse::default();
        for number in 0..=u64::from(TRUSTED) {
            reuse.note((0x1000 + 8 * number, SITE), Identity(7), Some(1));
            reuse.note((0x2000 + 8 * number, SITE), Identity(number), Some(2 + number));
        }
        reuse.note((0x1000, SITE), Identity(99), Some(99));
        assert!(!reuse.is_of_one(0x1000));
    }
}

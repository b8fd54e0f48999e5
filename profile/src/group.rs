//! Stacks with something else at their root: the request that they served, its route, their state or their creator.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::{
    Function, FunctionId, Line, Location, LocationId, Profile, Request, RequestId, Sample, Serving, StackId, StringId,
};

/// What to put at the root of stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// The route of the request, and below it the request itself: by its trace id, else by its `X-Request-Id`, else by its
    /// goroutine and when it was first seen.
    Request,
    /// The route of the request: `GET /orders/{id}`.
    Route,
    /// The state, with the runtime's own wait reason: `[waiting: chan receive]`.
    State,
    /// The function that started the goroutine: `created by net/http.(*Server).Serve`.
    Creator,
}

impl GroupBy {
    /// All of them.
    pub const ALL: [GroupBy; 4] = [GroupBy::Request, GroupBy::Route, GroupBy::State, GroupBy::Creator];

    /// The word for it on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            GroupBy::Request => "request",
            GroupBy::Route => "route",
            GroupBy::State => "state",
            GroupBy::Creator => "creator",
        }
    }

    /// What this word stands for.
    pub fn from_word(word: &str) -> Option<GroupBy> {
        GroupBy::ALL.into_iter().find(|by| by.word() == word)
    }
}

/// Frames in place of a request.
const NO_REQUEST: &str = "[not in a request]";
const NOT_KNOWN: &str = "[request not known]";
/// In place of a route of which nothing was read.
const NO_ROUTE: &str = "[route not read]";
/// In place of a creator.
const NO_CREATOR: &str = "[created by the runtime]";

/// The profile with frames at the roots of its stacks that say what `by` asks for. Nothing else changes.
///
/// Such frames are no code: their address is 0. Where goroutines serve no request, the frame is `[not in a request]` if
/// they belong to no server, `[idle: connection]` and the like if they wait for one, and `[request not known]` if it was
/// not looked for or is unknown.
pub fn group(profile: &Profile, by: GroupBy) -> Profile {
    let mut grouped = profile.clone();
    let mut roots = Roots::new(profile, by);
    let mut stacks: Vec<Vec<LocationId>> = Vec::new();
    let mut known: HashMap<(StackId, Key), StackId, RandomState> = HashMap::default();
    let mut regroup = |sample: &Sample| {
        let key = Key::of(sample, by);
        *known.entry((sample.stack, key)).or_insert_with(|| {
            let mut stack = profile.stacks.get(sample.stack.index()).cloned().unwrap_or_default();
            stack.extend(roots.get(sample, key));
            stacks.push(stack);
            StackId(stacks.len() as u32 - 1)
        })
    };
    grouped.samples.iter_mut().for_each(|sample| sample.stack = regroup(sample));
    grouped.replicates.parts.iter_mut().for_each(|part| part.key.stack = regroup(&part.sample()));
    let Roots { strings, functions, locations, .. } = roots;
    grouped.strings.extend(strings);
    grouped.functions.extend(functions);
    grouped.locations.extend(locations);
    Profile { stacks, ..grouped }
}

/// What samples have in common that get the same frames.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Serving(Serving),
    State(crate::State, Option<StringId>),
    Creator(Option<LocationId>),
}

impl Key {
    fn of(sample: &Sample, by: GroupBy) -> Key {
        match by {
            GroupBy::Request | GroupBy::Route => Key::Serving(sample.serving),
            GroupBy::State => Key::State(sample.state, sample.wait_reason),
            GroupBy::Creator => Key::Creator(sample.creator),
        }
    }
}

/// The frames to add, and what they need that is not in the profile's tables.
struct Roots<'a> {
    profile: &'a Profile,
    by: GroupBy,
    known: HashMap<Key, Vec<LocationId>, RandomState>,
    texts: HashMap<String, StringId, RandomState>,
    frames: HashMap<(StringId, StringId, u32), LocationId, RandomState>,
    strings: Vec<String>,
    functions: Vec<Function>,
    locations: Vec<Location>,
}

impl Roots<'_> {
    fn new(profile: &Profile, by: GroupBy) -> Roots<'_> {
        let texts = profile.strings.iter().enumerate().map(|(index, text)| (text.clone(), StringId(index as u32)));
        let texts = texts.collect();
        let (known, frames) = (HashMap::default(), HashMap::default());
        let (strings, functions, locations) = (Vec::new(), Vec::new(), Vec::new());
        Roots { profile, by, known, texts, frames, strings, functions, locations }
    }

    /// The frames for a sample, the root last.
    fn get(&mut self, sample: &Sample, key: Key) -> Vec<LocationId> {
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let frames = match key {
            Key::Serving(Serving::Request(id)) => self.request(id),
            Key::Serving(Serving::Nothing) => vec![self.plain(NO_REQUEST)],
            Key::Serving(Serving::Idle(idle)) => vec![self.plain(&format!("[idle: {}]", idle.word()))],
            Key::Serving(Serving::Unknown) => vec![self.plain(NOT_KNOWN)],
            Key::State(state, _) => {
                let text = match self.profile.wait_reason(sample) {
                    "" => format!("[{}]", state.word()),
                    reason => format!("[{}: {reason}]", state.word()),
                };
                vec![self.plain(&text)]
            }
            Key::Creator(creator) => vec![self.creator(creator)],
        };
        self.known.insert(key, frames.clone());
        frames
    }

    fn request(&mut self, id: RequestId) -> Vec<LocationId> {
        let Some(request) = self.profile.request(id) else { return vec![self.plain(NOT_KNOWN)] };
        let route = match self.profile.string(request.route) {
            "" => self.plain(NO_ROUTE),
            route => self.plain(route),
        };
        match self.by {
            GroupBy::Request => vec![self.plain(&name(self.profile, request)), route],
            _ => vec![route],
        }
    }

    fn creator(&mut self, creator: Option<LocationId>) -> LocationId {
        // The innermost of inlined calls is the one that has the `go` statement.
        let Some(frame) = creator.and_then(|creator| self.profile.location_frames(creator).next()) else {
            return self.plain(NO_CREATOR);
        };
        let (name, file) = (self.text(&format!("created by {}", frame.name)), self.text(frame.file));
        self.frame(name, file, frame.start_line, frame.line)
    }

    /// A frame of which there is nothing but its name.
    fn plain(&mut self, name: &str) -> LocationId {
        let (name, file) = (self.text(name), self.text(""));
        self.frame(name, file, 0, 0)
    }

    fn frame(&mut self, name: StringId, file: StringId, start_line: u32, line: u32) -> LocationId {
        let Roots { profile, frames, functions, locations, .. } = self;
        *frames.entry((name, file, line)).or_insert_with(|| {
            let function = FunctionId((profile.functions.len() + functions.len()) as u32);
            functions.push(Function { name, file, start_line });
            locations.push(Location { address: 0, lines: vec![Line { function, line }] });
            LocationId((profile.locations.len() + locations.len()) as u32 - 1)
        })
    }

    fn text(&mut self, text: &str) -> StringId {
        if let Some(&known) = self.texts.get(text) {
            return known;
        }
        let id = StringId((self.profile.strings.len() + self.strings.len()) as u32);
        self.strings.push(text.to_owned());
        self.texts.insert(text.to_owned(), id);
        id
    }
}

/// What tells a request from others on its route, with its path where the route does not say it.
fn name(profile: &Profile, request: &Request) -> String {
    let [trace_id, request_id] = [request.trace_id, request.request_id].map(|id| profile.string(id));
    let mut name = match (trace_id, request_id) {
        ("", "") => format!("goroutine {} at {:.3} s", request.goid, request.first_ns as f64 / 1e9),
        ("", id) => format!("request {id}"),
        (id, _) => format!("trace {id}"),
    };
    let (path, route) = (profile.string(request.path), profile.string(request.route));
    if !path.is_empty() && !route.ends_with(path) {
        name.push(' ');
        name.push_str(path);
    }
    name
}

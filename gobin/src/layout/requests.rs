//! The structures of `net/http`, `context` and of maps, by which the request is found that a goroutine serves.

use serde::Deserialize;

use super::structs::{BucketLayout, HmapLayout};

/// Offsets in structures of `net/http` (`server.go`, `request.go`, `pattern.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpLayout {
    /// `conn.server` (address): the server, never nil.
    #[serde(rename = "conn.server")]
    pub conn_server: u32,
    /// `conn.r` (address): its `connReader`, nil until the connection is served.
    #[serde(rename = "conn.r")]
    pub conn_r: u32,
    /// `conn.curReq` (address): the response to the current request, or nil.
    #[serde(rename = "conn.curReq")]
    pub conn_cur_req: u32,
    /// `conn.curState` (u64): a time in seconds, and in the lowest 8 bits the `ConnState`.
    #[serde(rename = "conn.curState")]
    pub conn_cur_state: u32,
    /// `connReader.conn` (address): the connection; from Go 1.25 on nil once the handler of a last request has returned.
    #[serde(rename = "connReader.conn")]
    pub reader_conn: u32,
    /// `response.conn` (address): the connection.
    #[serde(rename = "response.conn")]
    pub response_conn: u32,
    /// `response.req` (address): the request.
    #[serde(rename = "response.req")]
    pub response_req: u32,
    /// `Request.Method` (string).
    #[serde(rename = "Request.Method")]
    pub method: u32,
    /// `Request.URL` (address).
    #[serde(rename = "Request.URL")]
    pub url: u32,
    /// `Request.Proto` (string).
    #[serde(rename = "Request.Proto")]
    pub proto: u32,
    /// `Request.ProtoMajor` (i64).
    #[serde(rename = "Request.ProtoMajor")]
    pub proto_major: u32,
    /// `Request.ProtoMinor` (i64).
    #[serde(rename = "Request.ProtoMinor")]
    pub proto_minor: u32,
    /// `Request.Header` (a map from string to slice of strings).
    #[serde(rename = "Request.Header")]
    pub header: u32,
    /// `Request.RequestURI` (string).
    #[serde(rename = "Request.RequestURI")]
    pub request_uri: u32,
    /// `Request.ctx` (interface `context.Context`).
    #[serde(rename = "Request.ctx")]
    pub ctx: u32,
    /// `Request.Pattern` (string): the pattern that matched. Go 1.23 on.
    #[serde(rename = "Request.Pattern")]
    pub pattern: Option<u32>,
    /// `Request.pat` (address): the parsed pattern that matched, or nil. Go 1.22 on.
    #[serde(rename = "Request.pat")]
    pub pat: Option<u32>,
    /// `pattern.str` (string): its text. Go 1.22 on.
    #[serde(rename = "pattern.str")]
    pub pattern_str: Option<u32>,
}

impl HttpLayout {
    /// The fields of a `Request` that say which one it is.
    pub const fn request(&self) -> RequestFields {
        RequestFields {
            method: self.method,
            url: self.url,
            proto: self.proto,
            proto_major: self.proto_major,
            proto_minor: self.proto_minor,
            header: self.header,
            request_uri: self.request_uri,
            ctx: self.ctx,
        }
    }

    /// Bytes from the start of a `Request` to the end of the last field of it that is here.
    pub fn request_bytes(&self) -> u32 {
        let patterns = [self.pattern.map(|at| at + 16), self.pat.map(|at| at + 8)];
        patterns.into_iter().flatten().fold(self.request().bytes(), u32::max)
    }

    /// Bytes from the start of a `conn` to the end of the last field of it that is here.
    pub fn conn_bytes(&self) -> u32 {
        [self.conn_server, self.conn_r, self.conn_cur_req, self.conn_cur_state].into_iter().max().unwrap_or(0) + 8
    }

    /// Bytes from the start of a `response` to the end of the last field of it that is here.
    pub fn response_bytes(&self) -> u32 {
        self.response_conn.max(self.response_req) + 8
    }
}

/// Offsets in a request: in a `net/http.Request`, or in a `net/http/internal/http2.ServerRequest`, which HTTP/2 makes of a
/// request before it becomes one of `net/http` (Go 1.27 on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestFields {
    /// `Method` (string).
    #[serde(rename = "Method")]
    pub method: u32,
    /// `URL` (address).
    #[serde(rename = "URL")]
    pub url: u32,
    /// `Proto` (string).
    #[serde(rename = "Proto")]
    pub proto: u32,
    /// `ProtoMajor` (i64).
    #[serde(rename = "ProtoMajor")]
    pub proto_major: u32,
    /// `ProtoMinor` (i64).
    #[serde(rename = "ProtoMinor")]
    pub proto_minor: u32,
    /// `Header` (a map from string to slice of strings).
    #[serde(rename = "Header")]
    pub header: u32,
    /// `RequestURI` (string).
    #[serde(rename = "RequestURI")]
    pub request_uri: u32,
    /// `ctx`, `Context` in a `ServerRequest` (interface `context.Context`).
    #[serde(rename = "Context")]
    pub ctx: u32,
}

impl RequestFields {
    /// Bytes from the start to the end of the last of these fields.
    pub fn bytes(&self) -> u32 {
        let strings = [self.method, self.proto, self.request_uri, self.ctx].map(|at| at + 16);
        let words = [self.url, self.proto_major, self.proto_minor, self.header].map(|at| at + 8);
        strings.into_iter().chain(words).max().unwrap_or(0)
    }
}

/// Offsets in structures of `context` (`context.go`). All begin with the interface of the context they are derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextLayout {
    /// `cancelCtx.err` (an interface, or an `atomic.Value`, which is the same here): its first word is not 0 once the
    /// context is cancelled.
    #[serde(rename = "cancelCtx.err")]
    pub cancel_err: u32,
    /// `valueCtx.key` (interface).
    #[serde(rename = "valueCtx.key")]
    pub value_key: u32,
    /// `valueCtx.val` (interface).
    #[serde(rename = "valueCtx.val")]
    pub value_val: u32,
}

/// How maps are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapsLayout {
    /// Buckets with chains of overflow buckets (`runtime/map.go`), up to Go 1.23.
    Buckets(HmapLayout, BucketLayout),
    /// Tables of groups of slots (`internal/runtime/maps`), Go 1.24 on.
    Tables(TablesLayout),
}

/// Offsets in structures of `internal/runtime/maps` (`map.go`, `table.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablesLayout {
    /// `Map.used` (u64): number of entries.
    pub used: u32,
    /// `Map.seed` (u64): of its hash function, drawn for each map.
    pub seed: u32,
    /// `Map.dirPtr` (address): its only group, or an array of addresses of tables, in which one may be repeated.
    #[serde(rename = "dirPtr")]
    pub dir_ptr: u32,
    /// `Map.dirLen` (i64): length of that array, or 0 for a single group.
    #[serde(rename = "dirLen")]
    pub dir_len: u32,
    /// `Map.writing` (u8): not 0 while it is written to.
    pub writing: u32,
    /// `table.groups.data` (address): its array of groups.
    #[serde(rename = "groups.data")]
    pub groups_data: u32,
    /// `table.groups.lengthMask` (u64): number of groups, a power of two, less one.
    #[serde(rename = "groups.lengthMask")]
    pub groups_mask: u32,
}

//! What goes back to the client.

use fgspy_export::Format;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// A request that is not granted, with a sentence that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) sentence: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, sentence: impl Into<String>) -> Refusal {
        Refusal { status, sentence: sentence.into() }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = text(format!("{}\n", self.sentence)).into_response();
        *response.status_mut() = self.status;
        // `go tool pprof` shows the text of an error only if this says that it is meant for it.
        response.headers_mut().insert(HeaderName::from_static("x-go-pprof"), HeaderValue::from_static("1"));
        response
    }
}

/// Something to send.
#[derive(Debug)]
pub(super) struct Answer {
    media_type: &'static str,
    /// The name under which a browser is to save it; without one it is to be looked at.
    file_name: Option<String>,
    /// What a page may load and run.
    policy: &'static str,
    body: Vec<u8>,
}

const NOTHING: &str = "default-src 'none'";
const OWN_STYLE: &str = "default-src 'none'; style-src 'unsafe-inline'";
/// Flame graphs have their script in them.
const OWN_SCRIPT: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Plain text.
pub(super) fn text(text: impl Into<Vec<u8>>) -> Answer {
    Answer { media_type: "text/plain; charset=utf-8", file_name: None, policy: NOTHING, body: text.into() }
}

/// A page.
pub(super) fn page(html: String) -> Answer {
    Answer { media_type: "text/html; charset=utf-8", file_name: None, policy: OWN_STYLE, body: html.into() }
}

/// A profile in a format. `name` is for the file, without an ending.
pub(super) fn profile(body: Vec<u8>, format: Format, name: &str) -> Answer {
    let is_file = matches!(format, Format::Pprof | Format::Raw);
    Answer {
        media_type: format.media_type(),
        file_name: is_file.then(|| format!("{name}.{}", format.ending())),
        policy: if format == Format::FlameGraph { OWN_SCRIPT } else { NOTHING },
        body,
    }
}

impl Answer {
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy));
        let disposition = self.file_name.map(|name| format!("attachment; filename=\"{name}\""));
        if let Some(Ok(disposition)) = disposition.map(HeaderValue::try_from) {
            headers.insert(header::CONTENT_DISPOSITION, disposition);
        }
        response
    }
}

//! The documents, and the headers that keep whatever is answered harmless.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// What stands in a document for the nonce of its script and its style.
const NONCE: &str = "{{nonce}}";

/// For whatever is no document, should it be taken for one.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// Keeps a browser from guessing, keeping, and telling others.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// A document: one file that needs nothing but data from below its own address.
#[derive(Clone, Copy)]
pub enum Document {
    /// The list of pipelines.
    Pipelines,
    /// The live page of a replica, as this release's processors have it.
    Replica,
}

impl Document {
    const fn text(self) -> &'static str {
        match self {
            Self::Pipelines => include_str!("../../../page/index.html"),
            Self::Replica => include_str!("../../../../processor/page/index.html"),
        }
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        let nonce = format!("{:032x}", rand::random::<u128>());
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let headers =
            [(header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (header::CONTENT_SECURITY_POLICY, policy)];
        (HEADERS, headers, self.text().replace(NONCE, &nonce)).into_response()
    }
}

/// What is answered beside documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For programs.
    Json,
    /// For people.
    Text,
    /// Events that come as they happen.
    Stream,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Stream => "text/event-stream",
        }
    }
}

/// An answer that is no document.
pub fn answer(status: StatusCode, kind: Kind, body: impl Into<Body>) -> Response {
    let body: Body = body.into();
    let mut response = (status, HEADERS, [(header::CONTENT_SECURITY_POLICY, NOTHING)], body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.name()));
    response
}

/// Why something is not answered, in a line.
pub fn refusal(status: StatusCode, why: &str) -> Response {
    answer(status, Kind::Text, format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_runs_what_stands_in_it_alone() {
        let policies = [Document::Pipelines, Document::Replica].map(|document| {
            let response = document.into_response();
            response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
        });
        for policy in &policies {
            assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
        }
        assert_ne!(policies[0], policies[1]);
    }

    /// The pages ask nobody but whom they come from, and work behind any prefix.
    #[test]
    fn a_document_names_no_host_and_no_root() {
        for document in [Document::Pipelines, Document::Replica] {
            let text = document.text();
            let elements = text.matches("<script").count() + text.matches("<style").count();
            assert_eq!(text.matches(&format!("nonce=\"{NONCE}\"")).count(), elements);
            for outward in ["href=\"/", "src=\"", "fetch(\"/", "EventSource(\"/", "url(/", "@import", " onclick="] {
                assert!(!text.contains(outward), "{outward}");
            }
        }
    }
}

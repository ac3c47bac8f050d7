//! The operator's page, the replica's page, and the security headers of every response.
//!
//! ```text
//!  pipelines/  the operator's page: every pipeline, as its status says ──┐ build.rs: one file each, with a placeholder
//!  replica/    the live page of a replica, or of `processor local` ──────┴─> Document: a nonce, and a policy with it
//! ```

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// The placeholder in a document for the nonce of its script and its style.
const NONCE: &str = "{{nonce}}";

/// The policy of a response that is not a document, in case a browser treats it as one.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// Keep a browser from guessing the content type, storing the response, and sending the page's address to other sites.
pub const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// A page in one file, which loads nothing but data from below its own address.
#[derive(Clone, Copy)]
pub enum Document {
    /// The list of pipelines.
    Pipelines,
    /// The live page of a replica of this release.
    Replica,
}

impl Document {
    const fn text(self) -> &'static str {
        match self {
            Self::Pipelines => include_str!(concat!(env!("OUT_DIR"), "/pipelines.html")),
            Self::Replica => include_str!(concat!(env!("OUT_DIR"), "/replica.html")),
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

/// The content type of a response that is not a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Json,
    Text,
    /// Server-sent events.
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

/// Builds a response that is not a document.
pub fn answer(status: StatusCode, kind: Kind, body: impl Into<Body>) -> Response {
    let body: Body = body.into();
    let mut response = (status, HEADERS, [(header::CONTENT_SECURITY_POLICY, NOTHING)], body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.name()));
    response
}

/// Builds a one-line plain text response that says why the request is refused.
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

    /// The pages send requests only to their own origin, and work under any path prefix.
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

//! What an error says with everything that caused it, for logs: "client error (Connect)" alone helps nobody.

use std::{error::Error, iter::successors};

/// An error's text, then those of its causes, outermost first. What an error already says of its cause is not said again.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Nested {
        #[error("connection refused")]
        Refused,
        #[error("client error (Connect)")]
        Connect(#[source] Box<Self>),
        #[error("the API server did not answer: {0}")]
        Said(#[source] Box<Self>),
        #[error(transparent)]
        Transparent(Box<Self>),
    }

    #[test]
    fn every_cause_is_said_once() {
        let connect = || Box::new(Nested::Connect(Box::new(Nested::Refused)));
        assert_eq!(with_causes(&Nested::Refused), "connection refused");
        let expected = "the API server did not answer: client error (Connect): connection refused";
        assert_eq!(with_causes(&Nested::Said(connect())), expected);
        assert_eq!(with_causes(&Nested::Transparent(Box::new(Nested::Said(connect())))), expected);
    }
}

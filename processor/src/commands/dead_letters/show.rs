//! Shows one dead letter in full.

use std::fmt;

use serde::Serialize;

use super::{
    ledger::Ledger,
    letter::{Header, Letter},
    list::Row,
};
use crate::view::mask::mask;

/// One dead letter. As JSON it is one object; its field names are stable.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The dead letter's own fields.
    #[serde(flatten)]
    pub row: Row,
    /// The event's own headers.
    pub headers: Vec<Named>,
    pub key: Content,
    /// The event's value.
    pub value: Content,
}

/// A header of the event.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    #[serde(flatten)]
    pub content: Content,
}

/// Bytes that may hold personal data; the text is included only on request.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Length in bytes; null when there is no value, such as for a tombstone.
    pub bytes: Option<usize>,
    /// The bytes as text, only with --unmask; invalid UTF-8 is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The harmless parts of an event; [`mask`] defines them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<String>,
}

/// Most characters of a masked event to show.
const MASKED: usize = 4096;

impl Content {
    fn new(bytes: Option<&[u8]>, unmask: bool) -> Self {
        let text = bytes.filter(|_| unmask).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Self { bytes: bytes.map(<[u8]>::len), text, masked: None }
    }

    /// As [`Content::new`], but shows the harmless parts of an event when it is masked.
    fn event(bytes: Option<&[u8]>, unmask: bool) -> Self {
        let masked = bytes.filter(|_| !unmask).map(|bytes| mask(bytes, MASKED));
        Self { masked, ..Self::new(bytes, unmask) }
    }
}

impl Shown {
    /// A dead letter; the content of its event is included only with `unmask`.
    pub fn new(letter: &Letter, ledger: &Ledger, unmask: bool) -> Self {
        let header = |(name, value): Header| Named {
            name: String::from_utf8_lossy(name).into_owned(),
            content: Content::new(value, unmask),
        };
        Self {
            row: Row::new(letter, ledger),
            headers: letter.original_headers().map(header).collect(),
            key: Content::new(letter.key, unmask),
            value: Content::event(letter.value, unmask),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes, &self.text, &self.masked) {
            (None, ..) => f.write_str("none"),
            (Some(_), Some(text), _) => f.write_str(text),
            (Some(bytes), None, Some(masked)) => write!(f, "{masked} ({bytes} bytes; --unmask shows them)"),
            (Some(bytes), None, None) => write!(f, "{bytes} bytes; --unmask shows them"),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, headers, key, value } = self;
        let mut line = |name: &str, text: &dyn fmt::Display| writeln!(f, "{name:<12}{text}");
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        line("place", &format_args!("{}-{}", row.partition, row.offset))?;
        line("time", &or_dash(&row.time))?;
        line("reason", &row.reason.map_or("-", crds::records::dead_letter::Reason::as_str))?;
        line("detail", &or_dash(&row.detail))?;
        line("source", &or_dash(&row.source))?;
        if let Some(replay) = &row.replay {
            line("a replay of", replay)?;
        }
        if let Some(truncated) = &row.truncated {
            line("truncated", truncated)?;
        }
        line("replayed", &or_dash(&row.replayed))?;
        for Named { name, content } in headers {
            line("header", &format_args!("{name}: {content}"))?;
        }
        line("key", key)?;
        write!(f, "{:<12}{value}", "value")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::letter::tests::{HEADERS, letter},
        *,
    };

    #[test]
    fn what_may_be_personal_is_shown_only_where_it_is_asked_for() {
        let (mut letter, ledger) = (letter(&HEADERS), Ledger::default());
        letter.value = Some(br#"{"user_id": "a6397988", "device_type": "iOS"}"#);

        let masked = Shown::new(&letter, &ledger, false);
        let json = serde_json::to_string(&masked).unwrap();
        for secret in ["abc", "\"key\":\"", "a6397988"] {
            assert!(!masked.to_string().contains(secret) && !json.contains(secret), "{secret}");
        }

        let text = Shown::new(&letter, &ledger, true).to_string();
        for content in [
            "header      trace: abc",
            "key         key",
            "value       {\"user_id\": \"a6397988\"",
            "detail      timestamp is too far",
        ] {
            assert!(text.contains(content), "{text}");
        }
    }
}

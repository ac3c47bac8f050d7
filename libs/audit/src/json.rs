//! A strict reader of events, on serde_json: it checks for one JSON object and finds its top-level members.
//!
//! It shares no code with the parser of the streaming code, so that the audit finds a mistake there.

use std::borrow::Cow;

use crds::records::dead_letter::MAX_DEPTH;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A member of an object, as raw text.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The key, with its quotes.
    pub key: &'a str,
    /// The unescaped key.
    pub name: Cow<'a, str>,
    /// The value, without white space around it.
    pub value: &'a str,
}

/// The members of an event; `None` when the bytes are malformed.
pub fn event(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    object(std::str::from_utf8(bytes).ok()?, 1)
}

/// Unescapes a JSON string given with its quotes; `None` when it holds half a surrogate pair.
pub fn unquote(string: &str) -> Option<Cow<'_, str>> {
    let inside = string.get(1..string.len().checked_sub(1)?)?;
    if inside.contains('\\') { serde_json::from_str(string).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
}

fn object(text: &str, depth: usize) -> Option<Vec<Member<'_>>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let Entries(entries) = serde_json::from_str(text).ok()?;
    let members: Vec<Member> = entries
        .into_iter()
        .map(|(key, value)| Some(Member { key, name: unquote(key)?, value }))
        .collect::<Option<_>>()?;
    let mut names: Vec<&str> = members.iter().map(|member| member.name.as_ref()).collect();
    names.sort_unstable();
    let unique = names.windows(2).all(|pair| pair[0] != pair[1]);
    (unique && members.iter().all(|member| is_strict(member.value, depth))).then_some(members)
}

/// Whether a value that serde_json accepts also satisfies the stricter rules here. `depth` is that of its container.
fn is_strict(value: &str, depth: usize) -> bool {
    match value.as_bytes().first() {
        Some(b'{') => object(value, depth + 1).is_some(),
        Some(b'[') => {
            depth < MAX_DEPTH && items(value).is_some_and(|items| items.iter().all(|item| is_strict(item, depth + 1)))
        }
        Some(b'"') => unquote(value).is_some(),
        _ => true,
    }
}

fn items(array: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

/// The members of an object as raw text, in order, including duplicates.
struct Entries<'a>(Vec<(&'a str, &'a str)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::with_capacity(8);
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    entries.push((key.get(), value.get()));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

//! `meta` as records: it grows with the partitions and the revisions, and a record must not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Key, MAX_CHUNK_BYTES, Meta, StateError, decode, encode};

/// The value of the key `meta`: it says which parts make up the [`Meta`].
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Offset of the next delta to fold.
    pub offset: i64,
    /// Number of parts. Records of higher parts are left over from a larger `meta`.
    pub parts: u32,
}

/// A part of an encoded [`Meta`].
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The offset of the head that it belongs to.
    pub offset: i64,
    /// The bytes that follow those of the part before it.
    pub bytes: Vec<u8>,
}

impl Meta {
    /// The keys and values of its records: the parts, then the head.
    ///
    /// # Errors
    /// Never for a value in memory; the type says so for the sake of the encoder.
    pub fn records(&self) -> Result<Vec<(Key, Vec<u8>)>, StateError> {
        let whole = encode(self)?;
        let mut records = Vec::new();
        for (number, bytes) in (0..).zip(whole.chunks(MAX_CHUNK_BYTES)) {
            let part = Part { offset: self.offset, bytes: bytes.to_vec() };
            records.push((Key::MetaPart(number), encode(&part)?));
        }
        let parts = u32::try_from(records.len()).unwrap_or(u32::MAX);
        records.push((Key::Meta, encode(&Head { offset: self.offset, parts })?));
        Ok(records)
    }
}

/// The records of a `meta`, as they are read. Of each key the last record in the log counts.
#[derive(Clone, Debug, Default)]
pub struct MetaRecords {
    head: Latest,
    parts: BTreeMap<u32, Latest>,
}

/// The last value of a key, with its offset in the log; none before the first record and after a tombstone.
#[derive(Clone, Debug)]
struct Latest(i64, Option<Vec<u8>>);

impl Default for Latest {
    fn default() -> Self {
        Self(-1, None)
    }
}

impl Latest {
    fn push(&mut self, at: i64, value: Option<&[u8]>) {
        if at > self.0 {
            *self = Self(at, value.map(<[u8]>::to_vec));
        }
    }
}

impl MetaRecords {
    /// Takes the record at this offset of the state topic, in any order. Records with other keys are ignored.
    pub fn push(&mut self, at: i64, key: Key, value: Option<&[u8]>) {
        match key {
            Key::Meta => self.head.push(at, value),
            Key::MetaPart(number) => self.parts.entry(number).or_default().push(at, value),
            Key::Position | Key::Total(_) | Key::Values(..) => {}
        }
    }

    /// Whether there is a head with all parts that it counts, so that records before these cannot matter.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match self.head() {
            Ok(None) => false,
            Ok(Some(head)) => (0..head.parts).all(|number| self.parts.contains_key(&number)),
            Err(_) => true,
        }
    }

    /// Puts the parts together. None if there is no head.
    ///
    /// # Errors
    /// If a part is missing or belongs to another head, or a record is not one that this release reads.
    pub fn meta(&self) -> Result<Option<Meta>, StateError> {
        let Some(head) = self.head()? else { return Ok(None) };
        let mut whole = Vec::new();
        for part in 0..head.parts {
            let missing = StateError::Part { part, parts: head.parts };
            let Some(Latest(_, Some(value))) = self.parts.get(&part) else { return Err(missing) };
            let Part { offset, bytes } = decode(value)?;
            if offset != head.offset {
                return Err(missing);
            }
            whole.extend(bytes);
        }
        decode(&whole).map(Some)
    }

    fn head(&self) -> Result<Option<Head>, StateError> {
        self.head.1.as_deref().map(decode).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `meta` with rules of this many bytes.
    fn meta(offset: i64, bytes: usize) -> Meta {
        Meta { offset, rules: vec![(1, "r".repeat(bytes))], ..Meta::default() }
    }

    fn push(records: &mut MetaRecords, first: i64, meta: &Meta) {
        for (at, (key, value)) in (first..).zip(meta.records().unwrap()) {
            records.push(at, key, Some(&value));
        }
    }

    #[test]
    fn a_meta_is_put_together_from_its_last_parts() {
        let (large, small) = (meta(1, 3 * MAX_CHUNK_BYTES), meta(2, MAX_CHUNK_BYTES));
        let mut records = MetaRecords::default();
        assert_eq!(records.meta(), Ok(None));
        push(&mut records, 10, &large);
        assert_eq!(records.meta().as_ref(), Ok(&Some(large.clone())));

        push(&mut records, 20, &small);
        assert_eq!(records.meta().as_ref(), Ok(&Some(small.clone())), "the larger one has left parts");

        // As a reader does who goes back from the end of the log.
        let mut records = MetaRecords::default();
        push(&mut records, 20, &small);
        assert!(records.is_whole());
        push(&mut records, 10, &large);
        assert_eq!(records.meta(), Ok(Some(small)));
    }

    #[test]
    fn parts_of_two_metas_are_no_meta() {
        let mut records = MetaRecords::default();
        push(&mut records, 10, &meta(1, 2 * MAX_CHUNK_BYTES));
        let later = meta(2, 2 * MAX_CHUNK_BYTES).records().unwrap();
        let (head, head_value) = later.last().unwrap();
        assert!(later.len() == 4 && *head == Key::Meta);

        records.push(20, *head, Some(head_value));
        assert_eq!(records.meta(), Err(StateError::Part { part: 0, parts: 3 }));

        let mut records = MetaRecords::default();
        records.push(20, *head, Some(head_value));
        records.push(21, later[0].0, Some(&later[0].1));
        assert!(!records.is_whole());
        assert_eq!(records.meta(), Err(StateError::Part { part: 1, parts: 3 }));
    }
}

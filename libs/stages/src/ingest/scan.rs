//! Reads a JSON object once, without copying: finds its known fields, and checks that it is well formed.
//!
//! This is the parser of the hot path. It checks all of RFC 8259, including duplicate keys and nesting, but builds
//! nothing: it only skips over values that are not needed. Memory is reused from event to event.

use crds::{
    pipeline::Field,
    records::{dead_letter::MAX_DEPTH, enrichment},
};

use super::text::{plain_bytes, unescape};

/// The value of a known field, as written in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    /// A string: the UTF-8 bytes between the quotes, and whether they contain escapes.
    Text(&'a [u8], bool),
    /// A number that consists of digits only and fits into an `i64`.
    Integer(i64),
    Other,
}

/// The layout of a well formed event.
#[derive(Debug)]
pub struct Scanned<'a> {
    /// The known fields that are present, by `Field as usize`.
    pub fields: [Option<Value<'a>>; Field::ALL.len()],
    /// The byte offset of the closing brace.
    pub close: usize,
    /// Whether the object has any member.
    pub members: bool,
    /// Whether a member has a name that enrichment uses.
    pub reserved: bool,
    /// Whether the byte 0x7F occurs anywhere: the only control character that JSON allows in a string.
    pub delete_character: bool,
}

/// Why a value is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong, for people.
    pub what: &'static str,
    /// The byte offset at which the problem was found.
    pub at: usize,
}

/// One top level member, as written in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key with its quotes.
    pub key: &'a [u8],
    /// The value without surrounding white space.
    pub value: &'a [u8],
    /// Whether enrichment uses this name.
    pub reserved: bool,
}

/// Memory that the scanner reuses from event to event, which only saves allocations.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: Vec<Key>,
    decoded: Vec<u8>,
}

/// Where the text of a key is: in the event, or in `Scratch::decoded` if the key had escapes.
#[derive(Clone, Copy, Debug)]
struct Key {
    start: usize,
    end: usize,
    escaped: bool,
}

/// Scans an event.
///
/// # Errors
/// If the bytes are not one JSON object in UTF-8 with unique keys, nested at most [`MAX_DEPTH`] deep.
pub fn scan<'a>(bytes: &'a [u8], scratch: &mut Scratch) -> Result<Scanned<'a>, Malformed> {
    walk(bytes, scratch, |_| {})
}

/// Scans an event and passes each of its top level members to `each`.
///
/// # Errors
/// Those of [`scan`].
pub fn walk<'a>(
    bytes: &'a [u8],
    scratch: &mut Scratch,
    mut each: impl FnMut(Member<'a>),
) -> Result<Scanned<'a>, Malformed> {
    std::str::from_utf8(bytes).map_err(|error| Malformed { what: "not UTF-8", at: error.valid_up_to() })?;
    scratch.keys.clear();
    scratch.decoded.clear();
    let mut scanner = Scanner { bytes, at: 0, depth: 1, scratch };
    scanner.event(&mut each)
}

struct Scanner<'a, 's> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    scratch: &'s mut Scratch,
}

impl<'a> Scanner<'a, '_> {
    fn event(&mut self, each: &mut impl FnMut(Member<'a>)) -> Result<Scanned<'a>, Malformed> {
        self.white_space();
        if self.peek() != Some(b'{') {
            return Err(self.malformed(if self.peek().is_none() { "no value" } else { "not an object" }));
        }
        self.at += 1;
        let mut scanned = Scanned {
            fields: [None; Field::ALL.len()],
            close: 0,
            members: false,
            reserved: false,
            delete_character: memchr::memchr(0x7f, self.bytes).is_some(),
        };
        self.white_space();
        if self.peek() == Some(b'}') {
            scanned.close = self.at;
        } else {
            loop {
                self.member(&mut scanned, each)?;
                match self.next_in("expected a comma or the closing brace")? {
                    b',' => self.white_space(),
                    b'}' => break,
                    _ => return Err(self.malformed_before("expected a comma or the closing brace")),
                }
            }
            scanned.close = self.at - 1;
            scanned.members = true;
            self.refuse_duplicates(0)?;
            self.at = scanned.close;
        }
        self.at += 1;
        self.white_space();
        if self.at < self.bytes.len() {
            return Err(self.malformed("something behind the object"));
        }
        Ok(scanned)
    }

    #[inline]
    fn member(&mut self, scanned: &mut Scanned<'a>, each: &mut impl FnMut(Member<'a>)) -> Result<(), Malformed> {
        let key_start = self.at;
        let key = self.key()?;
        let key_end = self.at;
        let name = Name::of(key_text(self.bytes, &self.scratch.decoded, key));
        self.colon()?;
        let value_start = self.at;
        if let Name::Known(field) = name {
            let value = self.known_value()?;
            let slot = &mut scanned.fields[field as usize];
            if slot.is_some() {
                return Err(Malformed { what: "a key that stands twice", at: key_start });
            }
            *slot = Some(value);
        } else {
            // The slots of known fields reveal their duplicates, so only the other keys have to be compared.
            self.scratch.keys.push(key);
            self.value()?;
        }
        let reserved = name == Name::Reserved;
        scanned.reserved |= reserved;
        each(Member { key: &self.bytes[key_start..key_end], value: &self.bytes[value_start..self.at], reserved });
        self.white_space();
        Ok(())
    }

    #[inline]
    fn known_value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek() {
            Some(b'"') => {
                let start = self.at + 1;
                let escaped = self.string()?;
                Ok(Value::Text(&self.bytes[start..self.at - 1], escaped))
            }
            Some(b'0'..=b'9') => {
                let start = self.at;
                self.number()?;
                Ok(integer(&self.bytes[start..self.at]).map_or(Value::Other, Value::Integer))
            }
            Some(b'n') => self.literal(b"null").map(|()| Value::Null),
            _ => self.value().map(|()| Value::Other),
        }
    }

    fn value(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.malformed("expected a value")),
        }
    }

    fn object(&mut self) -> Result<(), Malformed> {
        self.descend()?;
        let own_keys = self.scratch.keys.len();
        self.white_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let key = self.key()?;
                self.scratch.keys.push(key);
                self.colon()?;
                self.value()?;
                self.white_space();
                match self.next_in("expected a comma or a closing brace")? {
                    b',' => self.white_space(),
                    b'}' => break,
                    _ => return Err(self.malformed_before("expected a comma or a closing brace")),
                }
            }
            self.refuse_duplicates(own_keys)?;
            self.scratch.keys.truncate(own_keys);
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Malformed> {
        self.descend()?;
        self.white_space();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.value()?;
                self.white_space();
                match self.next_in("expected a comma or a closing bracket")? {
                    b',' => self.white_space(),
                    b']' => break,
                    _ => return Err(self.malformed_before("expected a comma or a closing bracket")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Enters an object or an array.
    fn descend(&mut self) -> Result<(), Malformed> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.malformed("nested too deep"));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn key(&mut self) -> Result<Key, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed("expected a key"));
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let end = self.at - 1;
        if !escaped {
            return Ok(Key { start, end, escaped });
        }
        let decoded = self.scratch.decoded.len();
        unescape(&self.bytes[start..end], &mut self.scratch.decoded);
        Ok(Key { start: decoded, end: self.scratch.decoded.len(), escaped })
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Malformed> {
        self.white_space();
        if self.peek() != Some(b':') {
            return Err(self.malformed("expected a colon"));
        }
        self.at += 1;
        self.white_space();
        Ok(())
    }

    /// Skips a string, and returns whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, Malformed> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain_bytes(&self.bytes[self.at..]);
            match self.next_in("a string without end")? {
                b'"' => return Ok(escaped),
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                byte if byte < 0x20 => return Err(self.malformed_before("a control character in a string")),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.next_in("a string without end")? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.hex4()? {
                0xDC00..=0xDFFF => Err(self.malformed_before("half a surrogate pair")),
                0xD800..=0xDBFF => {
                    if !self.bytes[self.at..].starts_with(b"\\u") {
                        return Err(self.malformed("half a surrogate pair"));
                    }
                    self.at += 2;
                    match self.hex4()? {
                        0xDC00..=0xDFFF => Ok(()),
                        _ => Err(self.malformed_before("half a surrogate pair")),
                    }
                }
                _ => Ok(()),
            },
            _ => Err(self.malformed_before("an unknown escape")),
        }
    }

    fn hex4(&mut self) -> Result<u32, Malformed> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(self.malformed("expected four hexadecimal digits"));
        }
        self.at += 4;
        Ok(digits.iter().fold(0, |code, digit| code * 16 + (*digit as char).to_digit(16).unwrap_or(0)))
    }

    #[inline]
    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.malformed("expected a digit"));
        }
        self.at += count;
        Ok(())
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Malformed> {
        if !self.bytes[self.at..].starts_with(literal) {
            return Err(self.malformed("expected a value"));
        }
        self.at += literal.len();
        Ok(())
    }

    /// Compares the keys from `own_keys` on. A few keys are compared in pairs; many are sorted, because an event of one
    /// megabyte can have a hundred thousand.
    fn refuse_duplicates(&mut self, own_keys: usize) -> Result<(), Malformed> {
        const FEW: usize = 16;
        let (bytes, decoded) = (self.bytes, &self.scratch.decoded);
        let keys = &mut self.scratch.keys[own_keys..];
        let name = |key: &Key| key_text(bytes, decoded, *key);
        let twice = if keys.len() <= FEW {
            keys.iter().enumerate().any(|(index, key)| keys[..index].iter().any(|other| name(other) == name(key)))
        } else {
            keys.sort_unstable_by(|a, b| name(a).cmp(name(b)));
            keys.windows(2).any(|pair| name(&pair[0]) == name(&pair[1]))
        };
        if twice { Err(self.malformed_before("a key that stands twice")) } else { Ok(()) }
    }

    #[inline]
    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn next_in(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let byte = self.peek().ok_or(Malformed { what, at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }

    fn malformed_before(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at - 1 }
    }
}

#[inline]
fn key_text<'t>(bytes: &'t [u8], decoded: &'t [u8], key: Key) -> &'t [u8] {
    if key.escaped { &decoded[key.start..key.end] } else { &bytes[key.start..key.end] }
}

/// The meaning of a top level name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Known(Field),
    Reserved,
    Other,
}

impl Name {
    #[inline]
    fn of(name: &[u8]) -> Self {
        const EVENT_ID: &[u8] = enrichment::EVENT_ID.as_bytes();
        const LOGIN_TIME: &[u8] = enrichment::LOGIN_TIME.as_bytes();
        const LATE: &[u8] = enrichment::LATE.as_bytes();
        match name {
            b"user_id" => Self::Known(Field::UserId),
            b"app_version" => Self::Known(Field::AppVersion),
            b"ip" => Self::Known(Field::Ip),
            b"locale" => Self::Known(Field::Locale),
            b"device_id" => Self::Known(Field::DeviceId),
            b"timestamp" => Self::Known(Field::Timestamp),
            b"device_type" => Self::Known(Field::DeviceType),
            EVENT_ID | LOGIN_TIME | LATE => Self::Reserved,
            _ => Self::Other,
        }
    }
}

/// The value of a scanned number that consists of digits only and fits into an `i64`.
fn integer(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests;

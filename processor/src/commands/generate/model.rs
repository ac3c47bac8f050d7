//! An endless stream of login events, derived from a seed: the same options give the same events, byte for byte. It
//! reads no clock and does no I/O.

use serde::Serialize;

use super::{
    population::{Login, login, write_uuid},
    random::Random,
    trouble,
};

/// The kind of a generated event. It says how the event was made; the pipeline's rules decide what becomes of it.
#[derive(Serialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// All fields, at the current event time.
    #[default]
    Normal,
    /// Two minutes to an hour before the current event time.
    Late,
    /// An hour to a day after the current event time.
    Future,
    /// Not a single JSON object with unique keys.
    Malformed,
    /// Without `device_type`, `locale` or `timestamp`.
    Incomplete,
    /// Legal but unusual JSON; some of it is valid, some is not.
    Odd,
    /// The same bytes as an earlier event.
    Repeated,
}

impl Kind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 7] =
        [Self::Normal, Self::Late, Self::Future, Self::Malformed, Self::Incomplete, Self::Odd, Self::Repeated];

    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Late => "late",
            Self::Future => "future",
            Self::Malformed => "malformed",
            Self::Incomplete => "incomplete",
            Self::Odd => "odd",
            Self::Repeated => "repeated",
        }
    }
}

/// The share of each kind in all events, in billionths; the rest is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares([(Kind, u64); 6]);

const WHOLE: u64 = 1_000_000_000;

/// Why shares cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SharesError {
    #[error("--{kind} is {value}: write a fraction from 0 to 1, such as 0.01 for one event in a hundred", kind = .0.as_str(), value = .1)]
    NotAFraction(Kind, f64),
    /// The shares add up to more than 1.
    #[error(
        "the shares of --late, --future, --malformed, --incomplete, --odd and --repeated add up to {0}: make it 1 at most"
    )]
    TooMuch(f64),
}

impl Shares {
    /// Normal events only.
    pub const NONE: Self = Self([
        (Kind::Late, 0),
        (Kind::Future, 0),
        (Kind::Malformed, 0),
        (Kind::Incomplete, 0),
        (Kind::Odd, 0),
        (Kind::Repeated, 0),
    ]);

    /// Sets the share of a kind. Setting the share of normal events has no effect: they are what the others leave.
    ///
    /// # Errors
    /// When the share is not a fraction, or all shares add up to more than 1.
    pub fn with(mut self, kind: Kind, share: f64) -> Result<Self, SharesError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(SharesError::NotAFraction(kind, share));
        }
        // From 0 to a billion, a range in which f64 is exact.
        let billionths = (share * WHOLE as f64).round() as u64;
        if let Some((_, slot)) = self.0.iter_mut().find(|(other, _)| *other == kind) {
            *slot = billionths;
        }
        let sum: u64 = self.0.iter().map(|(_, share)| share).sum();
        if sum > WHOLE { Err(SharesError::TooMuch(sum as f64 / WHOLE as f64)) } else { Ok(self) }
    }

    fn draw(&self, random: &mut Random) -> Kind {
        let mut at = random.below(WHOLE);
        for (kind, share) in self.0 {
            if at < share {
                return kind;
            }
            at -= share;
        }
        Kind::Normal
    }
}

/// The options from which all events follow.
#[derive(Clone, Debug)]
pub struct Options {
    /// A different seed gives different events.
    pub seed: u64,
    /// Number of users, at least one.
    pub users: u64,
    /// Share of each kind.
    pub shares: Shares,
    /// Event time of the first event, Unix seconds.
    pub start: i64,
    /// Events per second of event time. With 0, event time stands still until [`Events::set_time`] moves it.
    pub per_second: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, users: 100_000, shares: Shares::NONE, start: 1_720_576_800, per_second: 1000 }
    }
}

/// An event to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeneratedEvent {
    /// How it was made.
    pub kind: Kind,
    /// The record's key: the user's id.
    pub key: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) tombstone: bool,
}

impl GeneratedEvent {
    /// An event from another source than the generator.
    #[must_use]
    pub fn new(kind: Kind, key: &str, payload: &str) -> Self {
        Self { kind, key: key.into(), payload: payload.into(), tombstone: false }
    }

    /// The record's value; `None` for a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        (!self.tombstone).then_some(&self.payload)
    }
}

/// How many earlier events are kept for repetition.
const MEMORY: usize = 1024;

/// An endless stream of events.
#[derive(Clone, Debug)]
pub struct Events {
    options: Options,
    random: Random,
    made: u64,
    now: i64,
    earlier: Vec<GeneratedEvent>,
}

impl Events {
    /// Starts the stream that follows from these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let random = Random::new(options.seed);
        let now = options.start;
        Self { options, random, made: 0, now, earlier: Vec::new() }
    }

    /// Sets the event time, in Unix seconds, for a stream that follows a clock.
    pub const fn set_time(&mut self, seconds: i64) {
        self.now = seconds;
    }

    /// Makes the next event in the buffers of an earlier one, to avoid allocations.
    pub fn next_into(&mut self, event: &mut GeneratedEvent) {
        if let Some(seconds) = self.made.checked_div(self.options.per_second) {
            self.now = self.options.start.saturating_add_unsigned(seconds);
        }
        self.made += 1;
        let kind = self.options.shares.draw(&mut self.random);
        if kind == Kind::Repeated && !self.earlier.is_empty() {
            let which = self.random.below(self.earlier.len() as u64) as usize;
            event.clone_from(&self.earlier[which]);
            event.kind = kind;
            return;
        }
        event.kind = if kind == Kind::Repeated { Kind::Normal } else { kind };
        self.make(event);
        if self.options.shares.0.iter().any(|(kind, share)| *kind == Kind::Repeated && *share > 0) {
            let place = (self.made % MEMORY as u64) as usize;
            match self.earlier.get_mut(place) {
                Some(slot) => slot.clone_from(event),
                None => self.earlier.push(event.clone()),
            }
        }
    }

    fn make(&mut self, event: &mut GeneratedEvent) {
        let random = &mut self.random;
        let login = login(self.options.seed, self.options.users.max(1), random);
        event.key.clear();
        write_uuid(login.user, &mut event.key);
        event.payload.clear();
        event.tombstone = false;
        let now = self.now.saturating_sub_unsigned(random.below(3));
        match event.kind {
            Kind::Normal | Kind::Repeated => write(&login, now, Absent::NONE, &mut event.payload),
            Kind::Late => {
                let late = now.saturating_sub_unsigned(120 + random.below(3480)).max(0);
                write(&login, late, Absent::NONE, &mut event.payload);
            }
            Kind::Future => {
                let future = now.saturating_add_unsigned(3600 + random.below(82_800));
                write(&login, future, Absent::NONE, &mut event.payload);
            }
            Kind::Incomplete => write(&login, now, Absent::draw(random), &mut event.payload),
            Kind::Odd => trouble::odd(&login, now, random, &mut event.payload),
            Kind::Malformed => event.tombstone = trouble::malformed(&login, now, random, &mut event.payload),
        }
    }
}

impl Iterator for Events {
    type Item = GeneratedEvent;

    fn next(&mut self) -> Option<GeneratedEvent> {
        let mut event = GeneratedEvent::default();
        self.next_into(&mut event);
        Some(event)
    }
}

/// Which fields are absent, out of those that real streams lack at times.
#[derive(Clone, Copy, Debug)]
struct Absent {
    device_type: bool,
    locale: bool,
    timestamp: bool,
}

impl Absent {
    const NONE: Self = Self { device_type: false, locale: false, timestamp: false };

    /// Most often only the device type is absent, as in real streams; at times several fields are.
    fn draw(random: &mut Random) -> Self {
        let fields = random.weighted(&[(0b001, 60), (0b010, 20), (0b100, 10), (0b011, 6), (0b111, 4)], 0b001);
        Self { device_type: fields & 0b001 != 0, locale: fields & 0b010 != 0, timestamp: fields & 0b100 != 0 }
    }
}

/// Writes a login as the apps do.
fn write(login: &Login, timestamp: i64, absent: Absent, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"user_id\":\"");
    write_uuid(login.user, out);
    out.extend_from_slice(b"\",\"app_version\":\"");
    out.extend_from_slice(login.version.as_bytes());
    out.extend_from_slice(b"\",\"ip\":\"");
    for (index, part) in login.ip.into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(digits.format(part).as_bytes());
    }
    if !absent.locale {
        out.extend_from_slice(b"\",\"locale\":\"");
        out.extend_from_slice(login.locale.as_bytes());
    }
    out.extend_from_slice(b"\",\"device_id\":\"");
    write_uuid(login.device, out);
    out.push(b'"');
    if !absent.timestamp {
        out.extend_from_slice(b",\"timestamp\":");
        out.extend_from_slice(digits.format(timestamp).as_bytes());
    }
    if !absent.device_type {
        out.extend_from_slice(b",\"device_type\":\"");
        out.extend_from_slice(login.device_type.as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::commands::generate::random::mix;

    fn shares(share: f64) -> Shares {
        Kind::ALL[1..].iter().fold(Shares::NONE, |shares, kind| shares.with(*kind, share).unwrap())
    }

    fn text(event: &GeneratedEvent) -> String {
        String::from_utf8(event.payload().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_seed_means_these_events_for_ever() {
        let events: Vec<String> = Events::new(Options::default()).take(2).map(|event| text(&event)).collect();
        assert_eq!(
            events,
            [
                r#"{"user_id":"df7653bf-10b8-4644-b5e1-45b8118b14ae","app_version":"2.2.1","ip":"145.223.117.120","locale":"PA","device_id":"79eba705-03ef-4278-8040-d9eef946fb7e","timestamp":1720576798,"device_type":"iOS"}"#,
                r#"{"user_id":"56e5efee-6fe1-4e76-b5d3-11cdf2c006a0","app_version":"2.3.0","ip":"74.138.147.10","locale":"CA","device_id":"e12b1f71-a133-4816-bb12-96472e4ae94b","timestamp":1720576799,"device_type":"iOS"}"#,
            ]
        );
        let all = Events::new(Options { shares: shares(0.15), ..Options::default() }).take(10_000);
        let bytes = |event: GeneratedEvent| [event.key, event.payload].concat();
        let digest = all.flat_map(bytes).fold(0, |digest, byte| mix(digest ^ u64::from(byte)));
        assert_eq!(digest, 0x59a6_2b20_135b_fbd1);
    }

    #[test]
    fn the_same_options_give_the_same_events() {
        let events = |seed| {
            Events::new(Options { seed, shares: shares(0.1), ..Options::default() }).take(3000).collect::<Vec<_>>()
        };
        assert_eq!(events(7), events(7));
        assert_ne!(events(7), events(8));
        let mut stream = Events::new(Options { seed: 7, shares: shares(0.1), ..Options::default() });
        let mut event = GeneratedEvent::default();
        for expected in events(7) {
            stream.next_into(&mut event);
            assert_eq!(event, expected, "in the buffers of the event before");
        }
    }

    #[test]
    fn kinds_come_in_their_shares() {
        let count = |shares| {
            let mut counts = BTreeMap::new();
            for event in Events::new(Options { shares, ..Options::default() }).take(20_000) {
                *counts.entry(event.kind).or_insert(0_usize) += 1;
            }
            counts
        };

        assert_eq!(count(Shares::NONE), BTreeMap::from([(Kind::Normal, 20_000)]));
        let counts = count(shares(0.1));
        assert_eq!(counts.len(), 7);
        for (kind, count) in counts {
            let expected: usize = if kind == Kind::Normal { 8000 } else { 2000 };
            assert!(expected.abs_diff(count) < 200, "{} {count}", kind.as_str());
        }
    }

    #[test]
    fn shares_are_checked() {
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let error = Shares::NONE.with(Kind::Odd, share).unwrap_err();
            assert!(error.to_string().starts_with("--odd is "), "{error}");
        }
        let half = Shares::NONE.with(Kind::Late, 0.5).unwrap();
        assert!(half.with(Kind::Future, 0.5).is_ok());
        let error = half.with(Kind::Future, 0.6).unwrap_err();
        assert!(error.to_string().ends_with("add up to 1.1: make it 1 at most"), "{error}");
        assert_eq!(half.with(Kind::Late, 0.0), Ok(Shares::NONE));
    }

    #[test]
    fn a_repeated_event_has_the_bytes_of_an_earlier_one() {
        let shares = Shares::NONE.with(Kind::Repeated, 0.3).unwrap().with(Kind::Malformed, 0.1).unwrap();
        let events: Vec<GeneratedEvent> = Events::new(Options { shares, ..Options::default() }).take(5000).collect();
        let mut repeated = 0;
        for (index, event) in events.iter().enumerate().filter(|(_, event)| event.kind == Kind::Repeated) {
            let same = |earlier: &GeneratedEvent| (&earlier.key, earlier.payload()) == (&event.key, event.payload());
            assert!(events[..index].iter().any(same), "event {index}");
            repeated += 1;
        }
        assert!(repeated > 1000);
    }

    #[test]
    fn time_goes_on_with_the_count_or_as_it_is_set() {
        let time = |event: &GeneratedEvent| -> i64 {
            let value: serde_json::Value = serde_json::from_slice(event.payload().unwrap()).unwrap();
            value["timestamp"].as_i64().unwrap()
        };
        let near = |event: &GeneratedEvent, expected: i64| {
            assert!((0..3).contains(&(expected - time(event))), "{}", text(event));
        };
        let start = Options::default().start;

        for (index, event) in (0..).zip(Events::new(Options { per_second: 10, ..Options::default() }).take(1000)) {
            near(&event, start + index / 10);
        }

        let mut events = Events::new(Options { per_second: 0, ..Options::default() });
        near(&events.next().unwrap(), start);
        events.set_time(5000);
        near(&events.next().unwrap(), 5000);
    }

    #[test]
    fn an_event_is_about_as_long_as_a_real_one() {
        let events: Vec<GeneratedEvent> = Events::new(Options::default()).take(1000).collect();
        let bytes: usize = events.iter().map(|event| event.payload().unwrap().len()).sum();
        assert!((190_000..210_000).contains(&bytes), "{bytes} bytes in 1000 events");
        for event in events {
            let value: serde_json::Value = serde_json::from_slice(event.payload().unwrap()).unwrap();
            assert_eq!(value["user_id"].as_str().unwrap().as_bytes(), event.key);
            assert_eq!(value.as_object().unwrap().len(), 7);
        }
    }
}

//! The population of users: each user logs in again and again, mostly from one home state.
//!
//! No state is stored for a user: everything follows from the seed and the user's rank.

use super::random::{Random, mix};

/// US states by population, in hundred thousands.
const STATES: [(&str, u64); 51] = [
    ("CA", 390),
    ("TX", 300),
    ("FL", 223),
    ("NY", 196),
    ("PA", 130),
    ("IL", 125),
    ("OH", 118),
    ("GA", 110),
    ("NC", 107),
    ("MI", 100),
    ("NJ", 93),
    ("VA", 87),
    ("WA", 78),
    ("AZ", 74),
    ("TN", 71),
    ("MA", 70),
    ("IN", 68),
    ("MO", 62),
    ("MD", 62),
    ("WI", 59),
    ("CO", 59),
    ("MN", 57),
    ("SC", 53),
    ("AL", 51),
    ("LA", 46),
    ("KY", 45),
    ("OR", 42),
    ("OK", 40),
    ("CT", 36),
    ("UT", 34),
    ("IA", 32),
    ("NV", 32),
    ("AR", 30),
    ("KS", 29),
    ("MS", 29),
    ("NM", 21),
    ("NE", 20),
    ("ID", 19),
    ("WV", 18),
    ("HI", 14),
    ("NH", 14),
    ("ME", 14),
    ("RI", 11),
    ("MT", 11),
    ("DE", 10),
    ("SD", 9),
    ("ND", 8),
    ("DC", 7),
    ("AK", 7),
    ("VT", 6),
    ("WY", 6),
];

const VERSIONS: [(&str, u64); 7] =
    [("2.3.0", 52), ("2.2.1", 19), ("2.2.0", 11), ("2.1.4", 9), ("2.0.0", 5), ("1.9.2", 3), ("1.4.0", 1)];

const DEVICES: [(&str, u64); 4] = [("iOS", 51), ("android", 41), ("web", 6), ("tv", 2)];

/// The content of a login event.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: u128,
    pub device: u128,
    pub device_type: &'static str,
    pub version: &'static str,
    pub locale: &'static str,
    pub ip: [u8; 4],
}

/// The next login of a population of `users`.
pub fn login(seed: u64, users: u64, random: &mut Random) -> Login {
    let rank = random.skewed_below(users);
    let mut user = Random::new(mix(seed ^ mix(rank)));
    let id = uuid(&mut user);
    let home = user.weighted(&STATES, "RI");
    let home_network = user.next();

    let devices = 1 + user.below(3);
    let used = random.skewed_below(devices);
    let mut device = Random::new(mix(user.next() ^ used));
    let device_id = uuid(&mut device);
    let device_type = device.weighted(&DEVICES, "iOS");
    let version = device.weighted(&VERSIONS, "2.3.0");

    let travels = random.below(50) == 0;
    let locale = if travels { random.weighted(&STATES, "RI") } else { home };
    let network = if travels { random.next() } else { home_network };
    let [a, b, c, d, ..] = network.to_le_bytes();
    Login { user: id, device: device_id, device_type, version, locale, ip: [1 + a % 223, b, c, d] }
}

fn uuid(random: &mut Random) -> u128 {
    let random = u128::from(random.next()) << 64 | u128::from(random.next());
    random & !(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
}

/// Appends a UUID in its text form to `out`.
pub fn write_uuid(uuid: u128, out: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let bytes = uuid.to_be_bytes();
    let places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    for (byte, place) in bytes.iter().zip(places) {
        text[place] = HEX[usize::from(byte >> 4)];
        text[place + 1] = HEX[usize::from(byte & 15)];
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_uuid_is_of_version_4() {
        let mut text = Vec::new();
        write_uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, &mut text);
        assert_eq!(text, b"01234567-89ab-cdef-0123-456789abcdef");
        for seed in 0..100 {
            text.clear();
            write_uuid(uuid(&mut Random::new(seed)), &mut text);
            assert_eq!(text.len(), 36);
            assert_eq!(text[14], b'4');
            assert!(b"89ab".contains(&text[19]));
        }
    }

    #[test]
    fn users_return_with_what_they_have() {
        let mut random = Random::new(1);
        let mut users: BTreeMap<u128, Vec<Login>> = BTreeMap::new();
        for _ in 0..20_000 {
            let login = login(7, 1000, &mut random);
            users.entry(login.user).or_default().push(login);
        }

        assert!((800..=1000).contains(&users.len()), "{} users", users.len());
        let busiest = users.values().max_by_key(|logins| logins.len()).unwrap();
        assert!(busiest.len() > 500, "{} logins", busiest.len());

        let mut devices: Vec<u128> = busiest.iter().map(|login| login.device).collect();
        devices.sort_unstable();
        devices.dedup();
        assert!(devices.len() <= 3, "{} devices", devices.len());

        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for login in busiest {
            *places.entry(login.locale).or_default() += 1;
        }
        let at_home = places.values().max().unwrap();
        assert!(at_home * 10 > busiest.len() * 9 && places.len() > 1, "{places:?}");
    }
}

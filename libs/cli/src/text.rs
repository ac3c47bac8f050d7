//! Values of options in the forms that people write.

use std::str::FromStr;

use jiff::Timestamp;

/// A moment, in Unix milliseconds: `2024-07-10T02:00:25Z`, or Unix seconds or milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

/// The text is not a moment.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no time: write it as RFC 3339, such as 2024-07-10T02:00:25Z, or as Unix seconds, such as 1720576825")]
pub struct MomentError(String);

/// Unix seconds have at most this many digits, milliseconds more: the year 5138 and the year 1973.
const DIGITS_OF_SECONDS: usize = 11;

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || MomentError(text.to_owned());
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number: i64 = text.parse().map_err(|_| error())?;
            return Ok(Self(if text.len() <= DIGITS_OF_SECONDS { number * 1000 } else { number }));
        }
        let time: Timestamp = text.parse().map_err(|_| error())?;
        Ok(Self(time.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_what_people_write() {
        for text in ["2024-07-10T02:00:25Z", "2024-07-10T04:00:25+02:00", "1720576825", "1720576825000"] {
            assert_eq!(text.parse(), Ok(Moment(1_720_576_825_000)), "{text}");
        }
        assert_eq!("2024-07-10T02:00:25.5Z".parse(), Ok(Moment(1_720_576_825_500)));
        for text in ["", "now", "yesterday", "-1", "2024-07-10", "2024-07-10T02:00:25", "99999999999999999999"] {
            let error = text.parse::<Moment>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no time: write it as RFC 3339")), "{error}");
        }
    }
}

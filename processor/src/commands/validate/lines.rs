//! Reads the lines of a file or of stdin as bytes, in whatever encoding.

use std::io::{self, BufRead, Read};

/// The longest line that is accepted: no broker takes a record of this size, and memory stays bounded.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// Result of reading a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A line, which is in the buffer without its line ending.
    Line,
    /// A line that is longer than allowed.
    TooLong,
    /// The end of the input.
    End,
}

/// Reads a line of at most `max` bytes. A line ends with `\n` or `\r\n`; the last one may have no ending.
///
/// # Errors
/// When the input cannot be read.
pub fn next(input: &mut impl BufRead, max: usize, line: &mut Vec<u8>) -> io::Result<Next> {
    const END: usize = 2;
    line.clear();
    if input.by_ref().take((max + END) as u64).read_until(b'\n', line)? == 0 {
        return Ok(Next::End);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    }
    Ok(if line.len() > max { Next::TooLong } else { Next::Line })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut text: &[u8]) -> Vec<Vec<u8>> {
        let (mut found, mut line) = (Vec::new(), Vec::new());
        while next(&mut text, 100, &mut line).unwrap() == Next::Line {
            found.push(line.clone());
        }
        found
    }

    #[test]
    fn a_line_is_what_is_between_ends() {
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"a\nb"), [b"a", b"b"]);
        assert_eq!(lines(b"a\r\n\n\xff\r \n"), [b"a".to_vec(), vec![], b"\xff\r ".to_vec()]);
        assert_eq!(lines(b"a\r"), [b"a\r"], "not an end, as nothing follows");
    }

    #[test]
    fn a_line_is_bounded() {
        let mut line = Vec::new();
        let mut read = |text: &[u8]| next(&mut &*text, 3, &mut line).unwrap();
        assert_eq!(read(b"abc\nd"), Next::Line);
        assert_eq!(read(b"abc\r\nd"), Next::Line);
        assert_eq!(read(b"abc"), Next::Line);
        assert_eq!(read(b"abcd\n"), Next::TooLong);
        assert_eq!(read(b"abcde"), Next::TooLong);
        assert_eq!(read(b""), Next::End);
    }
}

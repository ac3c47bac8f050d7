//! Keys that are pressed on the terminal. Line mode and echo are off meanwhile. The other settings stay as they are, so
//! that line endings work and Ctrl-C remains a signal.

use std::{
    io::{self, IsTerminal, Read, Stdin, stderr, stdin},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rustix::{
    process::getpgrp,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr},
};

use super::fleet::Wish;

/// Help text of the keys.
pub const HELP: &str = "\
  +  one replica more            -  one replica less
  k  kill a replica              p  pause a replica, or let it go on
  b  send a broken event         o  open the page in a browser
  q  end, with the summary       ?  this";

/// Meaning of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A request for the fleet.
    Fleet(Wish),
    Broken,
    Open,
    /// Show the help text.
    Help,
    /// End the run.
    End,
}

impl Key {
    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'+' | b'=' => Self::Fleet(Wish::Add),
            b'-' => Self::Fleet(Wish::Remove),
            b'k' => Self::Fleet(Wish::Kill),
            b'p' => Self::Fleet(Wish::Pause),
            b'b' => Self::Broken,
            b'o' => Self::Open,
            b'?' | b'h' => Self::Help,
            // Ctrl-D as well, which ends the input in line mode.
            b'q' | 4 => Self::End,
            _ => return None,
        })
    }
}

/// The keys in one read. An arrow key or another key that is sent as several bytes has no meaning here.
fn keys(bytes: &[u8]) -> impl Iterator<Item = Key> {
    const ESCAPE: u8 = 27;
    let bytes = if bytes.first() == Some(&ESCAPE) { &[] } else { bytes };
    bytes.iter().filter_map(|byte| Key::of(*byte))
}

/// The terminal's settings from before it was taken; `None` while it is not taken.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal that reports single keys. Dropping it restores the terminal.
#[derive(Debug)]
pub struct Keys {
    pressed: Receiver<Key>,
}

impl Keys {
    /// Takes the terminal. Returns `None` when there is none, or when this process is not in its foreground.
    ///
    /// # Errors
    /// When the operating system refuses a thread, or the terminal refuses its new settings.
    pub fn take() -> io::Result<Option<Self>> {
        let terminal = stdin();
        let is_ours = tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp());
        if !terminal.is_terminal() || !stderr().is_terminal() || !is_ours {
            return Ok(None);
        }
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let (sender, pressed) = channel();
        let keys = Self { pressed };
        tcsetattr(&terminal, OptionalActions::Now, &modes)?;
        thread::Builder::new().name("keys".to_owned()).spawn(move || read(terminal, &sender))?;
        Ok(Some(keys))
    }

    /// The keys that were pressed since the last call.
    pub fn pressed(&self) -> impl Iterator<Item = Key> {
        self.pressed.try_iter()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal, if it was taken.
pub fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

fn read(mut terminal: Stdin, sender: &Sender<Key>) {
    let mut bytes = [0; 64];
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        if keys(bytes.get(..count).unwrap_or_default()).any(|key| sender.send(key).is_err()) {
            return;
        }
    }
    // The input has ended, and no key can be pressed any more.
    let _ = sender.send(Key::End);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pressed_has_a_meaning_or_none() {
        let all: Vec<Key> = keys(b"+=-kpbo?hq\x04").collect();
        let wishes = [Wish::Add, Wish::Add, Wish::Remove, Wish::Kill, Wish::Pause].map(Key::Fleet);
        let others = [Key::Broken, Key::Open, Key::Help, Key::Help, Key::End, Key::End];
        assert_eq!(all, [&wishes[..], &others].concat());
        assert_eq!(keys(b"xyz\n K").count(), 0);
        assert_eq!(keys(b"\x1b[B").count(), 0, "an arrow");
        assert_eq!(keys(b"\x1bOk").count(), 0, "a key of the number pad");
    }

    #[test]
    fn the_help_names_each_key() {
        let keys = HELP.split_whitespace().filter(|word| word.len() == 1 && *word != "a");
        assert_eq!(keys.filter(|key| Key::of(key.as_bytes()[0]).is_some()).count(), 8);
    }
}

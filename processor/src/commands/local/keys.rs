//! What a person presses on a terminal. Its line mode and echo are off meanwhile; everything else stays as it is, so that lines
//! end as they should and Ctrl-C is a signal.

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

/// What the keys do, for those who ask.
pub const HELP: &str = "\
  +  one replica more            -  one replica less
  k  kill a replica              p  pause a replica, or let it go on
  b  send a broken event         o  open the page in a browser
  q  end, with the summary       ?  this";

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Something about replicas.
    Fleet(Wish),
    /// Send a broken event.
    Broken,
    /// Open the page.
    Open,
    /// Say what the keys do.
    Help,
    /// End.
    End,
}

impl Key {
    /// The meaning of a byte.
    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'+' | b'=' => Self::Fleet(Wish::Add),
            b'-' => Self::Fleet(Wish::Remove),
            b'k' => Self::Fleet(Wish::Kill),
            b'p' => Self::Fleet(Wish::Pause),
            b'b' => Self::Broken,
            b'o' => Self::Open,
            b'?' | b'h' => Self::Help,
            // Ctrl-D too, which ends input in line mode.
            b'q' | 4 => Self::End,
            _ => return None,
        })
    }
}

/// The keys in what was read at once. An arrow or another key that is sent as several bytes means nothing here.
fn keys(bytes: &[u8]) -> impl Iterator<Item = Key> {
    const ESCAPE: u8 = 27;
    let bytes = if bytes.first() == Some(&ESCAPE) { &[] } else { bytes };
    bytes.iter().filter_map(|byte| Key::of(*byte))
}

/// How the terminal was before; none while it is as it was.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal that tells keys. Dropping it makes it again what it was.
#[derive(Debug)]
pub struct Keys {
    pressed: Receiver<Key>,
}

impl Keys {
    /// Takes the terminal; none where there is none, or it is another process' turn to read from it.
    ///
    /// # Errors
    /// When the system refuses a thread, or the terminal does what it is told.
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

    /// What was pressed since.
    pub fn pressed(&self) -> impl Iterator<Item = Key> {
        self.pressed.try_iter()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal what it was, if it was taken.
pub fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Where the terminal is gone there is nothing to restore.
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
    // Nobody can press anything any more.
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

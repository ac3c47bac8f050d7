//! The commands of one test.

use std::thread;

use super::Command;
use super::typed::commands_of;

/// The documented commands that one test runs: it must take every one of them.
pub struct Script {
    test: &'static str,
    commands: Vec<Command>,
}

impl Script {
    /// The commands that the table assigns to a test, by the name in the table: `path/to/file.rs: function`.
    ///
    /// # Panics
    /// When a document cannot be read, or the table assigns no command to the test.
    #[expect(clippy::panic, reason = "an assertion of tests")]
    #[must_use]
    pub fn of(test: &'static str) -> Self {
        let commands = commands_of(test).unwrap_or_else(|error| panic!("{error}"));
        assert!(!commands.is_empty(), "the table of commands has no row for {test}");
        Self { test, commands }
    }

    /// Takes the next command of a page with this beginning.
    ///
    /// # Panics
    /// When there is none: the document has changed, and with it the commands.
    #[expect(clippy::panic, reason = "an assertion of tests")]
    pub fn take(&mut self, page: &str, begins: &str) -> Command {
        let found = self.commands.iter().position(|command| command.page == page && command.text.starts_with(begins));
        let Some(index) = found else {
            let left: Vec<_> = self.commands.iter().map(|command| (&command.page, &command.text)).collect();
            panic!("{page} does not tell to type {begins:?} (any more); what is left to {}: {left:#?}", self.test)
        };
        self.commands.remove(index)
    }

    /// Takes all remaining commands of a page, in order.
    ///
    /// # Panics
    /// When there are none.
    pub fn take_all(&mut self, page: &str) -> Vec<Command> {
        let (taken, left): (Vec<_>, _) = self.commands.drain(..).partition(|command| command.page == page);
        self.commands = left;
        assert!(!taken.is_empty(), "nothing of {page} is left to {}", self.test);
        taken
    }
}

/// Fails when the test did not take every command.
impl Drop for Script {
    fn drop(&mut self) {
        let untyped: Vec<_> = self.commands.iter().map(|command| (&command.page, &command.text)).collect();
        assert!(untyped.is_empty() || thread::panicking(), "{} does not type {untyped:#?}", self.test);
    }
}

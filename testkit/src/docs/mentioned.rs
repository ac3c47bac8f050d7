//! Commands that pages only mention, between backticks: what they name must be there.

use std::path::Path;
use std::process::Command;

use super::{inline, pages, read};
use crate::Error;

/// What pages mention of one of our programs and it does not have, a sentence each: a command, or an option of it.
///
/// # Errors
/// [`Error::Io`] when a page cannot be read or the program cannot be run.
pub fn unknown_mentions(name: &str, binary: &Path) -> Result<Vec<String>, Error> {
    let mut unknown = Vec::new();
    for page in pages()? {
        for mention in inline(&read(&page)?) {
            let words: Vec<_> = mention.split(' ').collect();
            let own = words.iter().position(|word| *word == "--").map_or(words.as_slice(), |index| {
                // `kubectl exec … -- processor audit`
                words.get(index + 1..).unwrap_or_default()
            });
            let [program, command, options @ ..] = own else { continue };
            let is_command = command.starts_with(|letter: char| letter.is_ascii_lowercase());
            if *program != name || !is_command {
                continue;
            }
            for (number, command) in command.split('|').enumerate() {
                // `dead-letters list`: a command of a command.
                let inner = options.first().filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
                let path: Vec<_> = [Some(&command), inner].into_iter().flatten().copied().collect();
                match help(binary, &path)? {
                    Some(help) if number == 0 => {
                        let options = options.iter().filter(|word| word.starts_with("--"));
                        let missing = options.filter(|option| !help.contains(**option));
                        unknown.extend(missing.map(|option| format!("{page}: `{mention}`: there is no {option}")));
                    }
                    Some(_) => {}
                    None => unknown.push(format!("{page}: `{mention}`: there is no command {command}")),
                }
            }
        }
    }
    Ok(unknown)
}

/// What a command says of itself, if there is one of that name.
fn help(binary: &Path, command: &[&str]) -> Result<Option<String>, Error> {
    let run = Command::new(binary).args(command).arg("--help").output();
    let run = run.map_err(Error::io(format!("cannot run {}", binary.display())))?;
    Ok(run.status.success().then(|| String::from_utf8_lossy(&run.stdout).into_owned()))
}

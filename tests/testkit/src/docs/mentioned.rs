//! Commands that pages only mention, between backticks: the programs they name must exist, and a row says how they are
//! known to work.

use std::path::Path;
use std::process::Command;

use super::markdown::PROGRAMS;
use super::typed::{is_typed, typed_commands};
use super::{inline, pages, read, root};
use crate::Error;

/// The project's own programs: mentions are checked against their help texts ([`unknown_mentions`]).
const OWN: [&str; 2] = ["operator ", "processor "];

/// Commands that pages only mention, by their beginnings, and how each is known to work.
const MENTIONED: &[(&str, &str)] = &[
    ("make bench", "it takes a release build, minutes, and a machine at rest; docs/limits.md has what it measured"),
    ("target/release/bench", "the same"),
    ("cargo build --timings", "it measures a first build, by hand and from nothing"),
    ("make check", "CI runs its tiers: lint, unit"),
    ("make test", "CI runs its tiers, all of them, and so every other row"),
    ("make prove", "it takes hours; CI runs the short forms"),
    ("scripts/prove", "the same"),
    ("scripts/flaky", "the same"),
    ("make mutants", "it takes hours; each of its plants names the test that must turn red"),
    ("scripts/release check", "the release workflow runs it; without a dated section of the changelog it must fail"),
    ("make crd", "tests compare what it writes with what is committed"),
    ("make docs", "the same"),
    ("make commands", "the same"),
    ("make pictures", "xtask takes them of the demo, and a person looks at them"),
    ("make images", "operator/tests/images.rs runs what is in them, operator/tests/install takes them to a cluster"),
    (
        "scripts/images && cargo run",
        "tests/testkit/tests/node.rs makes a node alike, operator/tests/node one with the images",
    ),
    ("docker load", "docker is played in the tests; operator/tests/install reads the archives as it does"),
    ("kind load image-archive", "make kind-load runs it: operator/tests/install/kind.rs"),
    ("ctr -n k8s.io images import", "the node of operator/tests/node gets its images by it"),
    ("tilt up", "operator/tests/install/tiltfile.rs runs the Tiltfile; no test has a Tilt and a docker"),
    ("kubectl proxy", "operator/tests/cluster/browser.rs looks at the page below a path"),
    ("helm install --take-ownership", "operator/tests/cluster/chart.rs: an installation takes over what another left"),
];

/// The mentions of commands and options that one of the project's programs lacks, one sentence each.
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
                // `dead-letters list`: a subcommand.
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

/// The help text of a command, if it exists.
fn help(binary: &Path, command: &[&str]) -> Result<Option<String>, Error> {
    let run = Command::new(binary).args(command).arg("--help").output();
    let run = run.map_err(Error::io(format!("cannot run {}", binary.display())))?;
    Ok(run.status.success().then(|| String::from_utf8_lossy(&run.stdout).into_owned()))
}

/// The mentions of other programs without a test or a row of [`MENTIONED`], one sentence each; and the rows that match
/// no mention any more. A mention may leave out words of a tested command: `helm upgrade`.
///
/// # Errors
/// [`Error::Io`] when a page cannot be read.
pub fn untyped_mentions() -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for page in pages()? {
        all.extend(inline(&read(&page)?).into_iter().filter(|text| is_command(text)).map(|text| (page.clone(), text)));
    }
    let typed: Vec<_> = typed_commands()?.into_iter().map(|command| command.text).collect();
    Ok(problems_of(&all, &typed, MENTIONED))
}

fn problems_of(mentions: &[(String, String)], typed: &[String], table: &[(&str, &str)]) -> Vec<String> {
    let left = mentions.iter().filter(|(_, text)| !is_test(text) && !is_typed(text, typed));
    let row = |text: &str| table.iter().position(|(begin, _)| text.starts_with(begin));
    let (known, unknown): (Vec<_>, Vec<_>) = left.partition(|(_, text)| row(text).is_some());
    let unknown = unknown.into_iter().map(|(page, text)| {
        format!(
            "{page}: no test types `{text}`: make it a block of sh, or give it a row in tests/testkit/src/docs/mentioned.rs"
        )
    });
    let unused = table.iter().enumerate().filter(|(index, _)| !known.iter().any(|(_, text)| row(text) == Some(*index)));
    let unused = unused
        .map(|(_, (begin, _))| format!("tests/testkit/src/docs/mentioned.rs: nothing mentions `{begin}` untyped"));
    unknown.chain(unused).collect()
}

/// Whether this is a command of another program, with arguments. A name alone, such as that of a script, is not.
fn is_command(text: &str) -> bool {
    let begins = |programs: &[&str]| programs.iter().any(|program| text.starts_with(program));
    text.contains(' ') && (begins(&PROGRAMS) || begins(&["ctr "])) && !begins(&OWN)
}

/// Whether it runs existing tests: `cargo test -p CRATE --test NAME`.
fn is_test(text: &str) -> bool {
    let words: Vec<_> = text.split(' ').collect();
    let ["cargo", "test", "-p", package, "--test", name, ..] = words.as_slice() else { return false };
    ["", "libs", "tests"].into_iter().any(|folder| {
        let tests = root().join(folder).join(package).join("tests");
        tests.join(format!("{name}.rs")).is_file() || tests.join(name).join("main.rs").is_file()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(mention: &str, table: &[(&str, &str)]) -> Vec<String> {
        let typed =
            ["helm upgrade a b \\\n  --set c=d", "x=$(kubectl get lp -n kafka -o wide)", "make kind # and images"];
        let typed = typed.map(str::to_owned);
        problems_of(&[("a.md".to_owned(), mention.to_owned())], &typed, table)
    }

    #[test]
    fn a_mention_is_of_what_is_typed_or_has_a_row() {
        for typed in ["helm upgrade", "helm upgrade b --set c=d", "cargo test -p testkit --test docs"] {
            assert_eq!(problems(typed, &[]), [""; 0], "{typed}");
        }
        for untyped in
            ["helm uninstall", "helm upgrade --set c=d b", "cargo test -p testkit --test none", "make images"]
        {
            let found = problems(untyped, &[]);
            assert!(found.len() == 1 && found[0].contains(&format!("no test types `{untyped}`")), "{found:?}");
        }
        assert_eq!(problems("tilt up --stream", &[("tilt up", "why")]), [""; 0]);
        let unused = problems("helm upgrade", &[("helm upgrade", "why")]);
        assert_eq!(unused, ["tests/testkit/src/docs/mentioned.rs: nothing mentions `helm upgrade` untyped"]);
    }

    #[test]
    fn a_name_is_no_command() {
        assert!(["scripts/kind kafka", "kubectl describe pod", "ctr images ls"].into_iter().all(is_command));
        assert!(!["scripts/kind", "operator check", "kubectl", "makes it"].into_iter().any(is_command));
    }
}

//! Pages, their command blocks and their links.

use std::path::{Path, PathBuf};
use std::process::{Command as Shell, Stdio};
use std::{fs, io};

use crate::Error;

/// Words that begin a command: none may be in a block that is not marked as `sh`.
pub(super) const PROGRAMS: [&str; 14] = [
    "cargo ",
    "curl ",
    "docker ",
    "git ",
    "helm ",
    "kind ",
    "kubectl ",
    "make ",
    "operator ",
    "processor ",
    "scripts/",
    "target/",
    "tilt ",
    "./",
];

/// A documented command: one line, or several lines that form one shell command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The page, from the root of the repository.
    pub page: String,
    /// The line of the page that it begins on, from 1.
    pub line: usize,
    /// The text as written, including comments.
    pub text: String,
}

/// A link of a page to a file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The file, from the root of the repository.
    pub file: PathBuf,
    /// The part after `#`.
    pub anchor: Option<String>,
    /// The text as written.
    pub text: String,
}

/// The root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Every page written for people, by its path from the root of the repository.
///
/// # Errors
/// [`Error::Io`] when a folder cannot be read.
pub fn pages() -> Result<Vec<String>, Error> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "charts/login-pipeline-operator"] {
        let doing = || Error::io(format!("cannot read the folder {folder:?}"));
        for entry in fs::read_dir(root().join(folder)).map_err(doing())? {
            let name = entry.map_err(doing())?.file_name().to_string_lossy().into_owned();
            if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                pages.push(if folder.is_empty() { name } else { format!("{folder}/{name}") });
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Reads a file of the repository.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn read(page: &str) -> Result<String, Error> {
    fs::read_to_string(root().join(page)).map_err(Error::io(format!("cannot read {page}")))
}

/// The fenced blocks: the word after the fence, the number of the first line, the lines.
fn blocks(text: &str) -> Vec<(&str, usize, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize, Vec<&str>)> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(word), None) => open = Some((word.trim(), index + 2, Vec::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, _, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    blocks
}

/// The commands in the `sh` blocks of a page. bash decides where a command ends: after the first line that makes it
/// complete.
///
/// # Errors
/// [`Error::Io`] when bash cannot be run, or when a block ends within a command.
pub fn commands(page: &str, text: &str) -> Result<Vec<Command>, Error> {
    let mut commands = Vec::new();
    for (_, first, lines) in blocks(text).into_iter().filter(|(word, _, _)| *word == "sh") {
        let mut begun: Option<Command> = None;
        for (index, line) in lines.into_iter().enumerate() {
            if begun.is_none() && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
                continue;
            }
            let command = match begun.take() {
                None => Command { page: page.to_owned(), line: first + index, text: line.to_owned() },
                Some(command) => Command { text: format!("{}\n{line}", command.text), ..command },
            };
            if is_whole(&command.text)? {
                commands.push(command);
            } else {
                begun = Some(command);
            }
        }
        if let Some(Command { page, line, .. }) = begun {
            return Err(Error::io(format!("{page}:{line}"))(io::Error::other("the block ends within this command")));
        }
    }
    Ok(commands)
}

/// Whether bash would run this now instead of reading more lines. An unfinished here-document gives only a warning.
fn is_whole(text: &str) -> Result<bool, Error> {
    let mut bash = Shell::new("bash");
    bash.args(["-n", "-c", text]).env("LC_ALL", "C").stdin(Stdio::null());
    let output = bash.output().map_err(Error::io("cannot run bash"))?;
    Ok(output.status.success() && output.stderr.is_empty() && !text.ends_with('\\'))
}

/// Commands in blocks that are not marked as `sh`, where no test would find them. A synopsis, `run [OPTIONS] <FILE>`,
/// is not a command.
#[must_use]
pub fn hidden_commands(text: &str) -> Vec<&str> {
    let elsewhere = blocks(text).into_iter().filter(|(word, _, _)| *word != "sh");
    let lines = elsewhere.flat_map(|(_, _, lines)| lines);
    let begins = |line: &str| PROGRAMS.iter().any(|program| line.starts_with(program));
    let of_commands = lines.filter(|line| begins(line.strip_prefix("$ ").unwrap_or(line)));
    of_commands.filter(|line| !line.contains(['[', '<'])).collect()
}

/// The lines outside of blocks.
fn prose(text: &str) -> String {
    let mut inside = false;
    let outside = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// The texts between backticks outside of blocks, each joined to one line.
#[must_use]
pub fn inline(text: &str) -> Vec<String> {
    let prose = prose(text);
    let pieces = prose.split('`').skip(1).step_by(2);
    pieces.map(|piece| piece.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The links of a page to files of the repository, and to its own headings.
#[must_use]
pub fn links(page: &str, text: &str) -> Vec<Link> {
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    // Text between backticks is not a link.
    let prose: String = prose(text).split('`').step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let images = prose.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let sets = prose.split("srcset=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let ours = targets.chain(images).chain(sets).filter(|target| !target.contains("://"));
    let link = |target: &str| {
        let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
        let file = if file.is_empty() { PathBuf::from(page) } else { folder.join(file) };
        Link { file, anchor: anchor.map(str::to_owned), text: target.to_owned() }
    };
    ours.map(link).collect()
}

#[must_use]
pub fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for heading in prose(text).lines().filter(|line| line.starts_with('#')) {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        let anchor = kept.collect::<String>().replace(' ', "-");
        let before = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(page: &str) -> Vec<String> {
        commands("page", page).unwrap().into_iter().map(|command| command.text).collect()
    }

    #[test]
    fn a_command_ends_where_a_shell_would_run_it() {
        let page = "\
# A page
make not-this
```sh
# said alone
make a   # said beside it

helm install \\
  --set a=b
for name in a b; do
  docker build $name
done
acl() { kafka-acls \"$@\"; }
cat <<END > file
make not this
END
x=$(kubectl get \\
  lp)
echo 'one
two'
```
```yaml
a: 1
```
```sh
make b
```
";
        let expected = [
            "make a   # said beside it",
            "helm install \\\n  --set a=b",
            "for name in a b; do\n  docker build $name\ndone",
            "acl() { kafka-acls \"$@\"; }",
            "cat <<END > file\nmake not this\nEND",
            "x=$(kubectl get \\\n  lp)",
            "echo 'one\ntwo'",
            "make b",
        ];
        assert_eq!(texts(page), expected);
        assert_eq!(commands("page", page).unwrap()[1].line, 7);
        assert!(commands("page", "```sh\nfor name in a; do\n```\n").is_err());
    }

    #[test]
    fn commands_in_other_blocks_are_found() {
        let page = "```\nmake a\n$ kubectl get lp\nmaker\n processor in a picture\nmake [OPTIONS]\n```\n```bash\nhelm b\n```\n```sh\nmake c\n```\nmake d\n";
        assert_eq!(hidden_commands(page), ["make a", "$ kubectl get lp", "helm b"]);
    }

    #[test]
    fn links_and_anchors_are_as_a_reader_follows_them() {
        let page = "[`a`](b.md#c) `[x](y)` [d](#e) [f](https://g) ![h](i.png)\n<img src=\"j.svg\">\n```\n[k](l)\n```\n";
        let found: Vec<_> = links("docs/x.md", page).into_iter().map(|link| (link.file, link.anchor)).collect();
        let file = |name: &str, anchor: Option<&str>| (PathBuf::from(name), anchor.map(str::to_owned));
        let expected = [
            file("docs/b.md", Some("c")),
            file("docs/x.md", Some("e")),
            file("docs/i.png", None),
            file("docs/j.svg", None),
        ];
        assert_eq!(found, expected);

        let headings = "# Why `this` is right\n## Two, three\n## Two three\n```\n# not this\n```\n";
        assert_eq!(anchors(headings), ["why-this-is-right", "two-three", "two-three-1"]);
        assert_eq!(inline("a `b  c` d `e\nf`\n```\n`g`\n```\n"), ["b c", "e f"]);
    }
}

//! What the README and docs/install.md tell to type and to open is there.

use std::{collections::BTreeSet, path::Path};

use testkit::tools::Tools;

use crate::{path, read, said};

const PAGES: [&str; 2] = ["README.md", "docs/install.md"];

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for page in PAGES {
        let text = read(page);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                assert!(path(page).parent().unwrap().join(file).exists(), "{page}: there is no {link}");
                links += 1;
            }
        }
    }
    assert!(links > 10, "{links} links");
}

/// Words that begin commands and end at the end of a line or of code.
fn commands(begin: &str) -> BTreeSet<String> {
    let pages = PAGES.map(read).concat().replace("\\\n", " ");
    let lines = pages.lines().flat_map(|line| line.split('`'));
    let commands = lines.filter_map(|line| line.trim().strip_prefix(begin)?.split('#').next());
    commands.map(|rest| rest.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn make_has_the_targets() {
    let makefile = read("Makefile");
    let targets: BTreeSet<_> = makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let wanted = commands("make ");
    for target in wanted.iter().flat_map(|targets| targets.split(' ')) {
        assert!(targets.contains(target) || target.starts_with("test-"), "there is no {target} in the Makefile");
    }
    assert!(wanted.len() > 4, "{wanted:?}");
}

#[test]
fn helm_takes_the_commands() {
    let mut taken = 0;
    for command in commands("helm install ") {
        let words: Vec<_> = command.split(' ').filter(|word| *word != "--create-namespace").collect();
        let mut arguments = vec!["template".to_owned()];
        // From the root of the repository.
        let place = |word: &&str| {
            if word.starts_with("charts/") { path(word).display().to_string() } else { (*word).to_owned() }
        };
        arguments.extend(words.iter().map(place));
        said(Tools::find().unwrap().helm(None, &arguments).unwrap());
        taken += 1;
    }
    assert_eq!(taken, 2);
}

#[test]
fn what_is_applied_is_there() {
    let applied = commands("kubectl apply ");
    for command in &applied {
        let file = command.split(' ').next_back().unwrap();
        assert!(path(file).exists() && Path::new(file).starts_with("examples"), "{command}");
    }
    assert!(!applied.is_empty());
}

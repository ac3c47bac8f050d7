//! The documents: every command is typed by a test, every link leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use testkit::docs::{anchors, hidden_commands, inline, links, pages, problems, read, root, untyped_mentions};

#[test]
fn every_command_is_typed_by_a_test_that_takes_it_from_the_page() {
    let problems = problems().unwrap();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn no_command_stands_where_no_test_looks() {
    for page in pages().unwrap() {
        let text = read(&page).unwrap();
        let hidden = hidden_commands(&text);
        assert!(hidden.is_empty(), "{page}: write ```sh before {hidden:?}");
    }
}

#[test]
fn every_command_that_a_sentence_mentions_is_typed_or_excused() {
    let problems = untyped_mentions().unwrap();
    assert!(problems.is_empty(), "{problems:#?}");
}

/// `docs/../README.md` is `README.md`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
        plain
    })
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_of_it() {
    let mut followed = 0;
    let mut broken = Vec::new();
    for page in pages().unwrap() {
        for link in links(&page, &read(&page).unwrap()) {
            let file = plain(&link.file);
            let leads = root().join(&file).exists()
                && link.anchor.is_none_or(|anchor| anchors(&read(&file.to_string_lossy()).unwrap()).contains(&anchor));
            if !leads {
                broken.push(format!("{page}: {}", link.text));
            }
            followed += 1;
        }
    }

    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed > 40, "{followed} links");
}

#[test]
fn every_page_is_in_the_list_of_the_readme() {
    let readme = read("README.md").unwrap();
    let (_, list) = readme.split_once("\n## Documents\n").unwrap();
    let list = list.split("\n## ").next().unwrap();
    let listed: BTreeSet<_> = links("README.md", list).into_iter().map(|link| plain(&link.file)).collect();
    for page in pages().unwrap().into_iter().filter(|page| page != "README.md") {
        assert!(listed.contains(Path::new(&page)), "README.md does not lead to {page}");
    }
}

/// Folders of the repository with which a path on a page begins.
const FOLDERS: [&str; 11] = [
    "bench/",
    "charts/",
    "crds/",
    "docs/",
    "examples/",
    "libs/",
    "operator/",
    "processor/",
    "scripts/",
    "tests/",
    "xtask/",
];

/// What a page names before it is there.
const FUTURE: [&str; 1] = ["libs/sinks/"];

/// Files move, and sentences stay: a path between backticks on a page for contributors leads somewhere.
#[test]
fn every_path_on_a_page_for_contributors_is_there() {
    let mut followed = 0;
    let pages = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/librdkafka.md", "docs/releasing.md", "docs/testing.md"];
    for page in pages {
        for mention in inline(&read(page).unwrap()) {
            let is_path =
                FOLDERS.iter().any(|folder| mention.starts_with(folder)) && !mention.contains(['<', '{', ' ']);
            if is_path && !FUTURE.contains(&mention.as_str()) {
                assert!(root().join(&mention).exists(), "{page}: there is no {mention}");
                followed += 1;
            }
        }
    }

    assert!(followed > 40, "{followed} paths");
}

/// Whoever looks at the project for the first time reads one page.
#[test]
fn the_readme_has_at_most_90_lines() {
    let lines = read("README.md").unwrap().lines().count();
    assert!(lines <= 90, "README.md has {lines} lines: move what is for one reader alone to docs/");
}

/// The golden files hold the bytes, and tests of the formats hold these.
#[test]
fn every_record_on_the_formats_page_is_in_a_golden_file() {
    let golden = root().join("crds/tests/golden");
    let files = fs::read_dir(golden).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let golden = files.map(|file| String::from_utf8_lossy(&file).into_owned()).collect::<Vec<_>>().join("\n");
    let golden: BTreeSet<_> = golden.lines().collect();
    let page = read("docs/formats.md").unwrap();
    let records: Vec<_> = page.lines().filter(|line| line.starts_with("{\"v\":")).collect();
    assert!(records.len() > 6, "{records:?}");
    for record in records {
        assert!(golden.contains(record), "docs/formats.md: no golden file has {record}");
    }
}

#[test]
fn every_target_of_make_that_is_mentioned_is_there() {
    let makefile = read("Makefile").unwrap();
    let targets: BTreeSet<_> =
        makefile.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    let mut mentioned = 0;
    for page in pages().unwrap() {
        for mention in inline(&read(&page).unwrap()) {
            let Some(names) = mention.strip_prefix("make ") else { continue };
            for name in names.split(' ') {
                assert!(targets.contains(name) || name.starts_with("test-"), "{page}: there is no `make {name}`");
                mentioned += 1;
            }
        }
    }

    assert!(mentioned > 10, "{mentioned} targets");
}

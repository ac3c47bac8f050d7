//! What claims to be pure is: it can reach no client, no file, no clock, no chance. And a step knows only steps before it.
//!
//! A file claims it with the word `Pure` in its first lines; a folder with that word in its `mod.rs`.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Paths that lead out of a function's arguments.
const IMPURE: [&str; 22] = [
    "kube::Client",
    "kube::Api",
    "kube::client",
    "kube::runtime::watcher::watcher",
    "kube::runtime::watcher::metadata_watcher",
    "kube::runtime::watcher::watch_object",
    "tokio",
    "futures",
    "rdkafka",
    "rdkafka_sys",
    "rand",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant::now",
    "jiff::Timestamp::now",
];

/// What is pure by [ARCHITECTURE.md] without saying so in each file.
const CORES: [&str; 9] = [
    "crds/src",
    "processor/src/aggregate/fold",
    "processor/src/ingest/machine.rs",
    "processor/src/ingest/machine",
    "processor/src/ingest/judge.rs",
    "processor/src/ingest/scan.rs",
    "processor/src/ingest/text.rs",
    "processor/src/ingest/enrich.rs",
    "processor/src/ingest/panes.rs",
];

/// Imports that go against the order of the steps, each with what it takes: words, no step of its own.
const WORDS: [(&str, &str); 1] = [
    // The labels and names by which a pipeline's objects are found.
    ("observe", "build"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file of a folder, or the one file.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.flat_map(|entry| if entry.is_dir() { files(&entry) } else { vec![entry] }).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}

/// A file without comments and without its tests, which stand at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(|text| line(text) + "\n").collect()
}

fn claims_purity(text: &str) -> bool {
    let about: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
    ["Pure.", "Pure:", "Pure;"].iter().any(|claim| about.contains(claim))
}

/// The pure files below these folders.
fn pure_files(folders: &[&str]) -> Vec<PathBuf> {
    let mut pure = Vec::new();
    for file in folders.iter().flat_map(|folder| files(&root().join(folder))) {
        let folder_claims = fs::read_to_string(file.with_file_name("mod.rs")).is_ok_and(|text| claims_purity(&text));
        if folder_claims || claims_purity(&fs::read_to_string(&file).unwrap()) {
            pure.push(file);
        }
    }
    pure.extend(CORES.iter().flat_map(|core| files(&root().join(core))));
    pure.retain(|file| !file.ends_with("tests.rs"));
    pure.sort();
    pure.dedup();
    pure
}

/// Every path that a file imports or spells out, where imported names are spelt out again: after `use std::time::Instant`,
/// `Instant::now` is `std::time::Instant::now`.
fn paths(code: &str) -> Vec<String> {
    let (mut imported, mut rest) = (Vec::new(), String::new());
    for statement in code.split_inclusive(';') {
        match statement.rsplit_once("use ") {
            Some((before, tree)) if before.is_empty() || before.ends_with(['\n', ' ']) => {
                rest.push_str(before);
                expand("", tree.trim_end_matches(';'), &mut imported);
            }
            _ => rest.push_str(statement),
        }
    }
    let word = |letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':');
    let mut paths = imported.clone();
    for spelt in rest.split(word).filter(|path| path.contains("::")) {
        let (first, others) = spelt.split_once("::").unwrap();
        let full = imported.iter().find(|path| path.rsplit("::").next() == Some(first));
        paths.push(full.map_or_else(|| spelt.to_owned(), |full| format!("{full}::{others}")));
    }
    paths
}

/// `a::{b, c::{d, self}}` as `a::b`, `a::c::d`, `a::c`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    if let Some((head, body)) = tree.split_once('{') {
        let prefix = join(head.trim().trim_end_matches("::"));
        let prefix = prefix.trim_end_matches("::");
        let (mut depth, mut start) = (0_usize, 0);
        let body = body.trim_end().strip_suffix('}').unwrap_or(body);
        for (index, letter) in body.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(prefix, &body[start..index], paths);
                    start = index + 1;
                }
                _ => {}
            }
        }
        expand(prefix, &body[start..], paths);
    } else if tree == "self" {
        paths.push(prefix.to_owned());
    } else if !tree.is_empty() {
        paths.push(join(tree.split(" as ").next().unwrap_or(tree).trim()));
    }
}

/// What a file reaches that a pure one cannot.
fn impurities(text: &str) -> Vec<String> {
    let code = code(text);
    let is_impure = |path: &String| {
        IMPURE
            .iter()
            .any(|banned| path.strip_prefix(banned).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
    };
    let mut found: Vec<_> = paths(&code).into_iter().filter(is_impure).collect();
    found.extend(code.contains("async ").then(|| "async".to_owned()));
    found.extend(code.contains(".elapsed()").then(|| "elapsed".to_owned()));
    found
}

#[test]
fn what_claims_to_be_pure_is() {
    let files = pure_files(&["operator/src", "processor/src", "crds/src"]);
    for must in
        ["operator/src/validate.rs", "operator/src/status.rs", "operator/src/build/deployment.rs", "crds/src/job.rs"]
    {
        assert!(files.contains(&root().join(must)), "{must} does not claim to be pure any more");
    }
    assert!(files.len() > 60, "{files:?}");
    for file in files {
        let found = impurities(&fs::read_to_string(&file).unwrap());
        assert!(found.is_empty(), "{} claims to be pure and reaches {found:?}", file.display());
    }
}

#[test]
fn an_impure_import_is_found_however_it_is_written() {
    for planted in [
        "use kube::Client;",
        "use kube::{\n    Api, ResourceExt,\n};",
        "use std::{collections::BTreeMap, fs};",
        "use std::{collections::BTreeMap, time::{Duration, SystemTime}};",
        "use std::time::Instant;\nfn now() -> Instant { Instant::now() }",
        "use jiff::Timestamp;\nfn now() -> Timestamp {\n    Timestamp::now()\n}",
        "fn read() -> String { std::env::var(\"HOME\").unwrap_or_default() }",
        "use rand::Rng as _;",
        "pub use tokio::sync::watch;",
        "async fn wait() {}",
    ] {
        assert!(!impurities(&format!("//! Pure.\n\n{planted}\n")).is_empty(), "{planted}");
    }
    for fine in [
        "use std::{collections::BTreeMap, time::{Duration, Instant}};",
        "use kube::{Resource, core::DynamicObject};",
        "use jiff::{SignedDuration, Timestamp};",
        "// std::fs is for others\nfn strand() {}",
        "#[cfg(test)]\nmod tests { use std::fs; }",
    ] {
        assert_eq!(impurities(&format!("//! Pure.\n\n{fine}\n")), [""; 0], "{fine}");
    }
}

/// The steps, as the picture atop `lib.rs` shows them, and which are pure.
fn steps() -> Vec<(String, bool)> {
    let text = fs::read_to_string(root().join("operator/src/lib.rs")).unwrap();
    let step = |line: &str| {
        let mut words = line.strip_prefix("//!   ")?.split_whitespace();
        let (name, kind) = (words.next()?, words.next()?);
        matches!(kind, "I/O" | "pure").then(|| (name.to_owned(), kind == "pure"))
    };
    text.lines().filter_map(step).collect()
}

/// The files of a module of the operator.
fn module(name: &str) -> Vec<PathBuf> {
    let source = root().join("operator/src");
    let mut found = files(&source.join(name));
    found.extend(Some(source.join(format!("{name}.rs"))).filter(|file| file.is_file()));
    found.retain(|file| !file.ends_with("tests.rs"));
    found
}

#[test]
fn a_step_imports_only_steps_before_it() {
    let steps = steps();
    let names: Vec<_> = steps.iter().map(|(name, _)| name.as_str()).collect();
    for (must, before) in [("observe", "validate"), ("validate", "build"), ("build", "apply"), ("apply", "status")] {
        let place = |name: &str| names.iter().position(|step| *step == name).unwrap();
        assert!(place(must) < place(before), "{names:?}");
    }
    let mut used = BTreeMap::new();
    for (index, (step, is_pure)) in steps.iter().enumerate() {
        for file in module(step) {
            let text = fs::read_to_string(&file).unwrap();
            let later: Vec<_> = names[index + 1..].iter().copied().chain(["reconcile", "controller", "run"]).collect();
            for path in paths(&code(&text)) {
                let imported =
                    path.strip_prefix("crate::").and_then(|path| path.split("::").next()).unwrap_or_default();
                if WORDS.contains(&(step, imported)) {
                    used.insert((step.clone(), imported.to_owned()), ());
                    continue;
                }
                assert!(!later.contains(&imported), "{step} ({}) imports {path}, which comes later", file.display());
            }
            let folder_claims =
                fs::read_to_string(file.with_file_name("mod.rs")).is_ok_and(|text| claims_purity(&text));
            assert!(
                !is_pure || folder_claims || claims_purity(&text),
                "{} is a pure step and does not say so",
                file.display()
            );
        }
    }
    assert_eq!(used.len(), WORDS.len(), "an exception that nothing needs");
}

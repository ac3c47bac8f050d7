//! Files that claim to be pure reach no client, no file, no clock and no randomness. A step imports only earlier steps,
//! and the operator's modules have no import cycles.
//!
//! A file claims it with the word `Pure` in its first lines; a folder does so in its `mod.rs`.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Paths that reach beyond a function's arguments.
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

/// Files that [ARCHITECTURE.md] declares pure without a claim in each file.
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

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file of a folder, or the given file.
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

/// A file without comments and without its tests, which are at its end.
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

/// Every path that a file imports or spells out, with imported names expanded: after `use std::time::Instant`,
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

/// The impure paths that a file reaches.
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
    for must in [
        "operator/src/validate.rs",
        "operator/src/pass/status/mod.rs",
        "operator/src/build/deployment.rs",
        "crds/src/job.rs",
    ] {
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

/// A module of the operator: `pass::status` has the path `["pass", "status"]`.
type Module = Vec<String>;

fn module(path: &str) -> Module {
    path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The files of the operator by their modules, without comments and tests.
struct Modules(BTreeMap<Module, String>);

impl Modules {
    fn read() -> Self {
        let source = root().join("operator/src");
        let mut modules = BTreeMap::new();
        for file in files(&source).into_iter().filter(|file| !file.ends_with("main.rs") && !file.ends_with("tests.rs"))
        {
            let path = file.strip_prefix(&source).unwrap().with_extension("");
            let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
            let names = names.filter(|name| name != "mod" && name != "lib");
            // A visibility is not an import.
            let text = code(&fs::read_to_string(&file).unwrap()).replace("pub(in crate::", "pub(in ");
            modules.insert(names.collect(), text);
        }
        Self(modules)
    }

    /// A path in a module, from the root of the crate; `None` when it leads out of the crate.
    fn absolute(&self, from: &Module, path: &str) -> Option<Module> {
        let mut path = module(path);
        let mut base = from.clone();
        match path.first()?.as_str() {
            "crate" => return Some(path.split_off(1)),
            "self" | "super" => {
                while path.first().is_some_and(|name| name == "self" || name == "super") {
                    if path.remove(0) == "super" {
                        base.pop();
                    }
                }
            }
            child => {
                let child = [base.clone(), vec![child.to_owned()]].concat();
                self.0.contains_key(&child).then_some(())?;
            }
        }
        Some([base, path].concat())
    }

    /// The module that a path from the root leads to: for a child's item that a parent re-exports, the child.
    fn target(&self, path: &Module) -> Module {
        let depth = (0..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth])).unwrap();
        let (found, rest) = (path[..depth].to_vec(), &path[depth..]);
        let Some(name) = rest.first() else { return found };
        let exported = exports(&self.0[&found]).into_iter().find(|path| path.rsplit("::").next() == Some(name));
        let exported = exported.and_then(|path| self.absolute(&found, &path)).filter(|path| path.len() > depth + 1);
        exported.map_or(found, |path| self.target(&path))
    }

    /// The modules that each module imports. A parent's mere re-export of its child is not an import.
    fn imports(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let imports = |from: &Module, text: &str| {
            let exported = exports(text);
            let paths = paths(text).into_iter().filter(|path| !exported.contains(path));
            let absolute = paths.filter_map(|path| self.absolute(from, &path));
            absolute.map(|path| self.target(&path)).filter(|target| target != from).collect()
        };
        self.0.iter().map(|(from, text)| (from.clone(), imports(from, text))).collect()
    }
}

/// The items of other files that a file re-exports.
fn exports(code: &str) -> Vec<String> {
    let mut exported = Vec::new();
    for statement in code.split(';') {
        let public = statement.split_once("pub use ").or_else(|| statement.split_once("pub(crate) use "));
        if let Some((_, tree)) = public {
            expand("", tree, &mut exported);
        }
    }
    exported
}

/// Everything that a module reaches through imports.
fn reached<'a>(from: &Module, imports: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<_> = imports[from].iter().collect();
    while let Some(next) = left.pop() {
        if reached.insert(next) {
            left.extend(&imports[next]);
        }
    }
    reached
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let imports = Modules::read().imports();
    assert!(imports.len() > 60, "{}", imports.len());
    let watched =
        [("pass::reconcile", "pass::observe"), ("serve::page", "serve::page::state"), ("pass::kafka", "topics")];
    for (from, to) in watched {
        assert!(imports[&module(from)].contains(&module(to)), "{from} imports {:?}", imports[&module(from)]);
    }
    let circles: Vec<_> = imports.keys().filter(|from| reached(from, &imports).contains(from)).collect();
    assert!(circles.is_empty(), "circles of imports go through {circles:?}");
}

/// The modules of a pass and their kinds, in the order of the diagram at the top of `pass/mod.rs`, which shows all of
/// them.
fn steps() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("operator/src/pass/mod.rs")).unwrap();
    let step = |line: &str| {
        let mut words = line.strip_prefix("//!   ")?.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    let steps: Vec<_> = text.lines().filter_map(step).collect();
    let modules: BTreeSet<_> = text
        .lines()
        .filter(|line| line.starts_with("pub"))
        .filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'))
        .collect();
    assert_eq!(steps.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>(), modules);
    steps
}

#[test]
fn a_step_imports_only_steps_before_it() {
    let (steps, modules) = (steps(), Modules::read());
    let imports = modules.imports();
    let place = |name: &str| steps.iter().position(|(step, _)| step == name).unwrap();
    for (must, before) in [("observe", "kafka"), ("kafka", "plan"), ("apply", "status"), ("status", "reconcile")] {
        assert!(place(must) < place(before), "{must} comes before {before}");
    }

    for (from, targets) in imports.iter().filter(|(from, _)| from.len() > 1 && from[0] == "pass") {
        for target in targets.iter().filter(|target| target.len() > 1 && target[0] == "pass") {
            assert!(place(&target[1]) <= place(&from[1]), "{from:?} imports {target:?}, which comes later");
        }
        let above = targets.iter().find(|target| ["watch", "serve", "run", "check"].contains(&target[0].as_str()));
        assert!(above.is_none(), "{from:?} imports {above:?}, which is above the passes");
    }

    for (step, kind) in &steps {
        let file = root().join(format!("operator/src/pass/{step}.rs"));
        let file = if file.is_file() { file } else { root().join(format!("operator/src/pass/{step}/mod.rs")) };
        let is_pure = claims_purity(&fs::read_to_string(&file).unwrap());
        assert!(["pure", "I/O", "both"].contains(&kind.as_str()), "{step} is {kind}");
        assert_eq!(kind == "pure", is_pure, "{} says another thing than the picture", file.display());
    }
}

//! From the names in a file to the files that define what they mean.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Module;

/// From each module to those that it imports from, with one name as an example.
pub type Imports = BTreeMap<Vec<String>, BTreeMap<Vec<String>, String>>;

/// How many names are followed from `pub use` to `pub use` before a chain counts as endless.
const HOPS: usize = 16;

/// Which module of a crate imports from which.
#[must_use]
pub fn imports(modules: &BTreeMap<Vec<String>, Module>) -> Imports {
    let mut imports = Imports::new();
    for (from, module) in modules {
        let of = imports.entry(from.clone()).or_default();
        for path in &module.paths {
            if let Some(to) = definition(modules, from, path, HOPS).filter(|to| to != from) {
                of.entry(to).or_insert_with(|| path.join("::"));
            }
        }
    }
    imports
}

/// The module that defines what a path means; `None` for a path that leads out of the crate, or to a module as such, whose
/// items are named elsewhere.
fn definition(
    modules: &BTreeMap<Vec<String>, Module>,
    from: &[String],
    path: &[String],
    hops: usize,
) -> Option<Vec<String>> {
    let (mut at, mut rest) = begin(modules, from, path, hops)?;
    while let Some((name, behind)) = rest.split_first() {
        let below: Vec<String> = at.iter().cloned().chain([name.clone()]).collect();
        if modules.contains_key(&below) {
            (at, rest) = (below, behind);
            continue;
        }
        let module = modules.get(&at)?;
        if module.items.contains(name) {
            return Some(at);
        }
        let used = module.uses.get(name).filter(|_| hops > 0);
        if let Some(used) = used {
            let whole: Vec<String> = used.iter().chain(behind).cloned().collect();
            return definition(modules, &at, &whole, hops - 1);
        }
        let globs: BTreeSet<_> = module.globs.iter().filter(|_| hops > 0).collect();
        return globs.into_iter().find_map(|glob| {
            let whole: Vec<String> = glob.iter().chain(rest).cloned().collect();
            definition(modules, &at, &whole, hops - 1)
        });
    }
    None
}

/// The module at which a path begins, and what of it is left.
fn begin<'p>(
    modules: &BTreeMap<Vec<String>, Module>,
    from: &[String],
    path: &'p [String],
    hops: usize,
) -> Option<(Vec<String>, &'p [String])> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some((Vec::new(), rest)),
        "self" => Some((from.to_vec(), rest)),
        "super" => {
            let mut rest = rest;
            let mut at = from.split_last()?.1;
            while let Some(("super", behind)) = rest.split_first().map(|(name, behind)| (name.as_str(), behind)) {
                rest = behind;
                at = at.split_last()?.1;
            }
            Some((at.to_vec(), rest))
        }
        // A name that stands in this file: a child, or something imported, which is followed to where it comes from.
        name => {
            let child: Vec<String> = from.iter().cloned().chain([name.to_owned()]).collect();
            if modules.contains_key(&child) {
                return Some((child, rest));
            }
            let used = modules.get(from)?.uses.get(name).filter(|used| hops > 0 && used.first() != Some(first))?;
            let (at, behind) = begin(modules, from, used, hops - 1)?;
            let module = behind.iter().try_fold(at, |at, name| {
                let below: Vec<String> = at.iter().cloned().chain([name.clone()]).collect();
                modules.contains_key(&below).then_some(below)
            });
            module.map(|module| (module, rest))
        }
    }
}

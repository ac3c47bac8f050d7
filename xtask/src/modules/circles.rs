//! Circles: modules that reach each other by imports.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Imports;

/// The sets of modules that import each other, directly or round about; each told by its imports.
#[must_use]
pub fn circles(imports: &Imports) -> Vec<String> {
    let reach: BTreeMap<_, _> = imports.keys().map(|from| (from, reached(imports, from))).collect();
    let reaches = |from: &Vec<String>, to: &Vec<String>| reach.get(from).is_some_and(|reached| reached.contains(to));
    let mut told = BTreeSet::new();
    let mut circles = Vec::new();
    for from in imports.keys() {
        if !reaches(from, from) || !told.insert(from) {
            continue;
        }
        let others: Vec<_> = imports.keys().filter(|to| reaches(from, to) && reaches(to, from)).collect();
        told.extend(&others);
        circles.push(describe(imports, &others));
    }
    circles
}

fn reached<'i>(imports: &'i Imports, from: &Vec<String>) -> BTreeSet<&'i Vec<String>> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for to in imports.get(module).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}

fn describe(imports: &Imports, circle: &[&Vec<String>]) -> String {
    let lines = circle.iter().flat_map(|from| {
        let within = imports.get(*from).into_iter().flatten().filter(|(to, _)| circle.contains(to));
        within.map(|(to, path)| format!("  {} imports {} ({path})", name(from), name(to)))
    });
    format!("a circle of {} modules:\n{}", circle.len(), lines.collect::<Vec<_>>().join("\n"))
}

fn name(module: &[String]) -> String {
    if module.is_empty() { "the crate's root".to_owned() } else { module.join("::") }
}

//! The files of a crate, as modules: what each defines, hands on and names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

/// Why the sources of a crate cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file is not there, or cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not Rust.
    #[error("{path}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: syn::Error,
    },
}

/// A file of a crate.
#[derive(Debug, Default)]
pub struct Module {
    /// Where it is.
    pub file: PathBuf,
    /// Names of items that it defines.
    pub items: BTreeSet<String>,
    /// Names that `use` brings into it, by the name under which they are known there.
    pub uses: BTreeMap<String, Vec<String>>,
    /// Modules of which `use …::*` brings everything into it.
    pub globs: Vec<Vec<String>>,
    /// Every path that it names, imports included, but for names that it only hands on.
    pub paths: BTreeSet<Vec<String>>,
}

/// All modules of a crate, by their path: the root has the empty one.
///
/// # Errors
/// When a file cannot be read, or is not Rust.
pub fn modules(root: &Path) -> Result<BTreeMap<Vec<String>, Module>, SourceError> {
    let mut found = BTreeMap::new();
    read(root, Vec::new(), &mut found)?;
    Ok(found)
}

fn read(file: &Path, path: Vec<String>, found: &mut BTreeMap<Vec<String>, Module>) -> Result<(), SourceError> {
    let text = fs::read_to_string(file).map_err(|source| SourceError::Io { path: file.to_owned(), source })?;
    let syntax = syn::parse_file(&text).map_err(|source| SourceError::Syntax { path: file.to_owned(), source })?;
    let mut reader = Reader { module: Module { file: file.to_owned(), ..Module::default() }, children: Vec::new() };
    reader.visit_file(&syntax);
    for child in reader.children {
        let mut below = path.clone();
        below.push(child.clone());
        read(&file_of(file, &child), below, found)?;
    }
    found.insert(path, reader.module);
    Ok(())
}

/// The file of a module that `parent` declares.
fn file_of(parent: &Path, child: &str) -> PathBuf {
    let folder = match parent.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => parent.with_file_name(""),
        Some(_) => parent.with_extension(""),
    };
    let file = folder.join(child).with_extension("rs");
    if file.is_file() { file } else { folder.join(child).join("mod.rs") }
}

struct Reader {
    module: Module,
    children: Vec<String>,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

impl Reader {
    fn import(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.import(&with(path.ident.to_string()), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(before, tree)),
            UseTree::Glob(_) => {
                self.module.globs.push(before.to_vec());
                self.module.paths.insert(before.to_vec());
            }
            UseTree::Name(name) if name.ident == "self" => self.known(before.to_vec(), None),
            UseTree::Name(name) => self.known(with(name.ident.to_string()), None),
            UseTree::Rename(rename) if rename.ident == "self" => {
                self.known(before.to_vec(), Some(rename.rename.to_string()));
            }
            UseTree::Rename(rename) => {
                self.known(with(rename.ident.to_string()), Some(rename.rename.to_string()));
            }
        }
    }

    fn known(&mut self, path: Vec<String>, name: Option<String>) {
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            self.module.uses.insert(name, path.clone());
        }
        self.module.paths.insert(path);
    }

    fn defines(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            _ => return,
        };
        self.module.items.insert(name.to_string());
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            _ => return self.take(item),
        };
        if !is_test(attributes) {
            self.take(item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        match item.content {
            None => self.children.push(item.ident.to_string()),
            Some(_) => visit::visit_item_mod(self, item),
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let named = self.module.paths.clone();
        self.import(&[], &item.tree);
        // What is handed on is not used here: whoever names it imports it from where it is defined.
        if !matches!(item.vis, Visibility::Inherited) {
            self.module.paths = named;
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.module.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

impl Reader {
    fn take(&mut self, item: &Item) {
        self.defines(item);
        visit::visit_item(self, item);
    }
}

//! The namespaces that are watched.

use std::collections::BTreeSet;

use kube::{Api, Client, Resource, core::NamespaceResourceScope};

/// The namespaces that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of them, those to come too.
    All,
    /// These alone.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// These namespaces; all of them when none is named.
    #[must_use]
    pub(crate) fn of(names: &[String]) -> Self {
        let names: BTreeSet<_> =
            names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        if names.is_empty() { Self::All } else { Self::Namespaces(names) }
    }

    /// The parts that are watched apart: one without a name, or one for each namespace.
    #[must_use]
    pub(crate) fn parts(&self) -> Vec<Option<&str>> {
        match self {
            Self::All => vec![None],
            Self::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        }
    }

    /// The parts, as they are asked.
    #[must_use]
    pub(crate) fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        self.parts().into_iter().map(|namespace| api(client, namespace)).collect()
    }
}

/// Objects of a kind in a namespace; in all of them where none is named.
#[must_use]
pub(crate) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(names: &[&str]) -> Scope {
        Scope::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_scope_is_all_namespaces_or_those_that_are_named() {
        assert_eq!(scope(&[]), Scope::All);
        assert_eq!(scope(&["", " "]), Scope::All);
        assert_eq!(scope(&["b", " a", "b"]).parts(), [Some("a"), Some("b")]);
        assert_eq!(Scope::All.parts(), [None]);
    }
}

//! The watches of all namespaces, or of some, which then look like one watch.
//!
//! A watch that fails is retried on its own, ever more slowly, while the others go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use cli::exit::with_causes;
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Client, Resource,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::Store,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use crate::{
    build::PIPELINE_LABEL,
    pace::PAGE,
    resource::Guarded,
    scope::{Scope, api},
};

/// How a kind is listed before it is watched.
#[must_use]
pub(super) fn listing() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// The events of pipelines, which go into `store`. `listed` is called when every namespace has been listed once.
pub(super) fn pipelines(
    client: &Client,
    scope: &Scope,
    store: Store<Guarded>,
    listed: impl Fn() + Send + 'static,
) -> BoxStream<'static, Event<Guarded>> {
    let mut merge = Merge::new(scope);
    let watch = |namespace: Option<&str>| {
        let events = watcher(api::<Guarded>(client, namespace), listing())
            // They are long, many, and never read.
            .modify(|pipeline| pipeline.meta_mut().managed_fields = None)
            .default_backoff();
        let part = namespace.map(str::to_owned);
        logged("LoginPipeline".to_owned(), events).map(move |event| (part.clone(), event)).boxed()
    };
    let events = stream::select_all(scope.parts().into_iter().map(watch));
    let merged = events.flat_map(move |(part, event)| {
        let events = merge.event(part, event, || store.state());
        if merge.is_complete() {
            listed();
        }
        stream::iter(events)
    });
    merged.boxed()
}

/// Objects of a kind that have the pipelines' label, as they come, change and go. Only their metadata is read: each change
/// shows there.
pub(super) fn children<K>(client: &Client, scope: &Scope) -> BoxStream<'static, PartialObjectMeta<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watch = |namespace| {
        let ours = listing().labels(PIPELINE_LABEL);
        let objects = watcher(api::<PartialObjectMeta<K>>(client, namespace), ours).default_backoff().touched_objects();
        logged(K::kind(&()).into_owned(), objects)
    };
    stream::select_all(scope.parts().into_iter().map(watch)).boxed()
}

/// The items of a watch. Its failures are logged and not passed on, because they would slow down the other watches.
pub(super) fn logged<T: Send + 'static>(
    kind: String,
    items: impl Stream<Item = watcher::Result<T>> + Send + 'static,
) -> BoxStream<'static, T> {
    let items = items.filter_map(move |item| {
        let item = item.inspect_err(|error| tracing::warn!(kind, error = with_causes(error), "a watch failed")).ok();
        std::future::ready(item)
    });
    items.boxed()
}

/// Makes one watch of several. A list of one namespace becomes a list of all, where the pipelines of the others are those
/// that are known.
struct Merge {
    unlisted: BTreeSet<Option<String>>,
    lists: BTreeMap<Option<String>, Vec<Guarded>>,
}

impl Merge {
    fn new(scope: &Scope) -> Self {
        let unlisted = scope.parts().into_iter().map(|part| part.map(str::to_owned)).collect();
        Self { unlisted, lists: BTreeMap::new() }
    }

    /// Whether each part has been listed.
    fn is_complete(&self) -> bool {
        self.unlisted.is_empty()
    }

    /// The events of the whole that an event of one part makes. `known` are the pipelines of all parts.
    fn event(
        &mut self,
        part: Option<String>,
        event: Event<Guarded>,
        known: impl FnOnce() -> Vec<Arc<Guarded>>,
    ) -> Vec<Event<Guarded>> {
        match event {
            Event::Init => {
                self.lists.insert(part, Vec::new());
                Vec::new()
            }
            Event::InitApply(pipeline) => {
                self.lists.entry(part).or_default().push(pipeline);
                Vec::new()
            }
            Event::InitDone => {
                self.unlisted.remove(&part);
                let listed = self.lists.remove(&part).unwrap_or_default();
                let is_of_others = |pipeline: &Arc<Guarded>| part.is_some() && pipeline.meta().namespace != part;
                let others = known().into_iter().filter(is_of_others).map(Arc::unwrap_or_clone);
                let all = others.chain(listed).map(Event::InitApply);
                [Event::Init].into_iter().chain(all).chain([Event::InitDone]).collect()
            }
            event => vec![event],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(names: &[&str]) -> Scope {
        Scope::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    fn pipeline(namespace: &str, name: &str) -> Guarded {
        let pipeline = serde_json::json!({
            "metadata": {"namespace": namespace, "name": name}, "spec": {"kafka": {"strimzi": {"cluster": "c"}}},
        });
        serde_json::from_value(pipeline).unwrap()
    }

    /// Whatever the order of lists and changes, the store holds what the watches have told.
    #[test]
    fn watches_of_several_namespaces_look_like_one() {
        use Event::{Apply, Delete, Init, InitApply, InitDone};
        let (store, mut writer) = kube::runtime::reflector::store();
        let mut merge = Merge::new(&scope(&["a", "b"]));
        let mut feed = |part: &str, event: Event<Guarded>, expected: &[&str]| {
            for event in merge.event(Some(part.to_owned()), event, || store.state()) {
                writer.apply_watcher_event(&event);
            }
            let mut held: Vec<_> = store.state().iter().map(|pipeline| pipeline.meta().name.clone().unwrap()).collect();
            held.sort();
            assert_eq!(held, expected);
            merge.is_complete()
        };

        feed("a", Init, &[]);
        feed("b", Init, &[]);
        feed("a", InitApply(pipeline("a", "a1")), &[]);
        feed("b", InitApply(pipeline("b", "b1")), &[]);

        // One that cannot be listed keeps the other from nothing.
        assert!(!feed("a", InitDone, &["a1"]));
        feed("a", Apply(pipeline("a", "a2")), &["a1", "a2"]);
        assert!(feed("b", InitDone, &["a1", "a2", "b1"]));
        feed("b", Apply(pipeline("b", "b2")), &["a1", "a2", "b1", "b2"]);

        // A new list of one forgets what is gone there, and nothing of the other.
        feed("a", Init, &["a1", "a2", "b1", "b2"]);
        feed("a", InitApply(pipeline("a", "a2")), &["a1", "a2", "b1", "b2"]);
        feed("b", Delete(pipeline("b", "b1")), &["a1", "a2", "b2"]);
        assert!(feed("a", InitDone, &["a2", "b2"]));
    }
}

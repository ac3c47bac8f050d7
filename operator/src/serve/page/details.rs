//! Pods and Events of one pipeline, asked of the API server while somebody has it open.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use cli::exit::with_causes;
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{Api, Client, Resource, ResourceExt, api::ListParams};
use tokio::{sync::Mutex, time::timeout};

use crate::{pods, resource::Guarded};

/// How old an answer may be. However many viewers there are, a pipeline's pods are asked for once in this time.
const FRESH: Duration = Duration::from_secs(2);

/// How long a request waits for an answer, the wait for its turn included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events that are read of one pipeline: they last an hour, and of its transitions there are few.
const EVENTS: u32 = 500;

/// Recent answers of the API server.
pub(crate) struct Details {
    client: Client,
    pods: Recent<Vec<Pod>>,
    events: Recent<Vec<Event>>,
}

impl Details {
    /// Nothing has been asked yet.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, pods: Recent::default(), events: Recent::default() }
    }

    /// The pods that bear a pipeline's labels, or why they are not known.
    pub(crate) async fn pods(&self, pipeline: &Guarded) -> Result<Arc<Vec<Pod>>, String> {
        let ask = async {
            let found = pods::list(&self.client, &pipeline.namespace().unwrap_or_default(), &pipeline.name_any()).await;
            found.map_err(|error| with_causes(&error))
        };
        self.pods.of(&id(pipeline), ask).await
    }

    /// The Events that regard a pipeline, this one and not a predecessor of its name, or why they are not known.
    pub(crate) async fn events(&self, pipeline: &Guarded) -> Result<Arc<Vec<Event>>, String> {
        let id = id(pipeline);
        let ask = async {
            let api = Api::<Event>::namespaced(self.client.clone(), &pipeline.namespace().unwrap_or_default());
            let ours = ListParams::default().fields(&format!("regarding.uid={id}")).limit(EVENTS);
            let found = api.list(&ours).await.map_err(|error| with_causes(&error));
            found
                .map(|list| list.items)
                .map_err(|error| format!("the API server did not answer for the Events: {error}"))
        };
        self.events.of(&id, ask).await
    }
}

fn id(pipeline: &Guarded) -> String {
    pipeline.meta().uid.clone().unwrap_or_default()
}

/// Recent answers, by the UID of the pipeline. One is asked for at a time.
struct Recent<T> {
    known: Mutex<BTreeMap<String, (Instant, Answer<T>)>>,
    patience: Duration,
}

type Answer<T> = Result<Arc<T>, String>;

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { known: Mutex::default(), patience: PATIENCE }
    }
}

impl<T> Recent<T> {
    async fn of(&self, id: &str, ask: impl Future<Output = Result<T, String>>) -> Answer<T> {
        let asking = async {
            let mut known = self.known.lock().await;
            known.retain(|_, (at, _)| at.elapsed() < FRESH);
            if let Some((_, answer)) = known.get(id) {
                return answer.clone();
            }
            let answer = ask.await.map(Arc::new);
            known.insert(id.to_owned(), (Instant::now(), answer.clone()));
            answer
        };
        let silent = |_| Err(format!("the API server did not answer within {} s", self.patience.as_secs()));
        timeout(self.patience, asking).await.unwrap_or_else(silent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn many_viewers_cost_one_request() {
        let (recent, asked) = (Recent::default(), AtomicUsize::new(0));
        let ask = || async {
            tokio::task::yield_now().await;
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Err("refused".to_owned()),
                count => Ok(count),
            }
        };

        let answers = join_all((0..10).map(|_| recent.of("a", ask()))).await;
        assert!(answers.iter().all(|answer| answer.as_deref() == Err(&"refused".to_owned())), "{answers:?}");
        // Of another pipeline nothing is known.
        assert_eq!(recent.of("b", ask()).await.as_deref(), Ok(&1));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_silent_api_server_is_given_up() {
        let recent = Recent::<()> { patience: Duration::from_millis(50), ..Recent::default() };
        let answer = recent.of("a", std::future::pending()).await;
        assert_eq!(answer, Err("the API server did not answer within 0 s".to_owned()));
        assert!(recent.of("a", async { Ok(()) }).await.is_ok());
    }
}

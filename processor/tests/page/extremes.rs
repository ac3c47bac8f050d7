//! The page of pipelines that no other test runs: with markup in every text, with the maximum of partitions and
//! replicas, and with almost no data.

use std::{net::Ipv4Addr, ops::Range};

use processor::view::{self, Publisher};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

use crate::look::Look;

/// Code that would run in a page that treats text as markup.
const MARKUP: &str = "<img src=x onerror=\"window.problems.push('markup of the data ran')\">";

/// A page with hand-made views.
struct Stage {
    _runtime: Runtime,
    publisher: Publisher,
    url: String,
}

impl Stage {
    fn new() -> Self {
        let (publisher, page) = view::channel();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        runtime.spawn(async { axum::serve(listener, page.router()).await });
        Self { _runtime: runtime, publisher, url }
    }

    fn show(&self, view: &Value) {
        self.publisher.publish(serde_json::from_value(view.clone()).unwrap());
    }
}

/// A view of a pipeline in which every text is `text`.
fn view(text: &str, partitions: usize, replicas: usize) -> Value {
    let latency = json!({"count": 0, "p50": null, "p99": null});
    let replica = |number: usize| {
        let own: Vec<usize> = (0..partitions).filter(|partition| partition % replicas == number).collect();
        json!({"name": format!("{text}{number}"), "state": "running", "not_ready": text, "uptime_seconds": 1, "role": "standby",
            "threads": [{"name": text, "partitions": own, "not_ready": text}], "page": "javascript:problems.push('a link ran')"})
    };
    let partition = |number: usize| {
        json!({"partition": number, "replica": format!("{text}{}", number % replicas), "lag": number, "idle": number % 9 == 8,
            "watermark": (!number.is_multiple_of(7)).then_some(1_720_576_800 + number), "effective": null})
    };
    let frequency = json!({"value": text, "count": 3, "share": 0.4286});
    let minute = json!({"window": "1m", "start": 1_720_576_740, "end": 1_720_576_800, "closed": true, "revision": 2, "partial": true,
        "truncated": true, "count": 7, "late": 1, "unmerged": 0, "unique_users": 1, "values": {"device_type": [[text, 3]]}, "more": {},
        "insight": {"v": 1, "window": "1m", "start": "2024-07-10T01:59:00Z", "end": "2024-07-10T02:00:00Z", "count": 7, "late": 1,
            "unmerged": 0, "unique_users": 1, "previous": 1, "change": 6.0, "revision": 2, "partial": true,
            "dimensions": {"device_type": {"most": frequency, "least": frequency, "values": 3, "truncated": true}}}});
    json!({
        "version": 1, "time": 1_720_576_825_123_i64, "scope": "pipeline",
        "pipeline": {"namespace": text, "name": text, "revision": 1},
        "topics": {"source": text, "output": text, "dead_letters": text, "aggregates": text, "insights": text, "alerts": text},
        "replicas": (0..replicas).map(replica).collect::<Vec<_>>(),
        "totals": {"processed": 7, "late": 0, "unmerged": 0, "transactions": 0, "aborted": 0, "rebalances": 0, "emissions": 0,
            "emissions_aborted": 0, "windows_closed": 0, "revisions": 0, "alerts": 1,
            "dead_letters": {"malformed": 1, "missing-field": 0, "invalid-field": 0, "future": 0, "too-large": 0}},
        "rates": {"processed": 0.0, "dead_letters": 0.0, "transactions": 0.0, "aborted": 0.0, "rebalances": 0.0},
        "latency": {"commit": latency, "emission": latency},
        "lag": 0, "partitions": (0..partitions).map(partition).collect::<Vec<_>>(),
        "frontier": null, "latest": null, "windows_open": 1, "windows_kept": 1,
        "windows": [minute, {"window": "all", "start": 0, "end": null, "closed": false, "revision": 0, "partial": true, "truncated": true,
            "count": 7, "late": 0, "unmerged": 0, "unique_users": null,
            "values": {"device_type": [[text, 4]], "locale": [[text, 3], ["RI", 2]], "app_version": []}, "more": {"device_type": 3}}],
        "alerts": [{"name": text, "window": "1m", "start": 1_720_576_800, "dimension": "device_type", "value": text, "count": 3,
            "above": 0, "deviation": null, "mean": null, "sigma": null, "seen": 1_720_576_825_123_i64}],
        "dead_letters": [{"reason": "malformed", "count": 1, "sample":
            {"partition": 0, "offset": 0, "seen": 1_720_576_825_123_i64, "detail": text, "value": text}}],
        "audit": null,
    })
}

/// Asserts that nothing went wrong, and that nothing is wider than the page, on a desktop and on a phone.
fn assert_whole(look: &Look) {
    assert!(look.problems().is_empty(), "{:?}", look.problems());
    for width in [1440, 390] {
        look.browser.resize(width, 900).unwrap();
        let fits = look.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth");
        assert_eq!(fits, true, "at {width}");
    }
}

#[test]
fn text_is_never_markup_and_a_link_never_a_script() {
    let stage = Stage::new();
    stage.show(&view(MARKUP, 3, 2));
    let look = Look::opened(&stage.url, "unready");
    let names =
        look.texts("return [...document.querySelectorAll('h1, [data-testid=replica] th')].map(one => one.textContent)");
    assert_eq!(names, [MARKUP.to_owned(), format!("{MARKUP}0"), format!("{MARKUP}1")]);
    assert_eq!(look.run("return document.querySelector('[data-testid=dead-letter-sample]').textContent"), MARKUP);
    let said = look.run("return document.querySelector('[data-testid=insight-sentence]').textContent");
    assert_eq!(said, "7 logins by about 1 user, 7 times as many as in the window before.");
    assert_eq!(look.run("return document.images.length + document.querySelectorAll('a[href^=javascript]').length"), 0);
    assert_whole(&look);
}

#[test]
fn a_thousand_partitions_are_summed_up_furthest_behind_first() {
    let stage = Stage::new();
    stage.show(&view("r", 1024, 64));
    let look = Look::opened(&stage.url, "unready");
    let rows =
        "return [...document.querySelectorAll('[data-testid=partition-rows] tr')].map(row => row.dataset.testid)";

    let first: Vec<String> = look.texts(rows);
    assert_eq!(first.len(), 12);
    assert_eq!(first[0], "partition-1");
    assert_eq!(look.run("return document.querySelectorAll('[data-testid=cells] i').length"), 128);
    assert_eq!(look.run("return document.querySelectorAll('[data-testid=replica]').length"), 12);
    assert_whole(&look);

    // One replica has few enough partitions to list them all.
    look.open_as(&format!("{}?replica=r5", stage.url), "unready");
    assert_eq!(look.texts(rows).len(), 16);
}

#[test]
fn where_nothing_is_the_page_says_what_would_be_there() {
    let stage = Stage::new();
    let mut empty = view("r", 0, 1);
    for list in ["windows", "alerts", "dead_letters", "partitions"] {
        empty[list] = json!([]);
    }
    for topic in ["aggregates", "insights", "alerts"] {
        empty["topics"][topic] = Value::Null;
    }
    empty["totals"]["processed"] = json!(0);
    empty["totals"]["dead_letters"]["malformed"] = json!(0);
    stage.show(&empty);

    let look = Look::opened(&stage.url, "unready");
    let said = look.texts("return [...document.querySelectorAll('[data-empty]')].filter(one => !one.hidden).map(one => one.dataset.empty)");
    assert_eq!(said, ["insight", "counts", "alerts", "dead", "windows", "partitions"]);
    assert_eq!(look.run("return document.querySelector('[data-testid=map]').checkVisibility()"), false);
    assert_whole(&look);
}

#[test]
fn what_is_wrong_is_said_before_all_else() {
    let stage = Stage::new();
    let mut view = view("r", 1, 1);
    view["lag"] = json!(3);
    view["replicas"][0]["not_ready"] = Value::Null;
    view["replicas"][0]["threads"] = json!([]);
    // Twenty seconds without the eighth: the rate of the ninth contains its events.
    for second in (0..20).filter(|second| *second != 8) {
        view["time"] = json!(1_720_576_825_500_i64 + second * 1000);
        view["rates"]["transactions"] = json!(10.0);
        view["rates"]["aborted"] = json!(if second == 9 { 0.4995 } else { 0.0 });
        view["rates"]["rebalances"] = json!(if second == 5 { 1.998 } else { 0.0 });
        stage.show(&view);
    }
    let look = Look::opened(&stage.url, "stuck");
    let said = |id: &str| look.run(&format!("return document.querySelector('[data-testid={id}]').textContent"));
    assert!(said("banner").as_str().unwrap().starts_with("For 19 s nothing was processed, and 3 logins wait."));
    let caption =
        |plot: &str| look.run(&format!("return document.querySelector('[data-testid={plot}] figcaption').textContent"));
    assert_eq!(caption("plot-transactions"), "On average 10 committed a second. One was aborted, and done again.");
    assert_eq!(caption("plot-lag"), "At most 3 behind. 2 rebalances, at the dashed lines.");

    view["audit"] = json!({"sent": 9, "audited": 9, "lost": 1, "duplicated": 0, "other": 2});
    stage.show(&view);
    look.await_value("health", "faulty");
    assert_eq!(said("banner"), "What the pipeline wrote is not what was sent: 1 lost, 2 otherwise wrong.");
}

#[test]
fn who_looks_away_misses_nothing_of_the_past() {
    let stage = Stage::new();
    let mut view = view("r", 1, 1);
    let mut pass = |seconds: Range<i64>| {
        for second in seconds {
            view["time"] = json!(1_720_576_825_500_i64 + second * 1000);
            stage.show(&view);
        }
    };

    pass(0..5);
    let look = Look::opened(&stage.url, "unready");
    look.await_value("plot-lag", "5");
    let hide = |is_hidden: bool| {
        look.run(&format!(
            "Object.defineProperty(document, 'hidden', {{configurable: true, value: {is_hidden}}});
             document.dispatchEvent(new Event('visibilitychange'));"
        ));
    };
    // No view follows, so the page finally treats its connection as lost, and would then request the past.
    look.run(
        "const health = document.querySelector('[data-testid=health]');
         window.lost = false;
         new MutationObserver(() => { lost ||= health.dataset.value === 'lost'; }).observe(health, {attributes: true});",
    );

    hide(true);
    pass(5..25);
    hide(false);
    look.await_value("plot-lag", "25");
    assert_eq!(look.run("return lost"), false);
}

//! The live page in a browser, from a replica on a real Kafka: what it shows, to whom, and what it never shows.
#![expect(clippy::unwrap_used, reason = "assertions of tests")]

mod extremes;
mod look;
mod proxy;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use crds::records::aggregate::{Insight, decode};
use look::Look;
use processor::{
    commands::generate::{Events, Options},
    view::View,
};
use proxy::{PREFIX, Proxy};
use serde_json::Value;
use support::{BOUND, Pipeline, Replica, mixed};
use testkit::{kafka::NewRecord, wait_for};

/// A pipeline whose alerts fire.
fn pipeline(name: &str) -> Pipeline<'static> {
    Pipeline::new(name, 4, |spec| {
        spec.alerts = serde_json::from_value(serde_json::json!([
            {"name": "busy-minute", "window": "1m", "above": 100},
            {"name": "old-version", "dimension": "app_version", "window": "1h", "above": 0},
        ]))
        .unwrap();
    })
}

/// Events of the last ten minutes, with samples of every fault of real events.
fn events(count: usize) -> Vec<NewRecord> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let start = i64::try_from(now).unwrap() - 600;
    let per_second = (count as u64 / 600).max(1);
    let model = Events::new(Options { shares: mixed(), start, per_second, ..Options::default() });
    let record = |event: processor::commands::generate::GeneratedEvent| NewRecord {
        key: Some(event.key.clone()),
        payload: event.payload().map(<[u8]>::to_owned),
        ..NewRecord::default()
    };
    model.take(count).map(record).collect()
}

fn address(replica: &Replica) -> String {
    replica.process.log().split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn view(replica: &Replica) -> View {
    serde_json::from_str(&replica.get("/view").unwrap().1).unwrap()
}

/// The metrics of a replica that the page shows, by the page's names.
fn metrics(replica: &Replica) -> BTreeMap<String, String> {
    let text = replica.get("/metrics").unwrap().1;
    let samples: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    let counters = [
        ("total-processed", "events_processed_total"),
        ("total-late", "events_late_total"),
        ("total-unmerged", "events_unmerged_total"),
        ("total-dead-letters-malformed", "events_dead_lettered_total{reason=\"malformed\"}"),
        ("total-dead-letters-missing-field", "events_dead_lettered_total{reason=\"missing-field\"}"),
        ("total-dead-letters-invalid-field", "events_dead_lettered_total{reason=\"invalid-field\"}"),
        ("total-dead-letters-future", "events_dead_lettered_total{reason=\"future\"}"),
        ("total-dead-letters-too-large", "events_dead_lettered_total{reason=\"too-large\"}"),
        ("total-transactions", "transaction_commit_seconds_count"),
        ("total-aborted", "transactions_aborted_total"),
        ("total-rebalances", "rebalances_total"),
        ("total-emissions", "aggregate_emission_seconds_count"),
        ("total-emissions-aborted", "aggregate_emissions_aborted_total"),
        ("total-windows-closed", "aggregate_windows_closed_total"),
        ("total-revisions", "aggregate_revisions_total"),
        ("total-alerts", "aggregate_alerts_fired_total"),
        ("windows-open", "aggregate_windows_open"),
        ("windows-kept", "aggregate_windows"),
        ("partition-0", "watermark_seconds{partition=\"0\"}"),
        ("partition-1", "watermark_seconds{partition=\"1\"}"),
        ("partition-2", "watermark_seconds{partition=\"2\"}"),
        ("partition-3", "watermark_seconds{partition=\"3\"}"),
    ];
    let sample = |name: &str| samples.get(format!("login_processor_{name}").as_str()).copied().map(str::to_owned);
    let shown =
        counters.map(|(id, name)| (id.to_owned(), sample(name).unwrap_or_else(|| format!("no {name}: {text}"))));
    let lag: u64 = text
        .lines()
        .filter(|line| line.starts_with("login_processor_lag_records{"))
        .fold(0, |sum, line| sum + line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    shown.into_iter().chain([("lag".to_owned(), lag.to_string())]).collect()
}

/// The differences between the page and the metrics; empty once both are of the same moment.
fn differences(look: &Look, replica: &Replica) -> Option<Vec<String>> {
    let before = metrics(replica);
    look.await_later(&look.value("time"));
    look.await_later(&look.value("time"));
    let shown = look.values();
    // Counters advance while idle partitions are announced; compare those that did not change in the meantime.
    if metrics(replica) != before {
        return None;
    }
    let of_reason =
        |(id, count): (&String, &String)| id.strip_prefix("total-dead-letters-").map(|_| count.parse::<u64>().unwrap());
    let dead: u64 = before.iter().filter_map(of_reason).sum();
    let all = before.iter().map(|(id, value)| (id.clone(), value.clone()));
    let all = all.chain([("total-dead-letters".to_owned(), dead.to_string())]);
    let differing = all.filter(|(id, value)| shown.get(id).unwrap_or(&String::new()) != value);
    Some(differing.map(|(id, value)| format!("{id}: {value} in /metrics, {:?} on the page", shown.get(&id))).collect())
}

#[test]
fn its_numbers_are_those_of_the_metrics_and_it_shows_nobody() {
    let pipeline = pipeline("page-numbers");
    let mut replica = pipeline.start("a");
    replica.ready();
    let look = Look::at(&format!("http://{}/", address(&replica)));
    let records = events(4000);
    let mut rates = BTreeSet::new();

    for chunk in records.chunks(500) {
        pipeline.write(chunk.iter().cloned());
        look.await_later(&look.value("time"));
        rates.insert(look.value("rate-processed"));
    }
    assert!(rates.len() > 3, "the rate moves while events come: {rates:?}");
    pipeline.settle().assert_exactly_once();

    // Every count, at the same moment.
    let differing = wait_for("counters that stand still for a moment", BOUND, || differences(&look, &replica));
    assert!(differing.is_empty(), "{differing:#?}");
    let shown = look.values();
    assert_eq!(shown["lag"], "0");
    for (id, least) in [("total-processed", 3000), ("total-late", 10), ("total-windows-closed", 5), ("total-alerts", 3)]
    {
        assert!(shown[id].parse::<u64>().unwrap() > least, "{id} is {}", shown[id]);
    }
    let view = view(&replica);
    check_windows(&look, &view);
    check_insight(&look, &view, &pipeline);
    assert_eq!(view.replicas.len(), 1);
    assert_eq!(view.replicas[0].threads[0].partitions.len(), 4);
    let frontier = view.partitions.iter().map(|partition| partition.effective).min().flatten();
    assert_eq!(view.frontier, frontier, "{:?}", view.partitions);
    shows_nobody(&look, &replica, &records);
    assert!(look.problems().is_empty(), "{:?}", look.problems());
    replica.stop();
}

/// Asserts that the counts by window are correct, and that the page shows them.
fn check_windows(look: &Look, view: &View) {
    let all = view.windows.iter().find(|window| window.end.is_none()).unwrap();
    assert_eq!(all.count, view.totals.processed);
    for (dimension, values) in &all.values {
        let sum: u64 = values.iter().map(|(_, count)| count).sum();
        assert!(sum == all.count || all.more[dimension] > 0, "{dimension:?}: {values:?}");
        assert!(values.is_sorted_by(|a, b| a.1 >= b.1), "{values:?}");
    }
    let minutes: u64 =
        view.windows.iter().filter(|window| window.window.to_string() == "1m").map(|window| window.count).sum();
    assert!(minutes + view.totals.unmerged <= all.count && minutes > 3000, "{minutes} of {}", all.count);
    let url = look.run("return location.pathname").as_str().unwrap().to_owned();
    let origin = look.run("return location.origin").as_str().unwrap().to_owned();
    look.open(&format!("{origin}{url}?window=all"));
    look.await_value("window-count", &all.count.to_string());
    let (state, count) = &all.values[&crds::pipeline::Dimension::Locale][0];
    assert_eq!(&look.value(&format!("state-{state}")), &count.to_string(), "{state}");
    let alerts: BTreeSet<&str> = view.alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(alerts, BTreeSet::from(["busy-minute", "old-version"]));
}

/// Asserts that the displayed insight is the record of the latest closed minute, with the same content.
fn check_insight(look: &Look, view: &View, pipeline: &Pipeline<'_>) {
    let latest = view.windows.iter().find_map(|window| window.insight.as_ref()).unwrap();
    assert_eq!(look.value("insight-record"), latest.key());
    let topic = pipeline.job.topics.results.insights.as_str();
    let records = pipeline.read(topic).into_iter().rev();
    let record = records
        .filter(|record| record.key.as_deref() == Some(latest.key().as_bytes()))
        .find_map(|record| record.payload);
    let record: Insight = decode(&record.unwrap()).unwrap();
    assert_eq!(&record, latest);
    assert_eq!(view.topics.insights.as_deref(), Some(topic));
    for (dimension, found) in &record.dimensions {
        for (rank, frequency) in [("most", &found.most), ("least", &found.least)] {
            let id = format!("insight-{}-{rank}", dimension.name());
            assert_eq!(look.value(&id), frequency.count.to_string(), "{id}");
        }
    }
    let sentence = look.run("return document.querySelector('[data-testid=insight-sentence]').textContent");
    assert!(sentence.as_str().unwrap().starts_with(&format!("{} logins by about", record.count)), "{sentence}");
}

/// Asserts that neither the page nor the replica's answers contain a `user_id`, `ip` or `device_id` of any event.
fn shows_nobody(look: &Look, replica: &Replica, records: &[NewRecord]) {
    let fields = ["user_id", "ip", "device_id"];
    let payloads = records.iter().filter_map(|record| record.payload.as_ref());
    let events = payloads.filter_map(|payload| serde_json::from_slice::<Value>(payload).ok());
    let of = |event: Value| fields.map(|field| event[field].as_str().unwrap_or_default().to_owned());
    let personal: BTreeSet<String> = events.flat_map(of).filter(|text| text.len() > 3).collect();
    assert!(personal.len() > 5000, "{}", personal.len());
    let mut seen = vec![("the page", look.all_text())];
    for path in ["/", "/view", "/view/history", "/metrics", "/healthz", "/readyz"] {
        seen.push((path, replica.get(path).unwrap().1));
    }
    // Each reason was opened, because its sample is shown only once the reason is chosen.
    let count = |(id, count): (String, String)| Some((id.strip_prefix("total-dead-letters-")?.to_owned(), count));
    let counts: BTreeMap<String, String> = look.values().into_iter().filter_map(count).collect();
    let reasons: Vec<&String> = counts.iter().filter(|(_, count)| *count != "0").map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["future", "invalid-field", "malformed", "missing-field"]);
    for reason in reasons {
        look.run(&format!("document.querySelector('[data-testid=choose-reason-{reason}]').click()"));
        let sample = wait_for("a sample", BOUND, || {
            let text = look.run("return document.querySelector('[data-testid=dead-letter-sample]').textContent");
            text.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        });
        seen.push(("a sample", sample));
        seen.push(("the page with a sample", look.all_text()));
    }
    for (place, text) in seen {
        for value in &personal {
            assert!(!text.contains(value), "{value} is in {place}");
        }
    }
}

#[test]
fn it_lives_below_any_path_asks_nobody_else_and_comes_back() {
    let pipeline = pipeline("page-path");
    let mut first = pipeline.start("a");
    first.ready();
    let proxy = Proxy::to(&address(&first));
    let look = Look::at(&format!("{}?span=5m", proxy.url));
    pipeline.write(events(600));
    wait_for("events on the page", BOUND, || (look.value("total-processed").parse::<u64>().ok()? > 400).then_some(()));
    wait_for("points in the plots", BOUND, || (look.value("plot-throughput").parse::<u64>().ok()? > 2).then_some(()));

    // The replica stops; the page says so, and stays.
    first.stop();
    look.await_value("health", "lost");
    assert!(look.value("total-processed").parse::<u64>().unwrap() > 400);
    // Another replica takes its place: no reload is needed.
    let mut second = pipeline.start("b");
    second.ready();
    proxy.switch_to(&address(&second));
    look.await_value("health", "live");
    assert_eq!(look.run("return document.querySelector('[data-testid=replica]').dataset.value"), "b");
    pipeline.write(events(60));
    look.await_value("total-processed", &second_total(&pipeline, &second));

    assert!(look.problems().iter().all(|problem| problem.contains("view/events")), "{:?}", look.problems());
    let loaded = look.loaded();
    assert!(!loaded.is_empty() && loaded.iter().all(|url| url.starts_with(proxy.url.as_str())), "{loaded:?}");
    let asked = proxy.asked();
    let paths: BTreeSet<&str> = asked.iter().map(|path| path.strip_prefix(PREFIX).unwrap_or(path)).collect();
    assert_eq!(paths, BTreeSet::from(["/?span=5m", "/view/events", "/view/history"]));
    second.stop();
}

/// The number of events that the replica has processed, once it has processed all.
fn second_total(pipeline: &Pipeline<'_>, replica: &Replica) -> String {
    pipeline.settle_records().assert_exactly_once();
    metrics(replica).remove("total-processed").unwrap()
}

#[test]
fn everybody_can_read_it_and_choose() {
    let pipeline = pipeline("page-reader");
    let mut replica = pipeline.start("a");
    replica.ready();
    let url = format!("http://{}/", address(&replica));
    pipeline.write(events(3000));
    pipeline.settle().assert_exactly_once();
    let look = Look::at(&url);
    look.await_later(&look.value("time"));

    check_choices(&look, &url);
    look.open(&url);
    check_colours(&look);
    check_widths(&look);
    look.browser.resize(1440, 1000).unwrap();
    check_keyboard(&look);
    check_names(&look);
    assert!(look.problems().is_empty(), "{:?}", look.problems());
    replica.stop();
}

/// Asserts that a choice is in the address, and is kept after a reload.
fn check_choices(look: &Look, url: &str) {
    look.run(
        "const change = (id, value) => {
             const control = document.querySelector(`[data-testid=${id}]`);
             control.value = value;
             control.dispatchEvent(new Event('change', {bubbles: true}));
         };
         change('choose-theme', 'dark');
         change('choose-shown', 'closed');
         document.querySelector('[data-testid=choose-span] input[value=\"1h\"]').click();
         document.querySelector('[data-testid=choose-window] input[value=\"1h\"]').click();
         document.querySelector('[data-testid=choose-reason-malformed]').click();",
    );
    let chosen = "return [document.documentElement.dataset.theme ?? '',
                          document.querySelector('[data-testid=choose-theme]').value,
                          document.querySelector('[data-testid=choose-shown]').value,
                          document.querySelector('[data-testid=choose-span] input:checked')?.value ?? '',
                          document.querySelector('[data-testid=choose-window] input:checked')?.value ?? '',
                          document.querySelector('[data-testid^=choose-reason-][aria-pressed=true]')?.dataset.testid ?? '']";
    let expected = ["dark", "dark", "closed", "1h", "1h", "choose-reason-malformed"];
    let await_chosen = || wait_for("what was chosen", BOUND, || (look.texts(chosen) == expected).then_some(()));
    await_chosen();
    let address = look.run("return location.href").as_str().unwrap().to_owned();
    let query: BTreeSet<&str> = address.strip_prefix(url).unwrap().trim_start_matches('?').split('&').collect();
    assert_eq!(query, BTreeSet::from(["theme=dark", "windows=closed", "span=1h", "window=1h", "reason=malformed"]));
    look.browser.reload().unwrap();
    look.await_value("health", "live");
    await_chosen();
    // Every listed row is of a closed window.
    let closed: BTreeSet<String> = serde_json::from_str::<Value>(&fetched(look)).unwrap()["windows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|window| window["closed"] == true)
        .map(|window| format!("{}/{}", window["window"].as_str().unwrap(), window["start"]))
        .collect();
    let rows =
        look.texts("return [...document.querySelectorAll('[data-testid=window-row]')].map(row => row.dataset.value)");
    assert!(!rows.is_empty() && rows.iter().all(|row| closed.contains(row)), "{rows:?}");
}

/// The answers of the page's own server, requested from within the page.
fn fetched(look: &Look) -> String {
    look.run("return fetch('view').then(answer => answer.text())").as_str().unwrap().to_owned()
}

/// Asserts that text is light on dark or dark on light, as the system or the reader asks for, and is readable.
fn check_colours(look: &Look) {
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        look.prefer(scheme);
        look.await_later(&look.value("time"));
        let faint = look.texts(FAINT);
        assert!(faint.is_empty(), "too little contrast, {scheme}: {faint:#?}");
        let bright = look.run("return luminance(colour(getComputedStyle(document.body).backgroundColor))");
        grounds.push(bright.as_f64().unwrap());
    }
    assert!(grounds[0] > 0.8 && grounds[1] < 0.1, "{grounds:?}");
    look.prefer("light");
}

/// Texts with a contrast to their background of less than 4.5, or 3 for large text (WCAG 2.2, AA).
const FAINT: &str = "
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    window.colour = text => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = text;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    window.luminance = ([red, green, blue]) => {
        const linear = part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    };
    const over = ([r, g, b, a], [R, G, B]) => [r, g, b].map((part, i) => (part * a + [R, G, B][i] * (255 - a)) / 255);
    const ground = element => {
        const own = colour(getComputedStyle(element).backgroundColor);
        if (own[3] === 255) return own;
        return over(own, element.parentElement ? ground(element.parentElement) : [255, 255, 255]);
    };
    const faint = new Set();
    for (const element of document.body.querySelectorAll('*')) {
        const style = getComputedStyle(element);
        const isText = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!isText || element.closest('svg, select, .sr, [hidden], noscript, script, style') || !element.checkVisibility()) continue;
        const behind = ground(element);
        const [one, other] = [luminance(over(colour(style.color), behind)), luminance(behind)];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        const size = parseFloat(style.fontSize);
        const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
        if (contrast < least) faint.add(`${contrast.toFixed(2)} ${element.tagName}.${element.className} ${element.textContent.trim().slice(0, 40)}`);
    }
    return [...faint];
";

/// Asserts that nothing is wider than the page, on a desktop, a tablet and a phone.
fn check_widths(look: &Look) {
    for width in [1440, 834, 390] {
        look.browser.resize(width, 900).unwrap();
        look.await_later(&look.value("time"));
        let wide = look.texts(
            "const width = document.documentElement.clientWidth;
             if (document.documentElement.scrollWidth <= width) return [];
             const over = [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > width + 1);
             return over.map(one => `${one.tagName}.${one.className?.baseVal ?? one.className} ends at ${one.getBoundingClientRect().right}`)
                 .concat(`${document.documentElement.scrollWidth} of ${width}`);",
        );
        assert!(wide.is_empty(), "at {width}: {wide:#?}");
        assert_eq!(look.run("return innerWidth"), width, "the page fits into the window without being shrunk");
    }
}

/// Asserts that Tab reaches every control, and that each shows its focus.
fn check_keyboard(look: &Look) {
    look.run("document.activeElement.blur(); scrollTo(0, 0)");
    // In document order. In a group of radio buttons, Tab reaches the chosen one.
    let controls: BTreeSet<String> = look
        .texts(&format!(
            "{NAME} return [...document.querySelectorAll('a[href], button, select, input, [tabindex=\"0\"]')]
                 .filter(one => one.checkVisibility() && !one.disabled && one.tabIndex >= 0)
                 .filter(one => one.type !== 'radio' || one.checked).map(name)"
        ))
        .into_iter()
        .collect();
    assert!(controls.len() > 10, "{controls:?}");
    let mut reached = BTreeSet::new();
    for _ in 0..200 {
        look.browser.press("Tab", 9).unwrap();
        let focused = look.texts(&format!("{NAME} {FOCUSED}"));
        let [name, shown] = &focused[..] else { break };
        assert_eq!(shown, "true", "{name} has the focus, and does not show it");
        if !reached.insert(name.clone()) {
            break;
        }
    }
    let missed: Vec<_> = controls.difference(&reached).collect();
    assert!(missed.is_empty(), "Tab does not reach {missed:?}, only {reached:?}");
    // The map is one control for Tab: arrow keys move from state to state, Enter chooses one.
    look.run("document.querySelector('[data-testid^=state-][tabindex=\"0\"]').focus()");
    let state = || look.run("return document.activeElement.dataset.testid").as_str().unwrap_or_default().to_owned();
    let before = state();
    look.browser.press("ArrowRight", 39).unwrap();
    assert!(state().starts_with("state-") && state() != before, "{} after {before}", state());
    look.browser.press("Enter", 13).unwrap();
    let kept = || look.texts("return [document.activeElement.getAttribute('aria-pressed'), location.search]");
    let expected = ["true".to_owned(), format!("?state={}", state().trim_start_matches("state-"))];
    wait_for("a state that is kept", BOUND, || (kept() == expected).then_some(()));
}

/// The name of a control in this test.
const NAME: &str = "
    const name = one => `${one.tagName} ${one.dataset?.testid ?? one.name ?? ''} ${one.id || one.getAttribute('href') || one.value || ''} ${
        one.getAttribute('aria-label') ?? (one.tagName === 'SELECT' ? '' : one.textContent.slice(0, 30))}`;
";

/// The focused control, and whether the control or its stand-in looks different without focus. The map draws the
/// outline of the focused state above the others.
const FOCUSED: &str = "
    const one = document.activeElement;
    if (!one || one === document.body) return [];
    const parts = [one, one.nextElementSibling, one.parentElement].filter(Boolean);
    const look = () => parts.map(part => {
        const {outline, boxShadow, stroke, strokeWidth, backgroundColor, borderColor} = getComputedStyle(part);
        return [outline, boxShadow, stroke, strokeWidth, backgroundColor, borderColor].join();
    }).join() + one.closest('svg')?.innerHTML;
    const focused = look();
    one.blur();
    const blurred = look();
    one.focus();
    return [name(one), String(focused !== blurred)];
";

/// Asserts that a screen reader finds the parts of the page by their names.
fn check_names(look: &Look) {
    let found = look.accessible();
    let of = |role: &str| found.iter().filter(|(of, _)| of == role).map(|(_, name)| name.as_str()).collect::<Vec<_>>();
    for landmark in ["main", "banner", "contentinfo"] {
        assert_eq!(of(landmark).len(), 1, "{landmark}: {found:?}");
    }
    assert_eq!(of("status").len(), 1, "one live region");
    let headings = of("heading");
    for heading in [
        "The last hour",
        "Latest insight",
        "Who logs in",
        "Alerts",
        "Dead letters",
        "Windows",
        "How far each partition is",
        "Replicas",
        "Exactly once",
    ] {
        assert!(headings.contains(&heading), "{heading}: {headings:?}");
    }
    for role in ["button", "combobox", "radio", "link", "table", "figure", "region", "group", "image", "columnheader"] {
        let nameless = of(role).iter().filter(|name| name.trim().is_empty()).count();
        let may_be_nameless = matches!(role, "figure" | "group");
        assert!(nameless == 0 || may_be_nameless, "{nameless} of role {role} have no name: {:?}", of(role));
    }
    assert!(of("table").len() >= 3, "{:?}", of("table"));
    // Each plot describes its content in words, and the map describes each state.
    let captions = look
        .texts("return [...document.querySelectorAll('[data-testid^=plot-] figcaption')].map(one => one.textContent)");
    assert!(captions.len() == 4 && captions.iter().all(|caption| caption.len() > 20), "{captions:?}");
    let states = found.iter().filter(|(_, name)| name.contains("Rhode Island") || name.contains("California")).count();
    assert!(states >= 2, "states are told by name");
}

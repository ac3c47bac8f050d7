//! Reads from a page what it shows: texts, exact values, names, colours.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use testkit::{browser::Browser, wait_for};

use crate::support::BOUND;

/// Records everything that a page of this project must not do, before the page's own scripts run.
const WATCH: &str = "
    window.problems = [];
    addEventListener('error', event => problems.push(`error: ${event.message ?? event.target.src}`), true);
    addEventListener('unhandledrejection', event => problems.push(`rejection: ${event.reason}`));
    addEventListener('securitypolicyviolation', event => problems.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
";

/// A browser with one page.
pub struct Look {
    pub browser: Browser,
}

impl Look {
    pub fn at(url: &str) -> Self {
        Self::opened(url, "live")
    }

    /// Opens a page and waits until it shows numbers and this health.
    pub fn opened(url: &str, health: &str) -> Self {
        let look = Self { browser: Browser::start().unwrap() };
        look.browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({"source": WATCH})).unwrap();
        look.open_as(url, health);
        look
    }

    pub fn open(&self, url: &str) {
        self.open_as(url, "live");
    }

    /// Opens another address of the page, and waits for this health.
    pub fn open_as(&self, url: &str, health: &str) {
        self.browser.open(url).unwrap();
        self.await_value("health", health);
    }

    pub fn run(&self, script: &str) -> Value {
        self.browser.run(script).unwrap()
    }

    /// The result of a function body: a list of texts.
    pub fn texts(&self, script: &str) -> Vec<String> {
        serde_json::from_value(self.run(script)).unwrap()
    }

    /// The exact values that the page shows, by test id; the first one of several.
    pub fn values(&self) -> BTreeMap<String, String> {
        let shown = self.run(
            "const values = {};
             for (const element of document.querySelectorAll('[data-testid][data-value]')) {
                 values[element.dataset.testid] ??= element.dataset.value;
             }
             values.time = document.body.dataset.value ?? '';
             return values;",
        );
        serde_json::from_value(shown).unwrap()
    }

    /// The exact value that the page shows.
    pub fn value(&self, id: &str) -> String {
        self.values().remove(id).unwrap_or_default()
    }

    /// Waits until the page shows this value.
    pub fn await_value(&self, id: &str, expected: &str) {
        wait_for(&format!("{id} that is {expected}"), BOUND, || (self.value(id) == expected).then_some(()));
    }

    /// Waits until the page shows a later view than this one.
    pub fn await_later(&self, than: &str) {
        wait_for("a later view", Duration::from_secs(20), || {
            let time = self.value("time");
            (time.parse::<i64>().ok()? > than.parse::<i64>().unwrap_or_default()).then_some(())
        });
    }

    /// All text that a reader may see: texts, names, descriptions, titles.
    pub fn all_text(&self) -> String {
        self.run("return document.documentElement.outerHTML").as_str().unwrap().to_owned()
    }

    /// Errors and refused requests.
    pub fn problems(&self) -> Vec<String> {
        self.texts("return window.problems")
    }

    /// The resources that the page has loaded.
    pub fn loaded(&self) -> Vec<String> {
        self.texts("return performance.getEntries().filter(entry => entry.name.includes(':')).map(entry => entry.name)")
    }

    /// Sets the system's preference: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.browser.devtools("Emulation.setEmulatedMedia", &media).unwrap();
    }

    /// The elements that a screen reader finds: the role and name of each.
    pub fn accessible(&self) -> Vec<(String, String)> {
        self.browser.devtools("Accessibility.enable", &json!({})).unwrap();
        let tree = self.browser.devtools("Accessibility.getFullAXTree", &json!({})).unwrap();
        let text = |node: &Value, what: &str| node[what]["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != true);
        nodes.map(|node| (text(node, "role"), text(node, "name"))).collect()
    }
}

//! A look at a page, by what it shows: texts, exact values, names, colours.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use testkit::{browser::Browser, wait_for};

use crate::support::BOUND;

/// Notes what no page of ours does, before any of its own scripts runs.
const WATCH: &str = "
    window.problems = [];
    addEventListener('error', event => problems.push(`error: ${event.message ?? event.target.src}`), true);
    addEventListener('unhandledrejection', event => problems.push(`rejection: ${event.reason}`));
    addEventListener('securitypolicyviolation', event => problems.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
";

/// A browser that looks at one page.
pub struct Look {
    pub browser: Browser,
}

impl Look {
    /// Opens a page and waits until it shows numbers.
    pub fn at(url: &str) -> Self {
        Self::opened(url, "live")
    }

    /// Opens a page and waits until it shows numbers, and this as health.
    pub fn opened(url: &str, health: &str) -> Self {
        let look = Self { browser: Browser::start().unwrap() };
        look.browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({"source": WATCH})).unwrap();
        look.open_as(url, health);
        look
    }

    /// Goes to another address of the page.
    pub fn open(&self, url: &str) {
        self.open_as(url, "live");
    }

    /// Goes to another address of the page, which shows this as health.
    pub fn open_as(&self, url: &str, health: &str) {
        self.browser.open(url).unwrap();
        self.await_value("health", health);
    }

    /// Runs the body of a function in the page.
    pub fn run(&self, script: &str) -> Value {
        self.browser.run(script).unwrap()
    }

    /// What a function's body returns: a list of texts.
    pub fn texts(&self, script: &str) -> Vec<String> {
        serde_json::from_value(self.run(script)).unwrap()
    }

    /// The exact values that are shown, by their test ids; of several the first.
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

    /// The exact value that is shown.
    pub fn value(&self, id: &str) -> String {
        self.values().remove(id).unwrap_or_default()
    }

    /// Waits until this is shown.
    pub fn await_value(&self, id: &str, expected: &str) {
        wait_for(&format!("{id} that is {expected}"), BOUND, || (self.value(id) == expected).then_some(()));
    }

    /// Waits until a view is shown that is later than this one.
    pub fn await_later(&self, than: &str) {
        wait_for("a later view", Duration::from_secs(20), || {
            let time = self.value("time");
            (time.parse::<i64>().ok()? > than.parse::<i64>().unwrap_or_default()).then_some(())
        });
    }

    /// Everything that a reader may come to see: texts, names, descriptions, titles.
    pub fn all_text(&self) -> String {
        self.run("return document.documentElement.outerHTML").as_str().unwrap().to_owned()
    }

    /// What went wrong, or was refused.
    pub fn problems(&self) -> Vec<String> {
        self.texts("return window.problems")
    }

    /// What the page has loaded.
    pub fn loaded(&self) -> Vec<String> {
        self.texts("return performance.getEntries().filter(entry => entry.name.includes(':')).map(entry => entry.name)")
    }

    /// What the system asks for: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.browser.devtools("Emulation.setEmulatedMedia", &media).unwrap();
    }

    /// What a screen reader finds: role and name of each.
    pub fn accessible(&self) -> Vec<(String, String)> {
        self.browser.devtools("Accessibility.enable", &json!({})).unwrap();
        let tree = self.browser.devtools("Accessibility.getFullAXTree", &json!({})).unwrap();
        let text = |node: &Value, what: &str| node[what]["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != true);
        nodes.map(|node| (text(node, "role"), text(node, "name"))).collect()
    }
}

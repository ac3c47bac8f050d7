//! The operator's page in a browser: what a person sees of pipelines, and does by keyboard and address.

use crds::pipeline::ConditionStatus::True;
use serde_json::json;
use testkit::{browser::Browser, wait_for};
use tokio::runtime::Handle;

use crate::support::{BOUND, EXAMPLE, running};

/// Waits until a script returns this text.
fn wait_said(browser: &Browser, script: &str, expected: &str) {
    let seen = || (browser.run(script).unwrap() == expected).then_some(());
    wait_for(&format!("{expected:?} of {script}"), BOUND, seen);
}

/// Names and states in list order.
const ROWS: &str = "return [...document.querySelectorAll('[data-testid=pipeline]')]\
    .map((row) => `${row.querySelector('a').textContent} ${row.dataset.state}`).join()";

/// What the address opens, and what has the focus.
const PLACE: &str = "return `${new URLSearchParams(location.search).get('open')} ${document.activeElement.id}`";

/// The reasons of the displayed Events, without duplicates.
const EVENTS: &str = "return [...new Set([...document.querySelectorAll('[data-testid=event] .tag')]\
    .map((tag) => tag.textContent))].filter((reason) => ['Running', 'Conflict'].includes(reason)).join()";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_pipelines_change_and_opens_one() {
    let (world, operator, _cluster) = running().await;
    world.apply(&EXAMPLE.replace("name: logins", "name: others")).unwrap();
    world.wait_condition("others", "Stalled", True, "Conflict").await;
    let open = format!("{}/logins", world.namespace);
    // The browser blocks, and must be dropped where blocking is allowed.
    tokio::task::block_in_place(|| {
        let browser = Browser::start().unwrap();
        browser.open(&operator.url()).unwrap();
        // Pipelines in trouble come first.
        wait_said(&browser, ROWS, "others stalled,logins ready");

        // With the keyboard alone.
        browser.run("document.querySelectorAll('[data-testid=pipeline] a')[1].focus()").unwrap();
        browser.press("Enter", 13).unwrap();
        wait_said(&browser, PLACE, &format!("{open} opened-title"));
        wait_said(&browser, "return `${document.querySelectorAll('[data-testid=condition]').length}`", "8");
        wait_said(&browser, EVENTS, "Running");

        // Changes appear by themselves, in an opened pipeline and in the list.
        Handle::current().block_on(world.change("logins", json!({"suspend": true})));
        wait_said(&browser, "return document.querySelector('[data-testid=opened-state]').textContent", "Paused");
        browser.press("Escape", 27).unwrap();
        wait_said(&browser, PLACE, &format!("null open-{open}"));
        wait_said(&browser, ROWS, "others stalled,logins paused");
        // A choice is in the address, and the address restores the choice.
        browser.run("document.querySelector('[data-testid=choose-state] [data-state=paused]').click()").unwrap();
        wait_said(&browser, ROWS, "logins paused");
        wait_said(&browser, "return location.search", "?state=paused");
        browser.reload().unwrap();
        wait_said(&browser, ROWS, "logins paused");
        browser.open(&format!("{}?q=conflict", operator.url())).unwrap();
        wait_said(&browser, ROWS, "others stalled");

        // Without a pipeline the page says how to create one; without an operator, that there is none.
        world.delete("loginpipeline", "logins").unwrap();
        world.delete("loginpipeline", "others").unwrap();
        let empty = "const box = document.querySelector('[data-testid=empty]');\
            return box.hidden ? '' : box.querySelector('pre').textContent";
        wait_said(&browser, empty, "kubectl apply -f examples/pipeline.yaml");
        drop(operator);
        wait_said(&browser, "return document.querySelector('[data-testid=health]').dataset.value", "lost");
    });
}

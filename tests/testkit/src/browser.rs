//! A headless Chromium with its own profile, controlled through chromedriver. It ends with its value, or with the test.
//!
//! Chromium and chromedriver are sibling processes, each with its guardian: a browser that chromedriver starts would
//! outlive a killed chromedriver.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use url::{ParseError, Url};

use crate::port::Port;
use crate::process::{Folder, Process, Program};
use crate::wait::poll;
use crate::{Error, cache};

/// The time limit for Chromium and chromedriver to start: it takes a second or two, or many more on a busy machine.
const START: Duration = Duration::from_secs(90);

/// The time limit for one command.
const COMMAND: Duration = Duration::from_secs(60);

/// Flags for a browser without a window that makes no requests by itself.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--log-level=3",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-port=0",
];

/// A browser with one page.
pub struct Browser {
    runtime: Runtime,
    client: Client,
    _driver: Process,
    _chromium: Process,
    _port: Port,
}

impl Browser {
    /// Starts a browser.
    ///
    /// # Errors
    /// When Chromium or chromedriver cannot be installed or do not start: then with the end of a log.
    pub fn start() -> Result<Self, Error> {
        let cache::Browser { chromium, chromedriver } = cache::browser()?;
        let folder = Folder::new("browser")?;
        let profile = folder.path().join("profile");
        let mut chromium = Program::new("chromium", chromium)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .spawn(&folder)?;
        let address = debugged_at(&mut chromium, &profile)?;
        let port = Port::claim();
        let mut driver =
            Program::new("chromedriver", chromedriver).arg(format!("--port={}", port.number)).spawn(&folder)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Error::io("cannot make a runtime"))?;
        let client = connect(&runtime, &mut driver, port.number, &address)?;
        Ok(Self { runtime, client, _driver: driver, _chromium: chromium, _port: port })
    }

    /// Opens an address, and returns when the page is loaded.
    ///
    /// # Errors
    /// [`Error::Browser`]
    pub fn open(&self, url: &str) -> Result<(), Error> {
        self.bounded(&format!("open {url}"), self.client.goto(url))
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// [`Error::Browser`]
    pub fn reload(&self) -> Result<(), Error> {
        self.bounded("reload", self.client.refresh())
    }

    /// Runs the body of a function in the page, and returns its result.
    ///
    /// # Errors
    /// [`Error::Browser`], with the exception that it throws.
    pub fn run(&self, script: &str) -> Result<Value, Error> {
        self.bounded(script, self.client.execute(script, Vec::new()))
    }

    /// Runs a command of the Chrome DevTools protocol.
    ///
    /// # Errors
    /// [`Error::Browser`]
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<Value, Error> {
        let request = DevTools(json!({"cmd": command, "params": parameters}));
        self.bounded(command, self.client.issue_cmd(request))
    }

    /// Presses and releases a key, such as `Tab` or `Enter`, by its name in DOM and its code.
    ///
    /// # Errors
    /// [`Error::Browser`]
    pub fn press(&self, key: &str, code: u32) -> Result<(), Error> {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.devtools("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// A screenshot of the page, as a PNG.
    ///
    /// # Errors
    /// [`Error::Browser`]
    pub fn screenshot(&self) -> Result<Vec<u8>, Error> {
        self.bounded("take a picture", self.client.screenshot())
    }

    /// Sets the page's size, in CSS pixels.
    ///
    /// # Errors
    /// [`Error::Browser`]
    pub fn resize(&self, width: u32, height: u32) -> Result<(), Error> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    fn bounded<T, E: fmt::Display>(&self, what: &str, command: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(COMMAND, command).await });
        let failed = |problem: String| Error::Browser { what: what.to_owned(), problem };
        answer.map_err(|_| failed(format!("no answer within {COMMAND:?}")))?.map_err(|error| failed(error.to_string()))
    }
}

/// The address for debugging Chromium, once its profile names it.
fn debugged_at(chromium: &mut Process, profile: &Path) -> Result<String, Error> {
    let port = profile.join("DevToolsActivePort");
    let started = poll(START, || match chromium.check_running() {
        Err(error) => Some(Err(error)),
        Ok(()) => {
            let text = fs::read_to_string(&port).ok()?;
            // The second line exists only once the first is complete.
            let (number, _) = text.split_once('\n')?;
            Some(Ok(format!("127.0.0.1:{number}")))
        }
    });
    started.unwrap_or_else(|| Err(late("Chromium", chromium)))
}

/// Begins a session once chromedriver accepts one.
fn connect(runtime: &Runtime, driver: &mut Process, port: u16, address: &str) -> Result<Client, Error> {
    let capabilities = json!({"goog:chromeOptions": {"debuggerAddress": address}});
    let capabilities = capabilities.as_object().cloned().unwrap_or_default();
    let mut builder = ClientBuilder::new(HttpConnector::new());
    builder.capabilities(capabilities);
    let connected = poll(START, || match driver.check_running() {
        Err(error) => Some(Err(error)),
        Ok(()) => runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}"))).ok().map(Ok),
    });
    connected.unwrap_or_else(|| Err(late("chromedriver", driver)))
}

fn late(name: &str, process: &Process) -> Error {
    let detail = format!("; the end of its log:\n{}", process.shown());
    Error::Timeout { what: format!("the start of {name}"), bound: START, detail }
}

/// chromedriver's endpoint for the DevTools protocol.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}

//! The pictures in docs/pictures: the live page of `processor local examples/demo.yaml`, in headless Chromium.
//!
//! `make pictures` builds what this runs, and makes the files smaller afterwards.

use std::{env, error, fs, path::Path, thread, time::Duration};

use testkit::{
    browser::Browser,
    process::{Folder, Process, Program},
    wait_for,
};

/// For the replicas to start, and to close windows of what happened before.
const START: Duration = Duration::from_secs(120);

/// How long the pipeline runs first, so that the plots show what is usual: far longer than its beginning.
const RUN: Duration = Duration::from_secs(150);

/// For the page to show what it is given.
const SHOWN: Duration = Duration::from_secs(3);

/// A picture: its name, the width of the page, its address behind the pipeline's, and the section that it ends above; without
/// one it is of the whole page.
const PICTURES: [(&str, u32, &str, Option<&str>); 4] = [
    ("page", 1280, "?theme=light&span=5m", Some("insight-title")),
    ("page-dark", 1280, "?theme=dark&span=5m", Some("insight-title")),
    ("page-tablet", 834, "?theme=light&span=5m&reason=missing-field", None),
    ("page-phone", 390, "?theme=dark&span=5m", Some("alerts-title")),
];

/// Takes them all.
///
/// # Errors
/// When the demo or the browser does not start, or a picture cannot be written.
pub fn take_all() -> Result<(), Box<dyn error::Error>> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = Folder::new("pictures")?;
    let pipeline = start(&project, &folder)?;
    let url = wait_for("the page", START, || address(&pipeline.log()));
    let browser = Browser::start()?;
    browser.open(&url)?;
    wait_for("a closed window", START, || closed(&browser));
    thread::sleep(RUN);
    for (name, width, query, end) in PICTURES {
        let picture = take(&browser, &format!("{url}{query}"), width, end)?;
        fs::write(project.join(format!("docs/pictures/{name}.png")), picture)?;
    }
    Ok(())
}

/// The demo, from the binary that was built beside this one.
fn start(project: &Path, folder: &Folder) -> Result<Process, Box<dyn error::Error>> {
    let task = env::current_exe()?;
    let built = task.parent().ok_or("a binary is in a folder of the build's")?;
    let options = ["--since", "10m", "--rate", "500", "--listen", "127.0.0.1:0"];
    let program = Program::new("processor", built.join("processor")).arg("local");
    Ok(program.arg(project.join("examples/demo.yaml")).args(options).spawn(folder)?)
}

/// Where the page is, once the log says so.
fn address(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("http://")?;
    let (address, _) = rest.split_once('/')?;
    Some(format!("http://{address}/"))
}

fn closed(browser: &Browser) -> Option<()> {
    let count = "return document.querySelector('[data-testid=total-windows-closed]').dataset.value";
    let closed: u64 = browser.run(count).ok()?.as_str()?.parse().ok()?;
    (closed > 0).then_some(())
}

/// The page at an address, as wide as this and as high as it is down to where the picture ends.
fn take(browser: &Browser, url: &str, width: u32, end: Option<&str>) -> Result<Vec<u8>, Box<dyn error::Error>> {
    browser.resize(width, 900)?;
    browser.open(url)?;
    thread::sleep(SHOWN);
    let height = match end {
        Some(title) => format!("document.getElementById('{title}').closest('section').getBoundingClientRect().top"),
        None => "document.documentElement.scrollHeight".to_owned(),
    };
    let height = browser.run(&format!("return Math.floor({height})"))?;
    browser
        .resize(width, height.as_u64().and_then(|height| u32::try_from(height).ok()).ok_or("a page has a height")?)?;
    // A picture of a part is not scrolled by anybody.
    browser.run("document.documentElement.style.overflow = 'hidden'")?;
    thread::sleep(SHOWN);
    Ok(browser.screenshot()?)
}

//! Assembles each page into the one file that is embedded: `page.html` with its styles, its scripts (one module, in
//! reading order) and the outlines of the states.

use std::{env, fs, io, path::Path};

const REPLICA: Page = Page {
    folder: "replica",
    styles: &["uplot.css", "../common.css", "page.css"],
    scripts: &[
        "uplot.js",
        "js/words.js",
        "js/dom.js",
        "js/choices.js",
        "js/plots.js",
        "js/map.js",
        "js/insight.js",
        "js/sections.js",
        "js/live.js",
    ],
    outlines: &["states.svg"],
};

const PIPELINES: Page = Page {
    folder: "pipelines",
    styles: &["../common.css", "page.css"],
    scripts: &["js/states.js", "js/dom.js", "js/choices.js", "js/known.js", "js/list.js", "js/opened.js", "js/live.js"],
    outlines: &[],
};

struct Page {
    folder: &'static str,
    styles: &'static [&'static str],
    scripts: &'static [&'static str],
    outlines: &'static [&'static str],
}

impl Page {
    /// Leaves the placeholder `{{nonce}}`, which the server replaces in each response.
    fn assemble(&self) -> io::Result<String> {
        let read = |name: &str| fs::read_to_string(Path::new(self.folder).join(name));
        let mut page = read("page.html")?;
        for (placeholder, parts) in
            [("{{style}}", self.styles), ("{{script}}", self.scripts), ("{{states}}", self.outlines)]
        {
            let text = parts.iter().map(|part| read(part)).collect::<io::Result<String>>()?;
            page = page.replace(placeholder, &text);
        }
        Ok(page)
    }
}

fn main() -> io::Result<()> {
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR for build scripts"))?;
    println!("cargo::rerun-if-changed=common.css");
    for page in [REPLICA, PIPELINES] {
        println!("cargo::rerun-if-changed={}", page.folder);
        fs::write(Path::new(&out).join(page.folder).with_extension("html"), page.assemble()?)?;
    }
    Ok(())
}

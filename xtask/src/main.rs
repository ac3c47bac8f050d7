//! `cargo run -p xtask -- commands|resource|pictures`: the targets of the Makefile that write pages and pictures anew.

use std::{
    error::Error,
    io::{Write, stdout},
};

use clap::Parser;

/// Writes pages and pictures anew from what they show
#[derive(Parser)]
enum Task {
    /// Print docs/commands.md, from the definition of both command lines
    Commands,
    /// Print docs/resource.md, from the definition of the resource
    Resource,
    /// Take the pictures in docs/pictures, in headless Chromium
    Pictures,
}

fn main() -> Result<(), Box<dyn Error>> {
    let page = match Task::parse() {
        Task::Commands => xtask::commands::page(),
        Task::Resource => xtask::resource::page()?,
        Task::Pictures => return xtask::pictures::take_all(),
    };
    Ok(stdout().lock().write_all(page.as_bytes())?)
}

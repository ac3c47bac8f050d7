//! A node on this machine until standard input ends, with the archives of images that are named loaded: a cluster to try
//! things on where there is no docker. It takes Linux and root.
//!
//! `scripts/images && cargo run -p testkit --example node target/images/*.tar`

use std::io::{Read, stdin};
use std::path::Path;

use testkit::Error;
use testkit::node::Node;

#[expect(clippy::print_stdout, reason = "what is to be typed next")]
fn main() -> Result<(), Error> {
    let node = Node::start()?;
    for archive in std::env::args_os().skip(1) {
        node.load(Path::new(&archive))?;
    }
    println!("export KUBECONFIG={}", node.kubeconfig().display());
    println!("# this machine, for pods: {}; the node goes when this command's input ends (Ctrl-D)", node.address());
    // An input that cannot be read has ended.
    let _ = stdin().read_to_end(&mut Vec::new());
    Ok(())
}

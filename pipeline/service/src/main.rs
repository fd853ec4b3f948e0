//! The `muster` command.

use std::path::Path;

use anyhow::{Result, bail};
use muster::adapters::qemu;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--config", config, "job", qemu::KIND, folder] => {
            let settings = muster::config::Settings::read(Some(Path::new(config)))?;
            qemu::job(Path::new(folder), &settings.cloudlet).await
        }
        ["job", "imds", folder] => qemu::imds(Path::new(folder)),
        _ => bail!("usage: muster --config FILE job KIND FOLDER"),
    }
}

//! `muster kickstart`: what people use `ksflatten` for.

use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_definition::Files;
use muster_definition::kickstart::{self, Flat, Syntax};
use serde_json::json;

use super::call::{Ending, Failure, Format};
use super::output;
use crate::job::write_whole;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Write a kickstart with everything it includes as one text.
    #[command(after_help = "\
Examples:
  muster kickstart flatten kickstarts/cloud-base.ks --version F43
  muster kickstart flatten kickstarts/container-base.ks --version F43 -o flat.ks

Includes are read from this folder, or from beside the file that names them. Warnings go to standard error. An error names the file, the line and what to write instead.")]
    Flatten {
        /// The kickstart.
        file: PathBuf,
        /// The release whose syntax it is written in, such as F43 or RHEL10.
        #[arg(long, short = 'v', visible_alias = "release")]
        version: String,
        /// Where to write it; standard output when it is not given.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

pub fn run(args: &Args, format: Format) -> Result<Ending, Failure> {
    let What::Flatten { file, version, output } = &args.what;
    let syntax: Syntax = version.parse().map_err(|error| {
        Failure::refused(
            format!("{error}"),
            "Say which release's syntax it is with --version, such as --version F43.",
        )
    })?;
    let flat = flatten(file, syntax)?;
    if format == Format::Words {
        for warning in &flat.warnings {
            eprintln!("warning: {}", output::plain(&warning.to_string()));
        }
    }
    if let Some(path) = output {
        let whole = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let path = if whole.is_some() { path.clone() } else { Path::new(".").join(path) };
        write_whole(&path, flat.text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    match (format, output) {
        (Format::Json, _) => {
            output::json(&json!({ "text": flat.text, "warnings": flat.warnings, "files": flat.files }))?;
        }
        (Format::Words, None) => output::write(&flat.text)?,
        (Format::Words, Some(_)) => {}
    }
    Ok(Ending::Done)
}

fn flatten(file: &Path, syntax: Syntax) -> Result<Flat, Failure> {
    if !file.exists() {
        let what = format!("there is no file {}", file.display());
        return Err(Failure::not_found(what, "Check the path of the kickstart."));
    }
    kickstart::flatten(&file.to_string_lossy(), &Files::from("."), syntax).map_err(|error| {
        let next = "Mend the line and try again; `--version` says which release's syntax it is read in.";
        Failure::refused(output::plain(&error.to_string()), next)
    })
}

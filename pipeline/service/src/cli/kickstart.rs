//! `muster kickstart`: what people use `ksflatten` for.

use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_definition::Directory;
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
  muster kickstart flatten fedora-cloud-base.ks --version F43
  muster kickstart flatten images/cloud.ks --root . --version F43 -o flat.ks

Warnings go to standard error. An error names the file, the line and what to write instead.")]
    Flatten {
        /// The kickstart.
        file: PathBuf,
        /// The release whose syntax it is written in, such as F43 or RHEL10.
        #[arg(long, short = 'v', visible_alias = "release")]
        version: String,
        /// Where to write it; standard output when it is not given.
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// The folder that includes may reach; the file's own when it is not given.
        #[arg(long)]
        root: Option<PathBuf>,
    },
}

pub fn run(args: &Args, format: Format) -> Result<Ending, Failure> {
    let What::Flatten { file, version, output, root } = &args.what;
    let syntax: Syntax = version.parse().map_err(|error| {
        Failure::refused(
            format!("{error}"),
            "Say which release's syntax it is with --version, such as --version F43.",
        )
    })?;
    let flat = flatten(file, root.as_deref(), syntax)?;
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

fn flatten(file: &Path, root: Option<&Path>, syntax: Syntax) -> Result<Flat, Failure> {
    let parent = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = root.unwrap_or(parent);
    let below = |path: &Path| -> Option<PathBuf> {
        let (root, path) = (root.canonicalize().ok()?, path.canonicalize().ok()?);
        path.strip_prefix(root).ok().map(Path::to_owned)
    };
    let path = below(file).ok_or_else(|| {
        if file.exists() {
            Failure::refused(
                format!("{} does not lie below {}", file.display(), root.display()),
                "Name a folder that holds it and all it includes with --root.",
            )
        } else {
            Failure::not_found(
                format!("there is no file {}", file.display()),
                "Check the path of the kickstart.",
            )
        }
    })?;
    kickstart::flatten(&path.to_string_lossy(), &Directory::new(root), syntax).map_err(|error| {
        let next = "The line of the kickstart is named above; includes are read below --root only.";
        Failure::refused(output::plain(&error.to_string()), next)
    })
}

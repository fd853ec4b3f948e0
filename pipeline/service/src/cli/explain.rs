//! `muster explain`: what a message would do, and why, without doing it.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::call::{Call, Ending, Failure};
use crate::planner;
use crate::sources::Sources;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  fedora-messaging record --limit 1 message.json && muster explain message.json
  muster explain - < message.json

The message is a JSON object with topic and body, and with id and headers if it has them, as
fedora-messaging records it: one message, not several lines.")]
pub struct Args {
    /// The message; - reads it from standard input.
    #[arg(value_name = "MESSAGE.json")]
    message: PathBuf,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let dump = if args.message.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        std::fs::read_to_string(&args.message).map_err(|error| unreadable(&args.message, &error))?
    };
    let store = call.store().await?;
    let sources = Sources::new(&call.settings, call.clock.clone())?;
    let knowledge = planner::knowledge(&store, &sources).await?;
    let positions = store.positions().await?;
    let open = store.open_candidates().await?;
    let bus = call.settings.bus.as_ref();
    let explanation = sources.intake.explain(&dump, bus, (&knowledge, &positions), &open).await;
    let explanation = explanation.map_err(|error| match error.downcast_ref::<serde_json::Error>() {
        Some(_) => Failure::refused(
            format!("{error:#}"),
            "Give the message as fedora-messaging dumps it; `muster explain --help` shows an example.",
        ),
        None => Failure::Other(error),
    })?;
    call.say(explanation.to_string().trim_end(), &explanation)?;
    Ok(Ending::Done)
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    let what = format!("cannot read {}: {error}", file.display());
    let next = "Name a file that holds the message and that you may read, or - for standard input.";
    if error.kind() == ErrorKind::NotFound {
        return Failure::not_found(what, next);
    }
    Failure::refused(what, next)
}

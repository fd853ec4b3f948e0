//! `muster status`: what is on its way, what is stuck, what is published.

use std::fmt::Write;

use serde::Serialize;

use super::call::{Call, Ending, Failure};
use super::output;
use crate::store::lines::Line;
use crate::story::Brief;
use crate::story::service::{ONCE_STARTED, Service};
use crate::story::source::Sources;
use crate::story::wait::{MUSTER, Wait};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster status
  muster status --finished 50
  muster status --json | jq '.waits[] | select(.who != \"Muster, by itself\")'")]
pub struct Args {
    /// How many finished candidates are listed, the newest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    finished: u32,
    /// List every candidate that has finished.
    #[arg(long, conflicts_with = "finished")]
    all: bool,
}

/// The shape of `--json`.
#[derive(Serialize)]
struct Status {
    /// Whether the service is at work, without which nothing goes on.
    service: Service,
    /// Candidates on their way, newest first.
    open: Vec<Brief>,
    /// The newest finished candidates.
    finished: Vec<Brief>,
    /// How many more have finished.
    more_finished: usize,
    /// Everything that is waited for.
    waits: Vec<Wait>,
    /// How many messages could not be understood.
    parked: usize,
    /// Where changes come from, and how much the bus lost.
    sources: Sources,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let teller = call.teller().await?;
    let limit = if args.all { u32::MAX } else { args.finished };
    let newest = teller.store.open_lines().await?.into_iter().rev();
    // That it is over is recorded by the service, which may not run.
    let (mut finished, open): (Vec<Line>, Vec<Line>) =
        newest.partition(|line| line.candidate.stage().is_finished());
    let all_finished = finished.len() + teller.store.finished_count().await?;
    finished.extend(teller.store.finished_lines(limit).await?);
    finished.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let status = Status {
        service: teller.service().await?,
        open: teller.briefs(&open).await?,
        finished: teller.briefs(&finished).await?,
        more_finished: all_finished.saturating_sub(finished.len()),
        waits: teller.waits().await?,
        parked: teller.store.parked().await?.len(),
        sources: teller.sources().await?,
    };
    call.say(words(&status).trim_end(), &status)?;
    Ok(Ending::Done)
}

fn words(status: &Status) -> String {
    let mut text = output::notice(&status.service);
    text.push_str(&section("On their way", &status.open, ""));
    let more = match status.more_finished {
        0 => String::new(),
        more => format!("  and {more} more: `muster status --all` lists them, `--finished NUMBER` so many\n"),
    };
    text.push_str(&section("Finished lately", &status.finished, &more));
    let is_stuck = |wait: &&Wait| wait.who != MUSTER && wait.who != ONCE_STARTED;
    let stuck: Vec<&Wait> = status.waits.iter().filter(is_stuck).collect();
    if !stuck.is_empty() {
        text.push_str("Somebody must act\n");
        for wait in stuck {
            let line = format!("{} {}: {} ({})", wait.candidate, wait.what, wait.why, wait.who);
            text.push_str(&output::wrap(&line, "  ", 100));
            text.push('\n');
        }
        text.push('\n');
    }
    if status.parked > 0 {
        let _ = writeln!(
            text,
            "{} could not be understood: see `muster parked`",
            crate::story::words::count(status.parked, "message")
        );
    }
    if !status.sources.sources.is_empty() {
        let _ = writeln!(text, "{}", status.sources.headline);
    }
    for source in &status.sources.sources {
        if let Some(fault) = &source.fault {
            let line = format!("{} was last read {}: {}", source.source, source.lag(), output::plain(fault));
            text.push_str(&output::wrap(&line, "  ", 100));
            text.push('\n');
        }
    }
    text
}

/// A part with its candidates, and a last line.
fn section(title: &str, briefs: &[Brief], last: &str) -> String {
    if briefs.is_empty() && last.is_empty() {
        return format!("{title}\n  none\n\n");
    }
    let mut text = format!("{title}\n");
    for brief in briefs {
        let stage = output::paint(brief.mark, &format!("{} {}", brief.mark.shape(), brief.word()));
        let id = output::plain(&brief.candidate);
        let _ = writeln!(text, "  {stage}  {id} ({}, {})", brief.purpose, brief.ages());
        text.push_str(&output::wrap(&brief.headline, "      ", 100));
        text.push('\n');
    }
    text.push_str(last);
    text.push('\n');
    text
}

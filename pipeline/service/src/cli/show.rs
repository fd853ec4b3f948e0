//! `muster show`: one candidate, from the change to the published image, in plain words.

use std::fmt::Write;

use super::call::{Call, Ending, Failure};
use super::{find, output};
use crate::story::timeline::{Chapter, Moment};
use crate::story::{Story, words};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster show cloud-base                     its newest candidate
  muster show cloud-base/43.20261121.0
  muster show cloud-base --json | jq -r .headline")]
pub struct Args {
    /// A candidate's id, or a recipe for its newest candidate.
    candidate: String,
}

/// How wide lines are.
const WIDTH: usize = 100;

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let teller = call.teller().await?;
    let candidate = find::candidate(&teller.store, &args.candidate).await?;
    let story = teller.story(&candidate).await?;
    let page = call.page(&story.brief.candidate);
    call.say(&tell(&story, &page), &story)?;
    Ok(Ending::Done)
}

fn tell(story: &Story, page: &str) -> String {
    let brief = &story.brief;
    let stage = output::paint(brief.mark, &format!("{} {}", brief.mark.shape(), brief.word()));
    let mut text = output::notice(&story.service);
    let _ =
        writeln!(text, "{}  {stage}  ({}, {})", output::plain(&brief.candidate), brief.purpose, brief.ages());
    text.push_str(&output::wrap(&brief.headline, "  ", WIDTH));
    let _ = write!(text, "\n\nNext\n{}", output::wrap(&story.next.what, "  ", WIDTH));
    let _ = writeln!(text, "\n  Who must act: {}", output::plain(&story.next.who));
    for command in &story.next.commands {
        let _ = writeln!(text, "    {}", output::plain(command));
    }
    if !story.waits.is_empty() {
        text.push_str("\nIt waits for\n");
        for wait in &story.waits {
            let until = wait.until.map(|at| format!("; given up at {}", words::time(at))).unwrap_or_default();
            let line = format!("{}: {} ({}{until})", wait.what, wait.why, wait.who);
            let _ = writeln!(text, "{}", output::wrap(&line, "  ", WIDTH));
        }
    }
    if let Some(blame) = &story.blame {
        let _ = writeln!(text, "\nWhat made it red\n{}", super::blame::tell(blame));
    }
    for chapter in &story.chapters {
        text.push_str(&told(chapter));
    }
    for image in &story.images {
        let _ = writeln!(
            text,
            "\n{} at {}\n  {}",
            output::plain(&image.name),
            image.destination,
            output::plain(&image.location)
        );
        if let Some(key) = image.fingerprint() {
            let _ = writeln!(text, "  The signature must be by the key {key}:");
        }
        for command in &image.verify {
            let _ = writeln!(text, "    {}", output::plain(command));
        }
    }
    let _ = write!(text, "\n{page}");
    text
}

fn told(chapter: &Chapter) -> String {
    let mut text = format!("\n{}  {}\n", chapter.name, output::mark(chapter.mark));
    for moment in &chapter.moments {
        text.push_str(&line(moment));
    }
    text
}

fn line(moment: &Moment) -> String {
    let at = moment.at.map_or_else(|| " ".repeat(19), words::time);
    let took = moment.took_s.map(|took| format!(" ({})", words::span(took))).unwrap_or_default();
    let shape = output::paint(moment.mark, moment.mark.shape());
    let mut text = format!("  {at}  {shape} {}{took}\n", output::plain(&moment.text));
    if !moment.note.trim().is_empty() {
        text.push_str(&output::wrap(moment.note.trim(), &" ".repeat(25), WIDTH + 25));
        text.push('\n');
    }
    // What stands in the note already is not said twice.
    for link in moment.links.iter().filter(|link| !moment.note.contains(&link.url)) {
        let _ =
            writeln!(text, "{}{}: {}", " ".repeat(25), output::plain(&link.text), output::plain(&link.url));
    }
    text
}

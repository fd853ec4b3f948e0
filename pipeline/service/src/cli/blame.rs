//! `muster blame`: what made a candidate red.

use std::fmt::Write;

use super::call::{Call, Ending, Failure};
use super::{find, output};
use crate::blame::{Begun, begin};
use crate::story::blame::Blame;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster blame cloud-base                    its newest candidate
  muster blame cloud-base/43.20261121.0
  muster blame cloud-base --json | jq -r '.suspects[] | select(.standing == \"accused\") | .what'

When nobody has asked yet, this asks: the service boots the red image again, and then builds and
boots the last good one with one half of what has changed and the other, at most as often as
`probes` in [blame] says, and only when nothing else wants to be built or booted.")]
pub struct Args {
    /// A candidate's id, or a recipe for its newest candidate.
    candidate: String,
}

/// How wide lines are.
const WIDTH: usize = 100;

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let teller = call.teller().await?;
    let candidate = find::candidate(&teller.store, &args.candidate).await?;
    let is_asked = teller.blame(&candidate).await?.is_some();
    if !is_asked {
        let person = call.person().await?;
        let begun = begin(&teller.store, &candidate, call.settings.blame.probes, Some(&person)).await?;
        if let Begun::Not(why) = begun {
            let next = format!("`muster show {}` says how it stands.", candidate.id);
            return Err(Failure::refused(why, next));
        }
    }
    let Some(blame) = teller.blame(&candidate).await? else {
        return Err(anyhow::anyhow!(
            "the inquiry into {} cannot be read: a newer Muster may have written it",
            candidate.id
        )
        .into());
    };
    let mut text = format!("{}\n{}", output::plain(&candidate.id.0), tell(&blame));
    if !is_asked {
        text.push_str("\nIt was asked for just now; `muster serve` must be running.");
    }
    call.say(&text, &blame)?;
    Ok(Ending::Done)
}

/// The inquiry in words: what was found, the suspects, the probes.
pub fn tell(blame: &Blame) -> String {
    let mut text = output::wrap(&blame.headline, "  ", WIDTH);
    let _ =
        writeln!(text, "\n  Red: {}. Good was {}.", output::plain(&blame.symptoms.join(", ")), blame.good);
    for suspect in &blame.suspects {
        let _ = writeln!(text, "  {}: {}", output::plain(&suspect.what), suspect.standing.words());
        for change in &suspect.changes {
            let _ = writeln!(text, "      {}", output::plain(change));
        }
    }
    for probe in &blame.probes {
        let shape = output::paint(probe.mark, probe.mark.shape());
        let line = format!("{}: {}: {}", probe.candidate, probe.boots, probe.shows);
        let _ = writeln!(text, "  {shape} {}", output::plain(&line));
    }
    for command in &blame.commands {
        let _ = writeln!(text, "    {}", output::plain(command));
    }
    text.trim_end().to_owned()
}

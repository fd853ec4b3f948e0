//! `muster waivers` and `muster unwaive`: which exceptions people made from the gate, and how one ends early.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use muster_flow::gate::{EarlyEnd, Waiver};
use muster_flow::wish;
use serde::Serialize;
use serde_json::json;

use super::call::{Call, Ending, Failure};
use super::output;
use crate::story::words;

/// How long a waiver that has ended is listed: long enough for whoever wonders why a test counts again.
const LATELY: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How much of an id is shown to people; `unwaive` takes as much as tells it from the others.
const SHORT: usize = 8;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster waivers
  muster waivers --recipe cloud-base
  muster waivers --json | jq -r '.waivers[] | select(.in_force) | .id'

Those that ended in the last 30 days are listed too.")]
pub struct Args {
    /// Only those of one recipe.
    #[arg(long)]
    recipe: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster unwaive hostname --recipe cloud-base --reason 'mended in 2.11'
  muster unwaive 3f2a9c41 --reason 'it was the wrong test'

The test counts again at once. A release that passed by the waiver and moves no pointer yet is judged anew.")]
pub struct UnwaiveArgs {
    /// The waiver's id, or as much of its beginning as tells it from others; or the smoketest it covers.
    waiver: String,
    /// The recipe it covers.
    #[arg(long)]
    recipe: Option<String>,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// A waiver, and how it stands.
#[derive(Clone, Debug, Serialize)]
struct Known {
    #[serde(flatten)]
    waiver: Waiver,
    /// When it was made.
    since: Timestamp,
    /// Whether it excepts anything now.
    in_force: bool,
}

impl Known {
    /// When it ended, or ends by itself.
    fn end(&self) -> Timestamp {
        self.waiver.ended.as_ref().map_or(self.waiver.expires, |end| end.at.min(self.waiver.expires))
    }

    /// What it covers: `hostname of cloud-base (every candidate, every cell)`.
    fn scope(&self) -> String {
        let Waiver { test, recipe, candidate, cell, .. } = &self.waiver;
        let candidate = candidate.as_deref().unwrap_or("every candidate");
        format!("{test} of {recipe} ({candidate}, {})", cell.as_deref().unwrap_or("every cell"))
    }

    fn short(&self) -> String {
        self.waiver.id.chars().take(SHORT).collect()
    }
}

pub async fn list(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let since = call.clock.now() - LATELY;
    let mut waivers = all(call, args.recipe.as_deref()).await?;
    waivers.retain(|known| known.in_force || known.end() >= since);
    call.say(told(&waivers).trim_end(), &json!({ "waivers": waivers }))?;
    Ok(Ending::Done)
}

pub async fn unwaive(call: &Call, args: UnwaiveArgs) -> Result<Ending, Failure> {
    if args.reason.trim().is_empty() {
        return Err(Failure::refused(
            "the end of a waiver needs a reason",
            "Say why with --reason: it is shown wherever the waiver is.",
        ));
    }
    let known = find(all(call, args.recipe.as_deref()).await?, &args.waiver)?;
    let now = call.clock.now();
    wish::may_unwaive(&known.waiver, now)
        .map_err(|why| Failure::refused(why, "`muster waivers` lists those that are in force."))?;
    let end = EarlyEnd { who: call.person().await?, why: args.reason, at: now };
    let (waiver, judged) = call.store().await?.unwaive(&known.waiver.id, end).await?;
    let then = if judged.is_empty() {
        "what is judged from now on is judged without it; verdicts that were given stay".to_owned()
    } else {
        let judged: Vec<String> = judged.iter().map(ToString::to_string).collect();
        format!("the gate speaks anew on {}", words::list(&judged))
    };
    let words = format!("{} is waived no more; {then}", known.scope());
    call.say(&output::plain(&words), &json!({ "waiver": waiver, "judged_anew": judged }))?;
    Ok(Ending::Done)
}

/// Every waiver, of one recipe or of all, newest first.
async fn all(call: &Call, recipe: Option<&str>) -> Result<Vec<Known>, Failure> {
    let now = call.clock.now();
    let all = call.store().await?.all_waivers().await?;
    let of_recipe = all.into_iter().filter(|(waiver, _)| recipe.is_none_or(|name| waiver.recipe == name));
    Ok(of_recipe.map(|(waiver, since)| Known { in_force: waiver.is_in_force(now), waiver, since }).collect())
}

/// The waiver that is meant. One that has ended is found only by its id, so that a test names the one that is in force.
fn find(waivers: Vec<Known>, name: &str) -> Result<Known, Failure> {
    let is_meant =
        |known: &Known| known.waiver.id.starts_with(name) || (known.in_force && known.waiver.test == name);
    let mut meant: Vec<Known> =
        waivers.into_iter().filter(|known| !name.is_empty() && is_meant(known)).collect();
    if let Some(at) = meant.iter().position(|known| known.waiver.id == name) {
        return Ok(meant.swap_remove(at));
    }
    match (meant.len(), meant.pop()) {
        (1, Some(known)) => Ok(known),
        (0, _) | (_, None) => Err(Failure::not_found(
            format!("no waiver {name} is in force"),
            "`muster waivers` lists them; name one by its id, or by the smoketest it covers.",
        )),
        (_, Some(last)) => {
            meant.push(last);
            let lines: Vec<String> =
                meant.iter().map(|known| format!("{}: {}", known.short(), known.scope())).collect();
            Err(Failure::refused(
                format!("{} waivers go by {name}", meant.len()),
                format!("Name one of them by its id, or its recipe with --recipe: {}.", words::list(&lines)),
            ))
        }
    }
}

fn told(waivers: &[Known]) -> String {
    let (in_force, ended): (Vec<&Known>, Vec<&Known>) = waivers.iter().partition(|known| known.in_force);
    let mut text = section("In force", &in_force);
    if !ended.is_empty() {
        text.push_str(&section("Ended lately", &ended));
    }
    if !in_force.is_empty() {
        text.push_str("`muster unwaive ID --reason '...'` ends one before it runs out\n");
    }
    text
}

fn section(title: &str, waivers: &[&Known]) -> String {
    if waivers.is_empty() {
        return format!("{title}\n  none\n\n");
    }
    let mut text = format!("{title}\n");
    for known in waivers {
        let Waiver { author, reason, ended, expires, .. } = &known.waiver;
        let scope = output::plain(&known.scope());
        let _ = writeln!(text, "  {}  {scope}", output::plain(&known.short()));
        let mut lines = vec![format!("by {author} since {}: {reason}", words::time(known.since))];
        lines.push(match ended {
            Some(end) => format!("ended early by {} on {}: {}", end.who, words::time(end.at), end.why),
            None if known.in_force => format!("until {}", words::time(*expires)),
            None => format!("ran out on {}", words::time(*expires)),
        });
        for line in lines {
            let _ = writeln!(text, "{}", output::wrap(&line, "            ", 100));
        }
    }
    text.push('\n');
    text
}

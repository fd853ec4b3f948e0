//! `muster hold` and `muster unhold`: a person keeps a candidate from being promoted, for now.

use muster_flow::candidate::{Candidate, Hold};
use muster_flow::wish;
use serde_json::json;

use super::call::{Call, Ending, Failure};
use super::{find, output};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  muster hold cloud-base/43.20261121.0 --reason 'wait for the announcement'\n\n\
It holds that candidate alone: newer ones of the recipe are not held."
)]
pub struct HoldArgs {
    /// A candidate's id, or a recipe for the newest on its way that would be published.
    candidate: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  muster unhold cloud-base/43.20261121.0")]
pub struct UnholdArgs {
    /// A candidate's id, or a recipe for the newest that is held.
    candidate: String,
}

pub async fn hold(call: &Call, args: &HoldArgs) -> Result<Ending, Failure> {
    let store = call.store().await?;
    let would_be_published = |candidate: &Candidate| candidate.purpose.is_published();
    let candidate = find::on_its_way(&store, &args.candidate, would_be_published).await?;
    let candidate = candidate.ok_or_else(|| {
        Failure::refused(
            format!("no candidate of {} that would be published is on its way", args.candidate),
            "Scratch candidates are never promoted, so only a release can be held; `muster status` lists what is \
             on its way.",
        )
    })?;
    let advice = "Only a release on its way can be held; `muster status` lists them.";
    if candidate.stage().is_finished() {
        let what = format!("{} is over: {}", candidate.id, candidate.stage().words());
        return Err(Failure::refused(what, advice));
    }
    wish::may_hold(&candidate).map_err(|why| Failure::refused(why, advice))?;
    let hold = Hold { who: call.person().await?, why: args.reason.clone() };
    let former = store.hold(&candidate.id, &hold).await?;
    let replaced = match &former {
        Some(former) => format!("\nIt takes the place of {}'s hold: {}", former.who, former.why),
        None => String::new(),
    };
    let words = format!(
        "{} ({}) is held: it goes on up to its promotion and waits there{}\nEnd it with `muster unhold {0}`",
        candidate.id,
        candidate.purpose.word(),
        output::plain(&replaced),
    );
    call.say(&words, &json!({ "candidate": candidate.id, "hold": hold, "replaced": former }))?;
    Ok(Ending::Done)
}

pub async fn unhold(call: &Call, args: &UnholdArgs) -> Result<Ending, Failure> {
    let store = call.store().await?;
    let is_held = |candidate: &Candidate| !candidate.decisions.holds.is_empty();
    let held = find::on_its_way(&store, &args.candidate, is_held).await?;
    let Some(candidate) = held.filter(is_held) else {
        return Err(Failure::refused(
            format!("nobody holds {}", args.candidate),
            format!("`muster show {}` says what it waits for.", args.candidate),
        ));
    };
    store.unhold(&candidate.id, &call.person().await?).await?;
    let words = format!("{} ({}) is held no more", candidate.id, candidate.purpose.word());
    call.say(&words, &json!({ "candidate": candidate.id }))?;
    Ok(Ending::Done)
}

//! `muster hold` and `muster unhold`: a person keeps a candidate from being promoted, for now.

use muster_flow::candidate::Hold;
use serde_json::json;

use super::call::{Call, Ending, Failure};
use super::find;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  muster hold cloud-base/43.20261121.0 --reason 'wait for the announcement'\n\n\
It holds that candidate alone: newer ones of the recipe are not held."
)]
pub struct HoldArgs {
    /// A candidate's id, or a recipe for its newest candidate.
    candidate: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  muster unhold cloud-base/43.20261121.0")]
pub struct UnholdArgs {
    /// A candidate's id, or a recipe for its newest candidate.
    candidate: String,
}

pub async fn hold(call: &Call, args: &HoldArgs) -> Result<Ending, Failure> {
    let store = call.store().await?;
    let candidate = find::candidate(&store, &args.candidate).await?;
    if candidate.stage().is_finished() {
        return Err(Failure::refused(
            format!("{} is over: {}", candidate.id, candidate.stage().words()),
            "Only a candidate on its way can be held; `muster status` lists them.",
        ));
    }
    let hold = Hold { who: call.person()?, why: args.reason.clone() };
    store.hold(&candidate.id, &hold).await?;
    let words = format!(
        "{} is held: it goes on up to its promotion and waits there\nEnd it with `muster unhold {0}`",
        candidate.id
    );
    call.say(&words, &json!({ "candidate": candidate.id, "hold": hold }))?;
    Ok(Ending::Done)
}

pub async fn unhold(call: &Call, args: &UnholdArgs) -> Result<Ending, Failure> {
    let store = call.store().await?;
    let candidate = find::candidate(&store, &args.candidate).await?;
    if candidate.decisions.holds.is_empty() {
        return Err(Failure::refused(
            format!("nobody holds {}", candidate.id),
            format!("`muster show {}` says what it waits for.", candidate.id),
        ));
    }
    store.unhold(&candidate.id, &call.person()?).await?;
    call.say(&format!("{} is held no more", candidate.id), &json!({ "candidate": candidate.id }))?;
    Ok(Ending::Done)
}

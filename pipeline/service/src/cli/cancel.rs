//! `muster cancel`: a person stops a candidate.

use serde_json::json;

use super::call::{Call, Ending, Failure};
use super::find;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  muster cancel cloud-base/43.20261121.0 --reason 'built from the wrong branch'"
)]
pub struct Args {
    /// The candidate's id.
    candidate: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let store = call.store().await?;
    let candidate = find::candidate(&store, &args.candidate).await?;
    if args.candidate.trim() != candidate.id.0 {
        return Err(Failure::refused(
            format!("{} names a recipe; a candidate is stopped by its full id", args.candidate),
            format!("The newest one is {}.", candidate.id),
        ));
    }
    let stage = candidate.stage_before_announcing();
    if stage.is_finished() {
        return Err(Failure::refused(
            format!("{} is over already: {}", candidate.id, stage.words()),
            "There is nothing to stop.",
        ));
    }
    let who = call.person().await?;
    store.cancel(&candidate.id, &who, &args.reason).await?;
    let words = format!("{} is stopped; what runs outside is ended and cleaned up", candidate.id);
    call.say(&words, &json!({ "candidate": candidate.id, "who": who, "why": args.reason }))?;
    Ok(Ending::Done)
}

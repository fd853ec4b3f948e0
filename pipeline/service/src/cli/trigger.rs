//! `muster trigger`: a person asks for a scratch candidate.

use muster_flow::change::{What, Wish};

use super::call::{Call, Ending, Failure};
use crate::planner;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  muster trigger cloud-base --reason 'prove the new builder'")]
pub struct Args {
    /// The recipe.
    recipe: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

pub async fn run(call: &Call, args: Args) -> Result<Ending, Failure> {
    let what = What::Requested {
        recipe: Some(args.recipe),
        stream: None,
        purpose: Wish::Scratch,
        reason: args.reason,
    };
    ask(call, what).await
}

/// Records a person's request, and says where to look.
pub async fn ask(call: &Call, what: What) -> Result<Ending, Failure> {
    let store = call.store().await?;
    let change = planner::request(what, &call.person()?, call.clock.now());
    store.ask(&change).await?;
    let words =
        format!("{}\nFollow it with `muster watch`; `muster serve` must be running.", change.summary());
    call.say(&words, &change)?;
    Ok(Ending::Done)
}

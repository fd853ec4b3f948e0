//! `muster trigger`: a person asks for a scratch candidate.

use std::fmt::Write;

use muster_flow::change::{Change, What, Wish};
use muster_flow::relevance::{self, Touch};
use serde_json::json;

use super::call::{Call, Ending, Failure};
use crate::planner;
use crate::sources::Sources;
use crate::store::Store;

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
    let person = call.person().await?;
    let change = planner::request(what, &person, call.clock.now());
    let outcome = match foresee(call, &store, &change, &person).await {
        Ok(touches) => touches.map_err(|why| Failure::not_found(why, "Nothing was asked for."))?,
        // The service may see what this command cannot.
        Err(error) => {
            tracing::warn!("what it will touch cannot be told from here: {error:#}");
            Vec::new()
        }
    };
    store.ask(&change).await?;
    let mut words = change.summary();
    for touch in &outcome {
        let _ = write!(words, "\n  {}: {}, for {}", touch.recipe, touch.purpose.candidate(), touch.why);
    }
    words.push_str("\nFollow it with `muster watch`; `muster serve` must be running.");
    call.say(&words, &json!({ "change": change, "touches": outcome }))?;
    Ok(Ending::Done)
}

/// What a request will touch, or why it touches nothing, as the service will weigh it.
async fn foresee(
    call: &Call,
    store: &Store,
    change: &Change,
    person: &str,
) -> anyhow::Result<Result<Vec<Touch>, String>> {
    let sources = Sources::new(&call.settings, call.clock.clone())?;
    let knowledge = planner::knowledge(store, &sources).await?;
    Ok(relevance::weigh(&change.what, Some(person), &knowledge))
}

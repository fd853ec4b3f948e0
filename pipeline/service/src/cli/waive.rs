//! `muster waive`: a person's exception from the gate, limited in what it covers and how long it holds.

use muster_flow::candidate::{Candidate, CandidateId};
use muster_flow::gate::{Ruling, Waiver};
use muster_flow::smoketest;
use uuid::Uuid;

use super::call::{Call, Direction, Ending, Failure, moment};
use super::find;
use crate::store::Store;
use crate::story::words;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster waive hostname --recipe cloud-base --reason 'ticket 42, fixed upstream' --until 7d
  muster waive documentation-budget --recipe cloud-base --candidate cloud-base/43.20261121.0 \\
      --cell bios-pc-nocloud --reason 'one page too many' --until 2026-12-01")]
pub struct Args {
    /// The smoketest.
    test: String,
    /// The recipe it covers.
    #[arg(long)]
    recipe: String,
    /// The one candidate it covers; every one of the recipe when it is not given.
    #[arg(long)]
    candidate: Option<String>,
    /// The one cell it covers; all when it is not given.
    #[arg(long)]
    cell: Option<String>,
    /// Why.
    #[arg(long)]
    reason: String,
    /// When it ends: 12h, 7d, 2w, a date or a time.
    #[arg(long)]
    until: String,
}

pub async fn run(call: &Call, args: Args) -> Result<Ending, Failure> {
    let now = call.clock.now();
    let expires = moment(&args.until, now, Direction::Ahead)
        .map_err(|error| Failure::refused(error, "A waiver ends by itself; say when with --until."))?;
    if expires <= now {
        return Err(Failure::refused(
            format!("{} is in the past", words::time(expires)),
            "A waiver must hold for some time; say when it ends with --until, such as --until 7d.",
        ));
    }
    if args.reason.trim().is_empty() {
        return Err(Failure::refused(
            "a waiver needs a reason",
            "Say why with --reason: it is shown wherever the test is.",
        ));
    }
    let store = call.store().await?;
    check(&store, &args).await?;
    let waiver = Waiver {
        id: Uuid::new_v4().to_string(),
        recipe: args.recipe,
        candidate: args.candidate,
        test: args.test,
        cell: args.cell,
        reason: args.reason,
        author: call.person().await?,
        expires,
        ended: None,
    };
    let judged_again = judged_again(&store, &waiver).await?;
    store.waive(&waiver).await?;
    let scope = waiver.candidate.as_deref().unwrap_or("every candidate");
    let then = if judged_again.is_empty() {
        "it counts when the gate speaks next; nothing is judged again".to_owned()
    } else {
        format!("the gate speaks anew on {}", judged_again.join(", "))
    };
    let words = format!(
        "{} is waived for {} ({scope}, {}) until {}; {then}",
        waiver.test,
        waiver.recipe,
        waiver.cell.as_deref().unwrap_or("every cell"),
        words::time(waiver.expires)
    );
    call.say(&words, &waiver)?;
    Ok(Ending::Done)
}

/// The candidates on which the gate has said no, and speaks anew: the one that is named, or those on their way.
async fn judged_again(store: &Store, waiver: &Waiver) -> Result<Vec<String>, Failure> {
    let candidates = match &waiver.candidate {
        Some(id) => store.candidate(&CandidateId(id.clone())).await?.into_iter().collect(),
        None => store.open_candidates().await?,
    };
    let said_no =
        |candidate: &Candidate| candidate.verdict().is_some_and(|verdict| verdict.ruling != Ruling::Pass);
    let again = candidates.iter().filter(|candidate| waiver.may_cover(candidate) && said_no(candidate));
    Ok(again.map(|candidate| candidate.id.to_string()).collect())
}

/// Refuses a waiver that could never cover anything: a slip of the pen would look like a waiver that does not work.
async fn check(store: &Store, args: &Args) -> Result<(), Failure> {
    let name = args.candidate.as_deref().unwrap_or(&args.recipe);
    let candidate = find::candidate(store, name).await?;
    if candidate.recipe.name != args.recipe {
        return Err(Failure::refused(
            format!("{} is a candidate of {}, not of {}", candidate.id, candidate.recipe.name, args.recipe),
            "Name the recipe of the candidate with --recipe.",
        ));
    }
    let mut known = smoketest::names(&candidate);
    // One that is required and not run is missing at the gate, which may be excepted too.
    known.extend(candidate.recipe.gate.required.iter().cloned());
    if !candidate.tests.is_empty() && !known.contains(&args.test) {
        let known: Vec<String> = known.into_iter().collect();
        let next = format!("The smoketests of {} are: {}", candidate.id, known.join(", "));
        return Err(Failure::not_found(format!("{} has no smoketest {}", args.recipe, args.test), next));
    }
    let cells: Vec<&str> = candidate.recipe.smoketests.cells.iter().map(|cell| cell.name.as_str()).collect();
    if let Some(cell) = args.cell.as_deref().filter(|cell| !cells.contains(cell)) {
        let next = format!("Its cells are: {}", cells.join(", "));
        return Err(Failure::not_found(format!("{} has no cell {cell}", args.recipe), next));
    }
    Ok(())
}

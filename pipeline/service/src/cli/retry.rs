//! `muster retry`: a person asks to try a step again.

use muster_flow::candidate::{Candidate, CandidateId};
use muster_flow::step::StepKey;
use muster_flow::wish;
use serde_json::json;

use super::call::{Call, Ending, Failure};
use super::find;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster retry cloud-base/43.20261121.0/smoketest/x86_64/bios-pc-nocloud
  muster retry cloud-base/43.20261121.0/build/x86_64 --reason 'the package repository was down'

What follows from the step is done again too: a new build is booted anew.")]
pub struct Args {
    /// The step's key: `step` in `muster show --json`, or in the command that `muster show` proposes.
    step: String,
    /// Why.
    #[arg(long, default_value = "no reason was given")]
    reason: String,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let store = call.store().await?;
    let key = StepKey(args.step.clone());
    let base = key.base();
    let mut parts = base.splitn(3, '/');
    let (Some(recipe), Some(version), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Failure::not_found(
            format!("{} is not the key of a step", args.step),
            "Keys look like cloud-base/43.20261121.0/build/x86_64; `muster show CANDIDATE --json` lists them.",
        ));
    };
    let id = CandidateId(format!("{recipe}/{version}"));
    let candidate = find::candidate(&store, &id.0).await?;
    check(&candidate, base)?;
    let releases = store.releases(&candidate.recipe.stream).await?;
    let again = wish::may_retry(&candidate, base, &releases).map_err(|why| {
        Failure::refused(why, format!("`muster show {}` says how it stands and what is next.", candidate.id))
    })?;
    store.retry(&id, base, &call.person().await?, &args.reason).await?;
    let words = if again.len() > 1 {
        format!("{base} is tried again, and what follows from it:\n  {}", again[1..].join("\n  "))
    } else {
        format!("{base} is tried again")
    };
    call.say(&words, &json!({ "step": base, "again": again }))?;
    Ok(Ending::Done)
}

/// A step can be tried again when it is there and over.
fn check(candidate: &Candidate, base: &str) -> Result<(), Failure> {
    let steps = &candidate.steps;
    let mut known: Vec<(&str, bool)> = Vec::new();
    known.extend(steps.builds.iter().map(|step| (step.key.base(), step.is_over())));
    known.extend(steps.smoketests.iter().map(|step| (step.key.base(), step.is_over())));
    known.extend(steps.uploads.iter().map(|step| (step.key.base(), step.is_over())));
    known.extend(steps.verifications.iter().map(|step| (step.key.base(), step.is_over())));
    known.extend(steps.promotions.iter().map(|step| (step.key.base(), step.is_over())));
    known.extend(steps.announcements.iter().map(|step| (step.key.base(), step.is_over())));
    let tries: Vec<bool> = known.iter().filter(|(key, _)| *key == base).map(|(_, over)| *over).collect();
    if tries.is_empty() {
        let mut keys: Vec<&str> =
            known.iter().map(|(key, _)| *key).filter(|key| !key.contains("/announce/")).collect();
        keys.dedup();
        let next = if keys.is_empty() {
            format!("{} has no steps yet.", candidate.id)
        } else {
            format!("Its steps are:\n    {}", keys.join("\n    "))
        };
        return Err(Failure::not_found(format!("{} has no step {base}", candidate.id), next));
    }
    if tries.contains(&false) {
        return Err(Failure::refused(
            format!("{base} is not over yet"),
            "It is tried again by itself when it may go well later. `muster watch` shows how far it is.",
        ));
    }
    Ok(())
}

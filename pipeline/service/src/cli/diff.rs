//! `muster diff`: how the packages of two candidates differ.

use std::fmt::Write;

use super::call::{Call, Ending, Failure};
use super::{find, output};
use crate::story::packages::Packages;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster diff cloud-base                     its newest candidate, against the last release before it
  muster diff cloud-base/43.20261121.0 --since cloud-base/43.20261021.0
  muster diff cloud-base --json | jq -r '.differences[] | select(.what == \"upgraded\") | .name'")]
pub struct Args {
    /// A candidate's id, or a recipe for its newest candidate.
    candidate: String,
    /// The candidate to compare with, of whatever recipe; when it is not given, the last release of the recipe before
    /// it, or the last build where nothing was released.
    #[arg(long, value_name = "CANDIDATE")]
    since: Option<String>,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let teller = call.teller().await?;
    let candidate = find::candidate(&teller.store, &args.candidate).await?;
    let since = match &args.since {
        Some(name) => Some(find::candidate(&teller.store, name).await?),
        None => None,
    };
    let packages = teller.packages(&candidate, since).await?;
    call.say(&tell(&packages), &packages)?;
    Ok(Ending::Done)
}

fn tell(packages: &Packages) -> String {
    let mut text =
        format!("{}\n  {}", output::plain(&packages.candidate), output::plain(&packages.headline()));
    let widest = packages.differences.iter().map(|difference| difference.name.len()).max().unwrap_or(0);
    for difference in &packages.differences {
        let change = match (&difference.old, &difference.new) {
            (Some(old), Some(new)) => format!("{old} -> {new}"),
            (old, new) => old.as_ref().or(new.as_ref()).cloned().unwrap_or_default(),
        };
        let (name, what) = (output::plain(&difference.name), difference.what.word());
        let _ = write!(text, "\n  {what:10}  {name:widest$}  {}", output::plain(&change));
    }
    text
}

//! `muster release`: a person asks for a release.

use muster_flow::change::{What, Wish};

use super::call::{Call, Ending, Failure};
use super::trigger;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster release stable                      every recipe that releases to stable
  muster release --recipe cloud-base
  muster release --recipe cloud-base --emergency --reason 'CVE-2026-1234 in openssl'

The gate is the same for every release, emergencies too.")]
pub struct Args {
    /// The stream; stable when neither a stream nor a recipe is named.
    #[arg(conflicts_with = "recipe")]
    stream: Option<String>,
    /// One recipe only.
    #[arg(long)]
    recipe: Option<String>,
    /// Call it an emergency: it is built and judged like every release; needs a reason.
    #[arg(long, requires = "reason")]
    emergency: bool,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
}

pub async fn run(call: &Call, args: Args) -> Result<Ending, Failure> {
    let stream = match (&args.recipe, args.stream) {
        (Some(_), _) => None,
        (None, stream) => Some(stream.unwrap_or_else(|| "stable".to_owned())),
    };
    let purpose = if args.emergency { Wish::Emergency } else { Wish::Release };
    let reason = args.reason.unwrap_or_else(|| "no reason was given".to_owned());
    trigger::ask(call, What::Requested { recipe: args.recipe, stream, purpose, reason }).await
}

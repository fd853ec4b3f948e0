//! `muster serve`: the service itself.

use super::call::{Call, Ending, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  muster --config muster.toml serve

It runs until SIGTERM or SIGINT. Builds and boots that are under way go on, and are found again.")]
pub struct Args {}

pub async fn run(call: Call) -> Result<Ending, Failure> {
    super::log::start();
    // It is large, as it holds everything that runs.
    Box::pin(crate::serve::serve(call.settings, call.config)).await?;
    Ok(Ending::Done)
}

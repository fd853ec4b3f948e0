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
    Box::pin(crate::serve::serve(call.settings, call.config)).await.map_err(failure)?;
    Ok(Ending::Done)
}

fn failure(error: anyhow::Error) -> Failure {
    let is_taken = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
    if is_taken {
        return Failure::refused(
            format!("{error:#}"),
            "Another process listens there, perhaps another `muster serve`: end it, or set `listen` in [service] to \
             a free port.",
        );
    }
    Failure::Other(error)
}

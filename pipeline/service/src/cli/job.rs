//! `muster job`: the process behind one build or boot on this machine. The service starts it, and it outlives the service.

use std::path::PathBuf;

use super::call::{Call, Ending, Failure};
use crate::adapters;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What kind of work.
    kind: Kind,
    /// The job's folder.
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Build,
    Smoketest,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    super::log::start();
    match args.kind {
        Kind::Build => adapters::local::job(&args.folder, &call.settings.builder).await?,
        Kind::Smoketest => adapters::qemu::job(&args.folder, &call.settings.cloudlet).await?,
    }
    Ok(Ending::Done)
}

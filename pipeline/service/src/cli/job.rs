//! `muster job`: the process of one job. The service starts it, and QEMU for a guest's metadata; people need not.

use std::path::PathBuf;

use super::call::{Call, Ending, Failure};
use crate::adapters::{local, qemu};
use crate::package_sets::PackageSets;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What kind of job it is.
    pub kind: Kind,
    /// Its folder.
    pub folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A build on this machine.
    Build,
    /// A boot on this machine.
    Smoketest,
    /// One answer of a guest's metadata service, on standard input and output.
    Imds,
}

/// Answers a guest's question about itself. It reads no configuration: a guest asks many.
pub fn answer(args: &Args) -> Result<Ending, Failure> {
    qemu::imds(&args.folder)?;
    Ok(Ending::Done)
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    super::log::start();
    match args.kind {
        Kind::Build => {
            let sets = PackageSets::below(&call.settings.service.state);
            local::job(&args.folder, &call.settings.builder, &sets).await?;
        }
        Kind::Smoketest => qemu::job(&args.folder, &call.settings.cloudlet).await?,
        Kind::Imds => return answer(args),
    }
    Ok(Ending::Done)
}

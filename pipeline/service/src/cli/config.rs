//! `muster config check`: whether everything that is configured can work, before anything is asked of it.

use super::call::{Call, Ending, Failure};
use super::output;
use crate::check;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Look whether everything that is configured can work.
    #[command(after_help = "\
Example:
  muster --config muster.toml config check && echo ready

It reads the settings, every recipe with its definition and smoketests, the keys, and looks for the
programs that are needed. It logs in to the Koji hub, if there is one, and asks it about permissions,
targets, architectures and package lists. It exits with 4 when it found faults.")]
    Check,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let What::Check = args.what;
    let checked = check::everything(&call.settings, &call.clock).await;
    let words = if checked.faults.is_empty() {
        format!("everything can work; recipes: {}", checked.recipes.join(", "))
    } else {
        let lines = checked
            .faults
            .iter()
            .map(|fault| output::wrap(&format!("{}: {}", fault.about, fault.what), "", 100));
        lines.collect::<Vec<_>>().join("\n")
    };
    call.say(&words, &checked)?;
    Ok(if checked.faults.is_empty() { Ending::Done } else { Ending::No })
}

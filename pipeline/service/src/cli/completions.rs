//! `muster completions`: for the shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::call::{Ending, Failure};
use super::{Cli, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  muster completions bash > /etc/bash_completion.d/muster")]
pub struct Args {
    /// The shell.
    shell: Shell,
}

pub fn run(args: &Args) -> Result<Ending, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "muster", &mut script);
    output::write(&String::from_utf8_lossy(&script))?;
    Ok(Ending::Done)
}

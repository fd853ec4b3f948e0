//! The `muster` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    muster::cli::main().await
}

//! Logs of the commands that work on their own: `serve` and `job`. See `docs/LOGGING.md`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged when `MUSTER_LOG` does not say.
const DEFAULT: &str = "info,sqlx=warn,lapin=warn,hyper=warn";

/// Begins to log to standard error: lines for people in a terminal, JSON for programs elsewhere or when
/// `MUSTER_LOG_FORMAT` is `json`.
pub fn start() {
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let format = std::env::var("MUSTER_LOG_FORMAT").unwrap_or_default();
    let is_json = format == "json" || (format.is_empty() && !std::io::stderr().is_terminal());
    // A second start, as in a test, changes nothing.
    let _ = if is_json { log.json().flatten_event(true).try_init() } else { log.try_init() };
}

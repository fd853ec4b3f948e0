//! What dnf's log says: the kinds of failure that dnf itself tells only in its output.
//!
//! Knows the words of dnf 4, libsolv and rpm. Must not know anything else.

use std::path::Path;

use crate::adapters::local::fault::{BuildError, Result};
use crate::adapters::local::workshop::NO_SPACE;

/// How many lines of the log an error shows at most.
const SHOWN: usize = 20;

/// Judges a run by its log and its exit code. Gives what a person should know about a run that went well.
pub fn judge(log: &str, code: Option<i32>, place: &Path) -> Result<Vec<String>> {
    // dnf ends with 0 when a package's %post or %posttrans failed, and a full disk makes scripts fail.
    if let Some(error) = disk_full(log, place).or_else(|| scriptlet(log)) {
        return Err(error);
    }
    if code == Some(0) {
        let skipped =
            |line: &&str| line.contains("No match for argument") || line.contains("is not available.");
        return Ok(log.lines().filter(skipped).map(str::to_owned).collect());
    }
    let kinds = [repository(log), signature(log), missing(log), conflict(log), dependency(log)];
    let error = kinds.into_iter().flatten().next();
    Err(error.unwrap_or_else(|| BuildError::Install(last_lines(log))))
}

fn scriptlet(log: &str) -> Option<BuildError> {
    let lines: Vec<&str> = log.lines().collect();
    let failed = |line: &str| line.contains("scriptlet failed") || line.starts_with("Error in ");
    let first = lines.iter().position(|line| failed(line))?;
    let last = lines.iter().rposition(|line| failed(line) || line.starts_with("error: "))?;
    let mut packages: Vec<&str> = lines.iter().filter_map(|line| culprit(line)).collect();
    packages.sort_unstable();
    packages.dedup();
    // What the script itself wrote stands just before dnf's words about it.
    let said = lines[..first].iter().rposition(|line| is_progress(line)).map_or(first, |at| at + 1);
    let shown = lines[said.max(first.saturating_sub(SHOWN))..=last.max(first)]
        .iter()
        .filter(|line| !line.trim().is_empty() && !is_progress(line));
    let shown: Vec<&str> = shown.take(SHOWN).copied().collect();
    Some(BuildError::Scriptlet { packages: packages.join(", "), lines: shown.join("\n") })
}

/// The package in `warning: %post(broken-post-1.0-1.mm43.noarch) scriptlet failed, exit status 3`, which stands in
/// `error:` lines too when a %pre fails.
fn culprit(line: &str) -> Option<&str> {
    let (before, _) = line.split_once(") scriptlet failed")?;
    before.rsplit_once('(').map(|(_, package)| package)
}

/// `  Installing       : bash-5.2-1.x86_64      3/31`.
fn is_progress(line: &str) -> bool {
    line.starts_with("  ")
        && line.contains(": ")
        && line.trim_end().ends_with(|last: char| last.is_ascii_digit())
        || line.starts_with("Running transaction")
}

fn disk_full(log: &str, place: &Path) -> Option<BuildError> {
    let full = |line: &&str| line.contains("more space needed on the") || line.contains(NO_SPACE);
    let lines = matching(log, full)?;
    Some(BuildError::DiskFull { place: place.display().to_string(), lines })
}

fn repository(log: &str) -> Option<BuildError> {
    let failed = "Failed to download metadata for repo '";
    let name = log.lines().find_map(|line| line.split_once(failed)?.1.split_once('\''))?.0.to_owned();
    let lines = matching(log, |line| {
        line.contains("Errors during") || line.trim_start().starts_with("- ") || line.contains(failed)
    })?;
    Some(BuildError::Repository { name, lines })
}

fn signature(log: &str) -> Option<BuildError> {
    let words = ["GPG check FAILED", "is not signed", "Public key for ", "wrong key(s)", "is not correct"];
    let key = |line: &&str| words.iter().any(|word| line.contains(word));
    if let Some(lines) = matching(log, key) {
        return Some(BuildError::Signature(lines));
    }
    // A key that cannot be fetched ends the run after the download without a word of its own.
    let after = log.split_once("Downloading Packages:")?.1;
    let lines = matching(after, |line| line.contains("Curl error"))?;
    (!after.contains("Running transaction") && !lines.contains(".rpm"))
        .then_some(BuildError::Signature(lines))
}

fn missing(log: &str) -> Option<BuildError> {
    let package =
        |line: &str| line.split_once("No match for argument: ").map(|(_, name)| name.trim().to_owned());
    let group = |line: &str| {
        let quoted = line.strip_prefix("Module or Group '")?;
        Some(format!("the group {}", quoted.split_once('\'')?.0))
    };
    let mut names: Vec<String> =
        log.lines().filter_map(|line| package(line).or_else(|| group(line))).collect();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let lines =
        matching(log, |line| package(line).is_some() || group(line).is_some() || line.starts_with("Error:"))?;
    Some(BuildError::Missing { names: names.join(", "), lines })
}

fn conflict(log: &str) -> Option<BuildError> {
    matching(log, |line| {
        line.contains(" conflicts between attempted installs of ")
            || line.contains(" conflicts with file from package ")
    })
    .map(BuildError::FileConflict)
}

fn dependency(log: &str) -> Option<BuildError> {
    let from = log.find("\n Problem")?;
    let lines = log[from..].lines().filter(|line| line.starts_with(" Problem") || line.starts_with("  - "));
    let lines: Vec<&str> = lines.take(SHOWN).collect();
    Some(BuildError::Dependency(lines.join("\n")))
}

fn matching(log: &str, wanted: impl Fn(&&str) -> bool) -> Option<String> {
    let lines: Vec<&str> = log.lines().filter(wanted).map(str::trim_end).take(SHOWN).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

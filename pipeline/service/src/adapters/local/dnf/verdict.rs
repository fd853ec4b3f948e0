//! What dnf's log says: the kinds of failure that dnf itself tells only in its output.
//!
//! Knows the words of dnf 4, libsolv and rpm. Must not know anything else.

use std::path::Path;

use crate::adapters::local::fault::{BuildError, Result};
use crate::adapters::local::workshop::says_full;

/// How many lines of the log an error shows at most.
const SHOWN: usize = 20;

/// Judges a run by its log and its exit code. Gives what a person should know about a run that went well.
pub fn judge(log: &str, code: Option<i32>, place: &Path) -> Result<Vec<String>> {
    // dnf ends with 0 when a package's %post or %posttrans failed, and a full disk makes scripts fail, as does a kill.
    if let Some(error) = disk_full(log, place).or_else(|| killed(log, code)).or_else(|| scriptlet(log)) {
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
    let full = |line: &&str| line.contains("more space needed on the") || says_full(line);
    let lines = matching(log, full)?;
    Some(BuildError::DiskFull { place: place.display().to_string(), lines })
}

fn killed(log: &str, code: Option<i32>) -> Option<BuildError> {
    code.is_none().then(|| BuildError::Killed(last_lines(log)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(log: &str, code: i32) -> String {
        judge(log, Some(code), Path::new("/build")).unwrap_err().to_string()
    }

    #[test]
    fn a_database_on_a_full_disk_is_not_the_packages_fault() {
        let log = "  Verifying        : hello-2.10-2.mm43.x86_64      25/25 \n\
                   Error: SQLite error on \"history.sqlite\": Reading a row failed: database or disk is full\n";
        assert!(matches!(judge(log, Some(1), Path::new("/build")), Err(BuildError::DiskFull { .. })));
    }

    #[test]
    fn a_run_that_went_well_tells_what_it_left_out() {
        let log = "No match for argument: nosuch\nDependencies resolved.\nComplete!\n";
        assert_eq!(judge(log, Some(0), Path::new("/build")).unwrap(), ["No match for argument: nosuch"]);
    }

    #[test]
    fn a_failed_scriptlet_is_found_behind_the_exit_code_0() {
        let log = "\
  Installing       : broken-1.0-1.noarch                          8/9 
  Running scriptlet: broken-1.0-1.noarch                          8/9 
giving up
warning: %post(broken-1.0-1.noarch) scriptlet failed, exit status 3

Error in POSTIN scriptlet in rpm package broken
  Installing       : basesystem-11-1.noarch                       9/9 
Installed:
  basesystem-11-1.noarch
Complete!
";
        assert_eq!(
            said(log, 0),
            "the scriptlet of a package failed (broken-1.0-1.noarch); the package is broken, whatever the exit code \
             said:\ngiving up\nwarning: %post(broken-1.0-1.noarch) scriptlet failed, exit status 3\nError in POSTIN \
             scriptlet in rpm package broken"
        );
    }

    #[test]
    fn a_scriptlet_that_failed_on_a_full_disk_is_not_to_blame() {
        let log = "\
cp: error writing '/boot/a': No space left on device
warning: %posttrans(kernel-core-6.1-1.x86_64) scriptlet failed, exit status 1
";
        assert!(said(log, 0).starts_with("the disk of this machine is full (/build)"), "{}", said(log, 0));
    }

    #[test]
    fn a_run_that_was_killed_is_not_the_packages_fault() {
        let error = judge("  Installing       : bash-5.2-1.x86_64      3/31\n", None, Path::new("/build"));
        let said = error.unwrap_err().to_string();
        assert!(said.starts_with("dnf was killed from outside, perhaps because memory ran out"), "{said}");
        assert!(said.ends_with("bash-5.2-1.x86_64      3/31"), "{said}");
    }

    #[test]
    fn space_that_is_missing_before_the_transaction_is_a_full_disk() {
        let log = "Error Summary\n-------------\nDisk Requirements:\n   At least 17MB more space needed on the / filesystem.\n";
        assert!(said(log, 1).ends_with("At least 17MB more space needed on the / filesystem."));
    }

    #[test]
    fn every_missing_name_is_listed() {
        let log = "\
Module or Group 'nosuchgroup' is not available.
No match for argument: nosuch
Error: Unable to find a match: nosuch
";
        assert!(
            said(log, 1).starts_with("no repository has the group nosuchgroup, nosuch:\n"),
            "{}",
            said(log, 1)
        );
    }

    #[test]
    fn a_problem_of_the_solver_is_a_broken_dependency() {
        let log = "\
Error: 
 Problem: conflicting requests
  - nothing provides no-such-package >= 5 needed by broken-1.0-1.noarch
(try to add '--skip-broken' to skip uninstallable packages)
";
        assert_eq!(
            said(log, 1),
            "the packages cannot be installed together, a dependency is broken:\n Problem: conflicting requests\n  \
             - nothing provides no-such-package >= 5 needed by broken-1.0-1.noarch"
        );
    }

    #[test]
    fn a_failure_of_an_unknown_kind_shows_the_end_of_the_log() {
        let lines: String = (0..50).map(|number| ["line ", &number.to_string(), "\n"].concat()).collect();
        let text = said(&lines, 1);
        assert!(text.starts_with("the packages could not be installed:\nline 30\n"), "{text}");
        assert!(text.ends_with("line 49"), "{text}");
    }
}

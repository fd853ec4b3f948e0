//! What rpm-ostree's output says: how far a compose is, and why it failed.
//!
//! Knows the words of rpm-ostree and of the libraries in it. Must not know anything else.

use std::path::Path;

use crate::adapters::local::fault::BuildError;
use crate::adapters::local::workshop::says_full;

/// How many lines of the log an error shows at most.
const SHOWN: usize = 20;

/// How an error begins.
const ERROR: &str = "error: ";

/// Why a compose of the treefile `file` failed, by its log.
pub fn judge(log: &str, file: &str, place: &Path) -> BuildError {
    if let Some(lines) = matching(log, says_full) {
        return BuildError::DiskFull { place: place.display().to_string(), lines };
    }
    // It may stand behind a phase in the same line: `Importing packages...error: ...`.
    let Some((before, sentence)) = log.rsplit_once(ERROR) else {
        return BuildError::Install(last_lines(log));
    };
    let sentence = sentence.trim_end();
    repository(sentence)
        .or_else(|| missing(sentence))
        .or_else(|| dependency(sentence))
        .or_else(|| signature(sentence))
        .or_else(|| scriptlet(sentence, log))
        .or_else(|| script(sentence, before, file))
        .unwrap_or_else(|| BuildError::Install(last_lines(log)))
}

/// `Updating rpm-md repo 'os': cannot download repodata/repomd.xml: ...`.
fn repository(sentence: &str) -> Option<BuildError> {
    let (name, _) = sentence.split_once("rpm-md repo '")?.1.split_once('\'')?;
    Some(BuildError::Repository { name: name.to_owned(), lines: first_lines(sentence) })
}

/// `Packages not found: a, b`.
fn missing(sentence: &str) -> Option<BuildError> {
    let names = sentence.split_once("Packages not found: ")?.1.lines().next()?.trim();
    Some(BuildError::Missing { names: names.to_owned(), lines: first_lines(sentence) })
}

/// `Could not depsolve transaction; 1 problem detected:` and the problems.
fn dependency(sentence: &str) -> Option<BuildError> {
    sentence.contains("Could not depsolve transaction").then(|| {
        let problems =
            sentence.lines().filter(|line| line.starts_with(" Problem") || line.starts_with("  - "));
        let lines: Vec<&str> = problems.take(SHOWN).collect();
        BuildError::Dependency(lines.join("\n"))
    })
}

/// `package hello-2.10-2.mm43.x86_64 cannot be verified and repo os is GPG enabled: ...`.
fn signature(sentence: &str) -> Option<BuildError> {
    let told = sentence.contains("cannot be verified and repo ");
    told.then(|| BuildError::Signature(first_lines(sentence)))
}

/// `Running %post for broken-post: bwrap(/bin/sh): Child process ...`; what the script itself wrote stands in lines that
/// begin with `broken-post.post: `.
fn scriptlet(sentence: &str, log: &str) -> Option<BuildError> {
    let (kind, package) = sentence.split_once("Running %")?.1.split_once(" for ")?;
    let package = package.split_once(':').map_or(package, |(package, _)| package).trim();
    let name = format!("{package}.{kind}: ");
    let own = log.lines().filter(|line| line.starts_with(&name));
    let lines: Vec<&str> = own.chain(sentence.lines().take(1)).collect();
    let first = lines.len().saturating_sub(SHOWN);
    Some(BuildError::Scriptlet { packages: package.to_owned(), lines: lines[first..].join("\n") })
}

/// `bwrap(/usr/bin/rpmostree-postprocess-inline-0): Child process killed by signal 9`, which is the script's exit code; what
/// the script wrote stands before it, behind the line that names the script.
fn script(sentence: &str, before: &str, file: &str) -> Option<BuildError> {
    let named = sentence.split_once("bwrap(/usr/bin/rpmostree-")?.1;
    let (name, ended) = named.split_once("): ")?;
    let at = match name.strip_prefix("postprocess-inline-") {
        Some(number) => format!("{file}: postprocess, script {}", number.parse::<u32>().ok()? + 1),
        None if name == "treefile-postprocess-script" => format!("{file}: postprocess-script"),
        None => return None,
    };
    let code = ended.lines().next()?.rsplit(' ').next()?.to_owned();
    let begun = before.rfind("\nExecuting ").map_or(before, |at| &before[at + 1..]);
    let said = begun.split_once('\n').map_or("", |(_, said)| said);
    Some(BuildError::Script { at, code: format!("exit code {code}"), lines: last_lines(said) })
}

/// A line of the log in words for a person: `Importing packages...done`, `Installing 30 packages:`.
pub fn progress(line: &str) -> Option<String> {
    let (doing, _) = line.split_once("...").or_else(|| line.strip_suffix(':').map(|line| (line, "")))?;
    let is_known =
        ["Importing", "Resolving", "Installing", "Checking", "Running", "Writing", "Preparing", "Committing"]
            .iter()
            .any(|verb| doing.starts_with(verb));
    is_known.then(|| format!("rpm-ostree: {}", doing.to_lowercase()))
}

fn matching(log: &str, wanted: impl Fn(&str) -> bool) -> Option<String> {
    let lines: Vec<&str> = log.lines().filter(|line| wanted(line)).take(SHOWN).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn first_lines(text: &str) -> String {
    text.lines().take(SHOWN).collect::<Vec<_>>().join("\n")
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(log: &str) -> String {
        judge(log, "iot.yaml", Path::new("/build")).to_string()
    }

    // The logs are what rpm-ostree 2023.5 wrote.

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let log = "Enabled rpm-md repositories: os updates\nUpdating metadata for 'updates'...done\n\
                   error: Updating rpm-md repo 'updates': cannot update repo 'updates': Cannot download repomd.xml";
        assert!(said(log).starts_with("the package repository updates cannot be used:\n"), "{}", said(log));
        let log = "rpm-md repo 'os' (cached); generated: 2026-11-21T21:34:43Z solvables: 68\n\
                   error: Packages not found: nosuch, other-nosuch\n";
        assert!(said(log).starts_with("no repository has nosuch, other-nosuch:\n"), "{}", said(log));
        let log = "Resolving dependencies...done\nerror: Could not depsolve transaction; 1 problem detected:\n \
                   Problem: conflicting requests\n  - nothing provides no-such-package >= 5 needed by broken\n";
        assert!(said(log).ends_with(
            "broken:\n Problem: conflicting requests\n  - nothing provides no-such-package >= 5 needed by broken"
        ));
        let log = "Importing packages...error: importing RPMs: package bash-5.2 cannot be verified and repo os is \
                   GPG enabled: bash-5.2.rpm could not be verified.\n";
        assert!(said(log).starts_with("a package's signature does not hold"), "{}", said(log));
    }

    #[test]
    fn a_script_that_fails_is_named_with_its_own_words() {
        let log = "Running post scripts...done\n\
                   error: Running %post for broken-post: bwrap(/bin/sh): Child process killed by signal 3\n\
                   broken-post.post: the %post script of broken-post gives up\n";
        assert!(matches!(
            judge(log, "iot.yaml", Path::new("/")),
            BuildError::Scriptlet { packages, lines }
                if packages == "broken-post" && lines.starts_with("broken-post.post: the %post script of broken-post gives up\n")
        ));
        let log = "Updating usr/lib/os-release\nExecuting `postprocess` inline script '0'\noh no\n\
                   error: bwrap(/usr/bin/rpmostree-postprocess-inline-0): Child process killed by signal 9\n";
        assert_eq!(
            said(log),
            "the script at iot.yaml: postprocess, script 1 failed with exit code 9:\noh no"
        );
        let log = "Executing postprocessing script\nfrom the file\nerror: Executing postprocessing script: \
                   bwrap(/usr/bin/rpmostree-treefile-postprocess-script): Child process killed by signal 4\n";
        assert_eq!(
            said(log),
            "the script at iot.yaml: postprocess-script failed with exit code 4:\nfrom the file"
        );
    }

    #[test]
    fn anything_else_is_told_with_the_end_of_the_log() {
        let log = "No previous commit for a\nerror: Unable to load SELinux policy from /\n";
        assert_eq!(said(log), format!("the packages could not be installed:\n{}", log.trim_end()));
        let full = "Checking out packages...error: write: No space left on device\n";
        assert!(matches!(judge(full, "iot.yaml", Path::new("/")), BuildError::DiskFull { .. }));
    }

    #[test]
    fn progress_is_told_in_words() {
        assert_eq!(progress("Importing packages...done").unwrap(), "rpm-ostree: importing packages");
        assert_eq!(progress("Installing 48 packages:").unwrap(), "rpm-ostree: installing 48 packages");
        assert_eq!(progress("  bash-5.2.15-1.mm43.x86_64 (os)"), None);
    }
}

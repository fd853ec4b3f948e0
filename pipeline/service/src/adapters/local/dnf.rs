//! Installing packages into a folder with dnf: its configuration, its run, and what its log says went wrong.
//!
//! dnf is told everything and reads nothing of this machine's own. Its exit code is not enough: it is 0 when a
//! package's `%post` failed, so the log is always read.

mod held;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use muster_definition::kickstart::Extent;

pub use self::held::Held;
use super::chamber::{Reach, chamber};
use super::fault::Result;
use super::manifest;
use super::wanted::{Round, Source, Wanted};
use super::workshop::Workshop;
use crate::program::Program;

pub use verdict::judge;

/// How often the log is looked at for the line that people see.
const PACE: Duration = Duration::from_millis(250);

/// Installs what is wanted into the workshop's root. Gives what a person should know.
pub async fn install(workshop: &Workshop, wanted: &Wanted) -> Result<Vec<String>> {
    let config = workshop.desk.work().join("dnf.conf");
    let macros: String =
        wanted.macros.iter().map(|(name, value)| ["%", name, " ", value, "\n"].concat()).collect();
    let write = |path: &PathBuf, text: &str| {
        std::fs::write(path, text)
            .map_err(|error| workshop.io(error, &format!("cannot write {}", path.display())))
    };
    write(&workshop.home.join(".rpmmacros"), &macros)?;
    write(&config, &configuration(workshop, wanted, None))?;
    for mount in ["proc", "sys", "dev"] {
        let path = workshop.root.join(mount);
        std::fs::create_dir_all(&path).map_err(|error| workshop.io(error, "cannot make the root"))?;
    }
    let Some(held) = held(workshop, wanted).await? else {
        return install_rounds(workshop, &wanted.rounds).await;
    };
    write(&config, &configuration(workshop, wanted, Some(&held)))?;
    let warnings = install_rounds(workshop, &wanted.rounds).await.map_err(|error| held.told_apart(error))?;
    held.check(&workshop.request.allowed, &manifest::installed(workshop).await?)?;
    Ok(warnings)
}

/// What a build is held to, as its repositories stand now; `None` when it may take everything.
pub async fn held(workshop: &Workshop, wanted: &Wanted) -> Result<Option<Held>> {
    if workshop.request.allowed.is_everything() {
        return Ok(None);
    }
    let config = workshop.desk.work().join("dnf.conf");
    std::fs::write(&config, configuration(workshop, wanted, None))
        .map_err(|error| workshop.io(error, "cannot write dnf's configuration"))?;
    held::find(workshop, &config).await.map(Some)
}

async fn install_rounds(workshop: &Workshop, rounds: &[Round]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (number, round) in rounds.iter().enumerate() {
        warnings.extend(transaction(workshop, round, number).await?);
    }
    Ok(warnings)
}

/// dnf, told which system it works on.
fn target(workshop: &Workshop, dnf: Program) -> Program {
    dnf.arg(format!("--installroot={}", workshop.root.display()))
        .arg(format!("--releasever={}", workshop.request.version))
        .arg(format!("--forcearch={}", workshop.request.arch))
}

async fn transaction(workshop: &Workshop, round: &Round, number: usize) -> Result<Vec<String>> {
    let log = workshop.desk.work().join(format!("dnf-{number}.log"));
    std::fs::write(&log, "").map_err(|error| workshop.io(error, "cannot begin dnf's log"))?;
    let types = match round.extent {
        Extent::Mandatory => "mandatory",
        Extent::Default => "mandatory,default",
        Extent::All => "mandatory,default,optional",
    };
    let program = workshop.program("unshare").log(&log);
    let program = chamber(program, &workshop.root, Reach::Network)
        .args(["dnf", "--assumeyes", "--config"])
        .arg(workshop.desk.work().join("dnf.conf"));
    let program = target(workshop, program)
        .arg(format!("--setopt=group_package_types={types}"))
        .args(["install", "--"])
        .args(&round.specs);
    let finished = {
        let run = program.run_any();
        tokio::pin!(run);
        let mut pace = tokio::time::interval(PACE);
        let mut shown = String::new();
        loop {
            tokio::select! {
                finished = &mut run => break finished,
                _ = pace.tick() => show_progress(workshop, &log, &mut shown),
            }
        }
    };
    let text = String::from_utf8_lossy(&std::fs::read(&log).context("cannot read dnf's log")?).into_owned();
    workshop.note(text.trim_end());
    judge(&text, finished?.code, &workshop.desk.folder)
}

/// Shows how far the transaction is; a line is said once.
fn show_progress(workshop: &Workshop, log: &std::path::Path, shown: &mut String) {
    let tail = crate::program::tail(log);
    if let Some(line) = tail.lines().rev().find_map(progress)
        && line != *shown
    {
        workshop.desk.say(&line);
        *shown = line;
    }
}

/// `  Installing       : bash-5.2-1.x86_64      3/31` as a line for a person.
fn progress(line: &str) -> Option<String> {
    let (verb, rest) = line.trim().split_once(" : ").or_else(|| line.trim().split_once(": "))?;
    let mut words = rest.split_whitespace();
    let (package, count) = (words.next()?, words.next_back()?);
    let (done, all) = count.split_once('/')?;
    let doing = match verb.trim() {
        "Installing" => "installing package",
        "Running scriptlet" => "running the scriptlets of package",
        "Verifying" => "verifying package",
        _ => return None,
    };
    Some(format!("{doing} {done} of {all}: {package}"))
}

fn configuration(workshop: &Workshop, wanted: &Wanted, held: Option<&Held>) -> String {
    let cache = workshop.settings.cache.clone();
    let keep = u8::from(cache.is_some()).to_string();
    let cache = cache.unwrap_or_else(|| workshop.desk.work().join("dnf-cache"));
    // A cache is asked whether it is still true each time, but not after it was asked what it holds.
    let expire = if held.is_some() { "never" } else { "0" };
    let excludes = held.into_iter().flat_map(|held| &held.excludes);
    let excludes: Vec<&str> = wanted.excludes.iter().chain(excludes).map(String::as_str).collect();
    let mut main = vec![
        // Nothing of this machine's own repositories, variables and plugins is read.
        ("reposdir", "/nonexistent".to_owned()),
        ("varsdir", "/nonexistent".to_owned()),
        ("plugins", "0".to_owned()),
        ("cachedir", std::path::absolute(&cache).unwrap_or(cache).display().to_string()),
        ("keepcache", keep),
        ("metadata_expire", expire.to_owned()),
        ("logdir", "/var/log".to_owned()),
        ("gpgcheck", "0".to_owned()),
        ("localpkg_gpgcheck", "0".to_owned()),
        ("color", "never".to_owned()),
        ("max_parallel_downloads", "8".to_owned()),
        ("excludepkgs", excludes.join(",")),
    ];
    main.extend(wanted.options.iter().cloned());
    let own = workshop.settings.dnf.iter().map(|(name, value)| (name.as_str(), value.clone()));
    section("main", main.into_iter().chain(own)) + &repositories(&wanted.sources)
}

/// The package repositories, as `.repo` files hold them.
pub fn repositories(sources: &[Source]) -> String {
    let text = |source: &Source| {
        let name = [("name", source.name.clone()), ("skip_if_unavailable", "0".to_owned())];
        // Whoever else reads this may check what nobody asked to be checked.
        let is_said = source.settings.iter().any(|(name, _)| *name == "gpgcheck");
        let unchecked = (!is_said).then(|| ("gpgcheck", "0".to_owned()));
        section(&source.name, name.into_iter().chain(unchecked).chain(source.settings.iter().cloned()))
    };
    sources.iter().map(text).collect()
}

fn section<'a>(name: &str, settings: impl Iterator<Item = (&'a str, String)>) -> String {
    let lines: String = settings.map(|(name, value)| [name, "=", &value, "\n"].concat()).collect();
    format!("[{name}]\n{lines}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_words() {
        let line = "  Installing       : murmur-gpg-keys-43-1.mm43.noarch                      1/10 ";
        assert_eq!(progress(line).unwrap(), "installing package 1 of 10: murmur-gpg-keys-43-1.mm43.noarch");
        assert_eq!(progress("Total size: 2.5 M"), None);
        assert_eq!(progress("os        2.4 MB/s |  24 kB     00:00"), None);
    }
}

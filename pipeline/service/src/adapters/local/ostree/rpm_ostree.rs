//! A treefile composed by rpm-ostree, where it is installed. What comes of it is a commit like any other.
//!
//! Knows rpm-ostree's command line, what it writes of a compose, and its words when it fails. Must not know how a commit
//! becomes a disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use muster_definition::treefile::Treefile;
use muster_flow::build::{BuildOutput, Composed};
use muster_flow::recipe::Form;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{composed, finish_archive, in_repository};
use crate::adapters::local::dnf::{self, Held};
use crate::adapters::local::fault::Result;
use crate::adapters::local::place;
use crate::adapters::local::wanted::{Source, Wanted};
use crate::adapters::local::workshop::Workshop;

mod words;

/// How often the log is looked at for the line that people see.
const PACE: Duration = Duration::from_millis(250);

/// The treefile that rpm-ostree is given: every other one is merged into it.
const TREEFILE: &str = "/muster.json";

/// The file of package repositories beside it.
const REPOSITORIES: &str = "/muster.repo";

/// Composes the commit with `program` and makes the disk that boots it.
pub async fn build(
    workshop: &Workshop,
    program: &Path,
    treefile: &Treefile,
    wanted: &Wanted,
    (reference, version): (&str, &str),
) -> Result<BuildOutput> {
    let held = dnf::held(workshop, wanted).await?;
    let lay_out = async { lay_out(workshop, treefile, wanted, held.as_ref()) };
    let folder = workshop.phase("lay out", lay_out).await?;
    let compose = compose(workshop, program, &folder, version);
    let commit = workshop.phase("compose", compose).await.map_err(|error| match &held {
        Some(held) => held.told_apart(error),
        None => error,
    })?;
    let archive = workshop.phase("archive", finish_archive(workshop, &commit)).await?;
    let composed = Composed {
        repository: workshop.artifact(Form::OstreeCommit).display().to_string(),
        reference: reference.to_owned(),
        commit,
        links: Vec::new(),
        koji: None,
        warnings: Vec::new(),
    };
    let output = composed::boot(workshop, &composed, archive).await?;
    if let Some(held) = held {
        held.check(&workshop.request.allowed, &output.packages)?;
    }
    Ok(output)
}

/// Lays out what rpm-ostree reads: the treefile, the files that it names, and the package repositories.
fn lay_out(
    workshop: &Workshop,
    treefile: &Treefile,
    wanted: &Wanted,
    held: Option<&Held>,
) -> Result<PathBuf> {
    let folder = workshop.desk.work().join("treefile");
    fs::create_dir_all(&folder).map_err(|error| workshop.io(error, "cannot make the treefile's folder"))?;
    for (path, text) in &workshop.request.definition.texts {
        let mode = if treefile.postprocess_script.as_ref() == Some(path) { 0o755 } else { 0o644 };
        place::write(&folder, &format!("/{path}"), text, mode)?;
    }
    let keys = Value::Object(keys(workshop, treefile, wanted)).to_string();
    place::write(&folder, TREEFILE, &keys, 0o644)?;
    let sources: Vec<Source> = wanted.sources.iter().map(|source| without(source, held)).collect();
    place::write(&folder, REPOSITORIES, &dnf::repositories(&sources), 0o644)?;
    Ok(folder)
}

/// A repository without what may not be taken of it.
fn without(source: &Source, held: Option<&Held>) -> Source {
    let mut source = source.clone();
    let mut excludes: Vec<String> = held.into_iter().flat_map(|held| held.excludes.clone()).collect();
    if let Some(at) = source.settings.iter().position(|(name, _)| *name == "excludepkgs") {
        excludes.push(source.settings.swap_remove(at).1);
    }
    if !excludes.is_empty() {
        source.settings.push(("excludepkgs", excludes.join(",")));
    }
    source
}

/// The treefile's keys, with the repositories that the packages come from.
fn keys(workshop: &Workshop, treefile: &Treefile, wanted: &Wanted) -> Map<String, Value> {
    let mut keys = treefile.merged.clone();
    let names: Vec<&str> = wanted.sources.iter().map(|source| source.name.as_str()).collect();
    let is_known = |name: &Value| name.as_str().is_some_and(|name| names.contains(&name));
    if let Some(Value::Array(from)) = keys.get("repo-packages")
        && !from.iter().all(|entry| entry.get("repo").is_some_and(is_known))
    {
        // The recipe names other repositories than the treefile: what is wanted of one is wanted of any.
        let specs: Vec<&String> = wanted.rounds.iter().flat_map(|round| &round.specs).collect();
        keys.insert("packages".to_owned(), json!(specs));
        keys.remove("repo-packages");
    }
    keys.insert("repos".to_owned(), json!(names));
    keys.entry("releasever").or_insert_with(|| json!(workshop.request.version));
    keys
}

/// Composes into the repository that is published; gives the commit's id.
async fn compose(workshop: &Workshop, program: &Path, folder: &Path, version: &str) -> Result<String> {
    let repository = workshop.artifact(Form::OstreeCommit);
    let to = in_repository(&repository);
    workshop.run("ostree", |ostree| ostree.args(["init", "--mode=archive", &to])).await?;
    let cache = workshop.desk.work().join("compose-cache");
    fs::create_dir_all(&cache).map_err(|error| workshop.io(error, "cannot make the cache of the compose"))?;
    let log = workshop.desk.work().join("rpm-ostree.log");
    fs::write(&log, "").map_err(|error| workshop.io(error, "cannot begin the log of the compose"))?;
    let composed = workshop.desk.work().join("compose.json");
    let run = workshop
        .program(&program.to_string_lossy())
        .log(&log)
        .args(["compose", "tree", "--unified-core", &to])
        .arg(format!("--cachedir={}", cache.display()))
        .arg(format!("--write-composejson-to={}", composed.display()))
        .arg(format!("--add-metadata-string=version={version}"))
        .arg(folder.join(TREEFILE.trim_start_matches('/')))
        .run_any();
    let finished = {
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
    let text =
        String::from_utf8_lossy(&fs::read(&log).context("cannot read the log of the compose")?).into_owned();
    workshop.note(text.trim_end());
    if finished?.code != Some(0) {
        let file = &workshop.request.definition.file;
        return Err(words::judge(&text, file, &workshop.desk.folder));
    }
    commit(&composed)
}

/// What rpm-ostree writes of a compose, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ComposeJson {
    ostree_commit: String,
}

fn commit(file: &Path) -> Result<String> {
    let read = || -> anyhow::Result<ComposeJson> { Ok(serde_json::from_str(&fs::read_to_string(file)?)?) };
    let composed = read().context("rpm-ostree does not say which commit it composed")?;
    Ok(composed.ostree_commit)
}

/// Shows how far the compose is; a line is said once.
fn show_progress(workshop: &Workshop, log: &Path, shown: &mut String) {
    let tail = crate::program::tail(log);
    if let Some(line) = tail.lines().rev().find_map(words::progress)
        && line != *shown
    {
        workshop.desk.say(&line);
        *shown = line;
    }
}

//! What comes of a task that is over: its files, fetched and checked, and what Koji knows of it; or why it failed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use muster_flow::build::{Artifact, BuildOutput, Link};
use muster_flow::koji::{KojiRecord, KojiTask, RunrootTask};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Hub, keywords};
use super::error::CallError;
use super::harvest::{self, Check, Harvest, Image};
use super::package_set;
use super::settings::Settings;
use super::task::{State, Task, Tree};
use super::watch::Watched;
use crate::adapters::download::{self, Wanted};
use crate::adapters::fetches::Desk;
use crate::port::{Fault, Observation};
use crate::text;

/// The largest file that rpm-ostree tells of a compose in.
const LARGEST_COMPOSE: u64 = 1 << 20;

/// The largest log that is kept.
const LARGEST_LOG: u64 = 64 << 20;

/// What a person should know of every scratch image.
const NO_PACKAGES: &str = "Koji records no packages of a scratch image, so that none are known of it";

#[derive(Debug, Deserialize)]
struct Checked {
    size: u64,
    hexdigest: Option<String>,
}

/// The hub, the server of its files, and where it is told how far a fetch is.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub hub: Hub,
    pub files: reqwest::Client,
    pub settings: Settings,
    pub desk: Arc<Desk>,
}

/// Fetches everything that a closed task made, into `folder`.
pub(super) async fn fetch(
    world: &World,
    watched: &Watched,
    tree: &Tree,
    folder: &Path,
) -> Result<Observation<BuildOutput>, Fault> {
    let World { hub, settings, desk, .. } = world;
    let harvest = match harvest::gather(hub, settings, (watched, tree)).await? {
        Ok(harvest) => harvest,
        Err(why) => return Ok(Observation::Failed(why)),
    };
    desk.expect(harvest.images.iter().map(|image| image.size).sum());
    let (record, mut warnings) = record(hub, settings, tree, &harvest).await?;
    let mut output = BuildOutput { links: links(settings, &record, &harvest), ..BuildOutput::default() };
    for image in &harvest.images {
        output.artifacts.push(artifact(world, image, folder).await?);
    }
    for log in &harvest.logs {
        let wanted = Wanted {
            url: log.url.clone(),
            size: log.size,
            path: folder.join(&log.name),
            headers: HeaderMap::new(),
        };
        // A log is a courtesy: without it the image is what it is.
        if log.size <= LARGEST_LOG
            && download::fetch(&world.files, &wanted, desk).await.is_ok()
            && download::keep(&wanted).is_ok()
        {
            output.log = wanted.path.display().to_string();
        }
    }
    if let KojiTask::Runroot(task) = &watched.image.kind {
        match output.artifacts.pop().map(|told| commit(task, told)) {
            Some(Ok(commit)) => output.artifacts.push(commit),
            Some(Err(error)) => {
                return Ok(Observation::Failed(format!("Koji task {}: {error:#}", tree.task.id)));
            }
            None => {}
        }
        (output.warnings, output.koji) = (warnings, Some(record));
        return Ok(Observation::Succeeded(output));
    }
    output.packages = harvest.packages;
    output.packages.sort();
    output.packages.dedup();
    warnings.extend(harvest.warnings);
    if output.packages.is_empty() {
        warnings.push(if watched.is_kept() {
            format!("Koji records no packages of task {}", tree.task.id)
        } else {
            NO_PACKAGES.to_owned()
        });
    }
    (output.warnings, output.koji) = (warnings, Some(record));
    Ok(Observation::Succeeded(output))
}

/// What rpm-ostree says of a compose, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Compose {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(rename = "ostree-commit")]
    commit: String,
}

/// The commit that rpm-ostree tells of in a file, in the repository as strangers read it.
fn commit(task: &RunrootTask, told: Artifact) -> anyhow::Result<Artifact> {
    anyhow::ensure!(told.size <= LARGEST_COMPOSE, "{} has {} bytes", told.name, told.size);
    let text = std::fs::read(&told.path).with_context(|| format!("cannot read {}", told.path))?;
    let compose: Compose =
        serde_json::from_slice(&text).with_context(|| format!("cannot understand {}", told.name))?;
    let is_id = compose.commit.len() == 64 && compose.commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    anyhow::ensure!(is_id, "{} names no commit: {:?}", told.name, compose.commit);
    Ok(Artifact {
        name: compose.reference,
        path: task.repository_url.clone(),
        digest: compose.commit,
        ..told
    })
}

/// What Koji knows of the task, and what a person should know of that.
async fn record(
    hub: &Hub,
    settings: &Settings,
    tree: &Tree,
    harvest: &Harvest,
) -> Result<(KojiRecord, Vec<String>), CallError> {
    let mut record = KojiRecord {
        task: tree.task.id,
        method: tree.task.method.clone(),
        build: harvest.build.clone(),
        repos: Vec::new(),
    };
    let mut warnings = Vec::new();
    if record.build.is_some() || record.method == "runroot" {
        let (repos, loose) = package_set::record(hub, settings, &tree.task).await?;
        record.repos = repos;
        if !loose.is_empty() {
            let loose = loose.join(", ");
            warnings.push(format!("nobody froze what these repositories had: {loose}"));
        }
    }
    Ok((record, warnings))
}

fn links(settings: &Settings, record: &KojiRecord, harvest: &Harvest) -> Vec<Link> {
    let mut links =
        vec![Link { text: format!("Koji task {}", record.task), url: settings.task_page(record.task) }];
    links.extend(
        record.build.iter().map(|build| Link { text: build.nvr.clone(), url: settings.build_page(build.id) }),
    );
    links.extend(harvest.links.iter().cloned());
    links
}

/// Fetches one image, while the hub hashes its own copy where it has not yet, and compares.
async fn artifact(world: &World, image: &Image, folder: &Path) -> Result<Artifact, Fault> {
    let World { hub, files, desk, .. } = world;
    let Image { form, arch, name, size, .. } = image;
    let wanted =
        Wanted { url: image.url.clone(), size: *size, path: folder.join(name), headers: HeaderMap::new() };
    let theirs = async {
        match &image.check {
            Check::Sha256(digest) => Ok(digest.to_ascii_lowercase()),
            Check::Ask(folder) => digest_there(hub, folder, name, *size).await,
        }
    };
    let (ours, theirs) = tokio::try_join!(download::fetch(files, &wanted, desk), theirs)?;
    if ours != theirs {
        download::discard(&wanted);
        return Err(Fault::Retry(format!("{} is {ours}, and the hub says {theirs}", wanted.url)));
    }
    download::keep(&wanted).map_err(Fault::retry)?;
    Ok(Artifact {
        form: *form,
        arch: arch.clone(),
        name: name.clone(),
        path: wanted.path.display().to_string(),
        size: *size,
        digest: ours,
    })
}

/// The SHA-256 of a file as the hub computes it there and then.
async fn digest_there(hub: &Hub, folder: &str, name: &str, size: u64) -> Result<String, Fault> {
    const METHOD: &str = "checkUpload";
    let params = [json!(folder), json!(name), keywords(json!({ "verify": "sha256" }))];
    let checked: Option<Checked> = hub.call_patiently(METHOD, &params).await?;
    let Some(checked) = checked else {
        return Err(Fault::GiveUp(format!("{name} in {folder} of the hub is gone")));
    };
    if checked.size != size {
        let now = checked.size;
        return Err(Fault::Retry(format!(
            "{name} in {folder} of the hub is changing: {size} bytes, now {now}"
        )));
    }
    checked
        .hexdigest
        .map(|digest| digest.to_ascii_lowercase())
        .ok_or_else(|| Fault::Retry(format!("the hub gives no sha256 of {name}")))
}

/// Why a task came to nothing, for a person.
pub(super) async fn why(hub: &Hub, settings: &Settings, tree: &Tree) -> Result<String, CallError> {
    let id = tree.task.id;
    let page = settings.task_page(id);
    if tree.task.state == State::Canceled {
        return Ok(format!("somebody canceled Koji task {id}: {page}"));
    }
    let in_state = |state| tree.children.iter().filter(move |task: &&Task| task.state == state);
    let mut lines = Vec::new();
    for task in in_state(State::Failed) {
        lines.push(told_fault(hub, task).await?);
    }
    if lines.is_empty() {
        lines.push(told_fault(hub, &tree.task).await?);
    }
    let done: Vec<&str> = in_state(State::Closed).filter_map(|task| task.label.as_deref()).collect();
    if !done.is_empty() {
        lines.push(format!("done were: {}", done.join(", ")));
    }
    lines.push(page);
    Ok(lines.join("; "))
}

/// Why one task came to nothing, in one line.
pub(super) async fn told_fault(hub: &Hub, task: &Task) -> Result<String, CallError> {
    let part = task.label.as_ref().map(|arch| format!(" for {arch}")).unwrap_or_default();
    let what = format!("Koji task {}{part}", task.id);
    if task.state != State::Failed {
        return Ok(format!("{what} is {}", task.state.word()));
    }
    // The text of a fault as a value: the hub would else answer with the fault itself.
    let params = [json!(task.id), keywords(json!({ "raise_fault": false }))];
    let text = match hub.call::<Value>("getTaskResult", &params).await {
        Ok(fault) => format!(
            "{} (fault {})",
            fault["faultString"].as_str().unwrap_or("it does not say why"),
            fault.get("faultCode").unwrap_or(&Value::Null)
        ),
        Err(error @ CallError::Fault { .. }) => error.to_string(),
        Err(error) => return Err(error),
    };
    Ok(format!("{what} failed: {}", text::one_line(&text)))
}

//! What came of an image task: found by walking its children, never by reading the parent's text.

use std::path::Path;

use muster_flow::build::{Artifact, BuildOutput, Link, Package};
use muster_flow::recipe::Form;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Hub, keywords};
use super::download::{self, Wanted};
use super::error::CallError;
use super::settings::Settings;
use super::task::{State, Task, Tree};
use super::watch::Watched;
use crate::port::{Fault, Observation};
use crate::text;

/// The largest log that is kept.
const LARGEST_LOG: u64 = 64 << 20;

/// What a person should know of every scratch image.
const NO_PACKAGES: &str = "Koji records no packages of a scratch image, so that none are known of it";

/// What a child says it made.
#[derive(Debug, Deserialize)]
struct Made {
    files: Vec<String>,
    logs: Vec<String>,
    /// Empty for a scratch image.
    #[serde(default)]
    rpmlist: Vec<Rpm>,
}

#[derive(Debug, Deserialize)]
struct Rpm {
    name: String,
    epoch: Option<u32>,
    version: String,
    release: String,
    arch: String,
}

impl From<Rpm> for Package {
    fn from(rpm: Rpm) -> Package {
        let Rpm { name, epoch, version, release, arch } = rpm;
        Package { name, epoch: epoch.unwrap_or(0), version, release, arch }
    }
}

#[derive(Debug, Deserialize)]
struct Stat {
    /// A string on the wire.
    st_size: String,
}

#[derive(Debug, Deserialize)]
struct Checked {
    size: u64,
    hexdigest: Option<String>,
}

/// What of a child is fetched.
struct Child<'a> {
    task: &'a Task,
    arch: &'a str,
    images: Vec<(Form, String, u64)>,
    logs: Vec<(String, u64)>,
    packages: Vec<Package>,
}

/// Fetches everything that a closed task made, into `folder`.
pub(super) async fn fetch(
    (hub, files, settings): (&Hub, &reqwest::Client, &Settings),
    watched: &Watched,
    tree: &Tree,
    folder: &Path,
) -> Result<Observation<BuildOutput>, Fault> {
    let children = match children(hub, watched, tree).await? {
        Ok(children) => children,
        Err(why) => return Ok(Observation::Failed(why)),
    };
    download::folder(folder, &watched.key).map_err(Fault::retry)?;
    let mut output = BuildOutput {
        links: vec![Link {
            text: format!("Koji task {}", tree.task.id),
            url: settings.task_page(tree.task.id),
        }],
        ..BuildOutput::default()
    };
    for child in &children {
        for image in &child.images {
            output.artifacts.push(artifact((hub, files, settings), child, image, folder).await?);
        }
        output
            .links
            .push(Link { text: format!("{} on Koji", child.arch), url: settings.task_page(child.task.id) });
        for log in &child.logs {
            let wanted = wanted(settings, child.task, log, folder);
            output.links.push(Link { text: log.0.clone(), url: wanted.url.clone() });
            // A log is a courtesy: without it the image is what it is.
            if log.1 <= LARGEST_LOG
                && download::fetch(files, &wanted).await.is_ok()
                && download::keep(&wanted).is_ok()
            {
                output.log = wanted.path.display().to_string();
            }
        }
    }
    output.packages = children.into_iter().flat_map(|child| child.packages).collect();
    output.packages.sort();
    output.packages.dedup();
    if output.packages.is_empty() {
        output.warnings.push(NO_PACKAGES.to_owned());
    }
    Ok(Observation::Succeeded(output))
}

/// The children that made something, with the files that are wanted of them; or why that is not what was asked for.
async fn children<'a>(
    hub: &Hub,
    watched: &'a Watched,
    tree: &'a Tree,
) -> Result<Result<Vec<Child<'a>>, String>, CallError> {
    let id = tree.task.id;
    let mut tasks = Vec::new();
    for arch in &watched.image.arches {
        let of_arch = |task: &&Task| task.method == "createImage" && task.label.as_ref() == Some(arch);
        match tree.children.iter().filter(of_arch).find(|task| task.state == State::Closed) {
            Some(task) => tasks.push((arch, task)),
            None => return Ok(Err(format!("Koji task {id} is closed and made no image for {arch}"))),
        }
    }
    let calls: Vec<_> = tasks
        .iter()
        .flat_map(|(_, task)| {
            [
                ("getTaskResult", vec![json!(task.id)]),
                ("listTaskOutput", vec![json!(task.id), keywords(json!({ "stat": true }))]),
            ]
        })
        .collect();
    let mut outcomes = hub.multi(&calls).await?.into_iter();
    let mut next = || outcomes.next().unwrap_or(Ok(Value::Null));
    let mut children = Vec::new();
    for (arch, task) in tasks {
        let made: Made = client::typed("getTaskResult", next()?)?;
        let listed = next()?;
        let size = |name: &str| {
            let stat = serde_json::from_value::<Stat>(listed.get(name)?.clone()).ok()?;
            stat.st_size.parse::<u64>().ok()
        };
        let mut child = Child { task, arch, images: Vec::new(), logs: Vec::new(), packages: Vec::new() };
        for form in &watched.image.forms {
            let name = watched.artifact_name(arch, *form);
            if !made.files.contains(&name) {
                return Ok(Err(format!("Koji task {} ({arch}) made no {name}", task.id)));
            }
            let Some(size) = size(&name) else {
                return Ok(Err(format!("{name} of Koji task {} is not kept there any more", task.id)));
            };
            child.images.push((*form, name, size));
        }
        let logs = made.logs.into_iter().filter(|name| is_plain(name));
        child.logs.extend(logs.filter_map(|name| size(&name).map(|size| (name, size))));
        child.packages = made.rpmlist.into_iter().map(Package::from).collect();
        children.push(child);
    }
    Ok(Ok(children))
}

/// Whether a name is that of a file, and of nothing else.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

fn wanted(settings: &Settings, task: &Task, (name, size): &(String, u64), folder: &Path) -> Wanted {
    let name_there = text::in_address(name, "");
    let url = format!("{}/work/{}/{name_there}", settings.topurl.trim_end_matches('/'), task.folder());
    Wanted { url, size: *size, path: folder.join(name) }
}

/// Fetches one image while the hub hashes its own copy, and compares.
async fn artifact(
    (hub, files, settings): (&Hub, &reqwest::Client, &Settings),
    child: &Child<'_>,
    (form, name, size): &(Form, String, u64),
    folder: &Path,
) -> Result<Artifact, Fault> {
    let wanted = wanted(settings, child.task, &(name.clone(), *size), folder);
    let (ours, theirs) =
        tokio::try_join!(download::fetch(files, &wanted), digest_there(hub, child.task, name, *size))?;
    if ours != theirs {
        download::discard(&wanted);
        return Err(Fault::Retry(format!("{} is {ours}, and the hub says {theirs}", wanted.url)));
    }
    download::keep(&wanted).map_err(Fault::retry)?;
    Ok(Artifact {
        form: *form,
        arch: child.arch.to_owned(),
        name: name.clone(),
        path: wanted.path.display().to_string(),
        size: *size,
        digest: ours,
    })
}

/// The SHA-256 of a file as the hub computes it there and then.
async fn digest_there(hub: &Hub, task: &Task, name: &str, size: u64) -> Result<String, Fault> {
    const METHOD: &str = "checkUpload";
    let params = [json!(task.folder()), json!(name), keywords(json!({ "verify": "sha256" }))];
    let reply = hub.call_patiently(METHOD, &params).await?;
    let checked: Option<Checked> = client::typed(METHOD, reply)?;
    let Some(checked) = checked else {
        return Err(Fault::GiveUp(format!("{name} of Koji task {} is gone", task.id)));
    };
    if checked.size != size {
        let now = checked.size;
        return Err(Fault::Retry(format!(
            "{name} of Koji task {} is changing: {size} bytes, now {now}",
            task.id
        )));
    }
    checked.hexdigest.ok_or_else(|| Fault::Retry(format!("the hub gives no sha256 of {name}")))
}

/// Why a task came to nothing, for a person.
pub(super) async fn why(hub: &Hub, settings: &Settings, tree: &Tree) -> Result<String, CallError> {
    let id = tree.task.id;
    let page = settings.task_page(id);
    if tree.task.state == State::Canceled {
        return Ok(format!("somebody canceled Koji task {id}: {page}"));
    }
    let failed: Vec<&Task> = tree.children.iter().filter(|task| task.state == State::Failed).collect();
    let asked: Vec<&Task> = if failed.is_empty() { vec![&tree.task] } else { failed };
    // The text of a fault as a value: the hub would else answer with the fault itself.
    let calls: Vec<_> = asked
        .iter()
        .map(|task| ("getTaskResult", vec![json!(task.id), keywords(json!({ "raise_fault": false }))]))
        .collect();
    let mut lines = Vec::new();
    for (task, outcome) in asked.iter().zip(hub.multi(&calls).await?) {
        let text = match outcome {
            Ok(fault) => format!(
                "{} (fault {})",
                fault["faultString"].as_str().unwrap_or("it does not say why"),
                fault["faultCode"]
            ),
            Err(error) => error.to_string(),
        };
        let part = task.label.as_ref().map(|arch| format!(" for {arch}")).unwrap_or_default();
        let text = text::one_line(&text);
        lines.push(format!("Koji task {}{part} failed: {text}", task.id));
    }
    lines.push(page);
    Ok(lines.join("; "))
}

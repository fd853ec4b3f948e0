//! What a hub would let pass, and a task would then fail of: asked before anything is built.

use muster_flow::build::KojiImage;
use muster_flow::koji::{Input, KojiTask};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Hub, keywords};
use super::error::{CallError, code};
use super::order::Order;
use super::session::Session;
use super::task::{State, Task};

#[derive(Deserialize)]
struct Target {
    build_tag_name: String,
    dest_tag_name: String,
}

#[derive(Deserialize)]
struct BuildTag {
    arches: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    blocked: bool,
}

/// A build as the hub tells of it.
#[derive(Deserialize)]
struct Told {
    id: i64,
    state: i64,
    task_id: Option<i64>,
}

/// A build that came to nothing: the hub takes its name, version and release for another try.
const BROKEN: [i64; 2] = [3, 4];

/// A build that is there.
const COMPLETE: i64 = 1;

/// Whether we may have tasks of a kind done: what is missing, in words for a person.
pub async fn rights(session: &Session, method: &str) -> Result<Vec<String>, CallError> {
    let user = session.user().await?;
    let permissions = session.permissions().await?;
    let (wanted, what) = match method {
        "runroot" => ("runroot", "run commands in a chroot"),
        _ => ("image", "build images"),
    };
    if permissions.iter().any(|name| name == wanted || name == "admin") {
        return Ok(Vec::new());
    }
    let name = &user.name;
    Ok(vec![format!(
        "{name} may not {what}; an administrator of the hub can say: koji grant-permission {wanted} {name}"
    )])
}

/// What a target has for an image.
#[derive(Debug, Default)]
pub struct Looked {
    /// The tag that packages come from; empty without a target.
    pub build_tag: String,
    /// What it lacks, in words for a person.
    pub lacks: Vec<String>,
}

/// What a target has for an image, and what it lacks.
pub async fn look(hub: &Hub, target: &str, image: &KojiImage) -> Result<Looked, CallError> {
    let method = "getBuildTarget";
    let found: Option<Target> = hub.call(method, &[json!(target)]).await?;
    let Some(found) = found else {
        let lacks = vec![format!("the hub has no build target {target}")];
        return Ok(Looked { lacks, ..Looked::default() });
    };
    let (build_tag, tag) = (found.build_tag_name, &found.dest_tag_name);
    let calls = [
        ("getBuildConfig", vec![json!(build_tag)]),
        ("getPackageConfig", vec![json!(tag), json!(image.name)]),
    ];
    let mut outcomes = hub.multi(&calls).await?.into_iter();
    let mut next = || outcomes.next().unwrap_or(Ok(Value::Null));
    let mut lacks = Vec::new();
    match next() {
        Ok(config) => lacks.extend(arches(client::typed("getBuildConfig", config)?, &build_tag, image)),
        Err(error) if error.is(code::GENERIC) => lacks.push(format!("the hub has no tag {build_tag}")),
        Err(error) => return Err(error),
    }
    if !image.scratch && !matches!(image.kind, KojiTask::Runroot(_)) {
        let name = &image.name;
        match client::typed::<Option<Listed>>("getPackageConfig", next()?)? {
            Some(Listed { blocked: false }) => {}
            Some(Listed { blocked: true }) => lacks.push(format!("the package {name} is blocked in the tag {tag}")),
            None => lacks.push(format!(
                "the tag {tag} does not list the package {name}; somebody who may can say: koji add-pkg --owner=WHO \
                 {tag} {name}"
            )),
        }
    }
    lacks.extend(inputs(hub, image).await?);
    Ok(Looked { build_tag, lacks })
}

fn arches(tag: BuildTag, name: &str, image: &KojiImage) -> Vec<String> {
    let has = tag.arches.unwrap_or_default();
    let missing = image.arches.iter().filter(|arch| !has.split_whitespace().any(|known| known == *arch));
    missing.map(|arch| format!("the build tag {name} has no architecture {arch} (it has: {has})")).collect()
}

/// Why Koji cannot keep a build under the order's name: there is one already, and it is not ours.
pub async fn taken(hub: &Hub, order: &Order<'_>) -> Result<Option<String>, CallError> {
    let is_kept = match order.image.kind {
        KojiTask::Osbuild(_) => true,
        KojiTask::Runroot(_) => false,
        KojiTask::Image(_) | KojiTask::Kiwi(_) | KojiTask::Indirection(_) => !order.image.scratch,
    };
    if !is_kept {
        return Ok(None);
    }
    let nvr = order.nvr();
    let found: Option<Told> = hub.call("getBuild", &[json!(nvr)]).await?;
    let Some(found) = found.filter(|build| !BROKEN.contains(&build.state)) else { return Ok(None) };
    let by = found.task_id.map(|task| format!(" by task {task}")).unwrap_or_default();
    Ok(Some(format!(
        "Koji has a build {nvr} already{by}, which asks for something else: {}",
        order.settings.build_page(found.id)
    )))
}

/// What the images that an indirection works with lack.
async fn inputs(hub: &Hub, image: &KojiImage) -> Result<Vec<String>, CallError> {
    let KojiTask::Indirection(task) = &image.kind else { return Ok(Vec::new()) };
    let arch = image.arches.first().map(String::as_str).unwrap_or_default();
    let mut lacks = Vec::new();
    for (key, input) in [("utility_image", &task.utility_image), ("base_image", &task.base_image)] {
        let (what, files) = match input {
            Input::Task(id) => (format!("task {id}"), files_of_task(hub, *id).await?),
            Input::Build(nvr) => (nvr.clone(), files_of_build(hub, nvr, arch).await?),
        };
        match files {
            Err(why) => lacks.push(format!("koji.{key}: {why}")),
            Ok(files) => {
                let has = |wanted: &dyn Fn(&str) -> bool| files.iter().any(|name| wanted(name));
                if !has(&|name| ends_with(name, "qcow2")) {
                    lacks.push(format!("koji.{key}: {what} has no qcow2 file"));
                }
                if !has(&|name| name.starts_with("tdl-")) {
                    lacks.push(format!("koji.{key}: {what} has no tdl file"));
                }
            }
        }
    }
    Ok(lacks)
}

/// Whether a file's name has an ending.
pub fn ends_with(name: &str, ending: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, last)| last == ending)
}

/// The files of a task that made an image, or why it cannot be used.
async fn files_of_task(hub: &Hub, id: i64) -> Result<Result<Vec<String>, String>, CallError> {
    let calls = [("getTaskInfo", vec![json!(id)]), ("listTaskOutput", vec![json!(id)])];
    let mut outcomes = hub.multi(&calls).await?.into_iter();
    let mut next = || outcomes.next().unwrap_or(Ok(Value::Null));
    let task: Option<Task> = client::typed("getTaskInfo", next()?)?;
    Ok(match task {
        None => Err(format!("the hub knows no task {id}")),
        Some(task) if task.method != "createImage" => {
            Err(format!("task {id} is of the kind {}: name a createImage task", task.method))
        }
        Some(task) if task.state != State::Closed => {
            Err(format!("task {id} is {}, and made no image", task.state.word()))
        }
        Some(_) => Ok(client::typed("listTaskOutput", next()?)?),
    })
}

#[derive(Deserialize)]
struct Archive {
    filename: String,
    #[serde(default)]
    arch: Option<String>,
}

/// The files of a build for one architecture, or why it cannot be used.
async fn files_of_build(hub: &Hub, nvr: &str, arch: &str) -> Result<Result<Vec<String>, String>, CallError> {
    let found: Option<Told> = match hub.call("getBuild", &[json!(nvr)]).await {
        Ok(found) => found,
        Err(error) if error.is(code::GENERIC) => {
            return Ok(Err(format!("{nvr:?} is no name-version-release")));
        }
        Err(error) => return Err(error),
    };
    let Some(found) = found else { return Ok(Err(format!("the hub has no build {nvr}"))) };
    if found.state != COMPLETE {
        return Ok(Err(format!("the build {nvr} is not complete")));
    }
    let params = [json!(found.id), keywords(json!({ "type": "image" }))];
    let archives: Vec<Archive> = hub.call("listArchives", &params).await?;
    let of_arch = archives.into_iter().filter(|archive| archive.arch.as_deref() == Some(arch));
    Ok(Ok(of_arch.map(|archive| archive.filename).collect()))
}

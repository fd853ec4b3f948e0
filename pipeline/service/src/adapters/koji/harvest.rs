//! What a closed task left on the hub: found by walking its children and, of a build that Koji keeps, the build's
//! archives; never by reading the parent's text.

use muster_flow::build::{Link, Package};
use muster_flow::koji::{KojiBuild, KojiTask};
use muster_flow::recipe::Form;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Hub, keywords};
use super::error::CallError;
use super::order;
use super::preflight::ends_with;
use super::result::told_fault;
use super::settings::Settings;
use super::task::{State, Task, Tree};
use super::watch::Watched;
use crate::text;

/// The number by which the hub means SHA-256.
const SHA256: i64 = 2;

/// The state of a build that is there.
const COMPLETE: i64 = 1;

/// Everything that is wanted of a task.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    pub images: Vec<Image>,
    pub logs: Vec<Log>,
    pub links: Vec<Link>,
    pub packages: Vec<Package>,
    pub build: Option<KojiBuild>,
    pub warnings: Vec<String>,
}

/// One image, and how it is known to be what the hub has.
#[derive(Debug)]
pub(super) struct Image {
    pub form: Form,
    pub arch: String,
    pub name: String,
    pub size: u64,
    pub url: String,
    pub check: Check,
}

/// How a file is known to be what the hub has.
#[derive(Debug)]
pub(super) enum Check {
    /// The hub has hashed it when it took it in.
    Sha256(String),
    /// The hub hashes it when it is asked, in this folder below its folder for work.
    Ask(String),
}

/// One log.
#[derive(Debug)]
pub(super) struct Log {
    pub name: String,
    pub size: u64,
    pub url: String,
}

/// What a child says it made.
#[derive(Debug, Default, Deserialize)]
struct Made {
    #[serde(default)]
    files: Vec<String>,
    #[serde(default)]
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

/// A build as the hub tells of it.
#[derive(Debug, Deserialize)]
struct Build {
    #[serde(rename = "build_id")]
    id: i64,
    nvr: String,
    package_name: String,
    version: String,
    release: String,
    state: i64,
    #[serde(default)]
    volume_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Archive {
    id: i64,
    filename: String,
    size: u64,
    arch: Option<String>,
    checksum: String,
    checksum_type: i64,
}

/// The task that made the image of one architecture, and what it left.
struct Part<'a> {
    arch: &'a str,
    task: &'a Task,
    made: Made,
    listed: Value,
}

impl Part<'_> {
    fn size(&self, name: &str) -> Option<u64> {
        let stat = serde_json::from_value::<Stat>(self.listed.get(name)?.clone()).ok()?;
        stat.st_size.parse().ok()
    }
}

/// Finds what a closed task left; or says why that is not what was asked for.
pub(super) async fn gather(
    hub: &Hub,
    settings: &Settings,
    (watched, tree): (&Watched, &Tree),
) -> Result<Result<Harvest, String>, CallError> {
    let mut harvest = Harvest::default();
    let tasks = match tasks(watched, tree) {
        Ok(tasks) => tasks,
        Err(why) => return Ok(Err(why)),
    };
    let mut parts = parts(hub, tasks.made, tree).await?;
    for (arch, task) in tasks.missing {
        let why = match task {
            Some(task) => told_fault(hub, task).await?,
            None => "it has no task for it".to_owned(),
        };
        harvest.warnings.push(format!("there is no image for {arch}, which its recipe lets fail: {why}"));
    }
    for part in &parts {
        if part.task.id != tree.task.id {
            let text = format!("{} on Koji", part.arch);
            harvest.links.push(Link { text, url: settings.task_page(part.task.id) });
        }
        for name in part.made.logs.iter().filter(|name| is_plain(name)) {
            let Some(size) = part.size(name) else { continue };
            let url = below_work(settings, part.task, name);
            harvest.links.push(Link { text: name.clone(), url: url.clone() });
            harvest.logs.push(Log { name: name.clone(), size, url });
        }
    }
    let of_scratch = parts.iter_mut().flat_map(|part| part.made.rpmlist.drain(..));
    harvest.packages = of_scratch.map(Package::from).collect();
    harvest.logs.sort_by_key(|log| log.name.starts_with("runroot"));
    let outcome = if watched.is_kept() {
        kept(hub, settings, (watched, tree, &parts), &mut harvest).await?
    } else {
        scratch(settings, watched, &parts).map(|images| harvest.images = images)
    };
    Ok(outcome.map(|()| harvest))
}

/// The tasks that made something, and the architectures that may be missing and are, with the task that failed.
struct Tasks<'a> {
    made: Vec<(&'a str, &'a Task)>,
    missing: Vec<(&'a str, Option<&'a Task>)>,
}

fn tasks<'a>(watched: &'a Watched, tree: &'a Tree) -> Result<Tasks<'a>, String> {
    let mut tasks = Tasks { made: Vec::new(), missing: Vec::new() };
    let Some(method) = order::child_method(watched.method()) else {
        // The task does it itself, and only what it leaves tells of which architecture that is.
        tasks.made.extend(watched.image.arches.first().map(|arch| (arch.as_str(), &tree.task)));
        return Ok(tasks);
    };
    for arch in &watched.image.arches {
        let of_arch = |task: &&Task| task.method == method && task.label.as_ref() == Some(arch);
        let of_arch: Vec<&Task> = tree.children.iter().filter(of_arch).collect();
        match of_arch.iter().find(|task| task.state == State::Closed) {
            Some(task) => tasks.made.push((arch, task)),
            None if watched.image.kind.optional_arches().contains(arch) => {
                tasks.missing.push((arch, of_arch.last().copied()));
            }
            None => return Err(format!("Koji task {} is closed and made no image for {arch}", tree.task.id)),
        }
    }
    Ok(tasks)
}

/// What the tasks say they made, and what lies in their folders, in one request.
async fn parts<'a>(
    hub: &Hub,
    tasks: Vec<(&'a str, &'a Task)>,
    tree: &Tree,
) -> Result<Vec<Part<'a>>, CallError> {
    let asked = tasks.iter().flat_map(|(_, task)| {
        [
            ("getTaskResult", vec![json!(task.id)]),
            ("listTaskOutput", vec![json!(task.id), keywords(json!({ "stat": true }))]),
        ]
    });
    let mut outcomes = hub.multi(&asked.collect::<Vec<_>>()).await?.into_iter();
    let mut next = || outcomes.next().unwrap_or(Ok(Value::Null));
    let mut parts = Vec::new();
    for (arch, task) in tasks {
        let (result, listed) = (next()?, next()?);
        let made = if task.id == tree.task.id {
            // The text is for people: what is there, is what it made.
            let names: Vec<String> =
                listed.as_object().into_iter().flat_map(|files| files.keys().cloned()).collect();
            let (logs, files) = names.into_iter().partition(|name| ends_with(name, "log"));
            Made { files, logs, rpmlist: Vec::new() }
        } else {
            client::typed("getTaskResult", result)?
        };
        parts.push(Part { arch, task, made, listed });
    }
    Ok(parts)
}

/// The files of an image that Koji does not keep.
fn scratch(settings: &Settings, watched: &Watched, parts: &[Part<'_>]) -> Result<Vec<Image>, String> {
    let mut images = Vec::new();
    for part in parts {
        for form in forms(watched) {
            let (task, arch) = (part.task, part.arch);
            let name = chosen(watched, (arch, form), &part.made.files)
                .map_err(|why| format!("Koji task {} ({arch}) {why}", task.id))?;
            let size = part
                .size(name)
                .ok_or_else(|| format!("{name} of Koji task {} is not kept there any more", task.id))?;
            images.push(Image {
                form,
                arch: arch.to_owned(),
                name: name.to_owned(),
                size,
                url: below_work(settings, task, name),
                check: Check::Ask(task.folder()),
            });
        }
    }
    Ok(images)
}

/// The forms that are fetched of an image that Koji does not keep.
fn forms(watched: &Watched) -> Vec<Form> {
    match watched.image.kind {
        // Everything else is made of the commit.
        KojiTask::Runroot(_) => vec![Form::OstreeCommit],
        KojiTask::Image(_) | KojiTask::Kiwi(_) | KojiTask::Osbuild(_) | KojiTask::Indirection(_) => {
            watched.image.forms.clone()
        }
    }
}

/// The archives of a build that Koji keeps, with the packages in them.
async fn kept(
    hub: &Hub,
    settings: &Settings,
    (watched, tree, parts): (&Watched, &Tree, &[Part<'_>]),
    harvest: &mut Harvest,
) -> Result<Result<(), String>, CallError> {
    let id = tree.task.id;
    let Some(build) = build(hub, tree).await? else {
        return Ok(Err(format!("Koji task {id} is closed, and the hub knows no build of it")));
    };
    if build.state != COMPLETE {
        return Ok(Err(format!("Koji task {id} is closed, and its build {} is not complete", build.nvr)));
    }
    harvest.build = Some(KojiBuild { id: build.id, nvr: build.nvr.clone() });
    let params = [json!(build.id), keywords(json!({ "type": "image" }))];
    let archives: Vec<Archive> = hub.call("listArchives", &params).await?;
    let arches: Vec<&str> = match order::child_method(watched.method()) {
        Some(_) => parts.iter().map(|part| part.arch).collect(),
        None => watched.image.arches.iter().map(String::as_str).collect(),
    };
    let mut asked = Vec::new();
    for arch in arches {
        let of_arch = || archives.iter().filter(|archive| archive.arch.as_deref() == Some(arch));
        let names: Vec<String> = of_arch().map(|archive| archive.filename.clone()).collect();
        for (number, form) in watched.image.forms.iter().enumerate() {
            let name = match chosen(watched, (arch, *form), &names) {
                Ok(name) => name,
                Err(why) => return Ok(Err(format!("Koji's build {} ({arch}) {why}", build.nvr))),
            };
            let Some(archive) = of_arch().find(|archive| archive.filename == name) else { continue };
            if number == 0 {
                asked.push(("listRPMs", vec![keywords(json!({ "imageID": archive.id }))]));
            }
            let part = parts.iter().find(|part| part.arch == arch).map_or(&tree.task, |part| part.task);
            harvest.images.push(Image {
                form: *form,
                arch: arch.to_owned(),
                name: name.to_owned(),
                size: archive.size,
                url: below_packages(settings, &build, name),
                check: match archive.checksum_type {
                    SHA256 => Check::Sha256(archive.checksum.clone()),
                    _ => Check::Ask(part.folder()),
                },
            });
        }
    }
    let mut rpms: Vec<Rpm> = Vec::new();
    for outcome in hub.multi::<Vec<Rpm>>(&asked).await? {
        rpms.extend(outcome?);
    }
    if !rpms.is_empty() {
        // What the hub recorded is what it can be asked about later.
        harvest.packages = rpms.into_iter().map(Package::from).collect();
    }
    Ok(Ok(()))
}

/// The build of a task.
async fn build(hub: &Hub, tree: &Tree) -> Result<Option<Build>, CallError> {
    let params = [keywords(json!({ "taskID": tree.task.id }))];
    let builds: Vec<Build> = hub.call("listBuilds", &params).await?;
    if let Some(newest) = builds.into_iter().max_by_key(|build| build.id) {
        return Ok(Some(newest));
    }
    if tree.task.method != "osbuildImage" {
        return Ok(None);
    }
    // Its builds are taken in from outside, and need not name the task.
    let result: Value = hub.call("getTaskResult", &[json!(tree.task.id)]).await?;
    let Some(id) = result["koji"]["build"].as_i64() else { return Ok(None) };
    hub.call("getBuild", &[json!(id)]).await
}

/// The name of the one file of a form.
fn chosen<'a>(watched: &Watched, (arch, form): (&str, Form), names: &'a [String]) -> Result<&'a str, String> {
    if let Some(wanted) = watched.file_name(arch, form) {
        let found = names.iter().find(|name| **name == wanted);
        return found.map(String::as_str).ok_or_else(|| format!("made no {wanted}"));
    }
    let ending = format!(".{}", form.extension());
    let fitting: Vec<&String> =
        names.iter().filter(|name| is_plain(name) && name.ends_with(&ending)).collect();
    match fitting[..] {
        [name] => Ok(name),
        [] => Err(format!("made no file that ends with {ending} (it made: {})", list(names.iter()))),
        _ => Err(format!("made several files that end with {ending}: {}", list(fitting.into_iter()))),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Whether a name is that of a file, and of nothing else.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

fn below_work(settings: &Settings, task: &Task, name: &str) -> String {
    format!("{}/work/{}/{}", settings.topurl.trim_end_matches('/'), task.folder(), text::in_address(name, ""))
}

fn below_packages(settings: &Settings, build: &Build, name: &str) -> String {
    let top = settings.topurl.trim_end_matches('/');
    let volume = match build.volume_name.as_deref() {
        None | Some("DEFAULT") => String::new(),
        Some(volume) => format!("/vol/{}", text::in_address(volume, "")),
    };
    let parts = [&build.package_name, &build.version, &build.release]
        .map(|part| text::in_address(part, ""))
        .join("/");
    format!("{top}{volume}/packages/{parts}/images/{}", text::in_address(name, ""))
}

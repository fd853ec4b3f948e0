//! Koji: images built by a hub's builders.
//!
//! One step is one task, whatever dies when: the task carries the step's mark, and is looked for by it before it is
//! made. This adapter knows Koji's hub, its tasks and their files. It must not know candidates, gates, clouds or the
//! database, and it tries nothing twice: what has to wait is said, and the engine waits.

pub mod xml;
pub mod error;
pub mod settings;
mod login;
pub mod client;
pub mod session;
pub mod task;
mod mark;
mod image;
mod preflight;
pub mod download;
mod watch;
mod result;
mod check;
pub mod changes;

use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use muster_flow::build::{Build, BuildOutput, BuildRequest, KojiImage};
use muster_flow::step::{Handle, StepKey};
use serde_json::json;

pub use self::check::check;
use self::client::Hub;
use self::error::{CallError, code};
use self::mark::Mark;
use self::session::Session;
pub use self::settings::Settings;
use self::task::{Listing, State, Task, Tree};
use self::watch::Watched;
pub use self::watch::is_ours;
use crate::http;
use crate::port::{Fault, Observation, Port};

/// How far the hub's clock may be behind ours, in seconds.
const CLOCKS_APART: f64 = 86_400.0;

/// Builds images on a hub's builders.
#[derive(Debug)]
pub struct KojiBuilder {
    settings: Settings,
    hub: Hub,
    session: Session,
    files: reqwest::Client,
    /// Where fetched images lie, in a folder per step.
    root: PathBuf,
    /// When each task was looked at last, and what was seen.
    seen: Mutex<HashMap<i64, (Instant, String)>>,
}

impl KojiBuilder {
    /// A builder that puts what it fetches below `root`.
    pub fn new(settings: Settings, root: PathBuf) -> Result<Self> {
        let hub = Hub::new(&settings.hub)?;
        let session = Session::new(hub.clone(), settings.login.clone());
        Ok(KojiBuilder { hub, session, files: http::client()?, settings, root, seen: Mutex::default() })
    }

    fn mark(&self, key: &StepKey, made: i64) -> Mark {
        Mark::of(&self.settings.mark, key, made)
    }

    /// Every task of ours since a candidate was made, newest first.
    ///
    /// Asked in the session that makes tasks: the hub goes through a session's calls one by one, so that a call whose
    /// answer we never saw is over before this one is answered.
    async fn ours(&self, made: i64) -> Result<Vec<Task>, CallError> {
        let owner = Some(self.session.user().await?.id);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        let listing = Listing { method: "image", owner, after: made as f64 - CLOCKS_APART };
        client::typed("listTasks", self.session.call("listTasks", &listing.params()).await?)
    }

    /// The task of a step; or, for a further try, one of an earlier try that serves as well.
    async fn find(&self, key: &StepKey, made: i64, image: &KojiImage) -> Result<Option<Task>, CallError> {
        let ours = self.ours(made).await?;
        if let Some(task) = self.find_among(&ours, key, made, image) {
            return Ok(Some(task.clone()));
        }
        let Some(first) = key.previous().and_then(|key| self.marked(&ours, &key, made).pop()) else {
            return Ok(None);
        };
        // A person may have had it done again on Koji's own pages.
        Ok(self.resubmitted(first).await?.filter(|task| !task.state.is_broken()))
    }

    fn find_among<'a>(
        &self,
        ours: &'a [Task],
        key: &StepKey,
        made: i64,
        image: &KojiImage,
    ) -> Option<&'a Task> {
        if let Some(task) = self.marked(ours, key, made).first() {
            return Some(task);
        }
        if image.scratch {
            return None;
        }
        // Koji keeps one build of a name, version and release: there can be no other.
        let mut earlier = std::iter::successors(key.previous(), StepKey::previous);
        earlier.find_map(|key| {
            self.marked(ours, &key, made).into_iter().find(|task| task.state == State::Closed)
        })
    }

    /// The tasks with a step's mark, newest first.
    fn marked<'a>(&self, ours: &'a [Task], key: &StepKey, made: i64) -> Vec<&'a Task> {
        let mark = self.mark(key, made);
        let mut tasks: Vec<&Task> = ours.iter().filter(|task| mark.is_on(task)).collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
        tasks
    }

    /// The newest task that asks for the very same, whoever had it done again.
    async fn resubmitted(&self, task: &Task) -> Result<Option<Task>, CallError> {
        let after = task.create_ts.unwrap_or_default();
        let listing = Listing { method: "image", owner: None, after };
        let tasks: Vec<Task> =
            client::typed("listTasks", self.hub.call("listTasks", &listing.params()).await?)?;
        let same = tasks.into_iter().filter(|other| other.id > task.id && other.request == task.request);
        Ok(same.max_by_key(|task| task.id))
    }

    async fn preflight(&self, request: &BuildRequest, image: &KojiImage) -> Result<(), Fault> {
        let target = Settings::of_version(&self.settings.target, &request.version);
        let mut missing = image::faults(&request.product, &request.version, &request.packages);
        if missing.is_empty() {
            missing.extend(preflight::rights(&self.session).await?);
            missing.extend(preflight::lacks(&self.hub, &target, image).await?);
        }
        if missing.is_empty() { Ok(()) } else { Err(Fault::GiveUp(missing.join("; "))) }
    }

    async fn begin(&self, key: &StepKey, request: &BuildRequest, image: &KojiImage) -> Result<i64, Fault> {
        let mark = self.mark(key, request.source_date_epoch);
        let kickstart = image::kickstart(request).map_err(Fault::GiveUp)?;
        self.session.upload(&mark.0, &image::file_name(request), kickstart.as_bytes()).await?;
        let params = image::params(&self.settings, request, image, &mark);
        match self.session.call("buildImageOz", &params).await {
            Ok(reply) => Ok(client::typed("buildImageOz", reply)?),
            // An earlier call, whose answer was lost, did make the task.
            Err(error) if error.is(code::REPEATED) => {
                let task = self.find(key, request.source_date_epoch, image).await?;
                task.map(|task| task.id).ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What was seen of a task so lately that the hub need not be asked again.
    fn lately(&self, task: i64) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, note) = seen.get(&task)?;
        (at.elapsed() < Duration::from_secs(self.settings.poll_s)).then(|| note.clone())
    }

    fn remember(&self, task: i64, note: Option<&str>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match note {
            Some(note) => drop(seen.insert(task, (Instant::now(), note.to_owned()))),
            None => drop(seen.remove(&task)),
        }
    }

    async fn look(&self, watched: &Watched, id: i64) -> Result<Observation<BuildOutput>, Fault> {
        let Some(tree) = task::find_tree(&self.hub, id).await? else {
            return Ok(Observation::Vanished(format!("the hub knows no task {id}")));
        };
        match tree.task.state {
            State::Free | State::Assigned | State::Open => {
                let note = self.note(&tree);
                self.remember(watched.task, Some(&note));
                Ok(Observation::Running(note))
            }
            State::Closed => {
                let folder = self.root.join(StepKey(watched.key.clone()).flat());
                let world = (&self.hub, &self.files, &self.settings);
                result::fetch(world, watched, &tree, &folder).await
            }
            State::Failed | State::Canceled => match self.resubmitted(&tree.task).await? {
                Some(again) => Box::pin(self.look(watched, again.id)).await,
                None => Ok(Observation::Failed(result::why(&self.hub, &self.settings, &tree).await?)),
            },
        }
    }

    /// How far a task has got, in one line for a person.
    fn note(&self, tree: &Tree) -> String {
        let id = tree.task.id;
        let mut note = format!("Koji task {id} is {}", tree.task.state.word());
        for child in &tree.children {
            let label = child.label.as_deref().unwrap_or(&child.method);
            // Writing to a string cannot fail.
            let _ = write!(note, ", {label} {} ({})", child.state.word(), child.id);
        }
        format!("{note}: {}", self.settings.task_page(id))
    }
}

#[async_trait]
impl Port<Build> for KojiBuilder {
    async fn ensure(&self, key: &StepKey, request: &BuildRequest) -> Result<Handle, Fault> {
        let Some(image) = &request.koji else {
            return Err(Fault::GiveUp("its recipe does not say that Koji builds it".to_owned()));
        };
        let task = if let Some(task) = self.find(key, request.source_date_epoch, image).await? {
            task.id
        } else {
            self.preflight(request, image).await?;
            self.begin(key, request, image).await?
        };
        let mark = self.mark(key, request.source_date_epoch);
        Watched::new(task, key, request, (image, &mark)).encode()
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
        let watched = Watched::decode(handle)?;
        if let Some(note) = self.lately(watched.task) {
            return Ok(Observation::Running(note));
        }
        self.remember(watched.task, None);
        self.look(&watched, watched.task).await
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        let watched = Watched::decode(handle)?;
        self.remember(watched.task, None);
        let info = self.hub.call("getTaskInfo", &[json!([watched.task])]).await?;
        let mut tasks: Vec<Task> =
            client::typed::<Vec<Option<Task>>>("getTaskInfo", info)?.into_iter().flatten().collect();
        let mark = Mark(watched.mark.clone());
        tasks.extend(self.ours(watched.made).await?.into_iter().filter(|task| mark.is_on(task)));
        tasks.sort_by_key(|task| task.id);
        tasks.dedup_by_key(|task| task.id);
        for task in tasks.iter().filter(|task| !task.state.is_over()) {
            self.session.cancel_task(task.id).await?;
        }
        match std::fs::remove_dir_all(self.root.join(StepKey(watched.key).flat())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Fault::retry(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

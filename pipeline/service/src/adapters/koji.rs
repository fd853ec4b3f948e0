//! Koji: images built by a hub's builders.
//!
//! One step is one task, whatever dies when: the task carries the step's mark, and is looked for by it before it is
//! made. This adapter knows Koji's hub, its tasks and their files. It must not know candidates, gates, clouds or the
//! database, and it tries nothing twice: what has to wait is said, and the engine waits.

pub mod xml;
pub mod error;
pub mod settings;
mod login;
mod reply;
pub mod client;
pub mod session;
pub mod task;
mod mark;
mod order;
mod package_set;
mod preflight;
mod watch;
mod gather;
mod harvest;
mod result;
mod check;
pub mod changes;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use muster_flow::build::{Build, BuildOutput, BuildRequest};
use muster_flow::step::{Handle, StepKey};
use serde_json::json;

pub use self::check::check;
use self::client::Hub;
use self::error::{CallError, code};
use self::gather::Looks;
use self::order::Order;
pub use self::package_set::freeze;
use self::result::World;
use self::session::Session;
pub use self::settings::Settings;
use self::task::{Listing, State, Task, Tree};
use self::watch::Watched;
pub use self::watch::{is_ours, rest_of};
use super::download;
use super::fetches::{Desk, Fetches};
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
    /// What is being fetched.
    fetches: Fetches,
    looks: Looks,
}

impl KojiBuilder {
    /// A builder that puts what it fetches below `root`.
    pub fn new(settings: Settings, root: PathBuf) -> Result<Self> {
        let hub = Hub::new(&settings.hub)?;
        let session = Session::new(hub.clone(), settings.login.clone());
        Ok(KojiBuilder {
            looks: Looks::new(hub.clone()),
            hub,
            session,
            files: http::client()?,
            settings,
            root,
            fetches: Fetches::default(),
        })
    }

    fn order<'a>(&'a self, key: &'a StepKey, request: &'a BuildRequest) -> Result<Order<'a>, Fault> {
        let unsaid = || Fault::GiveUp("its recipe does not say that Koji builds it".to_owned());
        let image = request.koji.as_ref().ok_or_else(unsaid)?;
        Ok(Order { settings: &self.settings, key, request, image })
    }

    /// Every task of ours of a kind since a candidate was made, newest first.
    ///
    /// Asked in the session that makes tasks: the hub goes through a session's calls one by one, so that a call whose
    /// answer we never saw is over before this one is answered.
    async fn ours(&self, method: &str, made: i64) -> Result<Vec<Task>, CallError> {
        let owner = Some(self.session.user().await?.id);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        let listing = Listing { method, owner, after: made as f64 - CLOCKS_APART };
        self.session.call("listTasks", &listing.params()).await
    }

    /// The task of an order; or, for a further try, one of an earlier try that serves as well.
    async fn find(&self, order: &Order<'_>, ours: &[Task]) -> Result<Option<Task>, CallError> {
        if let Some(task) = find_among(ours, order) {
            return Ok(Some(task.clone()));
        }
        let Some(first) = earlier(ours, order).next() else { return Ok(None) };
        // A person may have had it done again on Koji's own pages.
        Ok(self.resubmitted(first).await?.filter(|task| !task.state.is_broken()))
    }

    /// The newest task that asks for the very same, whoever had it done again.
    async fn resubmitted(&self, task: &Task) -> Result<Option<Task>, CallError> {
        let after = task.create_ts.unwrap_or_default();
        let listing = Listing { method: &task.method, owner: None, after };
        let tasks: Vec<Task> = self.hub.call("listTasks", &listing.params()).await?;
        let same = tasks.into_iter().filter(|other| other.id > task.id && other.request == task.request);
        Ok(same.max_by_key(|task| task.id))
    }

    /// Looks whether it can be built; gives the build tag, and the addresses that its packages come from.
    async fn preflight(&self, order: &Order<'_>, ours: &[Task]) -> Result<(String, Vec<String>), Fault> {
        let mut lacks = order.faults();
        let (mut build_tag, mut repositories) = (String::new(), Vec::new());
        if lacks.is_empty() {
            lacks.extend(preflight::rights(&self.session, order.method()).await?);
            let looked = preflight::look(&self.hub, &order.target(), order.image).await?;
            lacks.extend(looked.lacks);
            lacks.extend(preflight::taken(&self.hub, order).await?);
            if !looked.build_tag.is_empty() {
                let held = earlier(ours, order).next();
                match package_set::addresses(&self.hub, order, &looked.build_tag, held).await? {
                    Ok(addresses) => repositories = addresses,
                    Err(why) => lacks.push(why),
                }
            }
            build_tag = looked.build_tag;
        }
        if lacks.is_empty() { Ok((build_tag, repositories)) } else { Err(Fault::GiveUp(lacks.join("; "))) }
    }

    async fn begin(
        &self,
        order: &Order<'_>,
        (build_tag, repositories): (&str, &[String]),
    ) -> Result<i64, Fault> {
        let call = order.call(build_tag, repositories).map_err(Fault::GiveUp)?;
        if let Some(file) = order.upload().map_err(Fault::GiveUp)? {
            self.session.upload(&order.folder().0, &file.name, file.text.as_bytes()).await?;
        }
        match self.session.call(call.method, &call.params).await {
            Ok(task) => Ok(task),
            // An earlier call, whose answer was lost, did make the task.
            Err(error) if error.is(code::REPEATED) => {
                let ours = self.ours(order.method(), order.made()).await?;
                let task = self.find(order, &ours).await?;
                task.map(|task| task.id).ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn look(&self, watched: &Watched, id: i64) -> Result<Observation<BuildOutput>, Fault> {
        let vanished = || Ok(Observation::Vanished(format!("the hub knows no task {id}")));
        let Some(tree) = self.looks.at(id).await? else { return vanished() };
        if !tree.task.state.is_over() {
            return Ok(self.slow(self.note(&tree)));
        }
        let Some(task) = task::find(&self.hub, id).await? else { return vanished() };
        let tree = Tree { task, ..tree };
        if !tree.task.state.is_broken() {
            self.fetch(watched, tree)?;
            return self.fetched(watched, id).await;
        }
        match self.resubmitted(&tree.task).await? {
            Some(again) => Box::pin(self.look(watched, again.id)).await,
            None => Ok(Observation::Failed(result::why(&self.hub, &self.settings, &tree).await?)),
        }
    }

    fn slow(&self, note: String) -> Observation<BuildOutput> {
        Observation::Slow { note, pause: Duration::from_secs(self.settings.poll_s) }
    }

    fn folder(&self, watched: &Watched) -> PathBuf {
        self.root.join(StepKey(watched.key.clone()).flat())
    }

    /// Begins to fetch what a closed task made, unless another process does.
    fn fetch(&self, watched: &Watched, tree: Tree) -> Result<(), Fault> {
        let folder = self.folder(watched);
        download::folder(&folder, &watched.key).map_err(Fault::retry)?;
        let Some(desk) = Desk::take(&folder).map_err(Fault::retry)? else { return Ok(()) };
        let world = World {
            hub: self.hub.clone(),
            files: self.files.clone(),
            settings: self.settings.clone(),
            desk: desk.clone(),
        };
        let task = watched.clone();
        self.fetches.begin(
            &watched.key,
            desk,
            async move { result::fetch(&world, &task, &tree, &folder).await },
        );
        Ok(())
    }

    /// What came of the fetch, or how far it is.
    async fn fetched(&self, watched: &Watched, id: i64) -> Result<Observation<BuildOutput>, Fault> {
        let page = self.settings.task_page(id);
        let note = |what: &str| format!("Koji task {id} is closed, {what}: {page}");
        match self.fetches.look(&watched.key).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(far)) => Ok(Observation::Running(note(&far))),
            None => Ok(self.slow(note("another process fetches its files"))),
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
        let order = self.order(key, request)?;
        let ours = self.ours(order.method(), order.made()).await?;
        let task = if let Some(task) = self.find(&order, &ours).await? {
            task.id
        } else {
            let (build_tag, repositories) = self.preflight(&order, &ours).await?;
            self.begin(&order, (&build_tag, &repositories)).await?
        };
        Watched::new(task, &order).encode()
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
        let watched = Watched::decode(handle)?;
        if self.fetches.has(&watched.key) {
            return self.fetched(&watched, watched.task).await;
        }
        self.look(&watched, watched.task).await
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        let watched = Watched::decode(handle)?;
        self.fetches.stop(&watched.key);
        let told: Vec<Option<Task>> = self.hub.call("getTaskInfo", &[json!([watched.task])]).await?;
        let mut tasks: Vec<Task> = told.into_iter().flatten().collect();
        let ours = self.ours(watched.method(), watched.made).await?;
        tasks.extend(ours.into_iter().filter(|task| watched.mark.is_on(task)));
        tasks.sort_by_key(|task| task.id);
        tasks.dedup_by_key(|task| task.id);
        for task in tasks.iter().filter(|task| !task.state.is_over()) {
            self.session.cancel_task(task.id).await?;
        }
        match std::fs::remove_dir_all(self.folder(&watched)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Fault::retry(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The tasks of an order, newest first.
fn marked<'a>(ours: &'a [Task], order: &Order<'_>) -> Vec<&'a Task> {
    let mark = order.mark();
    let mut tasks: Vec<&Task> = ours.iter().filter(|task| mark.is_on(task)).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
    tasks
}

/// The first tasks of earlier tries, the latest try first.
fn earlier<'a>(ours: &'a [Task], order: &Order<'_>) -> impl Iterator<Item = &'a Task> {
    let tries = std::iter::successors(order.key.previous(), StepKey::previous);
    let first = |key: StepKey| marked(ours, &order.with_key(&key)).pop();
    tries.filter_map(first).collect::<Vec<_>>().into_iter()
}

fn find_among<'a>(ours: &'a [Task], order: &Order<'_>) -> Option<&'a Task> {
    if let Some(task) = marked(ours, order).first() {
        return Some(task);
    }
    if order.image.scratch {
        return None;
    }
    // Koji keeps one build of a name, version and release: there can be no other.
    let mut tries = std::iter::successors(order.key.previous(), StepKey::previous);
    tries.find_map(|key| {
        marked(ours, &order.with_key(&key)).into_iter().find(|task| task.state == State::Closed)
    })
}

//! What is remembered of a task that was begun: the handle that the step's row keeps.

use muster_flow::build::{BuildRequest, KojiImage};
use muster_flow::koji::KojiTask;
use muster_flow::recipe::Form;
use muster_flow::step::{Handle, StepKey};
use serde::{Deserialize, Serialize};

use super::mark::Mark;
use super::order::{self, Order};
use crate::port::Fault;

/// How a handle begins, so that it is told from the folders of local builds.
const PREFIX: &str = "koji:";

/// A task and what is expected of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    /// The task.
    pub task: i64,
    /// The step's key.
    pub key: String,
    /// What the task is known by.
    pub mark: Mark,
    /// When the candidate was made, in seconds since 1970.
    pub made: i64,
    /// The distribution's version.
    pub version: String,
    /// What was asked for.
    #[serde(flatten)]
    pub image: KojiImage,
    /// What is left to make on this machine of what Koji makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Box<BuildRequest>>,
}

impl Watched {
    pub fn new(task: i64, order: &Order<'_>) -> Self {
        Watched {
            task,
            key: order.key.0.clone(),
            mark: order.mark(),
            made: order.made(),
            version: order.request.version.clone(),
            image: KojiImage { release: order.release(), ..order.image.clone() },
            rest: rest(order).map(Box::new),
        }
    }

    /// What the hub calls the kind of task.
    pub fn method(&self) -> &'static str {
        order::method(&self.image.kind)
    }

    /// Whether Koji keeps it as a build. It knows no scratch build of osbuild, and keeps nothing of a chroot.
    pub fn is_kept(&self) -> bool {
        match self.image.kind {
            KojiTask::Osbuild(_) => true,
            KojiTask::Runroot(_) => false,
            KojiTask::Image(_) | KojiTask::Kiwi(_) | KojiTask::Indirection(_) => !self.image.scratch,
        }
    }

    /// The name of the file of a form, where builders give it the name that is asked for.
    pub fn file_name(&self, arch: &str, form: Form) -> Option<String> {
        match self.image.kind {
            KojiTask::Image(_) => {
                Some(order::artifact_name(&self.image, (&self.version, &self.image.release), arch, form))
            }
            KojiTask::Runroot(_) => Some(order::runroot::COMPOSE.to_owned()),
            KojiTask::Kiwi(_) | KojiTask::Osbuild(_) | KojiTask::Indirection(_) => None,
        }
    }

    pub fn encode(&self) -> Result<Handle, Fault> {
        let text = crate::encode(self).map_err(Fault::give_up)?;
        Ok(Handle(format!("{PREFIX}{text}")))
    }

    pub fn decode(handle: &Handle) -> Result<Self, Fault> {
        let text = handle.0.strip_prefix(PREFIX).unwrap_or_default();
        crate::decode(text).map_err(Fault::give_up)
    }
}

/// What is left to make of a commit that Koji composes: an archive of it, and what boots it.
fn rest(order: &Order<'_>) -> Option<BuildRequest> {
    let KojiTask::Runroot(_) = order.image.kind else { return None };
    let mut request = BuildRequest { koji: None, ..order.request.clone() };
    // It is composed by then.
    request.definition.texts.clear();
    Some(request)
}

/// What is left to make on this machine when the task is done, with the step's key; `None` when nothing is.
pub fn rest_of(handle: &Handle) -> Result<Option<(StepKey, BuildRequest)>, Fault> {
    let watched = Watched::decode(handle)?;
    Ok(watched.rest.map(|rest| (StepKey(watched.key), *rest)))
}

/// Whether a handle is one of ours.
pub fn is_ours(handle: &Handle) -> bool {
    handle.0.starts_with(PREFIX)
}

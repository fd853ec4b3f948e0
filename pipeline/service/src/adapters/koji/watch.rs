//! What is remembered of a task that was begun: the handle that the step's row keeps.

use muster_flow::build::{BuildRequest, KojiImage};
use muster_flow::recipe::Form;
use muster_flow::step::{Handle, StepKey};
use serde::{Deserialize, Serialize};

use super::image;
use super::mark::Mark;
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
    /// The mark's folder.
    pub mark: String,
    /// When the candidate was made, in seconds since 1970.
    pub made: i64,
    /// The distribution's version.
    pub version: String,
    /// What was asked for.
    #[serde(flatten)]
    pub image: KojiImage,
}

impl Watched {
    pub fn new(task: i64, key: &StepKey, request: &BuildRequest, (image, mark): (&KojiImage, &Mark)) -> Self {
        Watched {
            task,
            key: key.0.clone(),
            mark: mark.0.clone(),
            made: request.source_date_epoch,
            version: request.version.clone(),
            image: image.clone(),
        }
    }

    pub fn artifact_name(&self, arch: &str, form: Form) -> String {
        image::artifact_name(&self.image, &self.version, arch, form)
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

/// Whether a handle is one of ours.
pub fn is_ours(handle: &Handle) -> bool {
    handle.0.starts_with(PREFIX)
}

//! The seam between the engine and the outside: one trait, which every adapter implements.
//!
//! An adapter holds no loop, no sleep, no retry, no SQL and no decision.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_flow::announce::Announce;
use muster_flow::build::Build;
use muster_flow::publish::{Promote, Upload, Verify};
use muster_flow::smoketest::Smoketest;
use muster_flow::step::{Handle, StepKey, Work};

/// A place where one kind of work is done.
#[async_trait]
pub trait Port<W: Work>: Send + Sync {
    /// Begins the work named by `key`, or finds it already begun. It looks before it creates, and what it creates
    /// carries the key.
    async fn ensure(&self, key: &StepKey, request: &W::Request) -> Result<Handle, Fault>;

    /// Looks how far the work has got.
    async fn observe(&self, handle: &Handle) -> Result<Observation<W::Output>, Fault>;

    /// Stops the work and removes what it left outside. Work that is over or unknown is no fault.
    async fn cancel(&self, handle: &Handle) -> Result<(), Fault>;
}

#[async_trait]
impl<W: Work, P: Port<W> + ?Sized> Port<W> for Arc<P> {
    async fn ensure(&self, key: &StepKey, request: &W::Request) -> Result<Handle, Fault> {
        (**self).ensure(key, request).await
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<W::Output>, Fault> {
        (**self).observe(handle).await
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        (**self).cancel(handle).await
    }
}

/// What a look at running work showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation<O> {
    /// It goes on; a line for a person says how far.
    Running(String),
    /// It goes on at its own pace, and whoever keeps it wants to be asked seldom: nobody looks again before the pause is
    /// over, whichever process that is.
    Slow {
        /// How far it is, in a line for a person.
        note: String,
        /// For how long there is no need to look.
        pause: Duration,
    },
    /// It is done.
    Succeeded(O),
    /// It could not be done, or nothing could be found out: the reason, for a person.
    Failed(String),
    /// The outside knows nothing of it any more: it must be begun again.
    Vanished(String),
}

/// Why an adapter could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It goes as it should and takes its time, as the end of what runs does: the engine looks again soon.
    #[error("{0}")]
    NotYet(String),
    /// It may go well later: the engine tries again.
    #[error("{0}")]
    Retry(String),
    /// The outside itself is away, whatever is asked of it: the engine tries again until the step's deadline.
    #[error("{0}")]
    Away(String),
    /// It will never go well: the step fails with this reason.
    #[error("{0}")]
    GiveUp(String),
}

impl Fault {
    /// A fault that may pass, with the whole chain of causes.
    pub fn retry(error: impl Into<anyhow::Error>) -> Self {
        Fault::Retry(format!("{:#}", error.into()))
    }

    /// A fault that will not pass, with the whole chain of causes.
    pub fn give_up(error: impl Into<anyhow::Error>) -> Self {
        Fault::GiveUp(format!("{:#}", error.into()))
    }
}

/// Every port the engine drives.
pub struct Ports {
    /// Builders.
    pub build: Box<dyn Port<Build>>,
    /// Cloudlets.
    pub smoketest: Box<dyn Port<Smoketest>>,
    /// Destinations: private uploads.
    pub upload: Box<dyn Port<Upload>>,
    /// Destinations: reading back.
    pub verify: Box<dyn Port<Verify>>,
    /// Destinations and streams: moving pointers.
    pub promote: Box<dyn Port<Promote>>,
    /// The bus.
    pub announce: Box<dyn Port<Announce>>,
}

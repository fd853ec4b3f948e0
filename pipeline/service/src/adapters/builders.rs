//! Every builder there is, as one: each build goes to the one that its recipe names.

use std::path::Path;

use anyhow::Result;
use async_trait::async_trait;
use muster_flow::build::{Build, BuildOutput, BuildRequest, Composed};
use muster_flow::step::{Handle, StepKey};

use super::imagefactory::{self, ImageFactory};
use super::koji::{self, KojiBuilder};
use super::local::LocalBuilder;
use crate::clock::Clock;
use crate::config::Settings;
use crate::port::{Fault, Observation, Port};

/// The builders of this service.
#[derive(Debug)]
pub struct Builders {
    /// This machine.
    pub local: LocalBuilder,
    /// A Koji hub's builders, where one is configured.
    pub koji: Option<KojiBuilder>,
    /// An ImageFactory, where one is configured.
    pub imagefactory: Option<ImageFactory>,
}

impl Builders {
    /// The builders that are configured; `local` also says where what others made is kept.
    pub fn new(local: LocalBuilder, settings: &Settings, clock: &Clock) -> Result<Self> {
        let root = &local.jobs.root;
        let koji = settings.koji.clone().map(|koji| KojiBuilder::new(koji, root.clone()));
        let factory = |factory| ImageFactory::new(factory, root.clone(), clock.clone());
        let imagefactory = settings.imagefactory.clone().map(factory);
        Ok(Builders { koji: koji.transpose()?, imagefactory: imagefactory.transpose()?, local })
    }

    fn imagefactory(&self) -> Result<&ImageFactory, Fault> {
        let missing = || {
            Fault::Retry(
                "ImageFactory builds it, and the configuration has no section [imagefactory]".to_owned(),
            )
        };
        self.imagefactory.as_ref().ok_or_else(missing)
    }

    fn koji(&self) -> Result<&KojiBuilder, Fault> {
        let missing =
            || Fault::Retry("Koji builds it, and the configuration has no section [koji]".to_owned());
        self.koji.as_ref().ok_or_else(missing)
    }

    /// The job on this machine that makes the rest of what Koji composed.
    fn job(&self, key: &StepKey) -> Handle {
        Handle(self.local.jobs.root.join(key.flat()).display().to_string())
    }

    /// Koji composes the commit, and this machine makes of it what boots.
    async fn observe_composed(
        &self,
        handle: &Handle,
        (key, rest): (StepKey, BuildRequest),
    ) -> Result<Observation<BuildOutput>, Fault> {
        let job = self.job(&key);
        if let Ok(begun) = std::fs::read(Path::new(&job.0).join("request.json")) {
            let request: BuildRequest = serde_json::from_slice(&begun).map_err(Fault::give_up)?;
            // It may have died since.
            self.local.ensure(&key, &request).await?;
            return self.local.observe(&job).await;
        }
        let output = match self.koji()?.observe(handle).await? {
            Observation::Succeeded(output) => output,
            seen @ (Observation::Running(_)
            | Observation::Slow { .. }
            | Observation::Failed(_)
            | Observation::Vanished(_)) => return Ok(seen),
        };
        let Some(commit) = output.artifacts.into_iter().next() else {
            return Ok(Observation::Failed("Koji composed nothing".to_owned()));
        };
        let composed = Composed {
            repository: commit.path,
            reference: commit.name,
            commit: commit.digest,
            links: output.links,
            koji: output.koji,
            warnings: output.warnings,
        };
        self.local.ensure(&key, &BuildRequest { composed: Some(Box::new(composed)), ..rest }).await?;
        self.local.observe(&job).await
    }
}

#[async_trait]
impl Port<Build> for Builders {
    async fn ensure(&self, key: &StepKey, request: &BuildRequest) -> Result<Handle, Fault> {
        match (&request.koji, &request.imagefactory) {
            (Some(_), _) => self.koji()?.ensure(key, request).await,
            (None, Some(_)) => self.imagefactory()?.ensure(key, request).await,
            (None, None) => self.local.ensure(key, request).await,
        }
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
        if imagefactory::is_ours(handle) {
            return self.imagefactory()?.observe(handle).await;
        }
        if !koji::is_ours(handle) {
            return self.local.observe(handle).await;
        }
        match koji::rest_of(handle)? {
            Some(rest) => self.observe_composed(handle, rest).await,
            None => self.koji()?.observe(handle).await,
        }
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        if imagefactory::is_ours(handle) {
            return self.imagefactory()?.cancel(handle).await;
        }
        if !koji::is_ours(handle) {
            return self.local.cancel(handle).await;
        }
        if let Some((key, _)) = koji::rest_of(handle)? {
            self.local.cancel(&self.job(&key)).await?;
        }
        self.koji()?.cancel(handle).await
    }
}

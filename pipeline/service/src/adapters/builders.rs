//! Every builder there is, as one: each build goes to the one that its recipe names.

use anyhow::Result;
use async_trait::async_trait;
use muster_flow::build::{Build, BuildOutput, BuildRequest};
use muster_flow::step::{Handle, StepKey};

use super::koji::{self, KojiBuilder};
use super::local::LocalBuilder;
use crate::port::{Fault, Observation, Port};

/// The builders of this service.
#[derive(Debug)]
pub struct Builders {
    /// This machine.
    pub local: LocalBuilder,
    /// A Koji hub's builders, where one is configured.
    pub koji: Option<KojiBuilder>,
}

impl Builders {
    /// The builders that are configured; `local` also says where what Koji made is kept.
    pub fn new(local: LocalBuilder, koji: Option<&koji::Settings>) -> Result<Self> {
        let root = local.jobs.root.clone();
        let koji = koji.map(|settings| KojiBuilder::new(settings.clone(), root)).transpose()?;
        Ok(Builders { local, koji })
    }

    fn koji(&self) -> Result<&KojiBuilder, Fault> {
        let missing =
            || Fault::Retry("Koji builds it, and the configuration has no section [koji]".to_owned());
        self.koji.as_ref().ok_or_else(missing)
    }
}

#[async_trait]
impl Port<Build> for Builders {
    async fn ensure(&self, key: &StepKey, request: &BuildRequest) -> Result<Handle, Fault> {
        match &request.koji {
            Some(_) => self.koji()?.ensure(key, request).await,
            None => self.local.ensure(key, request).await,
        }
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
        if koji::is_ours(handle) {
            self.koji()?.observe(handle).await
        } else {
            self.local.observe(handle).await
        }
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        if koji::is_ours(handle) {
            self.koji()?.cancel(handle).await
        } else {
            self.local.cancel(handle).await
        }
    }
}

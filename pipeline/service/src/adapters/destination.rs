//! Destinations: chooses the adapter for the place that a piece of work names.
//!
//! The work is done in `ensure`, which looks first; the handle carries what was asked and what came of it, and `observe`
//! looks whether that is still so outside. It knows the kinds of places and nothing of how they work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result};
use async_trait::async_trait;
use muster_flow::publish::{
    Promote, PromoteOutput, PromoteRequest, Upload, UploadOutput, UploadRequest, Verify, VerifyOutput,
    VerifyRequest,
};
use muster_flow::step::{Handle, StepKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::adapters::mirror::{self, Mirror};
use crate::adapters::ostree_repo::{self, OstreeRepository};
use crate::adapters::registry::{self, Registry};
use crate::adapters::signer::Signer;
use crate::adapters::stream::Streams;
use crate::clock::Clock;
use crate::config;
use crate::port::{Fault, Observation, Port};

/// The section `[destinations.NAME]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Settings {
    /// A tree of files behind HTTP.
    Mirror(mirror::Settings),
    /// An OCI registry.
    Registry(registry::Settings),
    /// An OSTree repository.
    OstreeRepository(ostree_repo::Settings),
}

/// Every destination, and the streams.
#[derive(Clone, Debug)]
pub struct Destinations {
    places: BTreeMap<String, Place>,
    streams: Option<Streams>,
    signer: Signer,
    http: reqwest::Client,
}

/// The folder of a destination, which strangers may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The destination's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// What of it they may read.
    pub shown: Shown,
}

/// What of a folder strangers may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All of it.
    Everything,
    /// Only these, by their paths below it.
    Only {
        /// Folders, with all that lies in them.
        folders: &'static [&'static str],
        /// Single files.
        files: &'static [&'static str],
    },
}

#[derive(Clone, Debug)]
enum Place {
    Mirror(Mirror),
    Registry(Registry),
    Ostree(OstreeRepository),
}

/// What a handle carries.
#[derive(Serialize, Deserialize)]
struct Ticket<R, O> {
    request: R,
    output: O,
}

impl<R: Serialize + DeserializeOwned, O: Serialize + DeserializeOwned> Ticket<R, O> {
    fn handle(request: R, output: O) -> Result<Handle, Fault> {
        serde_json::to_string(&Ticket { request, output }).map(Handle).map_err(Fault::give_up)
    }

    fn read(handle: &Handle) -> Result<Self, Fault> {
        serde_json::from_str(&handle.0).context("cannot read the handle").map_err(Fault::give_up)
    }
}

impl Destinations {
    /// The destinations of the configuration. Streams lie in the mirror called `mirror`, or else in the first.
    pub fn new(settings: &config::Settings, clock: Clock) -> Result<Self> {
        let signer = Signer::new(settings.signing.clone());
        let http = crate::http::client()?;
        let mut places = BTreeMap::new();
        for (name, place) in &settings.destinations {
            places.insert(name.clone(), Place::new(name, place, settings, (&signer, &http))?);
        }
        let holder = holder_of_streams(&settings.destinations).and_then(|(name, _)| places.get(name));
        let streams = match holder {
            Some(Place::Mirror(mirror)) => Some(Streams { mirror: mirror.clone(), clock }),
            Some(Place::Registry(_) | Place::Ostree(_)) | None => None,
        };
        Ok(Destinations { places, streams, signer, http })
    }

    /// What is missing, in plain words, one line each.
    pub async fn check(&self) -> Vec<String> {
        let mut missing = self.check_here().await;
        for place in self.places.values() {
            if let Place::Registry(registry) = place {
                missing.extend(registry.check_there(&self.http).await);
            }
        }
        missing
    }

    /// The same, as far as nobody elsewhere need be asked.
    pub async fn check_here(&self) -> Vec<String> {
        let mut missing = self.signer.check().await;
        if self.streams.is_none() {
            missing.push("destinations: there is no mirror, so no stream can point at anything".to_owned());
        }
        for place in self.places.values() {
            missing.extend(match place {
                Place::Mirror(mirror) => mirror.check(),
                Place::Registry(registry) => registry.check_here(),
                Place::Ostree(repository) => repository.check(),
            });
        }
        missing
    }

    /// Removes private uploads that were begun before `born` and belong to none of the open candidates. Says of each what
    /// came of it.
    ///
    /// What a registry holds without a tag is left to the registry's own garbage collection.
    pub async fn sweep(&self, open: &[String], born: SystemTime) -> Vec<Result<String>> {
        let mut all = Vec::new();
        for place in self.places.values() {
            let swept = match place {
                Place::Mirror(mirror) => mirror.sweep(open, born).await,
                Place::Ostree(repository) => repository.sweep(open, born).await,
                Place::Registry(_) => Ok(Vec::new()),
            };
            match swept {
                Ok(removed) => all.extend(removed),
                Err(error) => all.push(Err(error)),
            }
        }
        all
    }

    /// What strangers may read of what lies on this machine: of every mirror and OSTree repository.
    pub fn served(&self) -> Vec<Served> {
        let served = |(name, place): (&String, &Place)| {
            let (folder, shown) = match place {
                Place::Mirror(mirror) => (&mirror.root, Shown::Everything),
                Place::Ostree(repository) => (&repository.folder, ostree_repo::SHOWN),
                Place::Registry(_) => return None,
            };
            Some(Served { name: name.clone(), folder: folder.clone(), shown })
        };
        self.places.iter().filter_map(served).collect()
    }

    fn place(&self, upload: &UploadRequest) -> Result<&Place, Fault> {
        let name = &upload.destination.name;
        self.places
            .get(name)
            .ok_or_else(|| Fault::GiveUp(format!("there is no destination {name} in the configuration")))
    }

    fn streams(&self) -> Result<&Streams, Fault> {
        self.streams.as_ref().ok_or_else(|| {
            Fault::GiveUp("there is no mirror in the configuration that holds streams".to_owned())
        })
    }
}

/// The mirror that holds the streams, with its name: the one called `mirror`, or else the first.
pub fn holder_of_streams(places: &BTreeMap<String, Settings>) -> Option<(&String, &mirror::Settings)> {
    places.get_key_value("mirror").and_then(as_mirror).or_else(|| places.iter().find_map(as_mirror))
}

fn as_mirror<'a>((name, settings): (&'a String, &'a Settings)) -> Option<(&'a String, &'a mirror::Settings)> {
    match settings {
        Settings::Mirror(mirror) => Some((name, mirror)),
        Settings::Registry(_) | Settings::OstreeRepository(_) => None,
    }
}

/// The address at which strangers find the mirror that holds the streams; none when there is no mirror.
pub fn address_of_streams(settings: &config::Settings) -> Option<String> {
    holder_of_streams(&settings.destinations)
        .map(|(name, mirror)| address(name, mirror.url.as_deref(), settings))
}

fn address(name: &str, url: Option<&str>, settings: &config::Settings) -> String {
    url.map_or_else(|| format!("{}/pub/{name}", settings.url()), str::to_owned)
}

impl Place {
    fn new(
        name: &str,
        settings: &Settings,
        all: &config::Settings,
        (signer, http): (&Signer, &reqwest::Client),
    ) -> Result<Self> {
        let in_state =
            |folder: &Option<PathBuf>| folder.clone().unwrap_or_else(|| all.service.state.join(name));
        Ok(match settings {
            Settings::Mirror(mirror) => Place::Mirror(Mirror {
                name: name.to_owned(),
                root: in_state(&mirror.root),
                url: address(name, mirror.url.as_deref(), all),
                latest: mirror.latest.clone().unwrap_or_else(|| "stable".to_owned()),
                signer: signer.clone(),
                http: http.clone(),
            }),
            Settings::Registry(registry) => Place::Registry(Registry::new(name, registry.clone())?),
            Settings::OstreeRepository(repository) => Place::Ostree(OstreeRepository {
                name: name.to_owned(),
                folder: in_state(&repository.repository),
                url: address(name, repository.url.as_deref(), all),
                signer: signer.clone(),
            }),
        })
    }

    async fn upload(&self, upload: &UploadRequest) -> Result<UploadOutput, Fault> {
        match self {
            Place::Mirror(mirror) => mirror.upload(upload).await,
            Place::Registry(registry) => registry.upload(upload).await,
            Place::Ostree(repository) => repository.upload(upload).await,
        }
    }

    async fn holds(&self, upload: &UploadRequest) -> Result<bool, Fault> {
        match self {
            Place::Mirror(mirror) => mirror.holds(upload).map_err(Fault::retry),
            Place::Registry(registry) => registry.holds(upload).await,
            Place::Ostree(repository) => repository.holds(upload).await.map_err(Fault::retry),
        }
    }

    async fn verify(&self, request: &VerifyRequest) -> Result<VerifyOutput, Fault> {
        let VerifyRequest { upload, uploaded } = request;
        match self {
            Place::Mirror(mirror) => mirror.verify(upload, uploaded).await,
            Place::Registry(registry) => registry.verify(upload, uploaded).await,
            Place::Ostree(repository) => repository.verify(upload, uploaded).await,
        }
    }

    async fn promote(&self, upload: &UploadRequest, stream: &str) -> Result<PromoteOutput, Fault> {
        match self {
            Place::Mirror(mirror) => mirror.promote(upload, stream).await,
            Place::Registry(registry) => registry.promote(upload, stream).await,
            Place::Ostree(repository) => repository.promote(upload).await,
        }
    }

    /// Whether a release is public.
    async fn shows(&self, upload: &UploadRequest) -> Result<bool, Fault> {
        match self {
            Place::Mirror(mirror) => mirror.shows(upload).map_err(Fault::retry),
            Place::Registry(registry) => registry.shows(upload).await,
            // Its ref may have moved on since; the commit stays.
            Place::Ostree(repository) => repository.holds(upload).await.map_err(Fault::retry),
        }
    }

    async fn withdraw(&self, upload: &UploadRequest) -> Result<(), Fault> {
        match self {
            Place::Mirror(mirror) => mirror.withdraw(upload).await.map_err(Fault::retry),
            // What no tag names is removed by the registry's own garbage collection, and other images may share it.
            Place::Registry(_) => Ok(()),
            Place::Ostree(repository) => repository.withdraw(upload).await.map_err(Fault::retry),
        }
    }
}

#[async_trait]
impl Port<Upload> for Destinations {
    async fn ensure(&self, _key: &StepKey, request: &UploadRequest) -> Result<Handle, Fault> {
        let output = self.place(request)?.upload(request).await?;
        Ticket::handle(request.clone(), output)
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<UploadOutput>, Fault> {
        let Ticket { request, output } = Ticket::<UploadRequest, UploadOutput>::read(handle)?;
        if self.place(&request)?.holds(&request).await? {
            return Ok(Observation::Succeeded(output));
        }
        Ok(Observation::Vanished(format!("{} does not hold it any more", request.destination.name)))
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        let Ticket { request, .. } = Ticket::<UploadRequest, UploadOutput>::read(handle)?;
        self.place(&request)?.withdraw(&request).await
    }
}

#[async_trait]
impl Port<Verify> for Destinations {
    async fn ensure(&self, _key: &StepKey, request: &VerifyRequest) -> Result<Handle, Fault> {
        let output = self.place(&request.upload)?.verify(request).await?;
        Ticket::handle((), output)
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<VerifyOutput>, Fault> {
        // Looking leaves nothing outside to be looked at again.
        Ticket::<(), VerifyOutput>::read(handle).map(|ticket| Observation::Succeeded(ticket.output))
    }

    async fn cancel(&self, _handle: &Handle) -> Result<(), Fault> {
        Ok(())
    }
}

#[async_trait]
impl Port<Promote> for Destinations {
    async fn ensure(&self, _key: &StepKey, request: &PromoteRequest) -> Result<Handle, Fault> {
        let output = match request {
            PromoteRequest::Destination { upload, stream, .. } => {
                self.place(upload)?.promote(upload, stream).await?
            }
            PromoteRequest::Stream { stream, release } => self.streams()?.promote(stream, release).await?,
        };
        Ticket::handle(request.clone(), output)
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<PromoteOutput>, Fault> {
        let Ticket { request, output } = Ticket::<PromoteRequest, PromoteOutput>::read(handle)?;
        let is_there = match &request {
            PromoteRequest::Destination { upload, .. } => self.place(upload)?.shows(upload).await?,
            PromoteRequest::Stream { stream, release } => {
                self.streams()?.points_at(stream, release).map_err(Fault::retry)?
            }
        };
        if is_there {
            return Ok(Observation::Succeeded(output));
        }
        Ok(Observation::Vanished("the pointer was moved away".to_owned()))
    }

    /// What is public stays public: going back is a promotion of its own.
    async fn cancel(&self, _handle: &Handle) -> Result<(), Fault> {
        Ok(())
    }
}

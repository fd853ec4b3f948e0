//! ImageFactory by its REST API, for sites that run it without Koji: one base image per step, and a target image of it
//! where qcow2 is wanted.
//!
//! The template's name carries the step's key, and is looked for before anything is made. It must not know candidates,
//! gates, clouds or the database, and it tries nothing twice.

mod settings;
mod oauth;
mod wire;
mod template;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use muster_flow::build::{Artifact, Build, BuildOutput, BuildRequest};
use muster_flow::recipe::{Form, Product};
use muster_flow::step::{Handle, StepKey};
use serde::{Deserialize, Serialize};

pub use self::settings::Settings;
use self::wire::{Factory, Image, Kind, State};
use super::download::{self, Wanted};
use super::fetches::{Desk, Fetches};
use crate::clock::Clock;
use crate::port::{Fault, Observation, Port};

/// How a handle begins, so that it is told from those of other builders.
const PREFIX: &str = "imagefactory:";

/// The target that gives a qcow2 image.
const QCOW2: &str = "openstack-kvm";

/// How every qcow2 image begins.
const MAGIC: &[u8] = b"QFI\xfb";

/// What nothing records of an image that ImageFactory made.
const NO_PACKAGES: &str = "ImageFactory tells no packages of its images, so that none are known of it";

/// Builds images on an ImageFactory.
#[derive(Debug)]
pub struct ImageFactory {
    settings: Settings,
    factory: Factory,
    /// Where fetched images lie, in a folder per step.
    root: PathBuf,
    fetches: Fetches,
}

/// An image that was begun, and what is expected of it: the handle that the step's row keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Watched {
    image: String,
    key: String,
    arch: String,
    file_stem: String,
    forms: Vec<Form>,
}

/// Whether a handle is one of ours.
pub fn is_ours(handle: &Handle) -> bool {
    handle.0.starts_with(PREFIX)
}

/// What keeps ImageFactory from ever building a product.
pub fn faults(product: &Product) -> Vec<String> {
    match product {
        Product::Disk => Vec::new(),
        Product::Container | Product::Ostree => {
            vec!["ImageFactory builds disk images only: choose the local builder".to_owned()]
        }
    }
}

/// What cannot work of a section of the configuration, one line each.
pub async fn check(settings: &Settings, clock: &Clock) -> Vec<String> {
    let faults = settings.faults();
    if !faults.is_empty() {
        return faults;
    }
    let asked = async { Factory::new(settings, clock.clone()).map_err(Fault::give_up)?.version().await };
    match asked.await {
        Ok(_) => Vec::new(),
        Err(Fault::NotYet(why) | Fault::Retry(why) | Fault::Away(why) | Fault::GiveUp(why)) => vec![why],
    }
}

impl ImageFactory {
    /// A builder that puts what it fetches below `root`.
    pub fn new(settings: Settings, root: PathBuf, clock: Clock) -> Result<Self> {
        let factory = Factory::new(&settings, clock)?;
        Ok(ImageFactory { settings, factory, root, fetches: Fetches::default() })
    }

    fn folder(&self, key: &str) -> PathBuf {
        self.root.join(StepKey(key.to_owned()).flat())
    }

    /// The base image whose template carries a name.
    async fn find(&self, name: &str) -> Result<Option<Image>, Fault> {
        for id in self.factory.list().await? {
            if let Some(image) = self.factory.find(Kind::Base, &id).await?
                && template::carries(&image.template, name)
                && !image.state.is_going()
            {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// Looks whether everything that is wanted of an image is there, and begins what is not.
    async fn look(&self, watched: &Watched) -> Result<Observation<BuildOutput>, Fault> {
        let Some(base) = self.factory.find(Kind::Base, &watched.image).await? else {
            return Ok(Observation::Vanished(format!("ImageFactory knows no image {}", watched.image)));
        };
        if let Some(seen) = self.unfinished(&base) {
            return Ok(seen);
        }
        let mut images = Vec::new();
        for form in &watched.forms {
            if *form == Form::Raw {
                images.push((Form::Raw, Kind::Base, base.id.clone()));
                continue;
            }
            let known = base.targets.iter().find(|target| target.target.as_deref() == Some(QCOW2));
            let id = match known {
                Some(target) => target.id.clone(),
                None => self.factory.make_target(&base.id, QCOW2).await?.id,
            };
            let Some(target) = self.factory.find(Kind::Target, &id).await? else {
                return Ok(Observation::Running(format!("ImageFactory begins {QCOW2} of {}", base.id)));
            };
            if let Some(seen) = self.unfinished(&target) {
                return Ok(seen);
            }
            images.push((*form, Kind::Target, id));
        }
        self.fetch(watched, images)?;
        self.fetched(watched).await
    }

    /// What is seen of an image that is not complete; `None` of one that is.
    fn unfinished(&self, image: &Image) -> Option<Observation<BuildOutput>> {
        let Image { id, activity, .. } = image;
        match image.state {
            State::Complete => None,
            State::Failed => {
                Some(Observation::Failed(format!("ImageFactory could not make {id}: {}", image.error)))
            }
            State::New | State::Pending | State::Building => {
                Some(self.slow(format!("ImageFactory makes {id}: {activity}")))
            }
            State::Deleting | State::Deleted | State::DeleteFailed => {
                Some(Observation::Vanished(format!("somebody deletes the image {id} in ImageFactory")))
            }
        }
    }

    fn slow(&self, note: String) -> Observation<BuildOutput> {
        Observation::Slow { note, pause: Duration::from_secs(self.settings.poll_s) }
    }

    /// Begins to fetch what is there, unless another process does.
    fn fetch(&self, watched: &Watched, images: Vec<(Form, Kind, String)>) -> Result<(), Fault> {
        let folder = self.folder(&watched.key);
        download::folder(&folder, &watched.key).map_err(Fault::retry)?;
        let Some(desk) = Desk::take(&folder).map_err(Fault::retry)? else { return Ok(()) };
        let (factory, watched, at_desk) = (self.factory.clone(), watched.clone(), desk.clone());
        self.fetches.begin(&watched.key.clone(), desk, async move {
            fetch_all(&factory, &watched, (images, &folder), &at_desk).await
        });
        Ok(())
    }

    async fn fetched(&self, watched: &Watched) -> Result<Observation<BuildOutput>, Fault> {
        let made = format!("ImageFactory has made {}", watched.image);
        match self.fetches.look(&watched.key).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(note)) => Ok(Observation::Running(format!("{made}, {note}"))),
            None => Ok(self.slow(format!("{made}, another process fetches its files"))),
        }
    }
}

async fn fetch_all(
    factory: &Factory,
    watched: &Watched,
    (images, folder): (Vec<(Form, Kind, String)>, &Path),
    desk: &Arc<Desk>,
) -> Result<Observation<BuildOutput>, Fault> {
    let mut output = BuildOutput { warnings: vec![NO_PACKAGES.to_owned()], ..BuildOutput::default() };
    let mut all = Vec::new();
    for (form, kind, id) in images {
        let (url, size) = factory.raw_image(kind, &id).await?;
        all.push((form, url, size));
    }
    desk.expect(all.iter().map(|(_, _, size)| size).sum());
    for (form, url, size) in all {
        let name = format!("{}.{}", watched.file_stem, form.extension());
        let headers = factory.headers("GET", &url).await?;
        let wanted = Wanted { url, size, path: folder.join(&name), headers };
        let digest = download::fetch(factory.http(), &wanted, desk).await?;
        download::keep(&wanted).map_err(Fault::retry)?;
        if let Err(error) = is_form(form, &wanted) {
            return Ok(Observation::Failed(format!("{}: {error:#}", wanted.url)));
        }
        let path = wanted.path.display().to_string();
        output.artifacts.push(Artifact { form, arch: watched.arch.clone(), name, path, size, digest });
    }
    Ok(Observation::Succeeded(output))
}

/// ImageFactory gives no checksum: what came is at least as long as was said, and what it should be.
fn is_form(form: Form, wanted: &Wanted) -> Result<()> {
    let mut begin = [0; MAGIC.len()];
    let mut file = std::fs::File::open(&wanted.path).context("cannot look at it")?;
    std::io::Read::read_exact(&mut file, &mut begin).context("it has no beginning")?;
    anyhow::ensure!(form != Form::Qcow2 || begin == MAGIC, "it is no qcow2 image");
    anyhow::ensure!(
        form != Form::Raw || wanted.size.is_multiple_of(512),
        "{} bytes are no whole disk",
        wanted.size
    );
    Ok(())
}

#[async_trait]
impl Port<Build> for ImageFactory {
    async fn ensure(&self, key: &StepKey, request: &BuildRequest) -> Result<Handle, Fault> {
        let image = request.imagefactory.as_ref();
        let image = image
            .ok_or_else(|| Fault::GiveUp("its recipe does not say that ImageFactory builds it".to_owned()))?;
        let mut faults = faults(&request.product);
        if !request.allowed.is_everything() {
            faults.push("ImageFactory cannot be kept from taking a package that is there".to_owned());
        }
        if !faults.is_empty() {
            return Err(Fault::GiveUp(faults.join("; ")));
        }
        let name = template::name(&self.settings.mark, key, request.source_date_epoch);
        let id = if let Some(known) = self.find(&name).await? {
            known.id
        } else {
            let template = template::write(&self.settings, &name, request);
            let kickstart = template::kickstart(request).map_err(Fault::GiveUp)?;
            self.factory.make_base(&template, &kickstart).await?.id
        };
        let watched = Watched {
            image: id,
            key: key.0.clone(),
            arch: request.arch.clone(),
            file_stem: request.file_stem.clone(),
            forms: image.forms.clone(),
        };
        let text = crate::encode(&watched).map_err(Fault::give_up)?;
        Ok(Handle(format!("{PREFIX}{text}")))
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
        let watched = decode(handle)?;
        if self.fetches.has(&watched.key) {
            return self.fetched(&watched).await;
        }
        self.look(&watched).await
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        let watched = decode(handle)?;
        self.fetches.stop(&watched.key);
        if let Some(base) = self.factory.find(Kind::Base, &watched.image).await? {
            for target in &base.targets {
                self.factory.delete(Kind::Target, &target.id).await?;
            }
            self.factory.delete(Kind::Base, &base.id).await?;
        }
        match std::fs::remove_dir_all(self.folder(&watched.key)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Fault::retry(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn decode(handle: &Handle) -> Result<Watched, Fault> {
    let text = handle.0.strip_prefix(PREFIX).unwrap_or_default();
    crate::decode(text).map_err(Fault::give_up)
}

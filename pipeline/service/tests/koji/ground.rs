//! A hub, a builder that uses it, and a build that is wanted.

use std::collections::BTreeMap;
use std::fs;

use muster::adapters::koji::client::Hub;
use muster::adapters::koji::session::Session;
use muster::adapters::koji::settings::Login;
use muster::adapters::koji::{KojiBuilder, Settings};
use muster::port::{Fault, Observation, Port};
use muster_flow::build::{BuildOutput, BuildRequest, KojiImage};
use muster_flow::recipe::{Definition, Form, Packages, Product};
use muster_flow::step::{Handle, StepKey};
use muster_lab::koji::KojiHub;
use tempfile::TempDir;

/// A quarter of a megabyte that no part of repeats.
pub fn image() -> Vec<u8> {
    let mut state = 1_u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    bytes.take(1 << 18).collect()
}

pub struct Ground {
    pub hub: KojiHub,
    pub folder: TempDir,
    pub builder: KojiBuilder,
}

impl Ground {
    pub async fn new() -> Self {
        let hub = KojiHub::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let builder = builder(&hub, &folder);
        Ground { hub, folder, builder }
    }

    /// The service dies and starts again: nothing is remembered but what lies in the folder.
    pub fn restart(&mut self) {
        self.builder = builder(&self.hub, &self.folder);
    }

    /// A builder of another process on the same folder.
    pub fn another(&self) -> KojiBuilder {
        builder(&self.hub, &self.folder)
    }

    pub async fn ensure(&self) -> Result<Handle, Fault> {
        self.builder.ensure(&key(), &request()).await
    }

    pub async fn look(&self, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
        self.builder.observe(handle).await
    }

    /// The one image task there is.
    pub fn task(&self) -> i64 {
        let tasks = self.hub.tasks("image");
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        tasks[0].id
    }

    /// A build whose task is done.
    pub async fn finished(&self) -> Handle {
        let handle = self.ensure().await.unwrap();
        self.hub.finish(self.task(), &image());
        handle
    }
}

pub fn settings(hub: &KojiHub, folder: &TempDir) -> Settings {
    let password = folder.path().join("password");
    fs::write(&password, "imagebot\n").unwrap();
    toml::from_str(&format!(
        "hub = \"{}\"\ntopurl = \"{}\"\nweburl = \"{}\"\ninstall_tree = \"https://m.example/$version/$arch/os/\"\n\
         poll_s = 0\n[login]\nkind = \"password\"\nusername = \"imagebot\"\npassword_file = \"{}\"",
        hub.url(),
        hub.topurl(),
        hub.weburl(),
        password.display()
    ))
    .unwrap()
}

fn builder(hub: &KojiHub, folder: &TempDir) -> KojiBuilder {
    KojiBuilder::new(settings(hub, folder), folder.path().join("builds")).unwrap()
}

pub fn session(hub: &KojiHub, folder: &TempDir, login: Option<Login>) -> Session {
    let login = login.unwrap_or_else(|| settings(hub, folder).login);
    Session::new(Hub::new(&hub.url()).unwrap(), login)
}

pub fn key() -> StepKey {
    StepKey("lab/43.20261121.0/build/x86_64+aarch64".to_owned())
}

pub fn request() -> BuildRequest {
    let text = |text: &str| text.to_owned();
    BuildRequest {
        recipe: text("lab"),
        definition: Definition {
            file: text("lab.ks"),
            commit: String::new(),
            texts: BTreeMap::from([
                (text("lab.ks"), text("%include base.ks\nrootpw --lock\n")),
                (text("base.ks"), text("lang en_US.UTF-8\n%packages\nbash\n%end\n")),
            ]),
        },
        product: Product::Disk,
        packages: Packages::default(),
        arch: text("x86_64+aarch64"),
        version: text("43"),
        file_stem: text("Lab-43-20261121.0.x86_64+aarch64"),
        source_date_epoch: 1_790_000_000,
        koji: Some(Box::new(KojiImage {
            name: text("Lab"),
            release: text("20261121.0"),
            arches: vec![text("x86_64"), text("aarch64")],
            forms: vec![Form::Qcow2],
            scratch: true,
            kind: muster_flow::koji::KojiTask::default(),
        })),
        imagefactory: None,
        composed: None,
    }
}

/// A build that Koji keeps.
pub fn kept() -> BuildRequest {
    let mut request = request();
    request.koji.as_mut().unwrap().scratch = false;
    request
}

/// The note of a build that goes on.
pub fn running(seen: Result<Observation<BuildOutput>, Fault>) -> String {
    match seen {
        Ok(Observation::Running(note)) => note,
        other => panic!("{other:?}"),
    }
}

/// The reason of a build that failed.
pub fn failed(seen: Result<Observation<BuildOutput>, Fault>) -> String {
    match seen {
        Ok(Observation::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// What a build made.
pub fn made(seen: Result<Observation<BuildOutput>, Fault>) -> BuildOutput {
    match seen {
        Ok(Observation::Succeeded(output)) => output,
        other => panic!("{other:?}"),
    }
}

/// Why something is tried again.
pub fn retried<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> String {
    match outcome {
        Err(Fault::Retry(why) | Fault::Away(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Why something is given up.
pub fn given_up<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> String {
    match outcome {
        Err(Fault::GiveUp(why)) => why,
        other => panic!("{other:?}"),
    }
}

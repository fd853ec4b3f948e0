//! A hub, a builder that uses it, and a build that is wanted.

use std::fs;

use muster::adapters::koji::client::Hub;
use muster::adapters::koji::session::Session;
use muster::adapters::koji::settings::Login;
use muster::adapters::koji::{KojiBuilder, Settings};
use muster::port::{Fault, Observation, Port};
use muster_flow::build::{BuildOutput, BuildRequest, KojiImage};
use muster_flow::koji::KojiTask;
use muster_flow::recipe::Form;
use muster_flow::step::{Handle, StepKey};
use muster_lab::koji::KojiHub;
pub use muster_lab::seen::{failed, given_up, made, retried, running};
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
    let koji = KojiImage {
        name: "Lab".to_owned(),
        release: "20261121.0".to_owned(),
        arches: vec!["x86_64".to_owned(), "aarch64".to_owned()],
        forms: vec![Form::Qcow2],
        scratch: true,
        kind: KojiTask::default(),
        held: Vec::new(),
    };
    BuildRequest { koji: Some(Box::new(koji)), ..muster_specimen::build_request("x86_64+aarch64") }
}

/// A build that Koji keeps.
pub fn kept() -> BuildRequest {
    let mut request = request();
    request.koji.as_mut().unwrap().scratch = false;
    request
}

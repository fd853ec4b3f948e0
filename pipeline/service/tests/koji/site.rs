//! A service over a lab hub and a real git repository: its processes may die and be replaced, its database stays.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use muster::clock::Clock;
use muster::config::Settings;
use muster::engine::Engine;
use muster::planner::{Planner, Turn};
use muster::port::Ports;
use muster::program::Program;
use muster::sources::Sources;
use muster::store::Store;
use muster::story::source::Source;
use muster::story::teller::Teller;
use muster::sweep;
use muster_lab::ports;
use muster_lab::world::World;
use muster_message::Incoming;
use serde_json::{Value, json};

use crate::ground::Ground;

const RECIPE: &str = r#"
name = "lab"
image = "Lab"
product = "disk"
version = "43"
builder = "koji"
arches = ["x86_64", "aarch64"]
[definition]
file = "kickstarts/lab.ks"
repository = "murmur"
[packages]
tags = ["f43"]
[[smoketests.cells]]
name = "uefi"
artifact = "qcow2"
firmware = "uefi"
machine = "q35"
metadata = "no_cloud"
[gate]
required = ["boots"]
"#;

pub struct Site {
    pub ground: Ground,
    pub clock: Clock,
    pub settings: Settings,
    database: String,
}

/// One process of the service.
pub struct Process {
    pub store: Store,
    pub sources: Arc<Sources>,
    pub planner: Planner,
    pub engine: Engine,
}

impl Site {
    pub async fn new(database: &str) -> Self {
        let ground = Ground::new().await;
        let definitions = ground.folder.path().join("definitions");
        fs::create_dir_all(definitions.join("kickstarts")).unwrap();
        fs::write(definitions.join("kickstarts/lab.toml"), RECIPE).unwrap();
        fs::write(definitions.join("kickstarts/lab.ks"), "lang en_US.UTF-8\n%packages\nbash\n%end\n")
            .unwrap();
        fs::create_dir_all(definitions.join("smoketests")).unwrap();
        let boots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../smoketests/boots.toml");
        fs::copy(boots, definitions.join("smoketests/boots.toml")).unwrap();
        let mut settings = Settings::default();
        settings.service.state = ground.folder.path().join("state");
        settings.definitions.path = definitions.display().to_string();
        settings.definitions.branch = "main".to_owned();
        settings.definitions.refresh_s = 0;
        settings.koji = Some(crate::ground::settings(&ground.hub, &ground.folder));
        settings.engine.quiet_s = 1_000_000_000;
        settings.engine.at_most_s = 1_000_000_000;
        let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
        let site = Site { ground, clock, settings, database: database.to_owned() };
        for args in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-qm", "one"]] {
            site.git(args).await;
        }
        site
    }

    pub async fn process(&self) -> Process {
        let store = Store::open(&self.database, self.clock.clone()).await.unwrap();
        let sources = Arc::new(Sources::new(&self.settings, self.clock.clone()).unwrap());
        let planner =
            Planner::new(store.clone(), sources.clone(), self.clock.clone(), &self.settings).unwrap();
        let builds = self.ground.folder.path().join("builds");
        let koji = self.settings.koji.clone().unwrap();
        let builder = muster::adapters::koji::KojiBuilder::new(koji, builds).unwrap();
        let ports = Ports { build: Box::new(builder), ..ports::ports(&World::default()) };
        let pace = self.settings.engine.clone();
        let engine = Engine::new(store.clone(), Arc::new(ports), self.clock.clone(), pace);
        Process { store, sources, planner, engine }
    }

    pub async fn git(&self, args: &[&str]) {
        let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
        let folder = &self.settings.definitions.path;
        Program::new("git").args(identity).args(args).folder(folder).run().await.unwrap();
    }

    /// Pushes a change of the definition; returns the commit.
    pub async fn push(&self) -> String {
        let file = Path::new(&self.settings.definitions.path).join("kickstarts/lab.ks");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text + "# more\n").unwrap();
        self.git(&["commit", "-qam", "more"]).await;
        let folder = &self.settings.definitions.path;
        let head = Program::new("git").args(["rev-parse", "HEAD"]).folder(folder).run().await.unwrap();
        head.text().trim().to_owned()
    }

    pub async fn told(&self, process: &Process) -> Vec<Source> {
        let teller = Teller::new(process.store.clone(), &self.settings, self.clock.clone());
        teller.sources().await.unwrap().sources
    }

    /// The tag as a source.
    pub async fn tag(&self, process: &Process) -> Source {
        let told = self.told(process).await;
        told.into_iter().find(|source| source.kind == "koji").unwrap()
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }
}

impl Process {
    pub async fn turn(&mut self) {
        while self.planner.turn().await.unwrap() == Turn::Moved {}
    }

    /// Reads every source, and weighs what it read.
    pub async fn sweep(&mut self) {
        self.turn().await;
        sweep::once(&self.store, &self.sources).await.unwrap();
        self.turn().await;
    }

    pub async fn hear(&mut self, message: Incoming) {
        self.store.receive(&[message]).await.unwrap();
        self.turn().await;
    }

    /// The changes that touched something, oldest first.
    pub async fn touching(&self) -> Vec<String> {
        let seen = self.store.changes(100_000).await.unwrap();
        let touching = seen.into_iter().rev().filter(|seen| seen.effect.starts_with("touches"));
        touching.map(|seen| seen.change.summary()).collect()
    }
}

fn message(id: &str, topic: &str, body: &Value) -> Incoming {
    Incoming {
        id: id.to_owned(),
        topic: topic.to_owned(),
        headers: "{}".to_owned(),
        body: body.to_string(),
        sent_at: None,
    }
}

/// What Koji says when it tags a build into `f43`, or untags it.
pub fn tagging(id: &str, topic: &str, build: &[String; 3]) -> Incoming {
    let [name, version, release] = build;
    let body = json!({ "name": name, "version": version, "release": release, "tag": "f43", "tag_id": 1,
        "build_id": 1, "user": "releng", "owner": "releng", "instance": "primary" });
    message(id, topic, &body)
}

pub fn pushed(id: &str, commit: &str) -> Incoming {
    let body = json!({ "repo": { "name": "murmur" }, "branch": "main", "end_commit": commit,
        "changed_files": { "kickstarts/lab.ks": "M" } });
    message(id, "pagure.git.receive", &body)
}

pub fn build(name: &str, version: &str) -> [String; 3] {
    [name.to_owned(), version.to_owned(), "1.fc43".to_owned()]
}

//! A process of the service over a pretend world, and what the world asks of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::{SignedDuration, Timestamp};
use muster::clock::Clock;
use muster::config::Settings;
use muster::engine::Engine;
use muster::planner::{self, Planner, Turn};
use muster::store::Store;
use muster_flow::candidate::{Candidate, Outcome, Stage};
use muster_flow::change::{What, Wish};
use muster_flow::recipe::Recipe;
use muster_lab::brink::Brink;
use muster_lab::database::Database;
use muster_lab::ports;
use muster_lab::upstream::Standing;
use muster_lab::world::World;
use muster_message::Incoming;
use muster_specimen::recipe;
use tokio::runtime::Runtime;

/// More turns than any story here needs.
pub const TURNS: usize = 200;

/// A process.
pub struct Service {
    pub store: Store,
    pub engine: Engine,
    pub planner: Planner,
    pub clock: Clock,
    /// Set while no recipe can be read.
    pub broken: Arc<AtomicBool>,
}

impl Service {
    /// A process that starts: it knows nothing but the database's address.
    pub async fn start(database: &Database, world: &World, clock: &Clock) -> Self {
        let recipes = vec![recipe("cloud"), recipe("server")];
        Service::mortal(database, (world, clock), recipes, &Brink::default()).await
    }

    /// One that makes images of these recipes, and may die.
    pub async fn mortal(
        database: &Database,
        (world, clock): (&World, &Clock),
        recipes: Vec<Recipe>,
        brink: &Brink,
    ) -> Self {
        let mut settings = Settings::default();
        settings.engine.quiet_s = 0;
        settings.engine.parallel_smoketests = 4;
        // Package sets are named by what they hold, so that all processes of all tellings can share the folder.
        settings.service.state = std::env::temp_dir().join("muster-crash");
        if let Some(folder) = &world.state().folder {
            settings.service.state.clone_from(folder);
        }
        let store = Store::open(&database.url, clock.clone()).await.unwrap();
        let store = store.witnessed(Arc::new(brink.clone()));
        let upstream = Arc::new(Standing::of(recipes));
        let broken = Arc::clone(&upstream.broken);
        let planner = Planner::new(store.clone(), upstream, clock.clone(), &settings).unwrap();
        let ports = Arc::new(ports::mortal_ports(world, brink));
        let engine = Engine::new(store.clone(), ports, clock.clone(), settings.engine);
        Service { store, engine, planner, clock: clock.clone(), broken }
    }

    /// Plans and drives once; returns how many steps were moved on.
    pub async fn turn(&mut self) -> usize {
        while self.planner.turn().await.unwrap() == Turn::Moved {}
        self.engine.drive_due().await.unwrap()
    }

    /// Plans and drives until nothing is left to do. Time passes with every turn.
    pub async fn live(&mut self) {
        for _ in 0..TURNS {
            if self.turn().await == 0 && self.is_over().await {
                return;
            }
            self.clock.advance(SignedDuration::from_secs(2));
        }
        panic!("it never came to an end");
    }

    /// Plans and drives so many times, with so much time in between, whatever is left to do then.
    pub async fn live_slowly(&mut self, pause: SignedDuration, turns: usize) {
        for _ in 0..turns {
            self.turn().await;
            self.clock.advance(pause);
        }
    }

    /// Whether nothing is left to do.
    pub async fn is_over(&self) -> bool {
        self.store.open_versions().await.unwrap().is_empty() && self.store.unread(1).await.unwrap().is_empty()
    }

    /// The release of the recipe `cloud`.
    pub async fn release(&self) -> Candidate {
        let candidates = self.store.candidates(10).await.unwrap();
        let is_it =
            |candidate: &Candidate| candidate.id.recipe() == "cloud" && candidate.purpose.is_published();
        candidates.into_iter().find(is_it).unwrap()
    }

    /// Asks for one more release of everything, and lives to its end.
    pub async fn release_again(&mut self, id: &str) {
        self.clock.advance(SignedDuration::from_mins(1));
        ask_for_release(&self.store, &self.clock, id).await;
        self.live().await;
    }
}

/// A runtime for a thread that is a process of its own.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The time at which every story begins.
pub fn clock() -> Clock {
    Clock::set("2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap())
}

/// A message about the package `bash`, which is on the images.
pub fn message(id: &str, sent_at: Option<Timestamp>) -> Incoming {
    Incoming {
        id: id.to_owned(),
        topic: "tag".to_owned(),
        headers: "{}".to_owned(),
        body: "\"bash\"".to_owned(),
        sent_at,
    }
}

/// What the world asks for: a release of everything, and a package that is on the images.
pub async fn ask(database: &Database, clock: &Clock) {
    let store = Store::open(&database.url, clock.clone()).await.unwrap();
    ask_for_release(&store, clock, "request/1").await;
    let sent = [("m1"), ("m2"), ("m1")].map(|id| message(id, Some(clock.now())));
    assert_eq!(store.receive(&sent).await.unwrap(), 2);
    store.close().await;
}

async fn ask_for_release(store: &Store, clock: &Clock, id: &str) {
    let what = What::Requested {
        recipe: None,
        stream: Some("stable".to_owned()),
        purpose: Wish::Release,
        reason: "the month is over".to_owned(),
    };
    let mut change = planner::request(what, "ada", clock.now());
    change.id = id.to_owned();
    assert!(store.ask(&change).await.unwrap());
}

/// Everything that must be true when nobody came between and nothing went wrong for good, whoever died on the way.
pub async fn check(database: &Database, world: &World, clock: &Clock) {
    let store = Store::open(&database.url, clock.clone()).await.unwrap();
    let candidates = store.candidates(100).await.unwrap();
    let story = database.kind;
    for candidate in &candidates {
        let expected = if candidate.purpose.is_published() { Outcome::Published } else { Outcome::Passed };
        assert_eq!(candidate.stage(), Stage::Finished(expected), "{story}: {}", candidate.id);
    }
    let releases = candidates.iter().filter(|candidate| candidate.purpose.is_published()).count();
    assert_eq!(releases, 2, "{story}");
    // How many scratch candidates the two messages make depends on when they are digested; not none, and not more.
    assert!((2..=4).contains(&(candidates.len() - releases)), "{story}: {}", candidates.len());
    check_done_once(world, 6, story);
    check_recorded(&store, world, story).await;
}

/// Whatever was begun outside had a committed row, and whatever a row says is done was begun.
pub async fn check_recorded(store: &Store, world: &World, story: &str) {
    let mut rows = Vec::new();
    for candidate in store.candidates(100).await.unwrap() {
        rows.extend(store.step_rows(&candidate.id).await.unwrap());
    }
    let state = world.state();
    let recorded: BTreeSet<&str> = rows.iter().map(|row| row.key.0.as_str()).collect();
    let begun: BTreeSet<&str> = state.begun.keys().map(String::as_str).collect();
    let unrecorded: Vec<_> = begun.difference(&recorded).collect();
    assert!(unrecorded.is_empty(), "{story}: begun without a row: {unrecorded:?}");
    let done = rows.iter().filter(|row| row.state == "succeeded").map(|row| row.key.0.as_str());
    let pretended: Vec<_> = done.filter(|key| !begun.contains(key)).collect();
    assert!(pretended.is_empty(), "{story}: done and never begun: {pretended:?}");
}

/// That nothing was asked for more often than once, and once more for each death in the middle of it.
pub fn check_asked(world: &World, deaths: u32, story: &str) {
    let state = world.state();
    assert!(!state.asked.is_empty());
    let often: Vec<_> = state.asked.iter().filter(|(_, times)| **times > 1 + deaths).collect();
    assert!(often.is_empty(), "{story}: asked for again and again: {often:?}");
}

/// No work was begun twice, and as many pointers were moved as there are, each once, a stream's own after the others.
pub fn check_done_once(world: &World, pointers: usize, story: &str) {
    let state = world.state();
    let doubled: Vec<_> = state.begun.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "{story}: begun more than once: {doubled:?}");
    assert_eq!(state.pointers.len(), pointers, "{story}: {:?}", state.pointers);
    assert_eq!(state.moves.len(), pointers, "{story}: a pointer was moved twice: {:?}", state.moves);
    let last_of_cloud = state.moves.iter().rposition(|(_, version)| version.starts_with("cloud/")).unwrap();
    let pointer = &state.moves[last_of_cloud].0;
    assert_eq!(pointer, "stream:stable/cloud", "{story}: the stream's pointer moves last");
}

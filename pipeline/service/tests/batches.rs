//! Batches over the real store and planner: frozen once, judged as one, changed by people.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use jiff::SignedDuration;
use muster::batches::{self, Changed, Ground, Wish, Wisher};
use muster::clock::Clock;
use muster::config::Settings;
use muster::engine::Engine;
use muster::ledger::Positions;
use muster::package_sets::PackageSets;
use muster::planner::{self, Planner, Turn};
use muster::store::Store;
use muster::story::batch;
use muster::story::teller::Teller;
use muster::story::wait::OPERATORS;
use muster::upstream::{Digest, Upstream};
use muster_flow::batch::{Batch, BatchId, Frozen, PackageSet, Source};
use muster_flow::candidate::{Candidate, CandidateId, Outcome, Stage};
use muster_flow::change::{What, Wish as Asked};
use muster_flow::gate::Ruling;
use muster_flow::recipe::{Definition, Recipe, Repository};
use muster_flow::relevance::Knowledge;
use muster_flow::smoketest::Test;
use muster_lab::ports;
use muster_lab::upstream::Standing;
use muster_lab::world::{Fault, World};
use muster_message::Incoming;
use muster_specimen::recipe;
use tempfile::TempDir;

/// A service over a pretend world, with a package repository.
struct Scene {
    folder: TempDir,
    store: Store,
    engine: Engine,
    planner: Planner,
    clock: Clock,
    world: World,
    upstream: Arc<Standing>,
    sets: PackageSets,
}

const OLD: &str = "bash-0:5.2-1.x86_64\tbash-5.2-1\nhello-0:1-1.x86_64\thello-1-1\n";
const NEW: &str =
    "bash-0:5.3-1.x86_64\tbash-5.3-1\nhello-0:1-1.x86_64\thello-1-1\nhello-0:2-1.x86_64\thello-2-1\n";

fn recipes() -> Vec<Recipe> {
    ["cloud", "server"]
        .map(|name| {
            let mut recipe = recipe(name);
            recipe.packages.repositories = vec![Repository {
                name: "os".to_owned(),
                baseurl: "file:///os".to_owned(),
                gpgkeys: Vec::new(),
            }];
            recipe
        })
        .to_vec()
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
        let mut settings = Settings::default();
        settings.service.state = folder.path().to_owned();
        settings.engine.parallel_smoketests = 4;
        let store = Store::open(&settings.database(), clock.clone()).await.unwrap();
        let upstream = Arc::new(Standing::of(recipes()));
        let world = World::default();
        let planner = Planner::new(store.clone(), upstream.clone(), clock.clone(), &settings).unwrap();
        let engine = Engine::new(
            store.clone(),
            Arc::new(ports::ports(&world)),
            clock.clone(),
            settings.engine.clone(),
        );
        let sets = PackageSets::below(&settings.service.state);
        let ground = Scene { folder, store, engine, planner, clock, world, upstream, sets };
        ground.hold(OLD);
        ground
    }

    /// The repository holds these packages from now on.
    fn hold(&self, packages: &str) {
        *self.upstream.packages.lock().unwrap() = PackageSet::of_text(packages).unwrap();
    }

    async fn ask(&self, id: &str) {
        let what = What::Requested {
            recipe: None,
            stream: Some("stable".to_owned()),
            purpose: Asked::Release,
            reason: "the month is over".to_owned(),
        };
        let mut change = planner::request(what, "ada", self.clock.now());
        change.id = id.to_owned();
        assert!(self.store.ask(&change).await.unwrap());
    }

    /// Plans and drives until nothing more happens.
    async fn live(&mut self) {
        for _ in 0..60 {
            while self.planner.turn().await.unwrap() == Turn::Moved {}
            self.engine.drive_due().await.unwrap();
            self.clock.advance(SignedDuration::from_secs(2));
        }
    }

    async fn released(&mut self, id: &str) {
        self.ask(id).await;
        self.live().await;
        self.clock.advance(SignedDuration::from_hours(24));
    }

    async fn batch(&self) -> Batch {
        self.store.batches(1).await.unwrap().remove(0)
    }

    async fn candidates(&self, id: &BatchId) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (id, _) in self.store.of_batch(id).await.unwrap() {
            candidates.push(self.store.candidate(&id).await.unwrap().unwrap());
        }
        candidates
    }

    async fn stages(&self, id: &BatchId) -> Vec<(String, &'static str)> {
        let of = |candidate: &Candidate| (candidate.id.recipe().to_owned(), candidate.stage().words());
        let mut stages: Vec<_> = self.candidates(id).await.iter().map(of).collect();
        stages.sort();
        stages
    }

    async fn change(&self, id: &BatchId, wish: Wish<'_>) -> anyhow::Result<Changed> {
        let ground = Ground { store: &self.store, sets: &self.sets, upstream: &*self.upstream };
        let wisher = Wisher { who: "ada".to_owned(), why: "it is broken".to_owned(), at: self.clock.now() };
        batches::change(ground, id, wish, &wisher).await
    }
}

/// A source that takes so long to be read that the candidates of a batch go on meanwhile.
struct Lengthy {
    upstream: Arc<Standing>,
    store: Store,
    batch: BatchId,
}

#[async_trait]
impl Upstream for Lengthy {
    async fn recipes(&self) -> anyhow::Result<Vec<Recipe>> {
        self.upstream.recipes().await
    }

    async fn files(&self, recipe: &Recipe) -> anyhow::Result<BTreeSet<String>> {
        self.upstream.files(recipe).await
    }

    async fn freeze(&self, recipe: &Recipe) -> anyhow::Result<(Definition, Vec<Test>)> {
        self.upstream.freeze(recipe).await
    }

    async fn packages(&self, source: &Source) -> anyhow::Result<Frozen> {
        self.store.judge_again(&self.batch, "eve").await?;
        self.upstream.packages(source).await
    }

    async fn digest(
        &self,
        messages: Vec<Incoming>,
        knowledge: &Knowledge,
        positions: &Positions,
    ) -> anyhow::Result<Digest> {
        self.upstream.digest(messages, knowledge, positions).await
    }
}

fn named(stages: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    stages.iter().map(|(name, stage)| ((*name).to_owned(), *stage)).collect()
}

#[tokio::test]
async fn releases_that_one_request_calls_for_are_built_from_one_frozen_set() {
    let mut ground = Scene::new().await;
    ground.ask("request/1").await;
    while ground.planner.turn().await.unwrap() == Turn::Moved {}
    ground.hold(NEW);
    ground.live().await;
    let batch = ground.batch().await;
    assert_eq!(batch.id.0, "stable/20261121.0");
    assert_eq!(
        ground.sets.read(&batch.revisions[0].set).unwrap().text(),
        OLD,
        "what came later is not in it"
    );
    let candidates = ground.candidates(&batch.id).await;
    assert_eq!(candidates.len(), 2);
    for build in candidates.iter().flat_map(Candidate::builds) {
        assert_eq!(build.request.allowed.set.as_ref(), Some(&batch.revisions[0].set));
    }
    assert!(batch.members.is_empty() && batch.before.is_none());
    assert_eq!(ground.stages(&batch.id).await, named(&[("cloud", "published"), ("server", "published")]));
    assert_eq!(batch.verdict.unwrap().ruling, Some(Ruling::Pass));

    ground.clock.advance(SignedDuration::from_hours(24));
    ground.released("request/2").await;
    let second = ground.batch().await;
    assert_eq!(second.id.0, "stable/20261122.0");
    assert_eq!(second.before.unwrap().id, batch.id);
    let members: Vec<&str> = second.members.iter().map(|member| member.source.as_str()).collect();
    assert_eq!(members, ["bash", "hello"]);
}

#[tokio::test]
async fn a_red_candidate_keeps_the_others_from_being_published_and_a_waiver_lets_all_go() {
    let mut ground = Scene::new().await;
    ground.world.fault("server/43.20261121.0/smoketest", Fault::Red);
    ground.released("request/1").await;
    let id = ground.batch().await.id;
    assert_eq!(ground.stages(&id).await, named(&[("cloud", "gating"), ("server", "rejected")]));
    assert!(ground.world.state().pointers.is_empty());
    let cloud = ground.candidates(&id).await.remove(0);
    let note = ground.store.note(&cloud.id).await.unwrap();
    assert!(note.starts_with(&format!("waits for {id}: server/43.20261121.0 is ruled fail: ")), "{note}");
    let told = batch::tell(&ground.store, &id, ground.clock.now()).await.unwrap().unwrap();
    assert_eq!((told.brief.state, told.reasons.len()), ("failed", 2));

    let waiver = muster_specimen::waiver("server", ground.clock.now() + SignedDuration::from_hours(24));
    ground.store.waive(&waiver).await.unwrap();
    ground.live().await;
    assert_eq!(ground.stages(&id).await[1].1, "rejected", "the waiver names no candidate");
    assert_eq!(batches::evaluate(&ground.store, &id, "ada").await.unwrap(), 2);
    ground.live().await;
    assert_eq!(ground.stages(&id).await, named(&[("cloud", "published"), ("server", "published")]));
    let error = batches::evaluate(&ground.store, &id, "ada").await.unwrap_err().to_string();
    assert!(error.contains("moves pointers or has moved them"), "what is out is not opened again: {error}");
}

#[tokio::test]
async fn what_waits_for_a_batch_that_never_passes_is_given_up() {
    let mut ground = Scene::new().await;
    ground.world.fault("server/43.20261121.0/smoketest", Fault::Red);
    ground.released("request/1").await;
    let batch = ground.batch().await;
    ground.clock.advance(SignedDuration::from_hours(24 * 12));
    ground.live().await;
    assert_eq!(ground.stages(&batch.id).await[0].1, "gating");
    ground.clock.advance(SignedDuration::from_hours(48));
    ground.live().await;
    assert_eq!(ground.stages(&batch.id).await, named(&[("cloud", "cancelled"), ("server", "rejected")]));
    let cloud = ground.candidates(&batch.id).await.remove(0);
    assert_eq!(cloud.stage(), Stage::Finished(Outcome::Cancelled));
    let journal = ground.store.journal(Some(&cloud.id), 0, 100).await.unwrap();
    assert!(journal.iter().any(|line| line.text.contains("did not pass before")), "{journal:?}");
}

#[tokio::test]
async fn an_ejected_member_is_what_it_was_and_what_could_not_be_built_is_built_again() {
    let mut ground = Scene::new().await;
    ground.released("request/1").await;
    ground.hold(NEW);
    ground.world.fault("server/43.20261122.0/build", Fault::Fails("hello is broken".to_owned()));
    ground.released("request/2").await;
    let id = ground.batch().await.id;
    assert_eq!(ground.stages(&id).await, named(&[("cloud", "gating"), ("server", "build failed")]));
    let unknown = ground.change(&id, Wish::Eject("glibc")).await.unwrap_err();
    assert!(unknown.to_string().contains("is no member"), "{unknown}");

    ground.world.state().faults.clear();
    let changed = ground.change(&id, Wish::Eject("hello")).await.unwrap();
    let left = ground.sets.read(&changed.revision.set).unwrap().text();
    assert_eq!(left, "bash-0:5.3-1.x86_64\tbash-5.3-1\nhello-0:1-1.x86_64\thello-1-1\n");
    let rebuilt: Vec<&str> = changed.rebuilt.iter().map(CandidateId::recipe).collect();
    assert_eq!(rebuilt, ["server"], "nothing that was ejected is on the other");
    assert_eq!((changed.stand.len(), changed.revision.number), (1, 2));
    ground.live().await;
    assert_eq!(ground.stages(&id).await, named(&[("cloud", "published"), ("server", "published")]));
    let candidates = ground.candidates(&id).await;
    let server = candidates.iter().find(|candidate| candidate.id.recipe() == "server").unwrap();
    let build = server.builds().next().unwrap();
    assert_eq!(build.key.generation(), 2);
    assert_eq!(build.request.allowed.set.as_ref(), Some(&changed.revision.set));
    let late = ground.change(&id, Wish::Restore("hello")).await.unwrap_err();
    assert!(late.to_string().contains("moves pointers or has moved them"), "{late}");
}

#[tokio::test]
async fn an_old_build_that_is_gone_is_absent_and_a_first_batch_has_nothing_to_go_back_to() {
    let mut ground = Scene::new().await;
    ground.world.fault("server/43.20261121.0/smoketest", Fault::Red);
    ground.released("request/1").await;
    let first = ground.batch().await.id;
    let error = ground.change(&first, Wish::Eject("hello")).await.unwrap_err();
    assert!(error.to_string().contains("is the first batch"), "{error}");
    ground.hold(NEW);
    ground.world.fault("server/43.20261122.0/smoketest", Fault::Red);
    ground.released("request/2").await;
    let id = ground.batch().await.id;
    let changed = ground.change(&id, Wish::Eject("bash")).await.unwrap();
    assert_eq!(changed.revision.absent, ["bash-0:5.2-1.x86_64"]);
    let back = ground.change(&id, Wish::Restore("bash")).await.unwrap();
    assert_eq!(ground.sets.read(&back.revision.set).unwrap().text(), NEW);
    ground.hold(OLD);
    let frozen = ground.change(&id, Wish::Refreeze).await.unwrap();
    assert_eq!(ground.sets.read(&frozen.revision.set).unwrap().text(), OLD);
    assert_eq!(frozen.rebuilt.len(), 2);
    assert!(ground.batch().await.members.is_empty(), "it is as the batch before");
    assert!(ground.folder.path().join("package-sets").exists());
}

#[tokio::test]
async fn a_source_that_is_away_is_read_once_a_minute_and_not_once_a_candidate() {
    let mut ground = Scene::new().await;
    ground.upstream.away.store(true, Ordering::Relaxed);
    ground.ask("request/1").await;
    for _ in 0..5 {
        while ground.planner.turn().await.unwrap() == Turn::Moved {}
        ground.clock.advance(SignedDuration::from_secs(2));
    }
    assert_eq!(ground.upstream.reads.load(Ordering::Relaxed), 1, "for two candidates in five turns");
    for id in ["cloud/43.20261121.0", "server/43.20261121.0"] {
        let note = ground.store.note(&CandidateId(id.to_owned())).await.unwrap();
        assert!(note.contains("the repository is away; it is read again after"), "{note}");
    }
    ground.upstream.away.store(false, Ordering::Relaxed);
    ground.clock.advance(SignedDuration::from_mins(1));
    ground.live().await;
    let id = ground.batch().await.id;
    assert_eq!(ground.stages(&id).await, named(&[("cloud", "published"), ("server", "published")]));
}

#[tokio::test]
async fn what_was_read_for_a_release_that_was_given_up_is_not_what_a_later_one_is_built_from() {
    let mut ground = Scene::new().await;
    ground.upstream.slow.store(true, Ordering::Relaxed);
    ground.ask("request/1").await;
    while ground.planner.turn().await.unwrap() == Turn::Moved {}
    for id in ["cloud/43.20261121.0", "server/43.20261121.0"] {
        ground.store.cancel(&CandidateId(id.to_owned()), "ada", "too slow").await.unwrap();
    }
    ground.upstream.slow.store(false, Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    ground.hold(NEW);
    ground.released("request/2").await;
    let batch = ground.batch().await;
    assert_eq!(ground.sets.read(&batch.revisions[0].set).unwrap().text(), NEW);
}

#[tokio::test]
async fn what_was_read_long_ago_is_read_again() {
    let mut ground = Scene::new().await;
    ground.upstream.slow.store(true, Ordering::Relaxed);
    ground.ask("request/1").await;
    while ground.planner.turn().await.unwrap() == Turn::Moved {}
    ground.upstream.slow.store(false, Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    ground.hold(NEW);
    // Another process planned meanwhile, say.
    ground.clock.advance(SignedDuration::from_mins(10));
    ground.live().await;
    let batch = ground.batch().await;
    assert_eq!(ground.sets.read(&batch.revisions[0].set).unwrap().text(), NEW);
}

#[tokio::test]
async fn who_changes_a_batch_or_has_it_judged_begins_its_time_anew() {
    let mut ground = Scene::new().await;
    ground.released("request/1").await;
    ground.hold(NEW);
    ground.world.fault("server/43.20261122.0/build", Fault::Fails("hello is broken".to_owned()));
    ground.released("request/2").await;
    let first = ground.batch().await;
    let span = first.until.duration_since(first.frozen);
    // It is late, and nobody has planned since.
    ground.clock.advance(span);
    assert!(ground.clock.now() > first.until);
    assert_eq!(ground.store.judge_again(&first.id, "ada").await.unwrap(), 2);
    ground.live().await;
    assert_eq!(
        ground.stages(&first.id).await,
        named(&[("cloud", "gating"), ("server", "build failed")]),
        "it is judged, and not given up"
    );

    ground.clock.advance(span);
    ground.world.state().faults.clear();
    let changed = ground.change(&first.id, Wish::Eject("hello")).await.unwrap();
    assert_eq!(ground.batch().await.until, changed.revision.at + span);
    ground.live().await;
    assert_eq!(ground.stages(&first.id).await, named(&[("cloud", "published"), ("server", "published")]));
}

#[tokio::test]
async fn a_batch_whose_candidates_go_on_can_be_changed() {
    let mut ground = Scene::new().await;
    ground.world.fault("server/43.20261121.0/smoketest", Fault::Red);
    ground.released("request/1").await;
    let id = ground.batch().await.id;
    let upstream =
        Lengthy { upstream: ground.upstream.clone(), store: ground.store.clone(), batch: id.clone() };
    let wisher = Wisher { who: "ada".to_owned(), why: "a build is new".to_owned(), at: ground.clock.now() };
    let ground = Ground { store: &ground.store, sets: &ground.sets, upstream: &upstream };
    let changed = batches::change(ground, &id, Wish::Refreeze, &wisher).await.unwrap();
    assert_eq!(changed.revision.number, 2);
}

#[tokio::test]
async fn a_batch_that_cannot_be_read_keeps_no_other_from_going_on() {
    let mut ground = Scene::new().await;
    ground.world.fault("server/43.20261121.0/smoketest", Fault::Red);
    ground.released("request/1").await;
    let strange = ground.batch().await.id;
    let database = format!("sqlite://{}", ground.folder.path().join("muster.db").display());
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&database).await.unwrap();
    let sql = "UPDATE batch SET verdict = '{\"ruling\":\"perhaps\"}'";
    sqlx::query(sql).execute(&pool).await.unwrap();
    sqlx::query("UPDATE candidate SET version = version + 1").execute(&pool).await.unwrap();
    ground.released("request/2").await;
    let told = batch::all(&ground.store, 10).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_ne!(told[0].batch, strange);
    assert_eq!(
        ground.stages(&told[0].batch).await,
        named(&[("cloud", "published"), ("server", "published")])
    );
    let ids: Vec<CandidateId> =
        ["cloud/43.20261121.0", "cloud/43.20261122.0"].map(|id| CandidateId(id.to_owned())).into();
    let lines = ground.store.lines_of(&ids).await.unwrap();
    assert_eq!(lines.len(), 1, "what is in it cannot be read either");
}

#[tokio::test]
async fn a_batch_that_was_changed_is_judged_although_nothing_is_built_again() {
    let mut ground = Scene::new().await;
    ground.released("request/1").await;
    ground.hold(NEW);
    for name in ["cloud", "server"] {
        ground.world.fault(&format!("{name}/43.20261122.0/smoketest"), Fault::Red);
    }
    ground.released("request/2").await;
    let id = ground.batch().await.id;
    assert_eq!(ground.stages(&id).await, named(&[("cloud", "rejected"), ("server", "rejected")]));
    for wish in [Wish::Eject("hello"), Wish::Eject("bash")] {
        let changed = ground.change(&id, wish).await.unwrap();
        assert!(changed.rebuilt.is_empty(), "{changed:?}");
        assert_eq!(ground.batch().await.verdict, None);
        while ground.planner.turn().await.unwrap() == Turn::Moved {}
        assert_eq!(ground.batch().await.verdict.unwrap().ruling, Some(Ruling::Fail));
    }
}

#[tokio::test]
async fn who_waits_for_one_that_cannot_start_is_told_which_and_the_way_out() {
    let mut ground = Scene::new().await;
    ground.ask("request/1").await;
    while ground.store.batches(1).await.unwrap().is_empty() {
        ground.planner.turn().await.unwrap();
    }
    let mut settings = Settings::default();
    settings.service.state = ground.folder.path().to_owned();
    // The recipe of the other one is removed.
    let upstream = Arc::new(Standing::of(recipes().into_iter().take(1).collect()));
    ground.planner = Planner::new(ground.store.clone(), upstream, ground.clock.clone(), &settings).unwrap();
    ground.live().await;
    let id = ground.batch().await.id;
    assert_eq!(ground.stages(&id).await, named(&[("cloud", "gating"), ("server", "waiting")]));
    let teller = Teller::new(ground.store.clone(), &settings, ground.clock.clone());
    let waits = teller.waits().await.unwrap();
    let wait = waits.iter().find(|wait| wait.what == "its batch").unwrap();
    let way_out = "`muster cancel server/43.20261121.0 --reason '...'` lets the others go";
    assert!(wait.why.contains("server/43.20261121.0 cannot start") && wait.why.contains(way_out), "{wait:?}");
    assert_eq!(wait.who, OPERATORS);
    ground.store.cancel(&CandidateId("server/43.20261121.0".to_owned()), "ada", "it is gone").await.unwrap();
    ground.live().await;
    assert_eq!(ground.stages(&id).await, named(&[("cloud", "published"), ("server", "cancelled")]));
}

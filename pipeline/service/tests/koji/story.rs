//! From the change to the gate, with the image made on Koji: the real engine, store and pages.

use std::sync::Arc;

use jiff::SignedDuration;
use muster::adapters::koji::KojiBuilder;
use muster::clock::Clock;
use muster::config::Settings;
use muster::engine::Engine;
use muster::planner::{Planner, Turn};
use muster::port::Ports;
use muster::store::Store;
use muster::web;
use muster_flow::candidate::{Candidate, Outcome, Stage};
use muster_flow::change::{What, Wish};
use muster_flow::recipe::Builder;
use muster_lab::upstream::Standing;
use muster_lab::world::World;
use muster_lab::{database, ports};
use muster_message::Incoming;
use tokio::net::TcpListener;

use crate::ground::{Ground, image};

struct Service {
    ground: Arc<Ground>,
    settings: Settings,
    store: Store,
    engine: Engine,
    planner: Planner,
    clock: Clock,
    pages: String,
}

impl Service {
    async fn start(database: &str) -> Self {
        Service::of(database, &["lab"], 0).await
    }

    /// One with these recipes, which looks at tasks so many seconds apart.
    async fn of(database: &str, recipes: &[&str], poll_s: u64) -> Self {
        let ground = Arc::new(Ground::new().await);
        let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
        let mut settings = Settings::default();
        settings.engine.quiet_s = 0;
        settings.engine.parallel_smoketests = 4;
        settings.service.state = ground.folder.path().to_owned();
        let mut koji = crate::ground::settings(&ground.hub, &ground.folder);
        koji.poll_s = poll_s;
        settings.koji = Some(koji);
        let store = Store::open(database, clock.clone()).await.unwrap();
        let recipe = |name: &&str| {
            let mut recipe = muster_specimen::recipe(name);
            (recipe.builder, recipe.arches) =
                (Builder::Koji, vec!["x86_64".to_owned(), "aarch64".to_owned()]);
            recipe
        };
        let upstream = Arc::new(Standing::of(recipes.iter().map(recipe).collect()));
        let planner = Planner::new(store.clone(), upstream, clock.clone(), &settings).unwrap();
        let engine = engine(&settings, &store, &clock);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pages = format!("http://{}", listener.local_addr().unwrap());
        let router = web::router(store.clone(), &settings, clock.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Service { ground, settings, store, engine, planner, clock, pages }
    }

    /// Its engine dies, and another process's drives the same steps.
    fn restart(&mut self) {
        self.engine = engine(&self.settings, &self.store, &self.clock);
    }

    /// One whose only candidate is being built, as task 33.
    async fn building(database: &str) -> Self {
        let mut service = Service::start(database).await;
        service.tagged("bash", "message").await;
        service.turn(3).await;
        service.ground.hub.begin(33);
        service
    }

    async fn turn(&mut self, times: u32) {
        for _ in 0..times {
            while self.planner.turn().await.unwrap() == Turn::Moved {}
            self.engine.drive_due().await.unwrap();
            self.clock.advance(SignedDuration::from_secs(2));
        }
    }

    async fn tagged(&self, package: &str, id: &str) {
        let message = Incoming {
            id: id.to_owned(),
            topic: "tag".to_owned(),
            headers: "{}".to_owned(),
            body: format!("\"{package}\""),
            sent_at: Some(self.clock.now()),
        };
        self.store.receive(&[message]).await.unwrap();
    }

    /// A person asks for a release now.
    async fn release(&self, reason: &str) {
        let what = What::Requested {
            recipe: Some("lab".to_owned()),
            stream: None,
            purpose: Wish::Emergency,
            reason: reason.to_owned(),
        };
        let change = muster::planner::request(what, "ada", self.clock.now());
        assert!(self.store.ask(&change).await.unwrap());
    }

    async fn candidate(&self) -> Candidate {
        let candidates = self.store.candidates(10).await.unwrap();
        assert_eq!(candidates.len(), 1, "{candidates:?}");
        candidates.into_iter().next().unwrap()
    }

    async fn page(&self) -> String {
        let address = format!("{}/candidates/{}", self.pages, self.candidate().await.id);
        muster::http::client().unwrap().get(address).send().await.unwrap().text().await.unwrap()
    }
}

fn engine(settings: &Settings, store: &Store, clock: &Clock) -> Engine {
    let builder =
        KojiBuilder::new(settings.koji.clone().unwrap(), settings.service.state.join("builds")).unwrap();
    let ports = Ports { build: Box::new(builder), ..ports::ports(&World::default()) };
    Engine::new(store.clone(), Arc::new(ports), clock.clone(), settings.engine.clone())
}

#[tokio::test]
async fn a_package_makes_one_image_on_koji_that_goes_on_to_the_smoketests_of_every_architecture() {
    let database = database::sqlite().unwrap();
    let mut service = Service::start(&database.url).await;
    for time in 0..20 {
        service.tagged("bash", &format!("message-{}", time % 2)).await;
    }
    service.turn(3).await;
    let hub = &service.ground.clone().hub;
    assert_eq!(hub.tasks("image").len(), 1);
    hub.begin(33);
    service.turn(2).await;
    let page = service.page().await;
    let task = format!("<a href=\"{}/taskinfo?taskID=33\"", hub.weburl());
    assert!(page.contains(&task) && page.contains("aarch64 open (35)"), "{page}");
    hub.finish(33, &image());
    service.turn(10).await;
    let candidate = service.candidate().await;
    assert_eq!(candidate.stage(), Stage::Finished(Outcome::Passed));
    let boots: Vec<_> =
        candidate.smoketests().map(|step| step.key.0.rsplit_once("smoketest/").unwrap().1).collect();
    assert_eq!(boots, ["aarch64/bios", "aarch64/uefi", "x86_64/bios", "x86_64/uefi"]);
    let page = service.page().await;
    for part in [&task, &format!("{}/taskinfo?taskID=35", hub.weburl()), ">oz-aarch64.log</a>"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(hub.count("buildImageOz"), 1);
}

#[tokio::test]
async fn a_build_that_fails_on_koji_fails_the_candidate_with_the_way_to_the_task() {
    let database = database::sqlite().unwrap();
    let mut service = Service::building(&database.url).await;
    let hub = &service.ground.clone().hub;
    hub.fail_child(33, "aarch64", (1018, "Image status is FAILED: <b>no</b> space"));
    service.turn(3).await;
    let page = service.page().await;
    assert!(page.contains(&format!("<a href=\"{}/taskinfo?taskID=33\"", hub.weburl())), "{page}");
    assert!(page.contains("Koji task 35 for aarch64 failed") && !page.contains("<b>no</b>"), "{page}");
    let stage = service.candidate().await.stage();
    assert!(matches!(stage, Stage::Finished(Outcome::BuildFailed(_))), "{stage:?}");
}

#[tokio::test]
async fn to_cancel_a_candidate_ends_its_task() {
    let database = database::sqlite().unwrap();
    let mut service = Service::building(&database.url).await;
    let hub = &service.ground.clone().hub;
    let id = service.candidate().await.id;
    service.store.cancel(&id, "ada", "it is not wanted").await.unwrap();
    service.turn(3).await;
    assert_eq!(hub.task(33).unwrap().state, muster_lab::koji::TaskState::Canceled);
    assert_eq!(hub.count("cancelTask"), 1);
}

#[tokio::test]
async fn a_release_says_what_koji_keeps_it_as_and_what_it_is_made_of() {
    let database = database::sqlite().unwrap();
    let mut service = Service::start(&database.url).await;
    service.release("a hole in openssl").await;
    service.turn(3).await;
    let hub = &service.ground.clone().hub;
    hub.finish(33, &image());
    service.turn(3).await;
    let page = service.page().await;
    for part in [
        "<dt>Koji build</dt><dd>Lab-43-20261121.0 (number 1)</dd>",
        "<dt>Package set</dt><dd>f43-build at event 31 (repository 1)</dd>",
        "<li>bash-5.3.0-2.fc43.aarch64</li>",
        "Koji keeps it as Lab-43-20261121.0 (build 1, task 33).",
        &format!("<a href=\"{}/buildinfo?buildID=1\"", hub.weburl()),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let address = format!("{}/api/candidates/{}", service.pages, service.candidate().await.id);
    let told = muster::http::client().unwrap().get(address).send().await.unwrap().text().await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let koji = &told["builds"][0]["koji"];
    assert_eq!((&koji["task"], &koji["build"]["nvr"]), (&33.into(), &"Lab-43-20261121.0".into()));
    assert_eq!((&koji["repos"][0]["id"], &koji["repos"][0]["event"]), (&1.into(), &31.into()));
    assert_eq!(told["builds"][0]["packages"][1]["name"], "bash");
}

#[tokio::test]
async fn builds_on_koji_do_not_wait_for_room_on_this_machine() {
    let database = database::sqlite().unwrap();
    let mut service = Service::start(&database.url).await;
    assert_eq!(Settings::default().engine.parallel_builds, 1);
    for number in 0..3 {
        // Another version of the recipe would do as well: each release is a candidate of its own.
        service.release(&format!("reason {number}")).await;
        service.turn(1).await;
    }
    service.turn(2).await;
    assert_eq!(service.ground.hub.tasks("image").len(), 3);
}

#[tokio::test]
async fn a_task_is_asked_after_as_seldom_as_is_set_whichever_process_looks() {
    let database = database::sqlite().unwrap();
    let mut service = Service::of(&database.url, &["lab"], 60).await;
    service.tagged("bash", "message").await;
    service.turn(3).await;
    let ground = service.ground.clone();
    let looks = || ground.hub.count("getTaskInfo");
    assert_eq!(looks(), 1, "once when it began");
    service.turn(10).await;
    service.restart();
    service.turn(10).await;
    assert_eq!(looks(), 1);
    service.clock.advance(SignedDuration::from_secs(30));
    service.turn(1).await;
    assert_eq!(looks(), 2);
}

#[tokio::test]
async fn all_tasks_that_are_due_are_looked_at_in_one_request() {
    let database = database::sqlite().unwrap();
    let recipes: Vec<String> = (0..20).map(|number| format!("lab{number}")).collect();
    let recipes: Vec<&str> = recipes.iter().map(String::as_str).collect();
    let mut service = Service::of(&database.url, &recipes, 60).await;
    service.tagged("bash", "message").await;
    service.turn(3).await;
    let ground = service.ground.clone();
    assert_eq!(ground.hub.tasks("image").len(), 20);
    service.clock.advance(SignedDuration::from_secs(61));
    let before = ground.hub.requests();
    assert_eq!(service.engine.drive_due().await.unwrap(), 20);
    assert_eq!(ground.hub.requests() - before, 1);
}

#[tokio::test]
async fn a_task_that_somebody_cancels_on_koji_fails_the_candidate_and_that_is_said() {
    let database = database::sqlite().unwrap();
    let mut service = Service::building(&database.url).await;
    let hub = &service.ground.clone().hub;
    hub.cancel(33);
    service.turn(2).await;
    let page = service.page().await;
    assert!(page.contains("somebody canceled Koji task 33: "), "{page}");
    let stage = service.candidate().await.stage();
    assert!(matches!(stage, Stage::Finished(Outcome::BuildFailed(_))), "{stage:?}");
}

#[tokio::test]
async fn a_task_that_somebody_has_done_again_on_koji_carries_the_candidate_on() {
    let database = database::sqlite().unwrap();
    let mut service = Service::building(&database.url).await;
    let hub = &service.ground.clone().hub;
    hub.fail(33, (1018, "a builder broke"));
    let again = hub.resubmit(33, "releng").unwrap();
    service.turn(2).await;
    assert_eq!(service.candidate().await.stage(), Stage::Building);
    assert!(service.page().await.contains(&format!("Koji task {again} is free")));
    hub.finish(again, &image());
    service.turn(10).await;
    assert_eq!(service.candidate().await.stage(), Stage::Finished(Outcome::Passed));
    assert_eq!(hub.count("buildImageOz"), 1);
}

#[tokio::test]
async fn a_task_that_was_done_again_and_canceled_then_fails_the_candidate() {
    let database = database::sqlite().unwrap();
    let mut service = Service::building(&database.url).await;
    let hub = &service.ground.clone().hub;
    hub.fail(33, (1018, "a builder broke"));
    let again = hub.resubmit(33, "releng").unwrap();
    service.turn(2).await;
    hub.cancel(again);
    service.turn(2).await;
    assert!(service.page().await.contains(&format!("somebody canceled Koji task {again}: ")));
    let stage = service.candidate().await.stage();
    assert!(matches!(stage, Stage::Finished(Outcome::BuildFailed(_))), "{stage:?}");
}

#[tokio::test]
async fn a_build_that_waited_longer_than_it_may_take_has_all_its_time_when_it_begins() {
    let database = database::sqlite().unwrap();
    let mut service = Service::start(&database.url).await;
    let room = service.settings.engine.parallel_builds_elsewhere;
    service.settings.engine.parallel_builds_elsewhere = 0;
    service.restart();
    service.tagged("bash", "message").await;
    service.turn(3).await;
    service.clock.advance(SignedDuration::from_hours(service.settings.engine.deadline_hours + 1));
    service.settings.engine.parallel_builds_elsewhere = room;
    service.restart();
    service.turn(3).await;
    assert_eq!(service.ground.hub.tasks("image").len(), 1);
    assert_eq!(service.candidate().await.stage(), Stage::Building);
}

//! The service dies between any two actions, and still every candidate comes to the right end with each thing done
//! once. On both databases.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use muster::clock::Clock;
use muster::config::Settings;
use muster::engine::Engine;
use muster::message::Incoming;
use muster::planner::{self, Planner, Turn};
use muster::store::{Admitted, Store};
use muster_flow::candidate::{Candidate, CandidateId, Outcome, Stage};
use muster_flow::change::{What, Wish};
use muster_flow::gate::Waiver;
use muster_lab::database::{self, Database};
use muster_lab::upstream::{Standing, recipe};
use muster_lab::world::{Fault, Manners, World};
use muster_lab::{death, ports};

/// More turns than any story here needs.
const TURNS: usize = 200;

struct Service {
    store: Store,
    engine: Engine,
    planner: Planner,
    clock: Clock,
    broken: Arc<AtomicBool>,
}

/// A process that starts: it knows nothing but the database's address.
async fn service(database: &Database, world: &World, clock: &Clock) -> Service {
    let mut settings = Settings::default();
    settings.engine.quiet_s = 0;
    settings.engine.parallel_smoketests = 4;
    let store = Store::open(&database.url, clock.clone()).await.unwrap();
    let upstream = Arc::new(Standing::of(vec![recipe("cloud"), recipe("server")]));
    let broken = Arc::clone(&upstream.broken);
    let planner = Planner::new(store.clone(), upstream, clock.clone(), &settings).unwrap();
    let ports = Arc::new(ports::ports(world));
    let engine = Engine::new(store.clone(), ports, clock.clone(), settings.engine);
    Service { store, engine, planner, clock: clock.clone(), broken }
}

impl Service {
    /// Plans and drives until nothing is left to do. Time passes with every turn.
    async fn live(&mut self) {
        for _ in 0..TURNS {
            while self.planner.turn().await.unwrap() == Turn::Moved {}
            let driven = self.engine.drive_due().await.unwrap();
            let is_over = self.store.open_versions().await.unwrap().is_empty();
            if driven == 0 && is_over && self.store.unread(1).await.unwrap().is_empty() {
                return;
            }
            self.clock.advance(SignedDuration::from_secs(2));
        }
        panic!("it never came to an end");
    }
}

/// What the world asks for: a release of everything, and a package that is on the images.
async fn ask(database: &Database, clock: &Clock) {
    let store = Store::open(&database.url, clock.clone()).await.unwrap();
    let what = What::Requested {
        recipe: None,
        stream: Some("stable".to_owned()),
        purpose: Wish::Release,
        reason: "the month is over".to_owned(),
    };
    let mut change = planner::request(what, "ada", clock.now());
    change.id = "request/1".to_owned();
    assert!(store.ask(&change).await.unwrap());
    let message = |id: &str| Incoming {
        id: id.to_owned(),
        topic: "tag".to_owned(),
        headers: "{}".to_owned(),
        body: "\"bash\"".to_owned(),
        sent_at: Some(clock.now()),
    };
    assert_eq!(store.receive(&[message("m1"), message("m2"), message("m1")]).await.unwrap(), 2);
    store.close().await;
}

fn clock() -> Clock {
    Clock::set("2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap())
}

/// Everything that must be true at the end of the story, whoever died on the way.
async fn check(database: &Database, world: &World, clock: &Clock, polls: u64) {
    let store = Store::open(&database.url, clock.clone()).await.unwrap();
    let candidates = store.candidates(100).await.unwrap();
    let story = format!("{}, killed after {polls} polls", database.kind);
    for candidate in &candidates {
        let expected = if candidate.purpose.is_published() { Outcome::Published } else { Outcome::Passed };
        assert_eq!(candidate.stage(), Stage::Finished(expected), "{story}: {}", candidate.id);
    }
    let releases = candidates.iter().filter(|candidate| candidate.purpose.is_published()).count();
    assert_eq!(releases, 2, "{story}");
    // How many scratch candidates the two messages make depends on when they are digested; not none, and not more.
    assert!((2..=4).contains(&(candidates.len() - releases)), "{story}: {}", candidates.len());
    let state = world.state();
    let doubled: Vec<_> = state.begun.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "{story}: begun more than once: {doubled:?}");
    assert_eq!(state.pointers.len(), 6, "{story}: {:?}", state.pointers);
    assert_eq!(state.moves.len(), 6, "{story}: a pointer was moved twice: {:?}", state.moves);
    let last_of_cloud = state.moves.iter().rposition(|(_, version)| version.starts_with("cloud/")).unwrap();
    assert_eq!(
        state.moves[last_of_cloud].0, "stream:stable/cloud",
        "{story}: the stream's pointer moves last"
    );
}

async fn die_and_live_on(database: &Database, polls: u64, manners: Manners) -> (World, bool) {
    let (world, clock) = (World::default(), clock());
    world.state().manners = manners;
    ask(database, &clock).await;
    let mut first = service(database, &world, &clock).await;
    let survived = death::after(polls, first.live()).await.is_some();
    drop(first);
    // The leases of the dead run out.
    clock.advance(SignedDuration::from_secs(60));
    let mut second = service(database, &world, &clock).await;
    second.live().await;
    second.store.close().await;
    if manners == Manners::Looks {
        check(database, &world, &clock, polls).await;
    }
    (world, survived)
}

/// Dies after every `stride`th number of polls, until the story ends before its death.
///
/// `MUSTER_CRASH_STRIDE=1` kills after every single poll, which takes an hour.
async fn die_everywhere(fresh: impl AsyncFn() -> Option<Database>, stride: u64) {
    let asked = std::env::var("MUSTER_CRASH_STRIDE").ok().and_then(|stride| stride.parse().ok());
    let stride = asked.unwrap_or(stride);
    let mut polls = 1;
    loop {
        let Some(database) = fresh().await else { return };
        let (_, survived) = die_and_live_on(&database, polls, Manners::Looks).await;
        if survived {
            break;
        }
        polls += stride;
    }
    eprintln!("the story ended by itself after {polls} polls");
    assert!(polls > 50, "the story ended after {polls} polls already: nothing was killed in the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_dies_on_sqlite_everything_is_done_once() {
    die_everywhere(async || Some(database::sqlite().unwrap()), 31).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_dies_on_postgresql_everything_is_done_once() {
    die_everywhere(async || database::postgres().await.unwrap(), 151).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_that_does_not_look_first_is_caught() {
    let mut polls = 1;
    loop {
        let database = database::sqlite().unwrap();
        let (world, survived) = die_and_live_on(&database, polls, Manners::Forgets).await;
        if world.state().begun.values().any(|times| *times > 1) {
            return;
        }
        assert!(
            !survived,
            "an adapter that creates without looking went unnoticed: the suite proves nothing"
        );
        polls += 31;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_vanished_work_do_no_harm() {
    for database in database::each().await.unwrap() {
        let (world, clock) = (World::default(), clock());
        world.fault("build", Fault::AnswerLost(2));
        world.fault("upload/mirror", Fault::Flaky(3));
        world.fault("smoketest/x86_64/uefi", Fault::VanishesOnce);
        ask(&database, &clock).await;
        let mut service = service(&database, &world, &clock).await;
        service.live().await;
        check(&database, &world, &clock, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_smoketest_publishes_nothing() {
    for database in database::each().await.unwrap() {
        let (world, clock) = (World::default(), clock());
        world.fault("smoketest/x86_64/bios", Fault::Red);
        ask(&database, &clock).await;
        let mut service = service(&database, &world, &clock).await;
        service.live().await;
        assert_eq!(world.state().moves, []);
        assert!(!world.state().begun.keys().any(|key| key.contains("/upload/")));
        for candidate in service.store.candidates(10).await.unwrap() {
            assert_eq!(candidate.stage(), Stage::Finished(Outcome::Rejected));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_cloudlet_is_not_a_bad_image_and_can_be_tried_again() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("smoketest/x86_64/bios", Fault::Fails("no host has memory left".to_owned()));
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    service.live().await;
    let release = service.store.candidates(10).await.unwrap();
    let release = release.iter().find(|candidate| candidate.purpose.is_published()).unwrap();
    assert_eq!(release.stage(), Stage::Finished(Outcome::CannotTell));
    assert_eq!(world.state().moves, []);
    world.state().faults.clear();
    let base = format!("{}/smoketest/x86_64/bios", release.id);
    service.store.retry(&release.id, &base, "ada", "the host is back").await.unwrap();
    service.live().await;
    let release = service.store.candidate(&release.id).await.unwrap().unwrap();
    assert_eq!(release.stage(), Stage::Finished(Outcome::Published));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_on_one_database_do_everything_once() {
    for database in database::each().await.unwrap() {
        let (world, clock) = (World::default(), clock());
        ask(&database, &clock).await;
        let database = Arc::new(database);
        let mut processes = Vec::new();
        for _ in 0..4 {
            let (database, world, clock) = (Arc::clone(&database), world.clone(), clock.clone());
            processes.push(std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut service = service(&database, &world, &clock).await;
                    for _ in 0..TURNS * 4 {
                        // Another process may plan, or have changed what this one planned for.
                        let _ = service.planner.turn().await;
                        service.engine.drive_due().await.unwrap();
                        clock.advance(SignedDuration::from_millis(500));
                        let open = service.store.open_versions().await.unwrap();
                        if open.is_empty() && service.store.unread(1).await.unwrap().is_empty() {
                            break;
                        }
                    }
                });
            }));
        }
        for process in processes {
            process.join().unwrap();
        }
        check(&database, &world, &clock, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_itself_brings_everything_to_its_end_without_waiting_for_locks() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::at(folder.path());
    let (world, clock) = (World::default(), Clock::system());
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    let store = service.store.clone();
    let over = async {
        while !store.open_versions().await.unwrap().is_empty() || store.candidates(9).await.unwrap().len() < 4
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let begun = std::time::Instant::now();
    tokio::select! {
        () = service.engine.run(&mut service.planner) => {}
        () = over => {}
    }
    assert!(begun.elapsed().as_secs() < 15, "it took {:?}: something waited for a lock", begun.elapsed());
    check(&database, &world, &clock, 0).await;
}

impl Service {
    /// The same, with so much time between two turns, at most so many turns, and whatever is still unread.
    async fn live_slowly(&mut self, pause: SignedDuration, turns: usize) {
        for _ in 0..turns {
            while self.planner.turn().await.unwrap() == Turn::Moved {}
            self.engine.drive_due().await.unwrap();
            self.clock.advance(pause);
        }
    }

    async fn release(&self) -> Candidate {
        let candidates = self.store.candidates(10).await.unwrap();
        candidates
            .into_iter()
            .find(|candidate| candidate.id.recipe() == "cloud" && candidate.purpose.is_published())
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_away_for_hours_is_waited_for() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("announce", Fault::Flaky(40));
    world.fault("upload/mirror", Fault::Flaky(14));
    world.fault("build", Fault::Away(14));
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    service.live_slowly(SignedDuration::from_mins(10), 90).await;
    check(&database, &world, &clock, 0).await;
    for candidate in service.store.candidates(10).await.unwrap() {
        assert!(
            candidate.announcements().all(|step| step.output().is_some()),
            "a message of {} is lost",
            candidate.id
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_recipe_stops_nothing_that_is_on_its_way() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    while service.planner.turn().await.unwrap() == Turn::Moved {}
    service.broken.store(true, Ordering::Relaxed);
    let message = Incoming {
        id: "late".to_owned(),
        topic: "tag".to_owned(),
        headers: "{}".to_owned(),
        body: "\"bash\"".to_owned(),
        sent_at: None,
    };
    service.store.receive(&[message]).await.unwrap();
    service.live_slowly(SignedDuration::from_secs(2), 30).await;
    assert_eq!(service.release().await.stage(), Stage::Finished(Outcome::Published));
    assert_eq!(service.store.unread(10).await.unwrap().len(), 1, "the message must wait");
    service.broken.store(false, Ordering::Relaxed);
    service.live().await;
    assert!(service.store.unread(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exception_reopens_the_candidate_it_names_and_no_other() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("smoketest/x86_64/bios", Fault::Red);
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    service.live().await;
    let mut waiver = Waiver {
        id: "w1".to_owned(),
        recipe: "cloud".to_owned(),
        candidate: None,
        test: "boots".to_owned(),
        cell: None,
        reason: "the lab has no power".to_owned(),
        author: "ada".to_owned(),
        expires: clock.now() + SignedDuration::from_hours(24),
    };
    service.store.waive(&waiver).await.unwrap();
    service.live().await;
    let rejected = service.release().await;
    assert_eq!(rejected.stage(), Stage::Finished(Outcome::Rejected), "an exception for what is to come");
    waiver.id = "w2".to_owned();
    waiver.candidate = Some(rejected.id.to_string());
    service.store.waive(&waiver).await.unwrap();
    service.live().await;
    assert_eq!(service.release().await.stage(), Stage::Finished(Outcome::Published));
    clock.advance(SignedDuration::from_hours(48));
    assert_eq!(
        service.release().await.stage(),
        Stage::Finished(Outcome::Published),
        "it does not run out afterwards"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_candidate_ends_what_runs_for_it() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    while service.planner.turn().await.unwrap() == Turn::Moved {}
    service.engine.drive_due().await.unwrap();
    let id = CandidateId("cloud/43.20261121.0".to_owned());
    service.store.cancel(&id, "ada", "not today").await.unwrap();
    service.live().await;
    let candidate = service.store.candidate(&id).await.unwrap().unwrap();
    assert_eq!(candidate.stage(), Stage::Finished(Outcome::Cancelled));
    let cancelled = world.state().cancelled.clone();
    assert!(!cancelled.is_empty(), "nothing was ended outside");
    assert!(cancelled.iter().all(|key| key.starts_with("cloud/43.20261121.0/")), "{cancelled:?}");
    let journal = service.store.journal(Some(&id), 0, 100).await.unwrap();
    assert_eq!(journal.iter().filter(|line| line.text == "finished: cancelled").count(), 1, "{journal:?}");
    assert!(!world.state().moves.iter().any(|(_, version)| version == &id.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vanishes_each_time_it_has_begun_is_given_up() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("build", Fault::Vanishes);
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    service.live_slowly(SignedDuration::from_mins(10), 60).await;
    let Stage::Finished(Outcome::BuildFailed(reason)) = service.release().await.stage() else {
        panic!("it is begun for ever: {:?}", service.release().await.stage());
    };
    assert!(reason.contains("given up after") && reason.contains("its process was killed"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_done_by_its_deadline_is_ended_and_says_so() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("build", Fault::Hangs);
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    service.live_slowly(SignedDuration::from_mins(30), 60).await;
    let Stage::Finished(Outcome::BuildFailed(reason)) = service.release().await.stage() else {
        panic!("it goes on for ever: {:?}", service.release().await.stage());
    };
    assert!(reason.contains("it was not done by its deadline"), "{reason}");
    assert!(world.state().cancelled.iter().any(|key| key.contains("/build/")), "it was not ended outside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_was_overtaken_stands_in_nobodys_way_and_moves_nothing() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("smoketest/x86_64/bios", Fault::Red);
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    service.live().await;
    let late = service.release().await.id;
    world.state().faults.clear();
    release(&mut service, "request/2").await;
    let moves = world.state().moves.clone();
    let waiver = Waiver {
        id: "w1".to_owned(),
        recipe: "cloud".to_owned(),
        candidate: Some(late.to_string()),
        test: "boots".to_owned(),
        cell: None,
        reason: "the lab had no power".to_owned(),
        author: "ada".to_owned(),
        expires: clock.now() + SignedDuration::from_hours(24),
    };
    service.store.waive(&waiver).await.unwrap();
    service.live().await;
    let candidate = service.store.candidate(&late).await.unwrap().unwrap();
    assert_eq!(candidate.stage(), Stage::Finished(Outcome::Superseded));
    assert_eq!(world.state().moves, moves, "a pointer went back");
    let base = format!("{late}/build/x86_64");
    let error = service.store.retry(&late, &base, "ada", "once more").await.unwrap_err();
    assert!(error.to_string().contains("points at the newer"), "{error}");
    release(&mut service, "request/3").await;
    assert!(world.state().moves.len() > moves.len(), "nobody after it was released");
}

/// A release of everything, to its end.
async fn release(service: &mut Service, id: &str) {
    service.clock.advance(SignedDuration::from_mins(1));
    let what = What::Requested {
        recipe: None,
        stream: Some("stable".to_owned()),
        purpose: Wish::Release,
        reason: "again".to_owned(),
    };
    let mut change = planner::request(what, "ada", service.clock.now());
    change.id = id.to_owned();
    assert!(service.store.ask(&change).await.unwrap());
    service.live().await;
}

#[tokio::test]
async fn what_joined_a_candidate_goes_over_to_the_one_that_takes_its_place_in_the_same_moment() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    ask(&database, &clock).await;
    let mut service = service(&database, &world, &clock).await;
    service.planner.turn().await.unwrap();
    let old = service.release().await;
    let plan = service.store.plan().await.unwrap().unwrap();
    let mut new = old.clone();
    new.id = CandidateId("cloud/43.20261121.77".to_owned());
    let mut cause = old.changes[0].clone();
    cause.change = "m77".to_owned();
    let admitted = [
        Admitted::Joined { candidate: old.id.clone(), cause },
        Admitted::Made { candidate: Box::new(new.clone()), supersedes: Some(old.id.clone()) },
    ];
    service.store.weighed(&plan, &[], &admitted).await.unwrap();
    let new = service.store.candidate(&new.id).await.unwrap().unwrap();
    assert!(new.changes.iter().any(|cause| cause.change == "m77"), "{:?}", new.changes);
}

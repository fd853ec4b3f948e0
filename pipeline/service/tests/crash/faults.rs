//! What goes wrong outside: lost answers, outages, what vanishes and what goes on for ever.

use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use muster::config::Settings;
use muster::planner::Turn;
use muster::story::teller::Teller;
use muster_flow::candidate::CandidateId;
use muster_flow::candidate::{Outcome, Stage};
use muster_lab::database::{self, Database};
use muster_lab::world::{Fault, World};

use crate::service::{Service, ask, check, clock, message};

#[tokio::test]
async fn lost_answers_and_vanished_work_do_no_harm() {
    for database in database::each().await.unwrap() {
        let (world, clock) = (World::default(), clock());
        world.fault("build", Fault::AnswerLost(2));
        world.fault("upload/mirror", Fault::Flaky(3));
        world.fault("smoketest/x86_64/uefi", Fault::VanishesOnce);
        ask(&database, &clock).await;
        let mut service = Service::start(&database, &world, &clock).await;
        service.live().await;
        check(&database, &world, &clock).await;
    }
}

#[tokio::test]
async fn a_failing_smoketest_publishes_nothing() {
    for database in database::each().await.unwrap() {
        let (world, clock) = (World::default(), clock());
        world.fault("smoketest/x86_64/bios", Fault::Red);
        ask(&database, &clock).await;
        let mut service = Service::start(&database, &world, &clock).await;
        service.live().await;
        assert_eq!(world.state().moves, []);
        assert!(!world.state().begun.keys().any(|key| key.contains("/upload/")));
        for candidate in service.store.candidates(10).await.unwrap() {
            assert_eq!(candidate.stage(), Stage::Finished(Outcome::Rejected));
        }
    }
}

#[tokio::test]
async fn a_broken_cloudlet_is_not_a_bad_image_and_can_be_tried_again() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("smoketest/x86_64/bios", Fault::Fails("no host has memory left".to_owned()));
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
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

#[tokio::test]
async fn what_is_away_for_hours_is_waited_for() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("announce", Fault::Flaky(40));
    world.fault("upload/mirror", Fault::Flaky(14));
    // It finds nobody more often than a build that vanishes is tried.
    world.fault("cloud/43.20261121.0/build", Fault::Away(10));
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
    service.live_slowly(SignedDuration::from_mins(10), 90).await;
    check(&database, &world, &clock).await;
    for candidate in service.store.candidates(10).await.unwrap() {
        assert!(
            candidate.announcements().all(|step| step.output().is_some()),
            "a message of {} is lost",
            candidate.id
        );
    }
}

#[tokio::test]
async fn a_broken_recipe_stops_nothing_that_is_on_its_way() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
    while service.planner.turn().await.unwrap() == Turn::Moved {}
    service.broken.store(true, Ordering::Relaxed);
    service.store.receive(&[message("late", None)]).await.unwrap();
    service.live_slowly(SignedDuration::from_secs(2), 30).await;
    assert_eq!(service.release().await.stage(), Stage::Finished(Outcome::Published));
    assert_eq!(service.store.unread(10).await.unwrap().len(), 1, "the message must wait");
    service.broken.store(false, Ordering::Relaxed);
    service.live().await;
    assert!(service.store.unread(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_vanishes_each_time_it_has_begun_is_given_up() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("build", Fault::Vanishes);
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
    service.live_slowly(SignedDuration::from_mins(10), 60).await;
    let Stage::Finished(Outcome::BuildFailed(reason)) = service.release().await.stage() else {
        panic!("it is begun for ever: {:?}", service.release().await.stage());
    };
    assert!(reason.contains("given up after") && reason.contains("its process was killed"), "{reason}");
}

#[tokio::test]
async fn what_is_not_done_by_its_deadline_is_ended_and_says_so() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("build", Fault::Hangs);
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
    service.live_slowly(SignedDuration::from_mins(30), 60).await;
    let Stage::Finished(Outcome::BuildFailed(reason)) = service.release().await.stage() else {
        panic!("it goes on for ever: {:?}", service.release().await.stage());
    };
    assert!(reason.contains("it was not done by its deadline"), "{reason}");
    assert!(world.state().cancelled.iter().any(|key| key.contains("/build/")), "it was not ended outside");
}

#[tokio::test]
async fn a_candidate_that_a_newer_muster_wrote_waits_and_keeps_no_other() {
    for database in database::each().await.unwrap() {
        let (world, clock) = (World::default(), clock());
        ask(&database, &clock).await;
        let mut service = Service::start(&database, &world, &clock).await;
        service.turn().await;
        let (id, other) = (service.release().await.id, CandidateId("server/43.20261121.1".to_owned()));
        rewrite(&database, &id, r#""recipe":{"#, r#""recipe":{"of_tomorrow":1,"#).await;
        service.live_slowly(SignedDuration::from_secs(2), 30).await;
        let released = service.store.candidate(&other).await.unwrap().unwrap();
        assert_eq!(released.stage(), Stage::Finished(Outcome::Published), "{}", database.kind);
        assert!(!world.state().moves.iter().any(|(_, version)| *version == id.0), "it went on unread");
        let teller = Teller::new(service.store.clone(), &Settings::default(), clock.clone());
        let waits = teller.waits().await.unwrap();
        let wait = waits.iter().find(|wait| wait.candidate == id.0).unwrap();
        assert!(wait.why.contains("of_tomorrow"), "{wait:?}");
        rewrite(&database, &id, r#""of_tomorrow":1,"#, "").await;
        service.live().await;
        assert_eq!(service.release().await.stage(), Stage::Finished(Outcome::Published), "{}", database.kind);
        assert_eq!(service.store.unreadable(), []);
    }
}

/// Puts something else into the facts of a candidate, and says that they are new.
async fn rewrite(database: &Database, id: &CandidateId, from: &str, to: &str) {
    let pool = sqlx::AnyPool::connect(&database.url).await.unwrap();
    let sql = "UPDATE candidate SET facts = REPLACE(facts, $2, $3), version = version + 1 WHERE id = $1";
    let done = sqlx::query(sql).bind(&id.0).bind(from).bind(to).execute(&pool).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    pool.close().await;
}

//! What people say, and what comes of it.

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use muster::planner::Turn;
use muster::store::{Admitted, Recording};
use muster_flow::candidate::{CandidateId, Outcome, Stage};
use muster_flow::gate::Waiver;
use muster_lab::database;
use muster_lab::world::{Fault, World};
use muster_specimen::waiver;

use crate::service::{Service, ask, clock};

#[tokio::test]
async fn an_exception_reopens_the_candidate_it_names_and_no_other() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("smoketest/x86_64/bios", Fault::Red);
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
    service.live().await;
    let mut waiver = waiver("cloud", clock.now() + SignedDuration::from_hours(24));
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

#[tokio::test]
async fn a_cancelled_candidate_ends_what_runs_for_it() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
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

#[tokio::test]
async fn what_a_person_stops_is_no_warning_in_the_log_however_long_it_takes() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _kept = tracing::subscriber::set_default(subscriber);
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("build/x86_64", Fault::Lingers(3));
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
    while service.planner.turn().await.unwrap() == Turn::Moved {}
    service.engine.drive_due().await.unwrap();
    let id = CandidateId("cloud/43.20261121.0".to_owned());
    service.store.cancel(&id, "ada", "not today").await.unwrap();
    service.live().await;
    assert!(world.state().cancelled.iter().any(|key| key.starts_with("cloud/43.20261121.0/build")));
    let said = log.said();
    assert_eq!(said.matches("not yet: it is being ended").count(), 3, "{said}");
    let of_it: Vec<&str> = said.lines().filter(|line| line.contains("cloud/43.20261121.0")).collect();
    assert!(of_it.iter().any(|line| line.contains("INFO") && line.contains("cancelled")), "{of_it:#?}");
    assert!(!of_it.iter().any(|line| line.contains("WARN") || line.contains("ERROR")), "{of_it:#?}");
}

/// What this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn said(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_candidate_that_was_overtaken_stands_in_nobodys_way_and_moves_nothing() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    world.fault("smoketest/x86_64/bios", Fault::Red);
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
    service.live().await;
    let late = service.release().await.id;
    world.state().faults.clear();
    service.release_again("request/2").await;
    let moves = world.state().moves.clone();
    let expires = clock.now() + SignedDuration::from_hours(24);
    let waiver = Waiver { candidate: Some(late.to_string()), ..waiver("cloud", expires) };
    service.store.waive(&waiver).await.unwrap();
    service.live().await;
    let candidate = service.store.candidate(&late).await.unwrap().unwrap();
    assert_eq!(candidate.stage(), Stage::Finished(Outcome::Superseded));
    assert_eq!(world.state().moves, moves, "a pointer went back");
    let base = format!("{late}/build/x86_64");
    let error = service.store.retry(&late, &base, "ada", "once more").await.unwrap_err();
    assert!(error.to_string().contains("points at the newer"), "{error}");
    service.release_again("request/3").await;
    assert!(world.state().moves.len() > moves.len(), "nobody after it was released");
}

#[tokio::test]
async fn what_joined_a_candidate_goes_over_to_the_one_that_takes_its_place_in_the_same_moment() {
    let database = database::sqlite().unwrap();
    let (world, clock) = (World::default(), clock());
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
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
    let recording = Recording { admitted: &admitted, ..Recording::default() };
    service.store.weighed(&plan, recording).await.unwrap();
    let new = service.store.candidate(&new.id).await.unwrap().unwrap();
    assert!(new.changes.iter().any(|cause| cause.change == "m77"), "{:?}", new.changes);
}

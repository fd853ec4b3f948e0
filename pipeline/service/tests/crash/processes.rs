//! Several processes on one database, and the loop that each of them is.

use std::sync::Arc;

use jiff::SignedDuration;
use muster::clock::Clock;
use muster::planner::Turn;
use muster_flow::build::Build;
use muster_flow::step::{Handle, Place, Work};
use muster_lab::database::{self, Database};
use muster_lab::world::World;

use crate::service::{Service, TURNS, ask, check, clock, runtime};

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
                runtime().block_on(async {
                    let mut service = Service::start(&database, &world, &clock).await;
                    for _ in 0..TURNS * 4 {
                        // Another process may plan, or have changed what this one planned for.
                        let _ = service.planner.turn().await;
                        service.engine.drive_due().await.unwrap();
                        clock.advance(SignedDuration::from_millis(500));
                        if service.is_over().await {
                            break;
                        }
                    }
                });
            }));
        }
        for process in processes {
            process.join().unwrap();
        }
        check(&database, &world, &clock).await;
    }
}

#[tokio::test]
async fn what_one_process_has_claimed_another_takes_only_when_the_lease_has_run_out() {
    for database in database::each().await.unwrap() {
        let (world, clock) = (World::default(), clock());
        ask(&database, &clock).await;
        let mut one = Service::start(&database, &world, &clock).await;
        while one.planner.turn().await.unwrap() == Turn::Moved {}
        let other = Service::start(&database, &world, &clock).await;
        let builds = (Build::NAME, Place::Here);
        let claimed = one.store.claim_wanted(builds, 1).await.unwrap();
        assert_eq!(claimed.len(), 1);
        let keys = async || -> Vec<_> {
            other
                .store
                .claim_wanted(builds, 100)
                .await
                .unwrap()
                .into_iter()
                .map(|claimed| claimed.key)
                .collect()
        };
        assert!(!keys().await.contains(&claimed[0].key), "{}: two drive one step", database.kind);
        clock.advance(SignedDuration::from_mins(1));
        assert!(keys().await.contains(&claimed[0].key), "{}: what the dead had is lost", database.kind);
        let (now, handle) = (clock.now(), Handle("late".to_owned()));
        let is_believed = one.store.begun(&claimed[0], &handle, (now, now)).await.unwrap();
        assert!(!is_believed, "{}: who came too late is believed", database.kind);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_itself_brings_everything_to_its_end_without_waiting_for_locks() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::at(folder.path());
    let (world, clock) = (World::default(), Clock::system());
    ask(&database, &clock).await;
    let mut service = Service::start(&database, &world, &clock).await;
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
    check(&database, &world, &clock).await;
}

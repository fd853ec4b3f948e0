//! It dies at every moment that there is.
//!
//! The store and the pretend ports tell every commit and every call (`muster_lab::brink`), so that the moments are
//! counted and not guessed. On SQLite a process dies at each of them, each time in a telling of its own. On both
//! databases one telling is cut at every different one of them, one death after the other; on PostgreSQL, which is
//! slower, that stands for the tellings of their own.

use muster_lab::brink::{Brink, End};
use muster_lab::database::{self, Database};
use muster_lab::world::Manners;

use crate::service::{check_asked, runtime};
use crate::story::Telling;

/// How many tellings go on at once.
const BESIDE: usize = 2;

/// Moments that must be among those at which it dies: each kind of write, people's commands, and what happens outside.
const KINDS: [&str; 24] = [
    "after recording the planner's lease",
    "after recording claims of steps",
    "recording changes",
    "recording the batch stable/20261121.0",
    "recording what the gate of stable/20261121.0 says",
    "recording the start of cloud/",
    "recording what cloud/",
    "recording that cloud/43.20261121.0/build/x86_64 has begun",
    "after recording how far cloud/",
    "recording the end of cloud/43.20261121.0/promote/",
    "recording the end of cloud/43.20261121.0/announce/",
    "recording that cloud/43.20261121.0 is held",
    "recording that cloud/43.20261121.0 is held no more",
    "recording the waiver",
    "recording that cloud/43.20261121.0/smoketest/x86_64/uefi is to be tried again",
    "recording that server/43.20261121.1 is cancelled",
    "recording that cloud/43.20261121.0 is finished",
    "beginning cloud/43.20261121.0/build/x86_64",
    "beginning cloud/43.20261121.0/upload/",
    "beginning cloud/43.20261121.0/promote/",
    "beginning cloud/43.20261121.0/announce/",
    "before looking at cloud/",
    "before ending server/",
    "after ending server/",
];

/// Dies at a moment at which none has died yet, and lives on. `None` when there is no such moment any more.
async fn die_once(database: Database, manners: Manners, brink: Brink) -> Option<Telling> {
    let telling = Telling::begin(database, manners, brink).await;
    if telling.brink.live(End::WhereNoneHas, telling.live()).await.is_some() {
        return None;
    }
    telling.wait_for_leases();
    telling.brink.live(End::Natural, telling.live()).await;
    Some(telling)
}

#[test]
fn whenever_it_dies_on_sqlite_everything_is_done_once() {
    let brink = Brink::default();
    let tell = || async {
        while let Some(telling) = die_once(database::sqlite().unwrap(), Manners::Looks, brink.beside()).await
        {
            telling.check().await;
            check_asked(&telling.world, 1, &telling.brink.last_words());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..BESIDE {
            scope.spawn(|| runtime().block_on(tell()));
        }
    });
    check_deaths(&brink, "SQLite");
}

#[tokio::test]
async fn however_often_it_dies_everything_is_done_once() {
    for database in database::each().await.unwrap() {
        let telling = Telling::begin(database, Manners::Looks, Brink::default()).await;
        while telling.brink.live(End::WhereNoneHas, telling.live()).await.is_none() {
            telling.wait_for_leases();
        }
        telling.check().await;
        check_deaths(&telling.brink, telling.database.kind);
    }
}

#[tokio::test]
async fn who_does_not_die_asks_for_everything_once() {
    for database in database::each().await.unwrap() {
        let telling = Telling::begin(database, Manners::Looks, Brink::default()).await;
        telling.live().await;
        telling.check().await;
        check_asked(&telling.world, 0, telling.database.kind);
    }
}

#[tokio::test]
async fn an_adapter_that_does_not_look_first_is_caught() {
    let brink = Brink::default();
    while let Some(telling) = die_once(database::sqlite().unwrap(), Manners::Forgets, brink.beside()).await {
        if telling.world.state().begun.values().any(|times| *times > 1) {
            return;
        }
    }
    panic!("an adapter that creates without looking went unnoticed: the suite proves nothing");
}

/// That the story has what it should have in it.
fn check_deaths(brink: &Brink, database: &str) {
    let deaths = brink.deaths();
    eprintln!("{database}: it died at {} moments", deaths.len());
    for kind in KINDS {
        assert!(deaths.iter().any(|death| death.contains(kind)), "it never died {kind}: {deaths:#?}");
    }
}

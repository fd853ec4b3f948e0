//! What is over is removed after its time, and what anything can still come upon stays.
#![expect(clippy::unwrap_used, reason = "a test")]

mod tale;

use jiff::{SignedDuration, Timestamp};
use muster::clock::Clock;
use muster::ledger::{Happening, Heard, Kind, Note, Voice};
use muster::store::prune::Kept;
use muster::store::{Recording, Store};
use muster::upstream::Weighed;
use muster_flow::change::{Change, Origin, What};
use muster_lab::database;
use muster_message::{Incoming, Parked};
use tale::{Fate, Tale, recipe, tests};

const SOURCE: &str = "tag f43 of https://koji.example.org/kojihub";

fn message(id: &str) -> Incoming {
    Incoming {
        id: id.to_owned(),
        topic: "buildsys.tag".to_owned(),
        headers: "{}".to_owned(),
        body: "{}".to_owned(),
        sent_at: None,
    }
}

fn weighed(id: &str) -> Weighed {
    let change = Change {
        id: id.to_owned(),
        at: Timestamp::UNIX_EPOCH,
        origin: Origin::Message { topic: "buildsys.tag".to_owned() },
        what: What::RepositoryRegenerated { tag: "f43".to_owned() },
    };
    Weighed {
        message: Some(id.to_owned()),
        change: Some(change),
        touches: Err("nothing".to_owned()),
        happenings: Vec::new(),
    }
}

fn parked(id: &str, now: Timestamp) -> Parked {
    Parked {
        id: id.to_owned(),
        topic: "buildsys.tag".to_owned(),
        reason: "its body is not JSON".to_owned(),
        headers: "{}".to_owned(),
        body: b"{".to_vec(),
        received: now,
    }
}

/// Everything is kept for ten days.
fn kept(now: Timestamp) -> Kept {
    let since = now - SignedDuration::from_hours(240);
    Kept {
        messages: since,
        changes: since,
        journal: since,
        parked: since,
        events: 2000,
        grace: SignedDuration::from_secs(900),
    }
}

#[tokio::test]
async fn messages_changes_and_parked_messages_go_after_their_time_and_never_what_is_not_dealt_with() {
    for database in database::each().await.unwrap() {
        let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
        let store = Store::open(&database.url, clock.clone()).await.unwrap();
        let plan = store.plan().await.unwrap().unwrap();
        let many: Vec<Incoming> = (0..2500).map(|number| message(&format!("old {number}"))).collect();
        store.receive(&many).await.unwrap();
        let digested: Vec<Weighed> = many.iter().map(|message| weighed(&message.id)).collect();
        store.weighed(&plan, Recording { weighed: &digested, ..Recording::default() }).await.unwrap();
        store.receive(&[message("unread")]).await.unwrap();
        store.park_deliveries(&[parked("dropped", clock.now()), parked("open", clock.now())]).await.unwrap();
        assert!(store.drop_parked("dropped", "ada").await.unwrap());
        let asked = weighed("not weighed").change.unwrap();
        store.ask(&asked).await.unwrap();
        assert_eq!(store.prune(&kept(clock.now())).await.unwrap(), [], "{}: nothing is old", database.kind);

        clock.advance(SignedDuration::from_hours(241));
        let plan = store.plan().await.unwrap().unwrap();
        store.receive(&[message("young")]).await.unwrap();
        store
            .weighed(&plan, Recording { weighed: &[weighed("young")], ..Recording::default() })
            .await
            .unwrap();
        let mut passes = Vec::new();
        loop {
            let removed = store.prune(&kept(clock.now())).await.unwrap();
            if removed.is_empty() {
                break;
            }
            passes.push(removed);
        }
        let first: Vec<_> = passes[0].iter().map(|(count, what)| (*count, *what)).collect();
        let expected = [
            (1000, "digested message"),
            (1000, "weighed change"),
            (4, "journal line"),
            (1, "parked message"),
        ];
        assert_eq!(first[..], expected[..], "{}: a pass does so much and no more", database.kind);
        assert_eq!(passes.len(), 3);
        // What came back under an id that is gone would be new; under one that is kept it is not.
        assert_eq!(store.receive(&[message("young"), message("unread")]).await.unwrap(), 0);
        assert_eq!(store.receive(&[message("old 7")]).await.unwrap(), 1);
        let left: Vec<String> = store.parked().await.unwrap().into_iter().map(|parked| parked.id).collect();
        assert_eq!(left, ["open"]);
        let changes = store.changes(9).await.unwrap();
        let ids: Vec<&str> = changes.iter().map(|seen| seen.change.id.as_str()).collect();
        assert_eq!(ids, ["young", "not weighed"]);
        assert_eq!(store.unweighed(9).await.unwrap().len(), 1);
        store.close().await;
    }
}

#[tokio::test]
async fn the_journal_of_an_open_candidate_and_the_changes_it_was_made_from_stay() {
    let mut tale = Tale::begin().await;
    let open = tale.make(recipe("open"), 1, muster_flow::candidate::Purpose::Scratch).await;
    let over = tale.make(recipe("over"), 2, muster_flow::candidate::Purpose::Scratch).await;
    let changes = [weighed("message-1"), weighed("message-2")];
    tale.store.weighed(&tale.plan, Recording { weighed: &changes, ..Recording::default() }).await.unwrap();
    tale.start(&over, tests()).await;
    tale.live(&over, |_| Fate::Well).await;
    tale.pass(241 * 3600).await;
    let journal = async |id| tale.store.journal(Some(id), 0, 1000).await.unwrap().len();
    let before = (journal(&open).await, journal(&over).await);
    assert!(before.0 > 0 && before.1 > 0);
    tale.store.prune(&kept(tale.clock.now())).await.unwrap();
    assert_eq!((journal(&open).await, journal(&over).await), (before.0, 0));
    let left: Vec<String> =
        tale.store.changes(9).await.unwrap().into_iter().map(|seen| seen.change.id).collect();
    assert_eq!(left, ["message-1"]);
}

#[tokio::test]
async fn who_told_of_what_goes_when_no_sweep_can_come_upon_it_again_and_stays_counted() {
    for database in database::each().await.unwrap() {
        let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
        let store = Store::open(&database.url, clock.clone()).await.unwrap();
        let plan = store.plan().await.unwrap().unwrap();
        let heard = |event: i64, voice: Voice| Heard {
            source: SOURCE.to_owned(),
            name: format!("{event}/in/bash-{event}-1"),
            label: format!("in/bash-{event}-1"),
            at: clock.now(),
            voice,
            change: format!("{event}"),
        };
        let position = |position: &str| Note::Position {
            source: SOURCE.to_owned(),
            kind: Kind::Koji,
            position: position.to_owned(),
            since: "4000".to_owned(),
            at: None,
        };
        let all = [
            // Before our time: a message spoke of it, and nothing but this row says so.
            heard(3999, Voice::Bus),
            heard(5000, Voice::Bus),
            heard(5001, Voice::Sweep),
            heard(8000, Voice::Sweep),
        ];
        let recording = Recording { heard: &all, notes: &[position("8100")], ..Recording::default() };
        store.weighed(&plan, recording).await.unwrap();
        // Of a hub that could never be read nobody knows yet where it begins.
        let unread = "tag f44 of https://koji.example.org/kojihub".to_owned();
        let of_unread = [Heard { source: unread.clone(), ..heard(5000, Voice::Bus) }];
        let fault = [Note::Fault { source: unread, kind: Kind::Koji, reason: "no answer".to_owned() }];
        let recording = Recording { heard: &of_unread, notes: &fault, ..Recording::default() };
        store.weighed(&plan, recording).await.unwrap();
        clock.advance(SignedDuration::from_hours(241));
        let rows = || async { store.source_rows(SignedDuration::from_secs(900)).await.unwrap() };
        let before = rows().await;
        assert_eq!((before[0].counts.bus, before[0].counts.lost), (2, 2));
        let removed = store.prune(&kept(clock.now())).await.unwrap();
        assert_eq!(removed, [(2, "heard happening")], "{}", database.kind);
        assert_eq!(rows().await, before, "{}: what was removed is not counted any more", database.kind);
        let left = |event: i64| Happening {
            source: SOURCE.to_owned(),
            names: vec![format!("{event}/in/bash-{event}-1")],
            label: String::new(),
            at: clock.now(),
            recipes: [].into(),
            is_past: false,
        };
        let asked = [left(3999), left(5000), left(5001), left(8000)];
        let told = store.told(asked.iter()).await.unwrap();
        let events: Vec<&str> = told.keys().map(|(_, name)| name.split('/').next().unwrap()).collect();
        assert_eq!(events, ["3999", "8000"]);
        store.close().await;
    }
}

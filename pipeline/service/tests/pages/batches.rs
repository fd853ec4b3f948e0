//! Batches: their list, and the page of one.

use muster_flow::batch::members::Member;
use muster_flow::batch::{Batch, BatchId, Before, Requires, Revision, Source};
use muster_flow::candidate::Purpose;
use muster_flow::difference::{Difference, What as Became};

use crate::site::{path, site};
use crate::tale::{Fate, Tale, recipe, tests};

/// A batch in which one source package is newer than in the one before.
fn batch(tale: &Tale) -> Batch {
    let now = tale.clock.now();
    let package = |version: &str| Some(format!("{version}-1.fc43.x86_64"));
    let difference = Difference {
        name: "bash".to_owned(),
        what: Became::Upgraded,
        old: package("5.2"),
        new: package("5.3"),
    };
    let before = Before { id: BatchId::new("stable", "20261021", 0), set: "0a".repeat(32) };
    Batch {
        id: BatchId::new("stable", "20261121", 0),
        stream: "stable".to_owned(),
        source: Source::Repositories(["https://repo.example.org/<os>".to_owned()].into()),
        change: "request/1".to_owned(),
        frozen: now,
        requires: Requires::All,
        until: now + jiff::SignedDuration::from_hours(24 * 14),
        before: Some(before),
        members: vec![Member { source: "bash".to_owned(), packages: vec![difference] }],
        revisions: vec![Revision {
            number: 1,
            set: "0b".repeat(32),
            packages: 3,
            frozen: "0b".repeat(32),
            repos: Vec::new(),
            at: now,
            who: "Muster".to_owned(),
            why: "it was frozen".to_owned(),
            ejected: ["bash".to_owned()].into(),
            absent: Vec::new(),
        }],
        verdict: None,
    }
}

#[tokio::test]
async fn a_batch_is_shown_with_its_members_revisions_and_candidates() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    assert!(site.get("/batches").await.words().contains("There is no batch yet"));
    let [cloud, server] = ["cloud-base", "server"].map(recipe);
    let id = tale.make(cloud, 0, Purpose::Release).await;
    let other = tale.make(server, 0, Purpose::Release).await;
    tale.store.freeze(&tale.plan, &batch(&tale), &[id.clone(), other]).await.unwrap();
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Well).await;
    let list = site.get("/batches").await.words();
    assert!(list.contains("stable/20261121.0on its way"), "{list}");
    let page = site.get("/batches/stable/20261121.0").await.words();
    for words in [
        "on its way: its gate waits for candidates that are on their way",
        "what differs from stable/20261021.0",
        "bash (ejected)",
        "bash upgraded 5.2-1.fc43.x86_64 -> 5.3-1.fc43.x86_64",
        "Muster: it was frozen",
        "cloud-base/43.20261121.0 passed: it passed its own gate",
        "server/43.20261121.0 on its way: it is waiting",
        "https://repo.example.org/<os>",
    ] {
        assert!(page.contains(words), "{words} is not in:\n{page}");
    }
    let json = site.get("/api/batches/stable/20261121.0").await.json();
    assert_eq!(json["members"][0]["differences"][0]["what"], "upgraded");
    assert_eq!(json["reasons"].as_array().unwrap().len(), 2);
    assert_eq!(site.get("/api/batches").await.json()[0]["batch"], "stable/20261121.0");
    assert_eq!(site.get("/batches/stable/1").await.status, 404);
    assert_eq!(site.get("/api/batches/stable/1").await.status, 404);

    let candidate = site.get(&path(&id)).await;
    assert!(candidate.body.contains("href=\"/batches/stable/20261121.0\""), "no link to the batch");
    assert!(candidate.words().contains("It passed its own gate, and is not published yet"));
    let waits = site.get("/waits").await.words();
    assert!(waits.contains("stable/20261121.0: server/43.20261121.0 cannot start"), "{waits}");
    assert!(waits.contains("given up in 13 d"), "{waits}");
}

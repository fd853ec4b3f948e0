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
    assert!(site.get("/batches").await.words().contains("stable/20261121.0 on its way"), "the list");
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
    assert!(waits.contains("its batch: waits for stable/20261121.0: it is about to be judged"), "{waits}");
    assert!(waits.contains("given up in 13 d"), "{waits}");
}

#[tokio::test]
async fn what_is_not_there_is_said_helpfully() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let id = tale.make(recipe("cloud-base"), 0, Purpose::Scratch).await;
    let missing = site.get("/candidates/cloud-base/43.19700101.0").await;
    assert_eq!(missing.status, 404);
    assert!(missing.words().contains("There is no candidate cloud-base/43.19700101.0."));
    assert!(missing.words().contains("Look for it in the list of candidates"));
    let twin = site.get("/api/candidates/cloud-base/43.19700101.0").await;
    assert_eq!(twin.status, 404);
    assert_eq!(twin.json()["error"], "There is no candidate cloud-base/43.19700101.0.");
    assert!(twin.json()["next"].is_string());
    let unknown = site.get("/api/nothing/at/all").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["error"], "There is nothing at /api/nothing/at/all.");
    let boot = site.get(&format!("{}/smoketest/x86_64/bios-q35", path(&id))).await;
    assert_eq!(boot.status, 404);
    assert!(boot.words().contains("Nothing of cloud-base/43.20261121.0 was booted yet"));
    for garbage in [
        "/nothing",
        "/candidates",
        "/candidates//",
        "/candidates/%00/%00",
        "/candidates/%ff/%fe",
        "/candidates/a/b/c/d/e/f",
        "/..%2f..%2fetc%2fpasswd",
        "/pub/mirror/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/pub/mirror/../../../../../etc/",
        "/pub/mirror/%2e%2e/",
        "/pub/mirror//etc/",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/streams/none.json",
        "/api/nothing",
        "/?stage=%ff",
        "/api/journal?after=soon",
    ] {
        let answer = site.get(garbage).await;
        assert!((200..500).contains(&answer.status), "{garbage}: {}", answer.status);
        assert!(!answer.body.contains("root:"), "{garbage}");
    }
}

#[tokio::test]
async fn pages_only_read() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let id = tale.make(recipe("cloud-base"), 0, Purpose::Scratch).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for address in ["/", &path(&id), &format!("/api{}", path(&id)), "/parked", "/pub/mirror/a"] {
            let status = site.ask(method, address, "Content-Length: 0\r\n").await.status;
            assert_eq!(status, 405, "{method} {address}");
        }
    }
}

#[tokio::test]
async fn the_mirror_is_served_with_ranges_and_validators() {
    let mut tale = Tale::begin().await;
    let root = tale.settings.service.state.join("mirror");
    let mirror: BTreeMap<_, _> = toml::from_str("mirror = { kind = \"mirror\" }").unwrap();
    tale.settings.destinations = mirror;
    std::fs::create_dir_all(root.join("streams")).unwrap();
    std::fs::create_dir_all(root.join("releases/43")).unwrap();
    std::fs::write(root.join("streams/stable.json"), "{\"stream\":\"stable\"}").unwrap();
    std::fs::write(root.join("releases/43/image.qcow2"), "0123456789").unwrap();
    std::fs::write(root.join(".hidden"), "").unwrap();
    let site = site(&tale).await;
    let stream = site.get("/streams/stable.json").await;
    assert_eq!((stream.status, stream.body.as_str()), (200, "{\"stream\":\"stable\"}"));
    assert_eq!(stream.headers["content-type"], "application/json");
    let validator = format!("If-None-Match: {}\r\n", stream.headers["etag"]);
    assert_eq!(site.ask("GET", "/streams/stable.json", &validator).await.status, 304);
    assert!(stream.headers.contains_key("last-modified"));
    let part = site.ask("GET", "/pub/mirror/releases/43/image.qcow2", "Range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    let folder = site.get("/pub/mirror/releases/").await;
    assert!(folder.words().contains("43/"), "{}", folder.words());
    assert!(site.get("/pub/mirror/releases/43/").await.words().contains("image.qcow2 10 bytes"));
    assert_eq!(site.get("/pub/mirror/releases/44/").await.status, 404);
}

#[tokio::test]
async fn health_is_whether_the_store_can_be_read() {
    let tale = Tale::begin().await;
    let site = site(&tale).await;
    assert_eq!(site.get("/healthz").await.status, 200);
    tale.store.close().await;
    let sick = site.get("/healthz").await;
    assert_eq!(sick.status, 503);
    assert!(sick.body.contains("the store cannot be read"));
    let page = site.get("/").await;
    assert_eq!(page.status, 500);
    assert!(page.words().contains("Try again in a moment"));
}

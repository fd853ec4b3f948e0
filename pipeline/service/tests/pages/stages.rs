//! A candidate in each stage.
#![expect(clippy::too_many_lines, reason = "a test")]

use muster_flow::candidate::{CandidateId, Hold, Purpose};

use crate::tale::{Fate, Tale, recipe, tests};

/// A candidate in each stage, by what is said of it.
pub async fn everything(tale: &mut Tale) -> Vec<CandidateId> {
    let mut ids = Vec::new();
    let release = Purpose::Release;
    // Published.
    let id = tale.make(recipe("cloud-base"), 0, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Well).await;
    ids.push(id);
    // Passed.
    let id = tale.make(recipe("cloud-base"), 1, Purpose::Scratch).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Well).await;
    ids.push(id);
    // Rejected.
    let id = tale.make(recipe("cloud-base"), 2, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.contains("uefi") {
            Fate::Red(&["hostname", "documentation"], "the name is localhost")
        } else {
            Fate::Well
        }
    })
    .await;
    ids.push(id);
    // Cannot tell.
    let id = tale.make(recipe("cloud-base"), 3, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.contains("/smoketest/x86_64/uefi") { Fate::Fails("the accelerator hung") } else { Fate::Well }
    })
    .await;
    ids.push(id);
    // Build failed.
    let id = tale.make(recipe("cloud-base"), 4, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.contains("/build/") { Fate::Fails("nothing provides libfoo.so.1") } else { Fate::Well }
    })
    .await;
    ids.push(id);
    // Publishing failed.
    let id = tale.make(recipe("cloud-base"), 5, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.ends_with("upload/mirror/qcow2") { Fate::Fails("the disk is full") } else { Fate::Well }
    })
    .await;
    ids.push(id);
    // Held.
    let id = tale.make(recipe("cloud-base"), 6, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.store
        .hold(&id, &Hold { who: "grace".to_owned(), why: "wait for the announcement".to_owned() })
        .await
        .unwrap();
    tale.live(&id, |_| Fate::Well).await;
    ids.push(id);
    // Publishing, and one destination is away.
    let id = tale.make(recipe("cloud-base"), 7, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.contains("upload/registry") {
            Fate::Stumbles("cannot reach 127.0.0.1:5000: connection refused")
        } else {
            Fate::Well
        }
    })
    .await;
    ids.push(id);
    // Testing: one boot runs, one is queued.
    let id = tale.make(recipe("cloud-base"), 8, release).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| match key {
        key if key.contains("smoketest/x86_64/bios") => Fate::Runs("waiting for ssh"),
        key if key.contains("smoketest/x86_64/uefi") => Fate::Queued,
        _ => Fate::Well,
    })
    .await;
    ids.push(id);
    // Building.
    let emergency = Purpose::Emergency { who: "ada".to_owned(), why: "CVE-2026-1234".to_owned() };
    let id = tale.make(recipe("cloud-base"), 9, emergency).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Runs("installing packages: 61 of 143")).await;
    ids.push(id);
    // Waiting.
    ids.push(tale.make(recipe("cloud-base"), 10, Purpose::Scratch).await);
    // Cancelled.
    let id = tale.make(recipe("server"), 0, Purpose::Scratch).await;
    tale.store.cancel(&id, "ada", "the wrong branch").await.unwrap();
    tale.live(&id, |_| Fate::Well).await;
    ids.push(id);
    ids
}

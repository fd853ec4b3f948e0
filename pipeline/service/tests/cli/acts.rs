//! What people do to a candidate: `muster retry`, `hold`, `unhold` and `cancel`.

use muster_flow::candidate::{Life, Purpose, Stage};

use crate::desk::Desk;
use crate::tale::{Fate, recipe};

#[tokio::test]
async fn a_step_is_tried_again_with_what_follows_from_it() {
    let mut desk = Desk::new().await;
    let id = desk.rejected().await;
    let boot = format!("{id}/smoketest/x86_64/uefi-q35");
    let (code, advice) = desk.fails(&["retry", &format!("{id}/smoketest/x86_64/arm")]).await;
    assert_eq!(code, 3);
    assert!(advice.contains(&boot), "it lists the steps: {advice}");
    assert_eq!(desk.fails(&["retry", "cloud-base"]).await.0, 3);
    let again = desk.json(&["retry", &boot, "--reason", "the cloud was ill"]).await;
    assert_eq!(again["step"], boot);
    assert_eq!(desk.tale.candidate(&id).await.stage_before_announcing(), Stage::Testing);
    desk.tale.live(&id, |_| Fate::Well).await;
    let said = desk.says(&["show", &id.0]).await;
    assert!(said.contains("published") && said.contains("uefi-q35, try 2"), "{said}");
    let (code, advice) = desk.fails(&["retry", &boot]).await;
    assert!(code == 1 && advice.contains("is published; make a new candidate"), "{advice}");
    assert!(advice.contains("`muster show") && !advice.contains("Try again"), "{advice}");
}

#[tokio::test]
async fn a_candidate_is_held_and_let_go_and_stopped() {
    let mut desk = Desk::new().await;
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    assert_eq!(desk.fails(&["unhold", &id.0]).await.0, 1);
    desk.says(&["hold", &id.0, "--reason", "wait for the news"]).await;
    assert_eq!(desk.tale.candidate(&id).await.decisions.holds[0].who, "ada");
    desk.says(&["unhold", "cloud-base"]).await;
    assert!(desk.tale.candidate(&id).await.decisions.holds.is_empty());
    let (code, advice) = desk.fails(&["cancel", "cloud-base", "--reason", "no"]).await;
    assert!(code == 1 && advice.contains("by its full id"), "{advice}");
    desk.says(&["cancel", &id.0, "--reason", "the wrong branch"]).await;
    let life = Life::Cancelled { who: "ada".to_owned(), why: "the wrong branch".to_owned() };
    assert_eq!(desk.tale.candidate(&id).await.life, life);
    assert_eq!(desk.fails(&["cancel", &id.0, "--reason", "again"]).await.0, 1);
}

#[tokio::test]
async fn a_recipe_stands_for_its_newest_release_when_it_is_held() {
    let mut desk = Desk::new().await;
    let release = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    let scratch = desk.tale.make(recipe("cloud-base"), 1, Purpose::Scratch).await;
    let (code, advice) = desk.fails(&["hold", &scratch.0, "--reason", "wait"]).await;
    assert!(code == 1 && advice.contains("is a scratch candidate: it is never promoted"), "{advice}");
    assert!(!advice.contains("Try again"), "{advice}");
    let said = desk.says(&["hold", "cloud-base", "--reason", "wait for the news"]).await;
    assert!(said.starts_with(&format!("{release} (release) is held")), "{said}");
    assert!(!said.contains("takes the place"), "{said}");

    let said = desk.says(&["hold", "cloud-base", "--reason", "wait for legal"]).await;
    assert!(said.contains("It takes the place of ada's hold: wait for the news"), "{said}");
    let again = desk.json(&["hold", "cloud-base", "--reason", "wait for both", "--as", "grace"]).await;
    assert_eq!(again["replaced"]["why"], "wait for legal");
    let lines = desk.tale.store.journal(Some(&release), 0, 100).await.unwrap();
    let expected = "grace holds it: wait for both (in place of ada's hold: wait for legal)";
    assert!(lines.iter().any(|line| line.text == expected), "{lines:?}");

    let newer = desk.tale.make(recipe("cloud-base"), 2, Purpose::Release).await;
    let said = desk.says(&["unhold", "cloud-base"]).await;
    assert!(said.starts_with(&format!("{release} (release) is held no more")), "{said}");
    assert!(desk.fails(&["unhold", "cloud-base"]).await.1.contains("nobody holds cloud-base"));
    for id in [&release, &newer] {
        desk.tale.store.cancel(id, "ada", "enough").await.unwrap();
        let (code, advice) = desk.fails(&["hold", &id.0, "--reason", "late"]).await;
        assert!(code == 1 && advice.contains("cancelled"), "{advice}");
    }
    let (code, advice) = desk.fails(&["hold", "cloud-base", "--reason", "wait"]).await;
    assert!(code == 1 && advice.contains("Scratch candidates are never promoted"), "{advice}");
}

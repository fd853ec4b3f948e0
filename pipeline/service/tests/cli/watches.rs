//! `muster watch`.

use muster::program::Program;
use muster_flow::candidate::Purpose;
use serde_json::Value;

use crate::desk::{Desk, wait_for};
use crate::tale::{Fate, muster, recipe, tests};

#[tokio::test]
async fn watch_ends_when_the_candidate_does_and_says_how() {
    let mut desk = Desk::new().await;
    let id = desk.rejected().await;
    let watched = desk.run(&["watch", "--candidate", &id.0, "--until-finished"]).await;
    assert_eq!(watched.code, Some(4), "a rejected candidate is a no");
    let text = watched.text();
    assert!(text.contains("cloud-base/43.20261121.0  the gate says fail"), "{text}");
    assert!(text.trim_end().ends_with("cloud-base/43.20261121.0  finished: rejected"), "{text}");
    assert_eq!(text.matches("finished: rejected").count(), 1, "it is told twice: {text}");
    assert!(!text.contains('\u{1b}'), "no colour where no terminal is");
    let lines = desk.run(&["watch", "--candidate", &id.0, "--until-finished", "--json"]).await.text();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "journal"), "{events:?}");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["outcome"]), (&"finished".into(), &"rejected".into()));
}

#[tokio::test]
async fn watch_tells_how_far_running_work_has_got() {
    let mut desk = Desk::new().await;
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    desk.tale.start(&id, tests()).await;
    desk.tale.live(&id, |_| Fate::Runs("installing packages: 61 of 143")).await;
    let log = desk.tale.folder.path().join("watched");
    let mut watch = Program::new(muster())
        .args(["watch", "--candidate", "cloud-base", "--until-finished"])
        .folder(desk.tale.folder.path())
        .env("MUSTER_CONFIG", "muster.toml")
        .log(&log)
        .spawn()
        .unwrap();
    wait_for(&log, "build/x86_64  installing packages: 61 of 143").await;
    desk.tale.store.cancel(&id, "ada", "enough").await.unwrap();
    wait_for(&log, "ada cancelled it: enough").await;
    watch.kill().await;
}

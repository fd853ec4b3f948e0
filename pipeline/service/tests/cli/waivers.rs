//! `muster waive`.

use muster_flow::candidate::{Purpose, Stage};
use muster_flow::recipe::Form;
use muster_flow::smoketest::Test;
use serde_json::Value;

use crate::desk::Desk;
use crate::tale::{Fate, recipe, tests};

#[tokio::test]
async fn a_waiver_lets_the_gate_speak_anew() {
    let mut desk = Desk::new().await;
    let id = desk.rejected().await;
    let said = desk
        .says(&[
            "waive",
            "hostname",
            "--recipe",
            "cloud-base",
            "--candidate",
            &id.0,
            "--reason",
            "ticket 42",
            "--until",
            "2999-01-01",
        ])
        .await;
    assert!(said.contains("the gate speaks anew"), "{said}");
    assert_eq!(desk.tale.candidate(&id).await.stage_before_announcing(), Stage::Gating);
    desk.tale.live(&id, |_| Fate::Well).await;
    assert!(desk.says(&["show", &id.0]).await.contains("hostname is waived in x86_64/uefi-q35"));
}

#[tokio::test]
async fn a_waiver_before_a_verdict_judges_nothing_again() {
    let mut desk = Desk::new().await;
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    let on_ostree = Test { forms: vec![Form::OstreeCommit], ..muster_specimen::test("rollback") };
    desk.tale.start(&id, [tests(), vec![on_ostree]].concat()).await;
    let waive =
        |test| ["waive", test, "--recipe", "cloud-base", "--reason", "ticket 42", "--until", "2999-01-01"];
    let (code, advice) = desk.fails(&waive("rollback")).await;
    let known =
        "The smoketests of cloud-base/43.20261121.0 are: boots, documentation, hostname, root-grown\n";
    assert!(code == 3 && advice.ends_with(known), "a test that no boot runs is none of it: {advice}");
    let said = desk.says(&waive("hostname")).await;
    assert!(said.contains("it counts when the gate speaks next; nothing is judged again"), "{said}");
    let gate = |story: &Value| {
        let chapters = story["chapters"].as_array().unwrap().clone();
        chapters.into_iter().find(|chapter| chapter["name"] == "gate").unwrap()
    };
    let before = gate(&desk.json(&["show", &id.0]).await);
    assert_eq!((&before["mark"], &before["moments"][0]["mark"]), (&"not_yet".into(), &"waived".into()));
    desk.tale
        .live(&id, |key| if key.contains("uefi") { Fate::Red(&["hostname"], "no") } else { Fate::Well })
        .await;
    assert_eq!(gate(&desk.json(&["show", &id.0]).await)["mark"], "waived");
    let said = desk.says(&[&waive("boots")[..], &["--candidate", &id.0]].concat()).await;
    assert!(said.contains("nothing is judged again"), "a pass stays a pass: {said}");
}

#[tokio::test]
async fn a_waiver_that_could_cover_nothing_is_refused_with_advice() {
    let mut desk = Desk::new().await;
    let id = desk.rejected().await;
    let waive = |more: &[&'static str]| {
        let mut args =
            vec!["waive", "hostname", "--recipe", "cloud-base", "--reason", "because", "--until", "7d"];
        for pair in more.chunks(2) {
            match args.iter().position(|arg| *arg == pair[0]) {
                Some(at) => args[at + 1] = pair[1],
                None => args.extend(pair),
            }
        }
        args
    };
    for (more, code, advice) in [
        (&["--until", "2020-01-01"][..], 1, "in the past"),
        (&["--until", "soon"], 1, "say 90m, 12h, 7d or 2w"),
        (&["--reason", " "], 1, "a waiver needs a reason"),
        (&["--cell", "arm"], 3, "Its cells are: bios-q35, uefi-q35"),
        (&["--recipe", "server"], 3, "there is no candidate server"),
        (
            &["waive", "hostnam"],
            3,
            "The smoketests of cloud-base/43.20261121.0 are: boots, documentation, hostname, root-grown\n",
        ),
    ] {
        let failed = desk.fails(&waive(more)).await;
        assert_eq!(failed.0, code, "{more:?}: {}", failed.1);
        assert!(failed.1.contains(advice), "{more:?}: {}", failed.1);
    }
    assert!(desk.tale.candidate(&id).await.decisions.waivers.is_empty());
}

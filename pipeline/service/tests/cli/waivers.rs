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

#[tokio::test]
async fn waivers_are_listed_and_one_that_is_ended_early_counts_no_more() {
    let mut desk = Desk::new().await;
    assert!(desk.says(&["waivers"]).await.contains("In force\n  none"));
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    desk.tale.start(&id, tests()).await;
    let waive = |test, until| {
        ["waive", test, "--recipe", "cloud-base", "--reason", "ticket 42", "--until", until, "--as", "grace"]
    };
    desk.says(&waive("hostname", "2999-01-01")).await;
    desk.says(&waive("boots", "2999-02-01")).await;
    let said = desk.says(&["waivers"]).await;
    assert!(said.contains("hostname of cloud-base (every candidate, every cell)"), "{said}");
    assert!(said.contains("by grace since ") && said.contains("until 2999-01-01 00:00:00"), "{said}");
    assert!(said.contains(": ticket 42") && !said.contains("Ended lately"), "{said}");
    assert!(desk.says(&["waivers", "--recipe", "server"]).await.contains("In force\n  none"));

    // It passes by the waiver, and is held before it moves a pointer.
    desk.says(&["hold", &id.0, "--reason", "wait"]).await;
    desk.tale
        .live(&id, |key| if key.contains("uefi") { Fate::Red(&["hostname"], "no") } else { Fate::Well })
        .await;
    assert_eq!(desk.tale.candidate(&id).await.stage(), Stage::Promoting);

    let (code, advice) = desk.fails(&["unwaive", "hostnam", "--reason", "mended"]).await;
    assert!(code == 3 && advice.contains("`muster waivers` lists them"), "{advice}");
    let (code, advice) = desk.fails(&["unwaive", "hostname", "--reason", " "]).await;
    assert!(code == 1 && advice.contains("needs a reason"), "{advice}");
    let said = desk.says(&["unwaive", "hostname", "--reason", "it is worse than we thought"]).await;
    assert!(said.contains(&format!("is waived no more; the gate speaks anew on {id}")), "{said}");
    assert_eq!(desk.tale.candidate(&id).await.stage(), Stage::Gating);
    let lines = desk.tale.store.journal(Some(&id), 0, 100).await.unwrap();
    let expected = "ada ended grace's waiver of hostname of cloud-base early: it is worse than we thought";
    assert!(lines.iter().any(|line| line.text == expected), "{lines:?}");
    desk.tale.live(&id, |_| Fate::Well).await;
    assert_eq!(desk.tale.candidate(&id).await.stage().words(), "rejected");
    let show = desk.says(&["show", &id.0]).await;
    assert!(show.contains("grace waived hostname, and ada ended that early"), "{show}");

    let listed = desk.json(&["waivers"]).await;
    let waivers = listed["waivers"].as_array().unwrap();
    let of = |test: &str| waivers.iter().find(|waiver| waiver["test"] == test).unwrap();
    assert_eq!((&of("boots")["in_force"], &of("boots")["ended"]), (&true.into(), &Value::Null));
    assert_eq!(
        (&of("hostname")["in_force"], &of("hostname")["ended"]["who"]),
        (&false.into(), &"ada".into())
    );
    let said = desk.says(&["waivers"]).await;
    assert!(said.contains("Ended lately") && said.contains("ended early by ada on "), "{said}");
    let ended = of("hostname")["id"].as_str().unwrap();
    let (code, advice) = desk.fails(&["unwaive", &ended[..8], "--reason", "once more"]).await;
    assert!(code == 1 && advice.contains("ada has ended this waiver of hostname"), "{advice}");
}

#[tokio::test]
async fn what_has_passed_for_good_stays_so_when_its_waiver_is_ended() {
    let mut desk = Desk::new().await;
    let waive = ["waive", "hostname", "--recipe", "cloud-base", "--reason", "42", "--until", "2999-01-01"];
    let mut ids = Vec::new();
    for (number, purpose) in [Purpose::Scratch, Purpose::Release].into_iter().enumerate() {
        let id = desk.tale.make(recipe("cloud-base"), u32::try_from(number).unwrap(), purpose).await;
        desk.tale.start(&id, tests()).await;
        if number == 0 {
            desk.says(&waive).await;
        }
        desk.tale
            .live(&id, |key| if key.contains("uefi") { Fate::Red(&["hostname"], "no") } else { Fate::Well })
            .await;
        ids.push(id);
    }
    desk.says(&waive).await;
    let (code, advice) = desk.fails(&["unwaive", "hostname", "--reason", "mended"]).await;
    assert!(code == 1 && advice.contains("2 waivers go by hostname"), "{advice}");
    for waiver in desk.json(&["waivers"]).await["waivers"].as_array().unwrap() {
        let said = desk.says(&["unwaive", waiver["id"].as_str().unwrap(), "--reason", "mended"]).await;
        assert!(said.contains("verdicts that were given stay"), "{said}");
    }
    for (id, stage) in ids.iter().zip(["passed", "published"]) {
        assert_eq!(desk.tale.candidate(id).await.stage().words(), stage);
    }
    assert!(desk.tale.store.open_versions().await.unwrap().is_empty(), "what is over was opened again");
}

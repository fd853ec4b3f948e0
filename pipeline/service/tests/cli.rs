//! The command line as people and programs use it: the real program over a real store.
#![expect(clippy::unwrap_used, reason = "a test")]

mod tale;

use std::path::Path;
use std::time::Duration;

use muster::clock::Clock;
use muster::ledger::{Kind, Note};
use muster::program::{Finished, Program};
use muster::store::Recording;
use muster_flow::candidate::{CandidateId, Life, Purpose, Stage};
use muster_flow::change::{Origin, What, Wish};
use muster_flow::recipe::Form;
use muster_flow::smoketest::Test;
use serde_json::Value;
use tale::{Fate, Tale, muster, recipe, tests};

/// A tale with a configuration file for the program.
struct Desk {
    tale: Tale,
}

impl Desk {
    async fn new() -> Self {
        let tale = Tale::begin().await;
        let state = tale.settings.service.state.display().to_string();
        std::fs::write(tale.folder.path().join("muster.toml"), format!("[service]\nstate = \"{state}\"\n"))
            .unwrap();
        Desk { tale }
    }

    async fn run(&self, args: &[&str]) -> Finished {
        run(self.tale.folder.path(), args).await
    }

    /// Runs a command that goes well, and returns what it says.
    async fn says(&self, args: &[&str]) -> String {
        let finished = self.run(args).await;
        let stderr = String::from_utf8_lossy(&finished.stderr).into_owned();
        assert_eq!(finished.code, Some(0), "{args:?}: {stderr}");
        finished.text()
    }

    async fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.says(&args).await).unwrap()
    }

    /// Runs a command that cannot be done, and returns its exit code and its advice.
    async fn fails(&self, args: &[&str]) -> (i32, String) {
        let finished = self.run(args).await;
        assert_eq!(finished.text(), "", "{args:?} wrote to standard output and failed");
        (finished.code.unwrap(), String::from_utf8_lossy(&finished.stderr).into_owned())
    }

    async fn rejected(&mut self) -> CandidateId {
        let id = self.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
        self.tale.start(&id, tests()).await;
        self.tale
            .live(&id, |key| {
                if key.contains("uefi") {
                    Fate::Red(&["hostname"], "the name is localhost")
                } else {
                    Fate::Well
                }
            })
            .await;
        id
    }
}

async fn run(folder: &Path, args: &[&str]) -> Finished {
    Program::new(muster())
        .args(args)
        .folder(folder)
        .env("USER", "ada")
        .env("MUSTER_CONFIG", "muster.toml")
        .limit(Duration::from_secs(30))
        .run_any()
        .await
        .unwrap()
}

#[tokio::test]
async fn show_tells_the_whole_story_and_names_the_next_step() {
    let mut desk = Desk::new().await;
    desk.rejected().await;
    let said = desk.says(&["show", "cloud-base"]).await;
    // How long ago it was depends on the day the test runs on.
    let said: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("cloud-base/")).skip(1).collect();
    insta::assert_snapshot!("show", said.join("\n"));
    let story = desk.json(&["show", "cloud-base/43.20261121.0"]).await;
    assert_eq!(story["stage"], "rejected");
    assert_eq!(story["next"]["who"], "cloud-sig");
    assert_eq!(story["boots"][1]["tests"][1]["mark"], "failed");
}

#[tokio::test]
async fn status_lists_what_is_on_its_way_and_what_is_stuck() {
    let mut desk = Desk::new().await;
    assert!(desk.says(&["status"]).await.contains("On their way\n  none"));
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    desk.tale.start(&id, tests()).await;
    desk.tale
        .live(
            &id,
            |key| if key.contains("/build/") { Fate::Stumbles("the disk is full") } else { Fate::Well },
        )
        .await;
    let said = desk.says(&["status"]).await;
    assert!(said.contains("◐ building  cloud-base/43.20261121.0 (release"), "{said}");
    assert!(
        said.contains("Somebody must act\n  cloud-base/43.20261121.0 build x86_64: the disk is full"),
        "{said}"
    );
    let status = desk.json(&["status"]).await;
    assert_eq!(status["waits"][0]["who"], "the operators of this service");
    assert_eq!(status["parked"], 0);
    assert_eq!(status["sources"]["sources"].as_array().unwrap().len(), 0);
    let fault = [Note::Fault {
        source: "tag f43 of https://koji.example.org/kojihub".to_owned(),
        kind: Kind::Koji,
        reason: "no answer from Koji".to_owned(),
    }];
    desk.tale.pass(0).await;
    let recording = Recording { notes: &fault, ..Recording::default() };
    desk.tale.store.weighed(&desk.tale.plan, recording).await.unwrap();
    let said = desk.says(&["status"]).await;
    let expected = "No bus is configured: sweeps found 0 changes. One source cannot be read.\n  \
                    tag f43 of https://koji.example.org/kojihub was last read never: no answer from Koji";
    assert!(said.contains(expected), "{said}");
    assert_eq!(desk.json(&["status"]).await["sources"]["sources"][0]["kind"], "koji");
}

#[tokio::test]
async fn a_service_that_does_not_run_is_told_before_everything_else() {
    let mut desk = Desk::new().await;
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    desk.tale.start(&id, tests()).await;
    desk.tale.live(&id, |_| Fate::Runs("installing packages")).await;
    let clock = desk.tale.clock.clone();
    clock.advance(clock.now().duration_until(Clock::system().now()));
    desk.tale.pass(0).await;
    let status = desk.json(&["status"]).await;
    assert_eq!(status["service"], serde_json::json!({ "runs": true, "stopped": null }));
    assert!(desk.says(&["show", "cloud-base"]).await.contains("Who must act: Muster, by itself"));

    clock.advance(clock.now().duration_until("2001-02-03T04:05:06Z".parse().unwrap()));
    desk.tale.pass(0).await;
    desk.tale.store.resign().await.unwrap();
    let notice =
        "The service has not run since 2001-02-03 04:05:05: nothing goes on until `muster serve` is started.";
    let status = desk.says(&["status"]).await;
    assert!(status.starts_with(notice), "{status}");
    assert!(!status.contains("Somebody must act"), "it is one act, told once: {status}");
    assert_eq!(desk.json(&["status"]).await["service"]["runs"], false);
    let show = desk.says(&["show", "cloud-base"]).await;
    assert!(show.starts_with(notice), "{show}");
    assert!(show.contains("Who must act: the operators of this service\n    muster serve"), "{show}");
    assert!(!show.contains("Muster, by itself") && !show.contains("Nobody needs to act"), "{show}");

    let log = desk.tale.folder.path().join("watched");
    let mut watch = Program::new(muster())
        .args(["watch"])
        .folder(desk.tale.folder.path())
        .env("MUSTER_CONFIG", "muster.toml")
        .log(&log)
        .spawn()
        .unwrap();
    wait_for(&log, notice).await;
    clock.advance(clock.now().duration_until(Clock::system().now()));
    desk.tale.pass(0).await;
    wait_for(&log, "The service runs again.").await;
    watch.kill().await;
}

#[tokio::test]
async fn a_request_is_recorded_as_a_fact_with_its_author() {
    let desk = Desk::new().await;
    let settings = desk.tale.folder.path().join("muster.toml");
    let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let text = format!("[definitions]\npath = \"{}\"\n", definitions.display());
    std::fs::write(&settings, std::fs::read_to_string(&settings).unwrap() + &text).unwrap();
    let said = desk.says(&["trigger", "cloud-base", "--reason", "prove it"]).await;
    assert!(said.contains("cloud-base: a scratch candidate, for it was asked for by name"), "{said}");
    let (code, advice) = desk.fails(&["trigger", "cloud-bsae", "--reason", "a slip"]).await;
    assert!(code == 3 && advice.contains("there is no recipe cloud-bsae; there are: "), "{advice}");
    desk.says(&[
        "release",
        "--recipe",
        "cloud-base",
        "--emergency",
        "--reason",
        "CVE-2026-1234",
        "--as",
        "grace",
    ])
    .await;
    for args in [&["release", "nope"][..], &["release", "--recipe", "nope"]] {
        assert_eq!(desk.fails(args).await.0, 3, "{args:?}");
    }
    desk.says(&["release"]).await;
    let asked: Vec<(String, What)> = desk
        .tale
        .store
        .unweighed(10)
        .await
        .unwrap()
        .into_iter()
        .map(|change| {
            let Origin::Person { name } = change.origin else { panic!("nobody asked for it") };
            (name, change.what)
        })
        .collect();
    let wish = |recipe: Option<&str>, stream: Option<&str>, purpose, reason: &str| What::Requested {
        recipe: recipe.map(str::to_owned),
        stream: stream.map(str::to_owned),
        purpose,
        reason: reason.to_owned(),
    };
    let expected = [
        ("ada", wish(Some("cloud-base"), None, Wish::Scratch, "prove it")),
        ("grace", wish(Some("cloud-base"), None, Wish::Emergency, "CVE-2026-1234")),
        ("ada", wish(None, Some("stable"), Wish::Release, "no reason was given")),
    ];
    for (name, what) in expected {
        assert!(asked.contains(&(name.to_owned(), what.clone())), "{what:?} is not among {asked:?}");
    }
}

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

async fn wait_for(log: &Path, words: &str) {
    for _ in 0..100 {
        if std::fs::read_to_string(log).is_ok_and(|text| text.contains(words)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{words:?} was not said:\n{}", std::fs::read_to_string(log).unwrap_or_default());
}

#[tokio::test]
async fn a_parked_message_is_shown_replayed_and_dropped() {
    let desk = Desk::new().await;
    let parked = |id: &str, body: &[u8]| muster_message::Parked {
        id: id.to_owned(),
        topic: "buildsys.tag".to_owned(),
        reason: "its body is not JSON".to_owned(),
        headers: "{}".to_owned(),
        body: body.to_vec(),
        received: desk.tale.clock.now(),
    };
    desk.tale
        .store
        .park(&[parked("aa11", b"{\x1b[2J"), parked("aa22", b"{}"), parked("bb33", b"\xff")])
        .await
        .unwrap();
    let listed = desk.says(&["parked"]).await;
    assert!(listed.contains("aa11") && listed.contains("its body is not JSON"), "{listed}");
    assert!(
        !desk.says(&["parked", "show", "aa11"]).await.contains('\u{1b}'),
        "it must not drive the terminal"
    );
    assert_eq!(desk.fails(&["parked", "drop", "aa"]).await.0, 1, "two ids begin so");
    assert_eq!(desk.fails(&["parked", "drop", "zz"]).await.0, 3);
    assert!(desk.fails(&["parked", "replay", "bb33"]).await.1.contains("is not text"));
    desk.says(&["parked", "replay", "aa22"]).await;
    assert_eq!(desk.tale.store.unread(10).await.unwrap()[0].id, "aa22");
    desk.says(&["parked", "drop", "bb"]).await;
    assert_eq!(desk.json(&["parked"]).await["parked"].as_array().unwrap().len(), 1);
}

/// Runs a command that cannot be done: its exit code, the error and the advice, which must be there.
async fn advice(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let finished = run(folder, &args).await;
    let said: Value = serde_json::from_slice(&finished.stderr)
        .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", String::from_utf8_lossy(&finished.stderr)));
    let [error, next] = ["error", "next"].map(|key| said[key].as_str().unwrap().to_owned());
    assert!(!error.trim().is_empty() && !next.trim().is_empty(), "{args:?} leaves a person alone: {said}");
    (finished.code.unwrap(), error, next)
}

#[tokio::test]
async fn every_error_says_what_to_do_next() {
    let empty = tempfile::tempdir().unwrap();
    let configure = |text: &str| std::fs::write(empty.path().join("muster.toml"), text).unwrap();
    configure("");
    let (code, _, next) = advice(empty.path(), &["status"]).await;
    assert!(code == 1 && next.contains("Start `muster serve` first"), "{next}");
    assert!(!empty.path().join(".muster").exists(), "a question makes no state");
    let words = run(empty.path(), &["status"]).await;
    assert!(String::from_utf8_lossy(&words.stderr).contains("Start `muster serve` first"), "{words:?}");

    configure("[servise]\n");
    let (code, error, next) = advice(empty.path(), &["status"]).await;
    assert!(
        code == 1 && error.contains("servise") && next.contains("Correct muster.toml"),
        "{error}: {next}"
    );
    let (code, error, next) = advice(empty.path(), &["status", "--config", "/none.toml"]).await;
    assert!(code == 1 && error.contains("/none.toml") && next.contains("--config"), "{error}: {next}");

    configure("[service]\ndatabase = \"sqlite://notes\"\n");
    std::fs::create_dir(empty.path().join("notes")).unwrap();
    let (code, error, next) = advice(empty.path(), &["status"]).await;
    assert!(code == 1 && error.contains("database") && next.contains("[service]"), "{error}: {next}");
    configure("[service]\ndatabase = \"postgres//typo\"\n");
    let (code, error, next) = advice(empty.path(), &["status"]).await;
    assert!(code == 1 && error.contains("database") && next.contains("[service]"), "{error}: {next}");

    // What clap refuses it says in its own way.
    let typed = run(empty.path(), &["relaese"]).await;
    assert!(typed.code == Some(2) && String::from_utf8_lossy(&typed.stderr).contains("release"), "{typed:?}");
    let refused = run(empty.path(), &["release", "--emergency"]).await;
    assert_eq!(refused.code, Some(2), "an emergency needs a reason");

    let desk = Desk::new().await;
    let folder = desk.tale.folder.path();
    let (code, _, next) = advice(folder, &["show", "cloud-base"]).await;
    assert!(code == 3 && next.contains("muster trigger"), "{next}");
    for (args, expected) in [
        (&["show", "cloud-base/43.20260101.0"][..], 3),
        (&["parked", "drop", "zz"], 3),
        (&["cancel", "cloud-base", "--reason", "no"], 3),
        (&["retry", "cloud-base"], 3),
        (&["kickstart", "flatten", "none.ks", "--version", "F43"], 3),
    ] {
        assert_eq!(advice(folder, args).await.0, expected, "{args:?}");
    }
}

#[tokio::test]
async fn advice_fits_what_went_wrong() {
    let desk = Desk::new().await;
    let folder = desk.tale.folder.path();
    let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let definitions = format!("[definitions]\npath = \"{}\"\n", definitions.display());
    let settings = std::fs::read_to_string(folder.join("muster.toml")).unwrap() + &definitions;
    std::fs::write(folder.join("muster.toml"), settings).unwrap();
    let (code, _, next) = advice(folder, &["explain", "/nope.json"]).await;
    assert!(code == 3 && next.contains("Name a file"), "{next}");
    std::fs::write(folder.join("bad.json"), "[1]").unwrap();
    let (code, error, next) = advice(folder, &["explain", "bad.json"]).await;
    assert!(code == 1 && error.contains("a JSON object with topic"), "{error}");
    assert!(next.contains("as fedora-messaging dumps it"), "{next}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let text = format!("[service]\nstate = \"state\"\nlisten = \"{listen}\"\n{definitions}");
    std::fs::write(folder.join("taken.toml"), text).unwrap();
    let finished = run(folder, &["serve", "--config", "taken.toml"]).await;
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert_eq!(finished.code, Some(1), "{said}");
    assert!(
        said.contains("set `listen` in [service] to a free port") && !said.contains("Try again"),
        "{said}"
    );
}

#[tokio::test]
async fn whoever_sets_no_name_is_known_by_the_user_database() {
    let mut desk = Desk::new().await;
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    let held = Program::new(muster())
        .args(["hold", &id.0, "--reason", "wait"])
        .folder(desk.tale.folder.path())
        .env("USER", "")
        .env("LOGNAME", "")
        .limit(Duration::from_secs(30))
        .run_any()
        .await
        .unwrap();
    assert_eq!(held.code, Some(0), "{}", String::from_utf8_lossy(&held.stderr));
    let known = Program::new("id").arg("-un").limit(Duration::from_secs(30)).run_any().await.unwrap();
    assert_eq!(desk.tale.candidate(&id).await.decisions.holds[0].who, known.text().trim());
}

#[tokio::test]
async fn kickstarts_are_flattened_and_errors_name_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("base.ks", "lang C.UTF-8\n%packages\nbash\n%end\n");
    write("cloud.ks", "%include base.ks\ntimezone Etc/UTC\n%packages\ncloud-init\n%end\n");
    write("bad.ks", "lang C.UTF-8\nfrobnicate\n");
    write("muster.toml", "");
    let flat = run(folder.path(), &["kickstart", "flatten", "cloud.ks", "--version", "F43"]).await;
    assert_eq!(flat.code, Some(0), "{}", String::from_utf8_lossy(&flat.stderr));
    let text = flat.text();
    assert!(text.contains("cloud-init") && text.contains("bash") && !text.contains("%include"), "{text}");
    let written =
        run(folder.path(), &["kickstart", "flatten", "cloud.ks", "-v", "F43", "-o", "flat.ks"]).await;
    assert_eq!((written.code, written.text().as_str()), (Some(0), ""));
    assert_eq!(std::fs::read_to_string(folder.path().join("flat.ks")).unwrap(), text);
    let bad = run(folder.path(), &["kickstart", "flatten", "bad.ks", "--version", "F43"]).await;
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(bad.code == Some(1) && said.contains("bad.ks:2:"), "{said}");
    let missing = run(folder.path(), &["kickstart", "flatten", "none.ks", "--version", "F43"]).await;
    assert_eq!(missing.code, Some(3));
    let version = run(folder.path(), &["kickstart", "flatten", "cloud.ks", "--version", "X1"]).await;
    assert!(String::from_utf8_lossy(&version.stderr).contains("F7 to F46"));
}

#[tokio::test]
async fn completions_know_every_command() {
    let desk = Desk::new().await;
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.says(&["completions", shell]).await;
        assert!(script.contains("until-finished") && script.contains("flatten"), "{shell}");
    }
}

#[tokio::test]
async fn config_check_names_what_cannot_work() {
    let folder = tempfile::tempdir().unwrap();
    let recipes = folder.path().join("kickstarts");
    std::fs::create_dir_all(folder.path().join("smoketests")).unwrap();
    std::fs::create_dir_all(&recipes).unwrap();
    std::fs::write(folder.path().join("muster.toml"), "[definitions]\nrecipes = [\"kickstarts\"]\n").unwrap();
    let recipe = "name = \"tiny\"\nimage = \"Tiny\"\nproduct = \"disk\"\nversion = \"43\"\n\
                  definition = { file = \"kickstarts/tiny.ks\" }\n\
                  destinations = [{ name = \"mirror\", kind = \"mirror\", takes = \"oci\", path = \"a\" }]\n";
    std::fs::write(recipes.join("tiny.toml"), recipe).unwrap();
    let checked = run(folder.path(), &["config", "check", "--json"]).await;
    assert_eq!(checked.code, Some(4), "{}", String::from_utf8_lossy(&checked.stderr));
    let checked: Value = serde_json::from_str(&checked.text()).unwrap();
    let faults = checked["faults"].to_string();
    for fault in ["never booted", "add [destinations.mirror]", "takes the form oci", "tiny.ks"] {
        assert!(faults.contains(fault), "{fault} is not among {faults}");
    }
}

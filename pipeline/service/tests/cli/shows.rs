//! What stands, and what happened: `muster show` and `muster status`.

use jiff::SignedDuration;
use muster::batches::may_eject;
use muster::clock::Clock;
use muster::ledger::{Kind, Note};
use muster::program::Program;
use muster::store::Recording;
use muster_flow::batch::members::Member;
use muster_flow::batch::{Batch, BatchId, Before, Requires, Revision, Source};
use muster_flow::candidate::{Hold, Purpose};
use muster_flow::difference::{Difference, What as Became};

use crate::desk::{Desk, wait_for};
use crate::tale::{Fate, muster, recipe, tests};

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
async fn status_says_how_many_more_have_finished_and_lists_them_when_asked() {
    let mut desk = Desk::new().await;
    for number in 0..7 {
        let id = desk.tale.make(recipe("cloud-base"), number, Purpose::Release).await;
        desk.tale.store.cancel(&id, "ada", "no").await.unwrap();
        // The service has not yet recorded of the last one that it is over.
        if number < 6 {
            desk.tale.live(&id, |_| Fate::Well).await;
        }
    }
    let said = desk.says(&["status"]).await;
    assert!(said.contains("On their way\n  none"), "what is over is not on its way: {said}");
    assert!(said.contains("  and 2 more: `muster status --all` lists them"), "{said}");
    assert_eq!(said.matches("cancelled  cloud-base/").count(), 5, "{said}");
    assert_eq!(desk.json(&["status"]).await["more_finished"], 2);
    for args in [&["status", "--all"][..], &["status", "--finished", "7"]] {
        let said = desk.says(args).await;
        assert_eq!(
            (said.matches("cancelled  cloud-base/").count(), said.contains("more:")),
            (7, false),
            "{said}"
        );
    }
    assert!(desk.says(&["status", "--finished", "0"]).await.contains("Finished lately\n  and 7 more:"));
}

#[tokio::test]
async fn what_is_said_to_be_so_for_some_time_is_so_since_then_and_not_since_it_was_made() {
    let mut desk = Desk::new().await;
    // Commands look at the clock of this machine.
    let clock = desk.tale.clock.clone();
    clock.advance(clock.now().duration_until(Clock::system().now() - SignedDuration::from_hours(6)));
    desk.tale.pass(0).await;
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    desk.tale.pass(3600).await;
    let so_long = |said: &str| said.split("release, ").nth(1).unwrap().split(')').next().unwrap().to_owned();
    assert!(so_long(&desk.says(&["status"]).await).starts_with("for 5 h 59 min; made 5 h 59 min ago"));
    desk.tale.start(&id, tests()).await;
    desk.tale.live(&id, |_| Fate::Queued).await;
    let said = so_long(&desk.says(&["status"]).await);
    assert!(said.starts_with("for 4 h 5") && said.contains("; made 5 h 59 min ago"), "{said}");
    desk.tale.store.hold(&id, &Hold { who: "ada".to_owned(), why: "wait".to_owned() }).await.unwrap();
    desk.tale.pass(2 * 3600).await;
    desk.tale.live(&id, |_| Fate::Well).await;
    let said = so_long(&desk.says(&["show", &id.0]).await);
    assert!(said.starts_with("for 2 h 5") && said.contains("; made 5 h 59 min ago"), "it is held: {said}");
    let waits = desk.json(&["status"]).await["waits"].clone();
    assert!(!waits[0]["since"].is_null(), "{waits}");
    desk.tale.pass(3600).await;
    desk.tale.store.unhold(&id, "ada").await.unwrap();
    desk.tale.live(&id, |_| Fate::Well).await;
    let said = so_long(&desk.says(&["status"]).await);
    assert!(said.starts_with("1 h 5") && said.contains(" min ago; made 5 h 59 min ago"), "{said}");
}

#[tokio::test]
async fn the_time_in_the_queue_is_none_of_the_work() {
    let mut desk = Desk::new().await;
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    desk.tale.start(&id, tests()).await;
    desk.tale.live(&id, |_| Fate::Queued).await;
    let since = async |desk: &Desk| -> jiff::Timestamp {
        let story = desk.json(&["show", &id.0]).await;
        story["waits"][0]["since"].as_str().unwrap().parse().unwrap()
    };
    let recorded = since(&desk).await;
    desk.tale.pass(3600).await;
    let begun = desk.tale.clock.now();
    desk.tale.live(&id, |_| Fate::Runs("installing")).await;
    assert!(recorded < begun && since(&desk).await >= begun, "it runs since it was begun");
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
async fn blame_asks_what_made_a_candidate_red_and_tells_what_was_found() {
    let mut desk = Desk::new().await;
    let good = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    desk.tale.start(&good, tests()).await;
    desk.tale.live(&good, |_| Fate::Well).await;
    let (code, advice) = desk.fails(&["blame", "cloud-base"]).await;
    assert_eq!(code, 1);
    assert!(advice.contains("no test of cloud-base/43.20261121.0 is red: it is published"), "{advice}");
    let change = "bash-5.3-2.fc43 was tagged into f43";
    let red = desk.tale.make_because(recipe("cloud-base"), 1, Purpose::Scratch, change).await;
    desk.tale.installs[0] = ("bash", "5.3", "2.fc43");
    desk.tale.start(&red, tests()).await;
    let hangs = |key: &str| {
        // The good image, which the third probe boots, is as good as it was.
        let is_red = key.contains("uefi") && !key.contains("_probe3");
        if is_red { Fate::Red(&["hostname"], "the name is localhost") } else { Fate::Well }
    };
    desk.tale.live(&red, hangs).await;
    let said = desk.says(&["blame", "cloud-base"]).await;
    assert!(said.contains("Bisecting: 0 of at most 12 probes, suspects left: bash-5.3-2.fc43."), "{said}");
    assert!(said.contains("asked for just now"), "{said}");
    desk.tale.find_out(&red, hangs).await;
    let said = desk.says(&["blame", "cloud-base"]).await;
    let found = "bash-5.3-2.fc43 did it: without it the image is green, with it alone it is red (3 probes).";
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "cloud-base/43.20261121.1",
            found,
            "Red: hostname in x86_64/uefi-q35. Good was cloud-base/43.20261121.0.",
            "bash-5.3-2.fc43: it did it",
            change,
            "✕ cloud-base/43.20261121.1_probe1: the red image again: it is red",
            "✕ cloud-base/43.20261121.1_probe2: the red image again: it is red",
            "✓ cloud-base/43.20261121.1_probe3: the last good image again: it is green",
        ]
    );
    let story = desk.json(&["show", "cloud-base"]).await;
    assert_eq!(story["candidate"], red.0, "a probe is not the newest candidate of its recipe");
    assert_eq!(story["blame"]["headline"], found);
    assert_eq!(story["blame"]["suspects"][0]["standing"], "accused");
    assert_eq!(desk.json(&["blame", "cloud-base"]).await, story["blame"]);
    assert!(desk.says(&["show", "cloud-base"]).await.contains("What made it red\n  bash-5.3-2.fc43 did it"));
    let said = desk.says(&["show", "cloud-base/43.20261121.1_probe3"]).await;
    assert!(said.contains("What is red in cloud-base/43.20261121.1 is green here."), "{said}");
    let diff = desk.json(&["diff", "cloud-base/43.20261121.1_probe1"]).await;
    assert_eq!(diff["since"], "cloud-base/43.20261121.0", "a probe is no release to compare with");
    // Its next image may be red for another reason, or not at all.
    let build = format!("{red}/build/x86_64");
    desk.tale.store.retry(&red, &build, "ada", "the mirror was odd").await.unwrap();
    assert!(desk.json(&["show", "cloud-base"]).await["blame"].is_null());
    let (_, advice) = desk.fails(&["blame", "cloud-base"]).await;
    assert!(advice.contains("no test of cloud-base/43.20261121.1 is red: it is "), "{advice}");
}

/// A batch in which one source package is newer than in the one before.
fn batch(now: jiff::Timestamp) -> Batch {
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
            ejected: std::collections::BTreeSet::new(),
            absent: Vec::new(),
        }],
        verdict: None,
    }
}

#[tokio::test]
async fn to_eject_what_did_it_is_offered_only_where_it_would_be_accepted() {
    let mut desk = Desk::new().await;
    let good = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    desk.tale.start(&good, tests()).await;
    desk.tale.live(&good, |_| Fate::Well).await;
    let red = desk.tale.make(recipe("cloud-base"), 1, Purpose::Release).await;
    let batch = batch(desk.tale.clock.now());
    desk.tale.store.freeze(&desk.tale.plan, &batch, std::slice::from_ref(&red)).await.unwrap();
    desk.tale.installs[0] = ("bash", "5.3", "2.fc43");
    desk.tale.start(&red, tests()).await;
    let hangs = |key: &str| {
        let is_red = key.contains("uefi") && !key.contains("_probe3");
        if is_red { Fate::Red(&["hostname"], "the name is localhost") } else { Fate::Well }
    };
    desk.tale.live(&red, hangs).await;
    desk.says(&["blame", "cloud-base"]).await;
    desk.tale.find_out(&red, hangs).await;
    let command = "muster batch eject stable/20261121.0 bash --why 'it made cloud-base/43.20261121.1 red'";
    assert_eq!(desk.json(&["blame", "cloud-base"]).await["commands"], serde_json::json!([command]));

    let candidates = [desk.tale.candidate(&red).await];
    let refused = |batch: &Batch, why: &str| {
        let error = may_eject(batch, &candidates, "bash").unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    may_eject(&batch, &candidates, "bash").unwrap();
    refused(&Batch { before: None, ..batch.clone() }, "is the first batch");
    refused(&Batch { members: Vec::new(), ..batch.clone() }, "is no member");
    let source = Source::Koji { repositories: std::collections::BTreeSet::new(), version: "43".to_owned() };
    refused(&Batch { source, ..batch.clone() }, "Koji takes every package");
    let mut ejected = batch.clone();
    ejected.revisions[0].ejected.insert("bash".to_owned());
    refused(&ejected, "ejected from stable/20261121.0 already");
    let published = [desk.tale.candidate(&good).await];
    let late = may_eject(&batch, &published, "bash").unwrap_err().to_string();
    assert!(late.contains("moves pointers or has moved them"), "{late}");
}

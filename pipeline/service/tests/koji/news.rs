//! Changes are told of once, whoever tells: the bus, a sweep, either of them late, and whoever dies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster::program::Program;
use muster::sweep;
use muster_flow::candidate::{Outcome, Stage};
use muster_lab::koji::mishap::Mishap;
use muster_lab::{database, death};
use muster_message::Incoming;
use tokio::sync::Notify;

use crate::ground::image;
use crate::site::{Process, Site, build, pushed, tagging};

fn refs(build: &[String; 3]) -> [&str; 3] {
    [&build[0], &build[1], &build[2]]
}

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// What happened outside, and the messages of it that are on their way.
#[derive(Default)]
struct Outside {
    happened: BTreeMap<String, usize>,
    messages: Vec<Incoming>,
    tagged: Vec<[String; 3]>,
    count: usize,
}

impl Outside {
    /// Something happens in the tag; one message in three is lost, and one in three comes twice under another id.
    fn happens(&mut self, site: &Site, dice: &mut Dice) {
        self.count += 1;
        let (topic, verb, build) = match dice.below(3) {
            0 if !self.tagged.is_empty() => {
                let build = self.tagged.remove(dice.below(self.tagged.len()));
                site.ground.hub.untag("f43", &build.join("-"));
                ("buildsys.untag", "untagged from", build)
            }
            _ => {
                let version = format!("{}", 1 + dice.below(4));
                let build = build(&format!("package{}", dice.below(4)), &version);
                if self.tagged.contains(&build) {
                    return;
                }
                site.ground.hub.tag("f43", refs(&build));
                self.tagged.push(build.clone());
                ("buildsys.tag", "tagged into", build)
            }
        };
        *self.happened.entry(format!("{} was {verb} f43", build.join("-"))).or_default() += 1;
        for copy in 0..dice.below(3) {
            self.messages.push(tagging(&format!("{}/{copy}", self.count), topic, &build));
        }
    }
}

/// The process that is alive after one died, or another took over.
async fn replace(site: &Site, dice: &mut Dice) -> Process {
    if dice.below(2) == 0 {
        // Its lease runs out; on this machine it finds its mirror again.
        site.pass(11);
    }
    site.process().await
}

async fn live(site: &Site, seed: u64) -> (Process, Outside) {
    let mut dice = Dice(seed);
    let mut outside = Outside::default();
    let mut processes = [site.process().await, site.process().await];
    processes[0].sweep().await;
    for _ in 0..60 {
        let one = dice.below(2);
        match dice.below(10) {
            0..4 => outside.happens(site, &mut dice),
            4..6 if !outside.messages.is_empty() => {
                let message = outside.messages.remove(dice.below(outside.messages.len()));
                processes[one].hear(message).await;
            }
            6 => processes[one].sweep().await,
            7 => {
                // It dies in the middle of reading, or of recording.
                let polls = dice.below(60) as u64;
                let dying = &mut processes[one];
                if sweep::once(&dying.store, &dying.sources).await.unwrap() {
                    let _ = death::after(polls, dying.planner.turn()).await;
                }
                processes[one] = replace(site, &mut dice).await;
            }
            8 => {
                let mishaps = [
                    Mishap::Fault(1014, "database outage".to_owned()),
                    Mishap::Status(502),
                    Mishap::Raw(b"<html>".to_vec()),
                ];
                site.ground.hub.mishap("multiCall", mishaps[dice.below(3)].clone());
            }
            // Another process plans from now on.
            _ => site.pass(11),
        }
        site.pass(1);
    }
    for message in std::mem::take(&mut outside.messages) {
        processes[0].hear(message).await;
    }
    site.pass(11);
    let [mut last, _] = processes;
    // A mishap may still be waiting for one of them.
    for _ in 0..8 {
        last.sweep().await;
        site.pass(1);
    }
    (last, outside)
}

#[tokio::test]
async fn in_whatever_order_messages_and_sweeps_come_and_whoever_dies_each_change_is_told_of_once() {
    for seed in 0..4 {
        for database in database::each().await.unwrap() {
            let site = Site::new(&database.url).await;
            let (process, outside) = live(&site, seed).await;
            let mut told: BTreeMap<String, usize> = BTreeMap::new();
            for summary in process.touching().await {
                *told.entry(summary).or_default() += 1;
            }
            assert!(outside.happened.values().sum::<usize>() > 5, "seed {seed} is dull");
            assert_eq!(told, outside.happened, "seed {seed} on {}", database.kind);
            let source = site.tag(&process).await;
            let counted = source.first_by_bus + source.first_by_sweep;
            assert_eq!(usize::try_from(counted).unwrap(), told.values().sum::<usize>(), "{source:?}");
            process.store.close().await;
        }
    }
}

#[tokio::test]
async fn a_message_is_believed_as_far_as_koji_agrees() {
    let database = database::sqlite().unwrap();
    let site = Site::new(&database.url).await;
    let mut process = site.process().await;
    process.sweep().await;
    let bash = build("bash", "5.3");
    process.hear(tagging("1", "buildsys.tag", &bash)).await;
    let seen = process.store.changes(1).await.unwrap();
    assert_eq!(seen[0].effect, "starts nothing: Koji does not know that bash-5.3-1.fc43 was tagged into f43");
    site.ground.hub.tag("f43", refs(&bash));
    site.pass(1);
    process.hear(tagging("2", "buildsys.tag", &bash)).await;
    assert_eq!(process.touching().await, ["bash-5.3-1.fc43 was tagged into f43"]);
    site.pass(1);
    process.hear(tagging("3", "buildsys.tag", &bash)).await;
    let seen = process.store.changes(1).await.unwrap();
    assert!(seen[0].effect.contains("has nothing of it that was not weighed before"), "{}", seen[0].effect);
}

#[tokio::test]
async fn a_sweep_that_is_quicker_than_the_message_makes_it_late_and_only_silence_makes_it_lost() {
    for database in database::each().await.unwrap() {
        let mut site = Site::new(&database.url).await;
        site.settings.bus = Some(muster::adapters::fedora_messaging::Settings::default());
        let mut process = site.process().await;
        process.sweep().await;
        let builds = ["prompt", "late", "lost", "early"].map(|name| build(name, "1"));
        for build in &builds[..3] {
            site.ground.hub.tag("f43", refs(build));
        }
        process.hear(tagging("1", "buildsys.tag", &builds[0])).await;
        // A message that comes before Koji shows what it speaks of is still the first to tell of it.
        process.hear(tagging("4", "buildsys.tag", &builds[3])).await;
        site.ground.hub.tag("f43", refs(&builds[3]));
        site.pass(1);
        process.sweep().await;
        let source = site.tag(&process).await;
        let counts = |source: &muster::story::source::Source| {
            (source.first_by_bus, source.late, source.lost, source.undecided)
        };
        assert_eq!(counts(&source), (2, 0, 0, 2), "{}", database.kind);
        site.pass(60);
        process.hear(tagging("2", "buildsys.tag", &builds[1])).await;
        assert_eq!(counts(&site.tag(&process).await), (2, 1, 0, 1));
        site.pass(site.settings.engine.grace_s);
        assert_eq!(counts(&site.tag(&process).await), (2, 1, 1, 0));
        // Once lost, it stays so: a count does not go back.
        process.hear(tagging("3", "buildsys.tag", &builds[2])).await;
        assert_eq!(counts(&site.tag(&process).await), (2, 1, 1, 0));
        assert_eq!(process.touching().await.len(), 4);
        process.store.close().await;
    }
}

#[tokio::test]
async fn a_hub_that_fails_in_the_middle_of_a_sweep_leaves_everything_where_it_was_and_that_is_said() {
    let database = database::sqlite().unwrap();
    let site = Site::new(&database.url).await;
    let mut process = site.process().await;
    process.sweep().await;
    let before = site.tag(&process).await;
    site.ground.hub.tag("f43", ["bash", "1", "1"]);
    for (mishap, expected) in [
        (Mishap::Fault(1014, "database outage".to_owned()), "database outage"),
        (Mishap::Status(503), "HTTP 503"),
        (Mishap::Raw(b"<methodResponse><params>".to_vec()), "cannot be understood"),
        (Mishap::Raw(b"\x00\xff garbage".to_vec()), "cannot be understood"),
        (Mishap::Huge(1000), "cannot be understood"),
        (Mishap::AnswerLost, "no answer"),
    ] {
        site.ground.hub.mishap("multiCall", mishap);
        process.sweep().await;
        let after = site.tag(&process).await;
        assert!(after.fault.as_ref().is_some_and(|fault| fault.contains(expected)), "{expected}: {after:?}");
        assert_eq!((&after.position, after.swept), (&before.position, before.swept), "{expected}");
    }
    site.ground.hub.mishap("queryHistory", Mishap::Fault(1, "<class 'TypeError'>".to_owned()));
    process.sweep().await;
    assert_eq!(site.tag(&process).await.position, before.position);
    let event = site.ground.hub.jump_to_event(3);
    process.sweep().await;
    let fault = site.tag(&process).await.fault.unwrap();
    assert!(
        fault.contains(&format!("its last event is {event}")) && fault.contains("another hub"),
        "{fault}"
    );
    site.ground.hub.jump_to_event(50);
    assert_eq!(process.touching().await, Vec::<String>::new());
    process.sweep().await;
    let after = site.tag(&process).await;
    assert_eq!((after.fault, after.position.as_deref()), (None, Some("50")));
    assert_eq!(process.touching().await, ["bash-1-1 was tagged into f43"]);
}

#[tokio::test]
async fn without_a_bus_a_tag_and_a_push_lead_to_a_candidate_that_passes() {
    let database = database::sqlite().unwrap();
    let mut site = Site::new(&database.url).await;
    site.settings.engine.quiet_s = 0;
    let mut process = site.process().await;
    process.sweep().await;
    let hub = &site.ground.hub;
    hub.tag("f43", ["bash", "5.3", "1.fc43"]);
    assert_eq!(process.store.candidates(9).await.unwrap().len(), 0);
    process.sweep().await;
    assert_eq!(process.touching().await, ["bash-5.3-1.fc43 was tagged into f43"]);
    let commit = site.push().await;
    for _ in 0..20 {
        process.sweep().await;
        process.engine.drive_due().await.unwrap();
        for task in hub.tasks("image") {
            if !task.is_over() {
                hub.finish(task.id, &image());
            }
        }
        site.pass(2);
    }
    let candidates = process.store.candidates(9).await.unwrap();
    assert_eq!(candidates.len(), 2, "one for the package, one for the push");
    for candidate in &candidates {
        assert_eq!(candidate.stage(), Stage::Finished(Outcome::Passed), "{}", candidate.id);
    }
    assert_eq!(candidates[0].definition.commit, commit);
    assert_eq!(hub.count("buildImageOz"), 2);
    let told = site.told(&process).await;
    let found: Vec<_> = told.iter().map(|source| (source.kind.as_str(), source.first_by_sweep)).collect();
    assert_eq!(found, [("git", 1), ("koji", 1)]);
}

#[tokio::test]
async fn a_push_that_the_bus_told_of_is_not_found_again_and_one_that_it_lost_is_found_once() {
    let database = database::sqlite().unwrap();
    let site = Site::new(&database.url).await;
    let mut process = site.process().await;
    process.sweep().await;
    let first = site.push().await;
    process.hear(pushed("1", &first)).await;
    site.pass(5);
    process.sweep().await;
    let second = site.push().await;
    process.sweep().await;
    site.pass(5);
    process.hear(pushed("2", &second)).await;
    let mut process = site.process().await;
    site.pass(11);
    process.sweep().await;
    let expected = [&first, &second].map(|commit| format!("murmur main was pushed to {}", &commit[..10]));
    assert_eq!(process.touching().await, expected);
    let told = site.told(&process).await;
    let git = told.iter().find(|source| source.kind == "git").unwrap();
    assert_eq!((git.first_by_bus, git.late), (1, 1), "{git:?}");
}

#[tokio::test]
async fn a_sweep_with_25000_news_asks_the_hub_in_at_most_five_requests() {
    let database = database::sqlite().unwrap();
    let site = Site::new(&database.url).await;
    let mut process = site.process().await;
    process.sweep().await;
    site.ground.hub.tag_many("f43", 25_000);
    let before = site.ground.hub.requests();
    process.sweep().await;
    let requests = site.ground.hub.requests() - before;
    assert!((1..=5).contains(&requests), "{requests} requests");
    let source = site.tag(&process).await;
    assert_eq!((source.first_by_sweep, source.fault), (25_000, None));
    assert_eq!(process.store.candidates(9).await.unwrap().len(), 1, "all of them join one candidate");
}

#[tokio::test]
async fn when_the_bus_is_there_again_every_source_is_read_at_once() {
    let database = database::sqlite().unwrap();
    let site = Site::new(&database.url).await;
    let mut process = site.process().await;
    process.sweep().await;
    let hub = &site.ground.hub;
    let reconnected = Notify::new();
    let asked = async |requests: usize| {
        let begun = Instant::now();
        while hub.requests() < requests {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody reads the sources");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let before = hub.requests();
    let watched = async {
        asked(before + 1).await;
        hub.tag("f43", ["bash", "5.3", "1.fc43"]);
        // The next one by itself is five minutes away.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(hub.requests(), before + 1);
        reconnected.notify_one();
        asked(before + 2).await;
        // What was read is there when the next pause begins.
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    tokio::select! {
        () = sweep::forever(&process.store, &process.sources, &process.engine, &reconnected) => {}
        () = watched => {}
    }
    process.turn().await;
    assert_eq!(process.touching().await, ["bash-5.3-1.fc43 was tagged into f43"]);
}

/// The real program, with a broker that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_cannot_be_reached_everything_happens_all_the_same() {
    let database = database::sqlite().unwrap();
    let site = Site::new(&database.url).await;
    let folder = site.ground.folder.path();
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = &site.ground.hub;
    let config = format!(
        "[service]\nstate = \"{folder}/state\"\nlisten = \"{listen}\"\n\
         [definitions]\npath = \"{definitions}\"\nbranch = \"main\"\nrefresh_s = 0\n\
         [engine]\ntick_ms = 50\nquiet_s = 0\nsweep_s = 1\n\
         [bus]\namqp_url = \"amqp://{nobody}\"\n\
         [koji]\nhub = \"{hub}\"\ntopurl = \"{topurl}\"\nweburl = \"{weburl}\"\n\
         install_tree = \"https://m.example/$version/$arch/os/\"\npoll_s = 0\n\
         [koji.login]\nkind = \"password\"\nusername = \"imagebot\"\npassword_file = \"{folder}/password\"\n",
        folder = folder.display(),
        definitions = site.settings.definitions.path,
        hub = hub.url(),
        topurl = hub.topurl(),
        weburl = hub.weburl(),
    );
    std::fs::write(folder.join("muster.toml"), config).unwrap();
    let mut service = Program::new(env!("CARGO_BIN_EXE_muster"))
        .args(["--config", &folder.join("muster.toml").display().to_string(), "serve"])
        .log(folder.join("serve.log"))
        .spawn()
        .unwrap();
    let client = muster::http::client().unwrap();
    let get = async |path: &str| {
        let answer = client.get(format!("http://{listen}{path}")).send().await.ok()?;
        answer.text().await.ok()
    };
    let until = async |what: &str, is_so: &dyn Fn(&str) -> bool| {
        let begun = Instant::now();
        loop {
            let told = get("/metrics").await.unwrap_or_default();
            if is_so(&told) {
                return;
            }
            let log = std::fs::read_to_string(folder.join("serve.log")).unwrap_or_default();
            let log = log.lines().rev().take(5).collect::<Vec<_>>().join("\n");
            assert!(begun.elapsed() < Duration::from_mins(1), "{what} did not come: {told}\n{log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    until("the first sweep", &|told| told.matches("muster_source_lag_seconds{").count() == 2).await;
    hub.tag("f43", ["bash", "5.3", "1.fc43"]);
    until("a build on Koji", &|_| hub.tasks("image").len() == 1).await;
    site.push().await;
    until("a change from git", &|told| told.contains("muster_changes_undecided{source=\"definitions at"))
        .await;
    service.kill().await;
}

//! A release is red because of one of its packages, or by chance, and it is found out which.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use muster::clock::Clock;
use muster::planner::{self, Turn};
use muster::store::Store;
use muster_flow::blame::{self, Conclusion, How, Sight};
use muster_flow::build::Package;
use muster_flow::candidate::{Candidate, CandidateId, Outcome, Purpose, Stage};
use muster_flow::change::{What, Wish};
use muster_flow::recipe::Recipe;
use muster_flow::step::StepKey;
use muster_lab::brink::{Brink, End};
use muster_lab::database::{self, Database};
use muster_lab::world::{Fault, World};
use muster_specimen::recipe;
use tempfile::TempDir;

use crate::service::{self, Service};

/// More turns than this story needs.
const TURNS: usize = 600;

/// The release that is published.
const GOOD: &str = "cloud/43.20261121.0";

/// The release after it.
const RED: &str = "cloud/43.20261121.1";

/// What the later release has in a new version; beside them there is glibc, which stays.
const CHANGED: [&str; 5] = ["bash", "curl", "hello", "systemd", "vim"];

/// The two releases, with one cell and one destination each, so that the story is soon told.
fn recipes() -> Vec<Recipe> {
    let mut cloud = recipe("cloud");
    cloud.smoketests.cells.truncate(1);
    cloud.destinations.truncate(1);
    vec![cloud]
}

fn packages(version: &str) -> Vec<Package> {
    let changed = CHANGED.iter().map(|name| format!("{name}-{version}-1.x86_64"));
    changed.chain(["glibc-1-1.x86_64".to_owned()]).filter_map(|nevra| Package::of_nevra(&nevra)).collect()
}

struct Telling {
    database: Database,
    world: World,
    clock: Clock,
    brink: Brink,
    /// Goes with the telling.
    _folder: TempDir,
}

impl Telling {
    /// `fault` is what is wrong with the smoketests of the later release.
    fn begin(database: Database, fault: (&str, Fault)) -> Self {
        let (world, folder) = (World::default(), tempfile::tempdir().unwrap());
        world.state().repository = packages("1");
        world.state().folder = Some(folder.path().to_owned());
        world.fault(fault.0, fault.1);
        Telling { database, world, clock: service::clock(), brink: Brink::default(), _folder: folder }
    }

    /// A process, from its start to the end of the story.
    async fn live(&self) {
        let around = (&self.world, &self.clock);
        let mut service = Service::mortal(&self.database, around, recipes(), &self.brink).await;
        for _ in 0..TURNS {
            let driven = service.turn().await;
            let is_asked = self.ask(&service.store).await;
            let red = CandidateId(RED.to_owned());
            let inquiry = service.store.inquiry(&red).await.unwrap();
            let is_found = inquiry.is_some_and(|inquiry| inquiry.conclusion.is_some());
            if driven == 0 && is_asked && is_found && service.is_over().await {
                return service.store.close().await;
            }
            self.clock.advance(SignedDuration::from_secs(2));
        }
        panic!("it never came to an end");
    }

    /// Asks for the release, and for another when that is out and the packages are others. Whether both are asked for.
    async fn ask(&self, store: &Store) -> bool {
        self.ask_for(store, "request/1").await;
        let good = store.candidate(&CandidateId(GOOD.to_owned())).await.unwrap();
        if good.is_none_or(|good| good.stage() != Stage::Finished(Outcome::Published)) {
            return false;
        }
        let both = packages("1").into_iter().chain(packages("2"));
        self.world.state().repository = both.collect();
        self.ask_for(store, "request/2").await;
        true
    }

    async fn ask_for(&self, store: &Store, id: &str) {
        let what = What::Requested {
            recipe: Some("cloud".to_owned()),
            stream: None,
            purpose: Wish::Release,
            reason: "the month is over".to_owned(),
        };
        let mut change = planner::request(what, "ada", self.clock.now());
        change.id = id.to_owned();
        store.ask(&change).await.unwrap();
    }

    /// What was found, and the probes that found it, when all that must be true whatever was found is true.
    async fn found(&self) -> (Conclusion, Vec<Candidate>) {
        let story = self.database.kind;
        let store = Store::open(&self.database.url, self.clock.clone()).await.unwrap();
        let red = CandidateId(RED.to_owned());
        let inquiry = store.inquiry(&red).await.unwrap().unwrap();
        assert_eq!(inquiry.good.0, GOOD);
        let probes = store.probes(&red).await.unwrap();
        let state = self.world.state().clone();
        let doubled: Vec<_> = state.begun.iter().filter(|(_, times)| **times != 1).collect();
        assert!(doubled.is_empty(), "{story}: begun more than once: {doubled:?}");
        let of_probes = |key: &str| key.contains("_probe");
        assert!(state.moves.iter().all(|(_, version)| version == GOOD), "{story}: {:?}", state.moves);
        let others = ["/announce/", "/upload/", "/verify/", "/promote/"];
        let strange =
            state.begun.keys().find(|key| of_probes(key) && others.iter().any(|kind| key.contains(kind)));
        assert_eq!(strange, None, "{story}");
        for (number, probe) in (1..).zip(&probes) {
            assert_eq!(probe.id.0, format!("{RED}_probe{number}"), "{story}");
        }
        let journal = store.journal(Some(&red), 0, 1000).await.unwrap();
        let said = |what: &str| journal.iter().filter(|line| line.text.contains(what)).count();
        assert_eq!((said("is looked for"), said("blame: ")), (1, 1), "{story}: {journal:#?}");
        assert_eq!(said("_probe"), probes.len(), "{story}: {journal:#?}");
        let installed = store.installed().await.unwrap();
        assert_eq!(installed.len(), 6, "{story}: {installed:?}");
        store.close().await;
        (inquiry.conclusion.unwrap(), probes)
    }
}

#[tokio::test]
async fn the_package_that_made_a_release_red_is_found_however_often_the_process_dies() {
    for database in database::each().await.unwrap() {
        let fault = ("smoketest/", Fault::RedWith("hello-2-1.x86_64".to_owned()));
        let telling = Telling::begin(database, fault);
        while telling.brink.live(End::WhereNoneHas, telling.live()).await.is_none() {
            telling.clock.advance(SignedDuration::from_secs(20));
        }
        let (conclusion, probes) = telling.found().await;
        let Conclusion::Accused(accusation) = &conclusion else { panic!("{conclusion:?}") };
        let names: Vec<&str> = accusation.suspects.iter().map(|suspect| suspect.name.as_str()).collect();
        assert_eq!((names.as_slice(), accusation.how), (["hello"].as_slice(), How::One));
        assert_eq!((&accusation.alone, &accusation.without), (&Sight::Red, &Sight::Green));
        let words = "hello-2-1 did it: without it the image is green, with it alone it is red";
        assert_eq!(conclusion.words(), words);
        // Three to confirm, three halvings at the most, twice alone, once without.
        assert!(probes.len() <= 9, "{} probes", probes.len());
        let deaths = telling.brink.deaths();
        eprintln!("{}: it died at {} moments", telling.database.kind, deaths.len());
        for moment in [
            "recording that it is asked what made cloud/43.20261121.1 red",
            "recording the probe cloud/43.20261121.1_probe1",
            "recording the probe cloud/43.20261121.1_probe5",
            "beginning cloud/43.20261121.1_probe5/build/x86_64",
            "recording what made cloud/43.20261121.1 red",
        ] {
            assert!(deaths.iter().any(|death| death.contains(moment)), "it never died {moment}: {deaths:#?}");
        }
    }
}

#[tokio::test]
async fn a_release_that_is_red_by_chance_gets_no_package_accused() {
    let telling = Telling::begin(database::sqlite().unwrap(), (&format!("{RED}/smoketest/"), Fault::Red));
    telling.live().await;
    let (conclusion, probes) = telling.found().await;
    assert_eq!(conclusion, Conclusion::NotReproduced { red: 1, green: 2 });
    assert_eq!(probes.len(), 2);
    // Nothing was built for that.
    let builds: BTreeSet<String> = telling
        .world
        .state()
        .begun
        .keys()
        .filter(|key| key.contains("/build/") && !key.contains("/announce/"))
        .cloned()
        .collect();
    assert_eq!(builds.len(), 2, "{builds:?}");
    assert!(probes.iter().all(|probe| matches!(probe.purpose, Purpose::Probe { .. })));
}

#[tokio::test]
async fn whatever_is_not_a_probe_is_built_first() {
    let fault = ("smoketest/", Fault::RedWith("hello-2-1.x86_64".to_owned()));
    let telling = Telling::begin(database::sqlite().unwrap(), fault);
    let around = (&telling.world, &telling.clock);
    let mut service = Service::mortal(&telling.database, around, recipes(), &telling.brink).await;
    let probe = loop {
        while service.planner.turn().await.unwrap() == Turn::Moved {}
        let rows = service.store.open_step_rows().await.unwrap();
        if let Some(row) = rows.into_iter().find(|row| row.kind == "build" && row.key.0.contains("_probe")) {
            break row.key.0;
        }
        service.engine.drive_due().await.unwrap();
        telling.ask(&service.store).await;
        telling.clock.advance(SignedDuration::from_secs(2));
    };
    telling.ask_for(&service.store, "request/3").await;
    telling.clock.advance(SignedDuration::from_secs(2));
    while service.planner.turn().await.unwrap() == Turn::Moved {}
    // There is room for one build.
    service.engine.drive_due().await.unwrap();
    let begun = telling.world.state().begun.clone();
    assert!(begun.contains_key("cloud/43.20261121.2/build/x86_64"), "{begun:?}");
    assert!(!begun.contains_key(&probe), "{probe} was begun although a release waited, and came later");
}

#[tokio::test]
async fn what_was_found_is_not_searched_for_again_while_it_is_still_there() {
    let fault = ("smoketest/", Fault::RedWith("hello-2-1.x86_64".to_owned()));
    let telling = Telling::begin(database::sqlite().unwrap(), fault);
    telling.live().await;
    // The process that lived so far holds the planner's lease a little longer.
    telling.clock.advance(SignedDuration::from_secs(20));
    let around = (&telling.world, &telling.clock);
    let mut service = Service::mortal(&telling.database, around, recipes(), &telling.brink).await;
    telling.ask_for(&service.store, "request/3").await;
    service.live().await;
    let next = CandidateId("cloud/43.20261121.2".to_owned());
    let inquiry = service.store.inquiry(&next).await.unwrap().unwrap();
    let conclusion = inquiry.conclusion.unwrap();
    assert!(
        conclusion.words().starts_with("as in cloud/43.20261121.1, hello-2-1 did it: "),
        "{conclusion:?}"
    );
    assert_eq!(service.store.probes(&next).await.unwrap(), []);
    // Without it the next one is good.
    telling.world.state().repository.retain(|package| package.nevra() != "hello-0:2-1.x86_64");
    telling.ask_for(&service.store, "request/4").await;
    service.live().await;
    let last = CandidateId("cloud/43.20261121.3".to_owned());
    let last = service.store.candidate(&last).await.unwrap().unwrap();
    assert_eq!(last.stage(), Stage::Finished(Outcome::Published));
}

#[tokio::test]
async fn what_was_found_is_not_told_of_what_was_built_again_and_that_is_searched_anew() {
    let fault = ("smoketest/", Fault::RedWith("hello-2-1.x86_64".to_owned()));
    let telling = Telling::begin(database::sqlite().unwrap(), fault);
    let around = (&telling.world, &telling.clock);
    let mut service = Service::mortal(&telling.database, around, recipes(), &telling.brink).await;
    let (red, build) = (CandidateId(RED.to_owned()), format!("{RED}/build/x86_64"));
    while service.store.probes(&red).await.unwrap().len() < 2 {
        service.turn().await;
        telling.ask(&service.store).await;
        telling.clock.advance(SignedDuration::from_secs(2));
    }
    let said = async |store: &Store, what: &str| {
        let journal = store.journal(Some(&red), 0, 1000).await.unwrap();
        journal.iter().filter(|line| line.text.contains(what)).count()
    };
    // In the middle of the search: it makes no more probes, and there is another one.
    service.store.retry(&red, &build, "ada", "the mirror was odd").await.unwrap();
    service.live().await;
    let inquiry = service.store.inquiry(&red).await.unwrap().unwrap();
    assert_eq!(inquiry.terms.builds, [StepKey::of_generation(&build, 2)]);
    assert!(inquiry.terms.earlier <= 2, "{inquiry:?}");
    let conclusion = inquiry.conclusion.clone().unwrap();
    assert!(conclusion.words().starts_with("hello-2-1 did it: "), "{conclusion:?}");
    assert_eq!(said(&service.store, "it was built again; what was found of it before: ").await, 1);
    let all = service.store.probes(&red).await.unwrap();
    let own = service.store.probes_of(&inquiry).await.unwrap();
    assert_eq!(all.len(), own.len() + inquiry.terms.earlier as usize);
    for (number, probe) in (1..).zip(&all) {
        assert_eq!(probe.id.0, format!("{RED}_probe{number}"));
    }
    // After the search: built again it is good, and nothing is looked for.
    telling.world.state().repository.retain(|package| package.nevra() != "hello-0:2-1.x86_64");
    service.store.retry(&red, &build, "ada", "hello is gone").await.unwrap();
    service.live().await;
    let now = service.store.candidate(&red).await.unwrap().unwrap();
    assert_eq!(now.stage(), Stage::Finished(Outcome::Published));
    let old = service.store.inquiry(&red).await.unwrap().unwrap();
    assert_eq!(old, inquiry);
    assert!(blame::is_built_again(&now, &old.terms.builds));
    assert_eq!(service.store.probes(&red).await.unwrap().len(), all.len());
}

#[tokio::test]
async fn an_inquiry_that_cannot_be_read_keeps_nothing_else_from_going_on() {
    let fault = ("smoketest/", Fault::RedWith("hello-2-1.x86_64".to_owned()));
    let telling = Telling::begin(database::sqlite().unwrap(), fault);
    telling.live().await;
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&telling.database.url).await.unwrap();
    sqlx::query("UPDATE inquiry SET facts = '{}', conclusion = ''").execute(&pool).await.unwrap();
    pool.close().await;
    telling.clock.advance(SignedDuration::from_secs(20));
    let around = (&telling.world, &telling.clock);
    let mut service = Service::mortal(&telling.database, around, recipes(), &telling.brink).await;
    assert_eq!(service.store.inquiry(&CandidateId(RED.to_owned())).await.unwrap(), None);
    telling.ask_for(&service.store, "request/3").await;
    service.live().await;
    let next = CandidateId("cloud/43.20261121.2".to_owned());
    let conclusion = service.store.inquiry(&next).await.unwrap().unwrap().conclusion.unwrap();
    assert!(conclusion.words().starts_with("hello-2-1 did it: "), "{conclusion:?}");
    // Built again, it is red once more: what cannot be read is left as it is.
    let red = CandidateId(RED.to_owned());
    service.store.retry(&red, &format!("{RED}/build/x86_64"), "ada", "once more").await.unwrap();
    service.live().await;
    let again = service.store.candidate(&red).await.unwrap().unwrap();
    assert_eq!(again.stage(), Stage::Finished(Outcome::Rejected));
    assert_eq!(service.store.inquiry(&red).await.unwrap(), None);
}

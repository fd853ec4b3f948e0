//! A story in which people have their say: a release of `cloud` that is held, forgiven, tried again and let go, one of
//! `server` that is cancelled, and a package that is on `server`.

use jiff::SignedDuration;
use muster::clock::Clock;
use muster::store::Store;
use muster_flow::candidate::{Candidate, Hold, Life, Outcome, Stage};
use muster_flow::gate::Waiver;
use muster_flow::recipe::{Recipe, Repository};
use muster_flow::step::Progress;
use muster_lab::brink::Brink;
use muster_lab::database::Database;
use muster_lab::world::{Fault, Manners, World};
use muster_specimen::{recipe, waiver};

use crate::service::{self, Service, TURNS, ask, check_done_once, check_recorded};

/// One test is red in this cell until ada forgives it.
const RED: &str = "smoketest/x86_64/bios";

/// Nothing can be found out in this cell until ada has the host repaired and the boot tried again.
const BROKEN: &str = "smoketest/x86_64/uefi";

/// This goes on until ada cancels it.
const ENDLESS: &str = "server/43.20261121.1/build";

/// `cloud`, which no package touches, and `server`, of which there is little: so that the story is soon told. Their
/// releases are one batch.
fn recipes() -> Vec<Recipe> {
    let (mut cloud, mut server) = (recipe("cloud"), recipe("server"));
    cloud.packages.tags.clear();
    server.smoketests.cells.truncate(1);
    server.destinations.clear();
    for recipe in [&mut cloud, &mut server] {
        let (name, baseurl) = ("os".to_owned(), "file:///os".to_owned());
        recipe.packages.repositories = vec![Repository { name, baseurl, gpgkeys: Vec::new() }];
    }
    vec![cloud, server]
}

/// The world, the database and the time of one telling.
pub struct Telling {
    pub database: Database,
    pub world: World,
    pub clock: Clock,
    pub brink: Brink,
}

impl Telling {
    pub async fn begin(database: Database, manners: Manners, brink: Brink) -> Self {
        let (world, clock) = (World::default(), service::clock());
        world.state().manners = manners;
        world.fault(RED, Fault::Red);
        world.fault(BROKEN, Fault::Fails("no host has memory left".to_owned()));
        world.fault(ENDLESS, Fault::Hangs);
        ask(&database, &clock).await;
        Telling { database, world, clock, brink }
    }

    /// A process and the people around it, from the start of the process to the end of the story.
    pub async fn live(&self) {
        let around = (&self.world, &self.clock);
        let mut service = Service::mortal(&self.database, around, recipes(), &self.brink).await;
        for _ in 0..TURNS {
            let driven = service.turn().await;
            self.speak(&service.store).await;
            if driven == 0 && service.is_over().await {
                return service.store.close().await;
            }
            self.clock.advance(SignedDuration::from_secs(2));
        }
        panic!("it never came to an end");
    }

    /// What has to pass before the leases of the dead run out.
    pub fn wait_for_leases(&self) {
        self.clock.advance(SignedDuration::from_secs(20));
    }

    /// What people say about what they see. Each looks before she speaks, so that one who was cut short says it again
    /// if, and only if, it was not heard.
    async fn speak(&self, store: &Store) {
        for candidate in store.candidates(10).await.unwrap() {
            if candidate.purpose.is_published() {
                match candidate.id.recipe() {
                    "cloud" => self.speak_of_cloud(store, &candidate).await,
                    _ => speak_of_server(store, &candidate).await,
                }
            }
        }
    }

    async fn speak_of_cloud(&self, store: &Store, candidate: &Candidate) {
        let (id, stage) = (&candidate.id, candidate.stage());
        let is_held = !candidate.decisions.holds.is_empty();
        if stage == Stage::Finished(Outcome::Rejected) && !is_held {
            let hold = Hold { who: "ada".to_owned(), why: "the mirrors are full".to_owned() };
            store.hold(id, &hold).await.unwrap();
        } else if stage == Stage::Finished(Outcome::Rejected) {
            store.waive(&self.waiver(candidate)).await.unwrap();
        } else if stage == Stage::Finished(Outcome::CannotTell) {
            self.world.state().faults.remove(BROKEN);
            store.retry(id, &format!("{id}/{BROKEN}"), "ada", "the host is back").await.unwrap();
        } else if stage == Stage::Promoting && is_held {
            store.unhold(id, "ada").await.unwrap();
        }
    }

    fn waiver(&self, candidate: &Candidate) -> Waiver {
        Waiver {
            candidate: Some(candidate.id.to_string()),
            ..waiver("cloud", self.clock.now() + SignedDuration::from_hours(240))
        }
    }

    /// Everything that must be true at the end of the story, whoever died on the way.
    pub async fn check(&self) {
        let store = Store::open(&self.database.url, self.clock.clone()).await.unwrap();
        let story = format!("{}, killed {}", self.database.kind, self.brink.last_words());
        let candidates = store.candidates(100).await.unwrap();
        let mut ends: Vec<_> = candidates
            .iter()
            .map(|candidate| (candidate.id.recipe(), candidate.purpose.word(), candidate.stage().words()))
            .collect();
        ends.sort_unstable();
        let expected = [
            ("cloud", "release", "published"),
            ("server", "release", "cancelled"),
            ("server", "scratch", "rejected"),
        ];
        assert_eq!(ends, expected, "{story}");
        for candidate in candidates.iter().filter(|candidate| candidate.purpose.is_published()) {
            let said: &[&str] = match candidate.id.recipe() {
                "cloud" => &[
                    "ada holds it",
                    "ada waived boots",
                    "ada asked to try",
                    "ada lifted the hold",
                    "finished: published",
                ],
                _ => &["ada cancelled it", "finished: cancelled"],
            };
            check_said_once(&store, candidate, said, &story).await;
        }
        let cloud = candidates.iter().find(|candidate| candidate.id.recipe() == "cloud").unwrap();
        let tries = cloud.smoketests().map(|step| step.key.generation());
        assert_eq!(tries.collect::<Vec<_>>(), [1, 2], "{story}");
        check_done_once(&self.world, 3, &story);
        check_recorded(&store, &self.world, &story).await;
        let messages = self.world.state().messages.values().filter(|(_, times)| *times != 1).count();
        assert_eq!(messages, 0, "{story}: a message was sent twice");
        store.close().await;
    }
}

async fn check_said_once(store: &Store, candidate: &Candidate, said: &[&str], story: &str) {
    let journal = store.journal(Some(&candidate.id), 0, 1000).await.unwrap();
    for what in said {
        let times = journal.iter().filter(|line| line.text.starts_with(what)).count();
        assert_eq!(times, 1, "{story}: {what}: {journal:#?}");
    }
}

async fn speak_of_server(store: &Store, candidate: &Candidate) {
    let is_begun = candidate.builds().any(|step| matches!(step.progress, Progress::Running(_)));
    if matches!(candidate.life, Life::Started { .. }) && is_begun {
        store.cancel(&candidate.id, "ada", "not today").await.unwrap();
    }
}

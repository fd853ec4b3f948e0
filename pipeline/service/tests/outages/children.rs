//! Child processes are killed in the middle: what they did is done again, or it is said what became of them.

use std::fs;
use std::path::PathBuf;

use muster::clock::Clock;
use muster::program::Running;
use muster::store::Store;
use muster_flow::candidate::{Outcome, Stage};
use muster_lab::database::{self, Database};

use crate::site::{Site, kill};

/// Words of the command line of whoever installs packages.
const DNF: &str = "/dnf --assumeyes";

/// A service whose build is in the middle of installing packages.
struct Installing {
    site: Site,
    store: Store,
    service: Running,
    job: PathBuf,
    _database: Database,
}

impl Installing {
    async fn begin() -> Option<Installing> {
        let database = database::sqlite().unwrap();
        let site = Site::new(|_| database.url.clone(), "")?;
        let store = Store::open(&database.url, Clock::system()).await.unwrap();
        site.release().await;
        let service = site.serve();
        let job = site.until_at_work("build").await;
        let is_dnf = |(_, line): &(i32, String)| line.contains(DNF);
        site.until("dnf at work", async || site.processes().iter().any(is_dnf).then_some(())).await;
        Some(Installing { site, store, service, job, _database: database })
    }

    /// Kills whose command line has these words, and makes sure that it was at work.
    fn kill(&self, words: &str) {
        let processes = self.site.processes();
        let found: Vec<_> = processes.iter().filter(|(_, line)| line.contains(words)).collect();
        assert_eq!(found.len(), 1, "{words}: {processes:#?}");
        kill(found[0].0);
        assert!(!self.job.join("result.json").exists(), "the build was over before");
    }

    fn process(&self) -> String {
        fs::read_to_string(self.job.join("process")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_is_killed_in_the_middle_is_begun_again_and_publishes_once() {
    let Some(mut at_work) = Installing::begin().await else { return };
    let before = at_work.process();
    at_work.kill(" job build ");
    let candidate = at_work.site.until_published(&at_work.store).await;
    assert_ne!(at_work.process(), before, "no second process took the job up");
    at_work.site.expect_published_once(&at_work.store, &candidate).await;
    at_work.site.expect_no_second_try(&at_work.store, &candidate).await;
    at_work.service.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installer_that_is_killed_is_not_the_packages_fault_and_the_build_can_be_tried_again() {
    let Some(mut at_work) = Installing::begin().await else { return };
    at_work.kill(DNF);
    let candidate = at_work.site.until_finished(&at_work.store).await;
    let Stage::Finished(Outcome::BuildFailed(reason)) = candidate.stage() else {
        panic!("{:?}: {}", candidate.stage(), at_work.site.log())
    };
    assert!(reason.contains("dnf was killed from outside, perhaps because memory ran out"), "{reason}");
    let build = candidate.builds().next().unwrap().key.to_string();
    at_work.site.muster().args(["--as", "ada", "retry", &build]).run().await.unwrap();
    let candidate = at_work.site.until("the second build", async || {
        let candidate = crate::site::release_of(&at_work.store).await.unwrap();
        (candidate.stage() == Stage::Finished(Outcome::Published)).then_some(candidate)
    });
    let candidate = candidate.await;
    at_work.site.expect_published_once(&at_work.store, &candidate).await;
    at_work.service.kill().await;
}

//! The process is killed again and again, at times that are drawn: it publishes everything once all the same.

use std::time::Duration;

use muster::clock::Clock;
use muster::store::Store;
use muster_lab::database;

use crate::chance::{chance, seed, time};
use crate::site::{Site, kill};

/// How long all the processes that are killed live together.
const KILLING: Duration = Duration::from_secs(7);

/// The shortest and the longest life: from the first lines of the configuration to some seconds of work.
const LIVES: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(4)];

/// How often the jobs die as well, as they do with the whole machine. They are begun anew each time, and given up after
/// the sixth.
const MACHINES: usize = 1;

/// What happens to one process.
struct Life {
    length: Duration,
    /// Whether the jobs that it has begun die with it.
    with_jobs: bool,
}

fn lives(seed: u64) -> Vec<Life> {
    let (mut left, mut lives) = (KILLING, Vec::<Life>::new());
    for n in 0.. {
        if left < LIVES[0] {
            break;
        }
        let length = time(seed, 2 * n, LIVES[0], LIVES[1]).min(left);
        left -= length;
        let machines = lives.iter().filter(|life| life.with_jobs).count();
        lives.push(Life { length, with_jobs: machines < MACHINES && chance(seed, 2 * n + 1) < 0.3 });
    }
    lives
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_again_and_again_publishes_once() {
    let seed = seed();
    for database in database::each().await.unwrap() {
        let Some(site) = Site::new(|_| database.url.clone(), "") else { return };
        let store = Store::open(&database.url, Clock::system()).await.unwrap();
        site.release().await;
        for (round, life) in lives(seed).into_iter().enumerate() {
            let mut process = site.serve();
            tokio::time::sleep(life.length).await;
            assert!(!process.has_ended(), "round {round}: it ended by itself: {}", site.log());
            process.kill().await;
            if life.with_jobs {
                site.processes().into_iter().for_each(|(pid, _)| kill(pid));
            }
            site.look(&store).await;
        }
        let mut last = site.serve();
        let candidate = site.until_published(&store).await;
        site.expect_published_once(&store, &candidate).await;
        site.expect_no_second_try(&store, &candidate).await;
        last.kill().await;
        assert_eq!(store.candidates(10).await.unwrap().len(), 1);
        site.until("the end of all jobs", async || site.processes().is_empty().then_some(())).await;
    }
}

#[test]
fn each_seed_has_deaths_of_its_own_and_the_same_ones_each_time() {
    let lengths = |seed| lives(seed).iter().map(|life| life.length).collect::<Vec<_>>();
    assert_eq!(lengths(7), lengths(7));
    let mut all = Vec::new();
    for seed in 0..100 {
        let lengths = lengths(seed);
        assert!(lengths.len() >= 2 && lengths.iter().sum::<Duration>() <= KILLING, "{seed}: {lengths:?}");
        assert!(lengths.iter().all(|length| (LIVES[0]..=LIVES[1]).contains(length)), "{seed}: {lengths:?}");
        all.extend(lengths);
    }
    let short = all.iter().filter(|length| **length < Duration::from_millis(200)).count();
    assert!(short * 3 > all.len() && short * 3 < all.len() * 2, "{short} of {} are short", all.len());
}

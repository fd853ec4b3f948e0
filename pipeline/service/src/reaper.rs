//! Removes what nobody owns any more: guests whose job is over, private uploads of candidates that are over, job
//! folders whose step is unknown or whose candidate is long over, and facts that nobody will ask for again.
//!
//! Outside it only ever removes what carries our mark, a `key` file, and only after a time of grace.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use muster_flow::candidate::CandidateId;
use muster_flow::step::StepKey;
use tokio::task::spawn_blocking;

use crate::adapters::destination::Destinations;
use crate::adapters::koji::changes::OVERLAP;
use crate::adapters::qemu;
use crate::clock::Clock;
use crate::config::Settings;
use crate::job;
use crate::store::Store;
use crate::store::prune::Kept;
use crate::story::words;

/// How long a folder is left alone although no step is known for it.
const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// What was removed, in one line, or why it could not be.
pub type Removed = Result<String>;

/// Looks once at everything of ours outside. Says of each thing what came of it: one that cannot be removed keeps none
/// of the others from being removed.
pub async fn reap(
    store: &Store,
    settings: &Settings,
    destinations: &Destinations,
    clock: &Clock,
) -> Vec<Removed> {
    let mut all = Vec::new();
    for looked in [
        guests(settings).await,
        uploads(store, settings, destinations, clock).await,
        folders(store, settings, clock).await,
        facts(store, settings, clock).await,
    ] {
        match looked {
            Ok(removed) => all.extend(removed),
            Err(error) => all.push(Err(error)),
        }
    }
    all
}

/// Ends guests whose job is over.
async fn guests(settings: &Settings) -> Result<Vec<Removed>> {
    let root = settings.jobs(qemu::KIND);
    let ended = spawn_blocking(move || {
        let end = |stray: qemu::Stray| {
            qemu::end_stray(&root, &stray)?;
            Ok(format!("the guest of {}", stray.job))
        };
        Ok(qemu::strays(&root)?.into_iter().map(end).collect())
    });
    ended.await?
}

/// Removes private uploads of candidates that are over, and that nobody can have tried again any more.
async fn uploads(
    store: &Store,
    settings: &Settings,
    destinations: &Destinations,
    clock: &Clock,
) -> Result<Vec<Removed>> {
    let failed = store.publish_failed_since(clock.now() - settings.service.keep()).await?;
    let open = store.open_versions().await?.into_iter().map(|(id, _)| id);
    let open: Vec<String> = open.chain(failed).map(|id| id.0).collect();
    let born = SystemTime::from(clock.now() - GRACE);
    Ok(destinations.sweep(&open, born).await)
}

/// Removes the folders of jobs that nobody will look at again.
async fn folders(store: &Store, settings: &Settings, clock: &Clock) -> Result<Vec<Removed>> {
    let keep = settings.service.keep();
    let rules = Rules { store, keep, published: published(store).await?, now: clock.now() };
    let (mut over, mut all) = (Vec::new(), Vec::new());
    for kind in ["build", "smoketest"] {
        for (folder, key) in job::folders(&settings.jobs(kind)) {
            match rules.is_over(&folder, &key).await {
                Ok(true) => over.push((folder, key)),
                Ok(false) => {}
                Err(error) => all.push(Err(error.context(format!("cannot tell whether {key} is over")))),
            }
        }
    }
    all.extend(spawn_blocking(move || remove(over)).await?);
    Ok(all)
}

/// Removes facts that are over for longer than they are kept.
async fn facts(store: &Store, settings: &Settings, clock: &Clock) -> Result<Vec<Removed>> {
    let since = |days: i64| clock.now() - SignedDuration::from_hours(24 * days.max(1));
    let retention = &settings.retention;
    let kept = Kept {
        messages: since(retention.messages_days),
        changes: since(retention.changes_days.max(2)),
        journal: since(retention.journal_days),
        parked: since(retention.parked_days),
        // A sweep that was read before the last one may be weighed yet.
        events: 2 * OVERLAP,
        grace: SignedDuration::from_secs(settings.engine.grace_s),
    };
    let pruned = store.prune(&kept).await?;
    let words = pruned
        .into_iter()
        .map(|(count, what)| Ok(words::count(usize::try_from(count).unwrap_or(usize::MAX), what)));
    Ok(words.collect())
}

/// Removes folders of jobs that are over, save where a process is still at work.
fn remove(over: Vec<(PathBuf, StepKey)>) -> Vec<Removed> {
    let dead = over.into_iter().filter(|(folder, _)| !job::is_alive(folder));
    let remove = |(folder, key): (PathBuf, StepKey)| {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        Ok(format!("the folder of {key}"))
    };
    dead.map(remove).collect()
}

/// When a job is over for good.
struct Rules<'a> {
    store: &'a Store,
    /// How long the folder of a candidate that is over is kept.
    keep: SignedDuration,
    /// The candidates whose folders are kept as long as streams name them.
    published: BTreeSet<String>,
    now: Timestamp,
}

impl Rules<'_> {
    async fn is_over(&self, folder: &Path, key: &StepKey) -> Result<bool> {
        let Some(row) = self.store.step_row(key).await? else {
            return Ok(is_older(folder, self.now, GRACE));
        };
        if self.published.contains(&row.candidate) {
            return Ok(false);
        }
        let Some(candidate) = self.store.candidate(&CandidateId(row.candidate)).await? else {
            return Ok(false);
        };
        let is_needed = candidate.batch.as_ref().is_some_and(|batch| batch.is_open(self.now));
        Ok(candidate.stage().is_finished() && !is_needed && row.updated + self.keep < self.now)
    }
}

/// The candidates that a stream points at.
async fn published(store: &Store) -> Result<BTreeSet<String>> {
    let mut candidates = BTreeSet::new();
    for stream in store.streams().await? {
        candidates.extend(store.releases(&stream).await?.into_iter().map(|release| release.candidate));
    }
    Ok(candidates)
}

fn is_older(folder: &Path, now: Timestamp, age: SignedDuration) -> bool {
    let modified = fs::metadata(folder.join("key")).and_then(|metadata| metadata.modified()).ok();
    let modified = modified.and_then(|at| Timestamp::try_from(at).ok());
    modified.is_some_and(|at| at + age < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_folders_that_carry_our_mark_and_are_old_are_removed() {
        let state = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.service.state = state.path().to_owned();
        let clock = Clock::set("2126-01-01T00:00:00Z".parse().unwrap());
        let store = Store::open(&settings.database(), clock.clone()).await.unwrap();
        let destinations = Destinations::new(&settings, clock.clone()).unwrap();
        let folder = |name: &str| {
            let folder = settings.jobs("build").join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let (ours, foreign) = (folder("ours"), folder("foreign"));
        fs::write(ours.join("key"), "cloud/43.20260101.0/build/x86_64").unwrap();
        let removed: Vec<String> =
            reap(&store, &settings, &destinations, &clock).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(removed, ["the folder of cloud/43.20260101.0/build/x86_64"]);
        assert!(!ours.exists() && foreign.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_removed_keeps_no_other_from_being_removed() {
        let root = tempfile::tempdir().unwrap();
        let (odd, first, last) = (root.path().join("odd"), root.path().join("a"), root.path().join("z"));
        // The one in the middle was never made.
        for folder in [&first, &last] {
            fs::create_dir(folder).unwrap();
        }
        let key = |name: &str| StepKey(name.to_owned());
        let removed = remove(vec![(first, key("a")), (odd, key("odd")), (last.clone(), key("z"))]);
        let said: Vec<String> =
            removed.into_iter().map(|one| one.unwrap_or_else(|error| error.to_string())).collect();
        assert_eq!(said[0], "the folder of a");
        assert!(said[1].starts_with("cannot remove "), "{said:?}");
        assert_eq!(said[2], "the folder of z");
        assert!(!last.exists());
    }
}

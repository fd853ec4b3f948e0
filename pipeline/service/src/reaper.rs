//! Removes what nobody owns any more: guests whose job is over, private uploads of candidates that are over, and job
//! folders whose step is unknown or whose candidate is long over.
//!
//! It only ever removes what carries our mark, a `key` file, and only after a time of grace.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use muster_flow::candidate::CandidateId;

use crate::adapters::destination::Destinations;
use crate::adapters::qemu;
use crate::clock::Clock;
use crate::config::Settings;
use crate::job;
use crate::store::Store;

/// How long a folder is left alone although no step is known for it.
const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// Looks once at everything of ours outside. Returns what was removed, one line each.
pub async fn reap(
    store: &Store,
    settings: &Settings,
    destinations: &Destinations,
    clock: &Clock,
) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    // One that fails keeps none of the others from being done.
    for result in [
        guests(settings),
        uploads(store, settings, destinations, clock).await,
        folders(store, settings, clock).await,
    ] {
        match result {
            Ok(gone) => removed.extend(gone),
            Err(error) => tracing::error!("cannot remove what nobody owns: {error:#}"),
        }
    }
    Ok(removed)
}

/// Ends guests whose job is over.
fn guests(settings: &Settings) -> Result<Vec<String>> {
    let root = settings.jobs(qemu::KIND);
    let mut ended = Vec::new();
    for stray in qemu::strays(&root)? {
        qemu::end_stray(&root, &stray)?;
        ended.push(format!("the guest of {}", stray.job));
    }
    Ok(ended)
}

/// Removes private uploads of candidates that are over, and that nobody can have tried again any more.
async fn uploads(
    store: &Store,
    settings: &Settings,
    destinations: &Destinations,
    clock: &Clock,
) -> Result<Vec<String>> {
    let keep = SignedDuration::from_hours(24 * settings.service.keep_days);
    let failed = store.publish_failed_since(clock.now() - keep).await?;
    let open = store.open_versions().await?.into_iter().map(|(id, _)| id);
    let open: Vec<String> = open.chain(failed).map(|id| id.0).collect();
    let born = SystemTime::from(clock.now() - GRACE);
    destinations.sweep(&open, born).await
}

/// Removes the folders of jobs that nobody will look at again.
async fn folders(store: &Store, settings: &Settings, clock: &Clock) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let kept = published(store).await?;
    for kind in ["build", "smoketest"] {
        for (folder, key) in job::folders(&settings.jobs(kind)) {
            let keep = SignedDuration::from_hours(24 * settings.service.keep_days);
            let is_over = match store.step_row(&key).await? {
                None => is_older(&folder, clock.now(), GRACE),
                Some(row) if kept.contains(&row.candidate) => false,
                Some(row) => {
                    let candidate = store.candidate(&CandidateId(row.candidate)).await?;
                    let finished = candidate.is_some_and(|candidate| candidate.stage().is_finished());
                    finished && row.updated + keep < clock.now()
                }
            };
            if is_over && !job::is_alive(&folder) {
                fs::remove_dir_all(&folder)?;
                removed.push(format!("the folder of {key}"));
            }
        }
    }
    Ok(removed)
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
        let removed = reap(&store, &settings, &destinations, &clock).await.unwrap();
        assert_eq!(removed, ["the folder of cloud/43.20260101.0/build/x86_64"]);
        assert!(!ours.exists() && foreign.exists());
    }
}

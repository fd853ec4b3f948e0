//! Files that come in beside the looks at their tasks, so that a look says how far they are.
//!
//! One process fetches the files of a step at a time: it holds a lock in their folder. A fetch ends with the process, and
//! the next one takes it up where it was.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use muster_flow::build::BuildOutput;
use tokio_util::task::AbortOnDropHandle;

use crate::port::{Fault, Observation};

/// How long one look waits for the end of a fetch: most small ones are over by then.
const WAIT: Duration = Duration::from_secs(2);

type Outcome = Result<Observation<BuildOutput>, Fault>;

/// The right to write to one step's folder, and how far it is filled.
#[derive(Debug)]
pub struct Desk {
    /// Locked as long as anything may write there.
    _lock: File,
    have: AtomicU64,
    size: AtomicU64,
}

impl Desk {
    /// Takes the folder; `None` while another process has it.
    pub fn take(folder: &Path) -> Result<Option<Arc<Self>>> {
        let path = folder.join("lock");
        let lock = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {
                Ok(Some(Arc::new(Desk { _lock: lock, have: AtomicU64::new(0), size: AtomicU64::new(0) })))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Says how many bytes there will be.
    pub fn expect(&self, bytes: u64) {
        self.size.store(bytes, Ordering::Relaxed);
    }

    /// Says that so many more bytes are there.
    pub fn add(&self, bytes: u64) {
        self.have.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says that bytes which were there have to come once more.
    pub fn take_back(&self, bytes: u64) {
        self.have.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How far it is, for a person.
    fn note(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "it is shown to a tenth")]
        let mib = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed) as f64 / f64::from(1 << 20);
        if self.size.load(Ordering::Relaxed) == 0 {
            return "looking what it made".to_owned();
        }
        format!("fetching its files, {:.1} of {:.1} MiB are here", mib(&self.have), mib(&self.size))
    }
}

/// What is being fetched, by step.
#[derive(Debug, Default)]
pub struct Fetches(Mutex<HashMap<String, Fetch>>);

#[derive(Debug)]
struct Fetch {
    desk: Arc<Desk>,
    work: AbortOnDropHandle<Outcome>,
}

impl Fetches {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Fetch>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to fetch for a step.
    pub fn begin(&self, key: &str, desk: Arc<Desk>, work: impl Future<Output = Outcome> + Send + 'static) {
        let work = AbortOnDropHandle::new(tokio::spawn(work));
        self.with(|all| all.insert(key.to_owned(), Fetch { desk, work }));
    }

    /// Whether something is fetched for a step.
    pub fn has(&self, key: &str) -> bool {
        self.with(|all| all.contains_key(key))
    }

    /// Stops what is fetched for a step.
    pub fn stop(&self, key: &str) {
        self.with(|all| all.remove(key));
    }

    /// What came of a step's fetch, or how far it is; `None` when nothing is fetched for it.
    pub async fn look(&self, key: &str) -> Option<Result<Outcome, String>> {
        let mut fetch = self.with(|all| all.remove(key))?;
        if let Ok(ended) = tokio::time::timeout(WAIT, &mut fetch.work).await {
            return Some(Ok(ended.unwrap_or_else(|error| Err(Fault::retry(error)))));
        }
        let note = fetch.desk.note();
        self.with(|all| all.insert(key.to_owned(), fetch));
        Some(Err(note))
    }
}

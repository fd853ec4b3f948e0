//! The brink of death: a process ends at a chosen moment between two writes, or between a write and an effect outside.
//!
//! The store says each moment at which something becomes durable, and the pretend ports say when they are called and when
//! something was done. These are all the moments that there are: whatever else a process does is forgotten with it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use muster::store::Witness;
use tokio::sync::Notify;

/// Ends a process at one of its moments. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Brink(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    fate: Mutex<Fate>,
    died: Notify,
    /// Every moment at which a process died.
    deaths: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Debug, Default)]
struct Fate {
    end: End,
    is_dead: bool,
    /// The moment at which it died last.
    last_words: Option<String>,
}

/// When a process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// By itself.
    #[default]
    Natural,
    /// At the first moment at which none has died yet.
    WhereNoneHas,
}

impl Brink {
    /// The brink of another process, which does not die where any of this one's has.
    #[must_use]
    pub fn beside(&self) -> Brink {
        Brink(Arc::new(Inner { deaths: Arc::clone(&self.0.deaths), ..Inner::default() }))
    }

    /// Runs a process until its end. `None` when it died of `end`.
    pub async fn live<F: Future>(&self, end: End, process: F) -> Option<F::Output> {
        {
            let mut fate = self.fate();
            (fate.end, fate.is_dead) = (end, false);
        }
        let process = Box::pin(process);
        tokio::select! {
            biased;
            output = process => Some(output),
            () = self.0.died.notified() => None,
        }
    }

    /// A moment has come. Whoever is dead goes no further: neither this part of the process nor any beside it.
    pub async fn moment(&self, what: String) {
        let came = self.come(what);
        if came == Came::ToItsEnd {
            self.0.died.notify_one();
        }
        if came != Came::Past {
            std::future::pending::<()>().await;
        }
        // Whatever goes on beside it may come in between.
        tokio::task::yield_now().await;
    }

    /// The moment at which it died last.
    pub fn last_words(&self) -> String {
        self.fate().last_words.clone().unwrap_or_else(|| "never".to_owned())
    }

    /// Every moment at which a process died, whichever it was.
    pub fn deaths(&self) -> BTreeSet<String> {
        self.0.deaths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn come(&self, what: String) -> Came {
        let mut fate = self.fate();
        if fate.is_dead {
            return Came::TooLate;
        }
        let is_end = match fate.end {
            End::Natural => false,
            End::WhereNoneHas => {
                self.0.deaths.lock().unwrap_or_else(PoisonError::into_inner).insert(what.clone())
            }
        };
        if !is_end {
            return Came::Past;
        }
        (fate.is_dead, fate.last_words) = (true, Some(what));
        Came::ToItsEnd
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.0.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a moment is for the process that comes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// It goes on.
    Past,
    /// It dies.
    ToItsEnd,
    /// It is dead already.
    TooLate,
}

#[async_trait]
impl Witness for Brink {
    async fn before(&self, what: &str) {
        self.moment(format!("before recording {what}")).await;
    }

    async fn after(&self, what: &str) {
        self.moment(format!("after recording {what}")).await;
    }
}

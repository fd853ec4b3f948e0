//! Looks at tasks, gathered: who looks while the hub is being asked waits for the next request, which asks for everybody
//! who waits by then. One look alone is one request, and the looks of a thousand tasks that are due together are two or
//! three.
//!
//! It must not know what a task is for, and it tries nothing twice: each look has its own answer, or the fault of the
//! request that it was part of.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::client::Hub;
use super::error::CallError;
use super::task::{self, Tree};

/// How many tasks are asked after in one request. The hub reads its database a few times for each, all of it in one
/// transaction.
const MOST: usize = 1000;

/// What a look sees: nothing, where the hub knows no such task.
type Seen = Result<Option<Tree>, CallError>;

/// The looks at a hub's tasks.
#[derive(Debug)]
pub(super) struct Looks {
    hub: Hub,
    waiting: Mutex<Vec<Look>>,
    /// Held by whoever asks the hub.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Look {
    task: i64,
    answer: oneshot::Sender<Seen>,
}

impl Looks {
    /// The looks at the tasks of a hub.
    pub fn new(hub: Hub) -> Self {
        Looks { hub, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// How a task stands, with its children and without what was asked for.
    pub async fn at(&self, task: i64) -> Seen {
        let (answer, mut seen) = oneshot::channel();
        self.with(|waiting| waiting.push(Look { task, answer }));
        let turn = tokio::select! {
            biased;
            seen = &mut seen => return seen.unwrap_or_else(|_| Err(given_up())),
            turn = self.turn.lock() => turn,
        };
        // Those that are due together come together.
        tokio::task::yield_now().await;
        loop {
            match seen.try_recv() {
                Ok(seen) => return seen,
                Err(oneshot::error::TryRecvError::Closed) => return Err(given_up()),
                Err(oneshot::error::TryRecvError::Empty) => self.ask(&turn).await,
            }
        }
    }

    /// Asks for those who wait longest. The caller has the turn.
    async fn ask(&self, _turn: &tokio::sync::MutexGuard<'_, ()>) {
        let looks: Vec<Look> = self.with(|waiting| {
            waiting.retain(|look| !look.answer.is_closed());
            waiting.drain(..waiting.len().min(MOST)).collect()
        });
        let ids: Vec<i64> = looks.iter().map(|look| look.task).collect();
        let mut outcome = task::trees(&self.hub, &ids).await.map(Vec::into_iter);
        for look in looks {
            let seen = match &mut outcome {
                Ok(trees) => trees.next().unwrap_or_else(|| Err(given_up())),
                Err(error) => Err(error.clone()),
            };
            // Who does not wait any more needs no answer.
            let _ = look.answer.send(seen);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Look>) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Who asked for several was stopped in the middle.
fn given_up() -> CallError {
    CallError::NoAnswer { method: "getTaskInfo".to_owned(), text: "it was not waited for".to_owned() }
}

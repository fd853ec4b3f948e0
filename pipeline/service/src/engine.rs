//! The engine: moves each due step on through its port, and records what came of it. It decides nothing.
//!
//! There is one loop and one back-off. Dropping the engine at any moment is the same as killing the process: restart
//! is the ordinary path, and there is no recovery code.

mod summary;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use muster_flow::announce::Announce;
use muster_flow::build::Build;
use muster_flow::publish::{Promote, Upload, Verify};
use muster_flow::smoketest::Smoketest;
use muster_flow::step::{Handle, Place, Work};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config;
use crate::planner::{Planner, Turn};
use crate::port::{Fault, Observation, Port, Ports};
use crate::store::{Claimed, Ending, Store};

/// How often the lease of a step is renewed while the outside takes its time.
const RENEWAL: Duration = Duration::from_secs(5);

/// How often the planner's lease is renewed during one turn; it holds for ten seconds.
const PLANNING_RENEWAL: Duration = Duration::from_secs(3);

/// How long the engine waits at the most between two tries of a step.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_hours(1);

/// How many steps one process looks at together: so many that all builds on one hub are looked at in a few requests.
const LOOKS: u32 = 1000;

/// How many short steps of one kind run at once: uploads, verifications, promotions, messages.
const PARALLEL: u32 = 8;

/// Moves due steps on.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    ports: Arc<Ports>,
    clock: Clock,
    pace: config::Engine,
    wake: Wake,
}

/// Wakes the two halves of the loop, so that they need not wait for the next tick.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    plan: Arc<Notify>,
    drive: Arc<Notify>,
}

impl Wake {
    /// Says that there may be a new fact to plan by.
    pub fn plan(&self) {
        self.plan.notify_one();
    }

    /// Says that there may be a step to move on.
    pub fn drive(&self) {
        self.drive.notify_one();
    }
}

impl Engine {
    /// An engine over a store and ports.
    pub fn new(store: Store, ports: Arc<Ports>, clock: Clock, pace: config::Engine) -> Self {
        Engine { store, ports, clock, pace, wake: Wake::default() }
    }

    /// The time between two sweeps.
    pub fn sweeping(&self) -> Duration {
        Duration::from_secs(self.pace.sweep_s)
    }

    /// What wakes the planner.
    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// Plans and drives until the future is dropped.
    pub async fn run(&self, planner: &mut Planner) {
        tokio::join!(self.plan_forever(planner), self.drive_forever());
    }

    async fn plan_forever(&self, planner: &mut Planner) {
        let tick = Duration::from_millis(self.pace.tick_ms);
        loop {
            // A turn may wait for a source for longer than the lease holds.
            let turn = tokio::select! {
                turn = planner.turn() => turn,
                never = self.renew_planning_forever() => match never {},
            };
            match turn {
                Ok(Turn::Moved) => {
                    self.wake.drive.notify_one();
                    continue;
                }
                Ok(Turn::Idle) => {}
                Err(error) => tracing::error!("cannot plan: {error:#}"),
            }
            let _ = tokio::time::timeout(tick, self.wake.plan.notified()).await;
        }
    }

    async fn renew_planning_forever(&self) -> Infallible {
        loop {
            tokio::time::sleep(PLANNING_RENEWAL).await;
            if let Err(error) = self.store.plan().await {
                tracing::warn!("cannot renew the planner's lease: {error:#}");
            }
        }
    }

    /// Each drive is a task of its own, so that none waits for another to be looked at; dropping the set ends them all.
    async fn drive_forever(&self) {
        let tick = Duration::from_millis(self.pace.tick_ms);
        let mut drives = JoinSet::new();
        loop {
            match self.claim().await {
                Ok(claimed) => {
                    for claimed in claimed {
                        let engine = self.clone();
                        drives.spawn(async move { engine.drive(claimed).await });
                    }
                }
                Err(error) => tracing::error!("cannot claim steps: {error:#}"),
            }
            let mut pause = pin!(tokio::time::sleep(tick));
            tokio::select! {
                Some(ended) = drives.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!("a step was dropped in the middle: {error}");
                    }
                    self.wake.plan.notify_one();
                }
                () = self.wake.drive.notified() => {}
                () = &mut pause => {}
            }
        }
    }

    /// Drives every step that is due now, once; returns how many. For tests, which are their own loop.
    pub async fn drive_due(&self) -> Result<usize> {
        let claimed = self.claim().await?;
        let count = claimed.len();
        let mut drives: FuturesUnordered<_> =
            claimed.into_iter().map(|claimed| self.drive(claimed)).collect();
        while drives.next().await.is_some() {}
        Ok(count)
    }

    async fn claim(&self) -> Result<Vec<Claimed>> {
        let mut claimed = self.store.claim_begun(LOOKS).await?;
        let kinds = [
            ((Build::NAME, Place::Here), self.pace.parallel_builds),
            ((Build::NAME, Place::Elsewhere), self.pace.parallel_builds_elsewhere),
            ((Smoketest::NAME, Place::Here), self.pace.parallel_smoketests),
            ((Upload::NAME, Place::Here), PARALLEL),
            ((Verify::NAME, Place::Here), PARALLEL),
            ((Promote::NAME, Place::Here), PARALLEL),
            ((Announce::NAME, Place::Here), PARALLEL),
        ];
        for (kind, parallel) in kinds {
            claimed.extend(self.store.claim_wanted(kind, parallel).await?);
        }
        Ok(claimed)
    }

    /// Moves one step on, renewing its lease meanwhile.
    async fn drive(&self, claimed: Claimed) {
        // Both go on together: the work may hold the database that the renewal waits for.
        let result = tokio::select! {
            result = self.dispatch(&claimed) => result,
            never = self.renew_forever(&claimed) => match never {},
        };
        if let Err(error) = result {
            // The lease runs out, and the step is tried again.
            tracing::error!(step.key = %claimed.key, "cannot move it on: {error:#}");
        }
    }

    async fn renew_forever(&self, claimed: &Claimed) -> Infallible {
        loop {
            tokio::time::sleep(RENEWAL).await;
            if let Err(error) = self.store.renew(claimed).await {
                tracing::warn!(step.key = %claimed.key, "cannot renew its lease: {error:#}");
            }
        }
    }

    async fn dispatch(&self, claimed: &Claimed) -> Result<()> {
        let ports = &self.ports;
        match claimed.kind.as_str() {
            Build::NAME => self.move_on(&*ports.build, claimed, summary::build).await,
            Smoketest::NAME => self.move_on(&*ports.smoketest, claimed, summary::smoketest).await,
            Upload::NAME => self.move_on(&*ports.upload, claimed, summary::upload).await,
            Verify::NAME => self.move_on(&*ports.verify, claimed, summary::verify).await,
            Promote::NAME => self.move_on(&*ports.promote, claimed, summary::promote).await,
            Announce::NAME => self.move_on(&*ports.announce, claimed, summary::announce).await,
            other => anyhow::bail!("there is a step of an unknown kind {other}; a newer muster wrote it"),
        }
    }

    async fn move_on<W: Work>(
        &self,
        port: &dyn Port<W>,
        claimed: &Claimed,
        summary: fn(&W::Output) -> String,
    ) -> Result<()> {
        if claimed.state == "ending" {
            return self.end(port, claimed, Ending::Cancelled).await;
        }
        if claimed.state == "running" {
            return self.look(port, claimed, summary).await;
        }
        let request: W::Request = serde_json::from_str(&claimed.request)
            .with_context(|| format!("cannot decode the request of {}", claimed.key))?;
        match port.ensure(&claimed.key, &request).await {
            Ok(handle) => {
                // Time in the queue does not count, and what is begun once more gets no more time.
                let deadline = if claimed.attempt == 0 {
                    self.clock.now() + SignedDuration::from_hours(self.pace.deadline_hours)
                } else {
                    claimed.deadline
                };
                if !self.store.begun(claimed, &handle, (self.clock.now(), deadline)).await? {
                    return Ok(());
                }
                self.look(port, &claimed.begun(handle, deadline), summary).await
            }
            Err(fault) => self.faulted(claimed, "wanted", fault).await,
        }
    }

    async fn look<W: Work>(
        &self,
        port: &dyn Port<W>,
        claimed: &Claimed,
        summary: fn(&W::Output) -> String,
    ) -> Result<()> {
        match port.observe(&Handle(claimed.handle.clone())).await {
            Ok(Observation::Running(_) | Observation::Slow { .. } | Observation::Vanished(_))
                if self.clock.now() >= claimed.deadline =>
            {
                let reason = format!("it was not done by its deadline, {:.0}", claimed.deadline);
                self.end(port, claimed, Ending::Failed(reason)).await
            }
            Ok(Observation::Running(note)) => self.goes_on(claimed, &note, Duration::ZERO).await,
            Ok(Observation::Slow { note, pause }) => self.goes_on(claimed, &note, pause).await,
            Ok(Observation::Succeeded(output)) => {
                let ending = Ending::Succeeded(serde_json::to_string(&output)?);
                self.ended(claimed, &ending, &summary(&output)).await
            }
            Ok(Observation::Failed(reason)) => self.ended(claimed, &Ending::Failed(reason), "").await,
            Ok(Observation::Vanished(why)) => self.faulted(claimed, "wanted", Fault::Retry(why)).await,
            Err(fault) => self.faulted(claimed, "running", fault).await,
        }
    }

    /// Records how far a step is. It is looked at again after the pause, and at its deadline at the latest.
    async fn goes_on(&self, claimed: &Claimed, note: &str, pause: Duration) -> Result<()> {
        let now = self.clock.now();
        let soonest = now + SignedDuration::from_millis(self.pace.look_ms);
        let due = now.checked_add(pause).unwrap_or(claimed.deadline).min(claimed.deadline);
        self.store.progressed(claimed, note, due.max(soonest)).await
    }

    /// Ends a step outside, then in the store.
    async fn end<W: Work>(&self, port: &dyn Port<W>, claimed: &Claimed, ending: Ending) -> Result<()> {
        if claimed.handle.is_empty() && claimed.is_first() {
            return self.ended(claimed, &ending, "").await;
        }
        let handle = if claimed.handle.is_empty() {
            // It may have been begun without a record of it: it must be found before it can be ended.
            let request: W::Request = serde_json::from_str(&claimed.request)?;
            match port.ensure(&claimed.key, &request).await {
                Ok(handle) => handle,
                Err(Fault::GiveUp(_)) => return self.ended(claimed, &ending, "").await,
                Err(Fault::NotYet(reason)) => return self.wait(claimed, &claimed.state, &reason).await,
                Err(Fault::Retry(reason) | Fault::Away(reason)) => {
                    return self.postpone(claimed, &claimed.state, &reason).await;
                }
            }
        } else {
            Handle(claimed.handle.clone())
        };
        match port.cancel(&handle).await {
            Ok(()) => self.ended(claimed, &ending, "").await,
            Err(Fault::NotYet(reason)) => self.wait(claimed, &claimed.state, &reason).await,
            Err(Fault::Retry(reason) | Fault::Away(reason) | Fault::GiveUp(reason)) => {
                self.postpone(claimed, &claimed.state, &reason).await
            }
        }
    }

    async fn faulted(&self, claimed: &Claimed, state: &str, fault: Fault) -> Result<()> {
        let is_hopeless = match &fault {
            Fault::Away(_) if claimed.kind != Announce::NAME => self.clock.now() >= claimed.deadline,
            Fault::Away(_) | Fault::Retry(_) | Fault::NotYet(_) | Fault::GiveUp(_) => {
                self.is_hopeless(claimed, state)
            }
        };
        match fault {
            Fault::GiveUp(reason) => self.ended(claimed, &Ending::Failed(reason), "").await,
            Fault::Retry(reason) | Fault::Away(reason) | Fault::NotYet(reason) if is_hopeless => {
                let reason = format!("given up after {} attempts: {reason}", claimed.attempt + 1);
                self.ended(claimed, &Ending::Failed(reason), "").await
            }
            Fault::Retry(reason) | Fault::Away(reason) => self.postpone(claimed, state, &reason).await,
            Fault::NotYet(reason) => self.wait(claimed, state, &reason).await,
        }
    }

    /// Whether one more try is pointless. A build or a boot that cannot be begun, or vanishes, again and again is at fault
    /// itself; a destination that is away is waited for until the deadline, and the bus for as long as it takes.
    fn is_hopeless(&self, claimed: &Claimed, next: &str) -> bool {
        match claimed.kind.as_str() {
            Announce::NAME => false,
            Build::NAME | Smoketest::NAME if next == "wanted" => {
                claimed.attempt + 1 >= i64::from(self.pace.attempts)
            }
            _ => self.clock.now() >= claimed.deadline,
        }
    }

    async fn postpone(&self, claimed: &Claimed, state: &str, reason: &str) -> Result<()> {
        let due = backoff(self.clock.now(), self.pace.backoff_s, claimed.attempt);
        tracing::warn!(step.key = %claimed.key, step.attempt = claimed.attempt + 1, "it is tried again at {due:.0}: {reason}");
        self.store.postponed(claimed, state, reason, due).await
    }

    /// Looks again soon: somebody wanted it so, and nothing is wrong.
    async fn wait(&self, claimed: &Claimed, state: &str, reason: &str) -> Result<()> {
        let due = self.clock.now() + SignedDuration::from_millis(self.pace.look_ms);
        tracing::info!(step.key = %claimed.key, "not yet: {reason}");
        self.store.postponed(claimed, state, reason, due).await
    }

    async fn ended(&self, claimed: &Claimed, ending: &Ending, summary: &str) -> Result<()> {
        if self.store.ended(claimed, ending, summary).await? {
            match ending {
                Ending::Succeeded(_) => tracing::info!(step.key = %claimed.key, "done: {summary}"),
                Ending::Failed(reason) => tracing::warn!(step.key = %claimed.key, "failed: {reason}"),
                Ending::Cancelled => tracing::info!(step.key = %claimed.key, "cancelled"),
            }
        }
        Ok(())
    }
}

/// When a step is tried again after its `attempt`th fault: the wait doubles, up to an hour.
fn backoff(now: Timestamp, first_s: i64, attempt: i64) -> Timestamp {
    let doublings = u32::try_from(attempt.clamp(0, 20)).unwrap_or(20);
    let wait = SignedDuration::from_secs(first_s.saturating_mul(1 << doublings));
    now + wait.min(LONGEST_BACKOFF)
}

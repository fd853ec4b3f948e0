//! Looks at every source, now and then, for what the bus did not say.
//!
//! It only reads, and hands what it read to the planner of its process, which records it. A process that does not plan
//! reads nothing: what is planned elsewhere is swept there.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::sources::Sources;
use crate::store::Store;
use crate::upstream::Upstream;

/// How soon a process that took over the planning begins to sweep.
const TAKEOVER: Duration = Duration::from_secs(2);

/// Sweeps at the start, whenever the bus is there again, and now and then, until the future is dropped.
pub async fn forever(store: &Store, sources: &Sources, engine: &Engine, reconnected: &Notify) {
    loop {
        let pause = match once(store, sources).await {
            Ok(true) => {
                engine.wake().plan();
                engine.sweeping()
            }
            Ok(false) => TAKEOVER.min(engine.sweeping()),
            Err(error) => {
                tracing::error!("cannot sweep: {error:#}");
                engine.sweeping()
            }
        };
        let _ = tokio::time::timeout(pause, reconnected.notified()).await;
    }
}

/// Reads every source once; `false` when another process plans.
pub async fn once(store: &Store, sources: &Sources) -> Result<bool> {
    let Some(fence) = store.fence().await? else { return Ok(false) };
    let recipes = sources.recipes().await?;
    let positions = store.positions().await?;
    for fault in sources.intake.sweep(&recipes, &positions, fence).await {
        tracing::warn!("cannot sweep a source: {fault}");
    }
    Ok(true)
}

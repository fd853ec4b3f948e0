//! Wires everything together and runs it until it is told to stop.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use muster_flow::announce::{Announce, Announced, Announcement};
use muster_flow::step::{Handle, StepKey};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::adapters::builders::Builders;
use crate::adapters::destination::Destinations;
use crate::adapters::fedora_messaging::{consumer, publisher::Publisher};
use crate::adapters::local::LocalBuilder;
use crate::adapters::qemu::QemuCloudlet;
use crate::clock::Clock;
use crate::config::Settings;
use crate::engine::{Engine, Wake};
use crate::job::Jobs;
use crate::planner::Planner;
use crate::port::{Fault, Observation, Port, Ports};
use crate::sources::Sources;
use crate::store::Store;
use crate::{check, reaper, sweep, web};

/// How often the reaper looks.
const REAPING: Duration = Duration::from_mins(1);

/// Runs the service until SIGTERM or SIGINT. `config` is the file the settings came from, for the jobs' processes.
pub async fn serve(settings: Settings, config: Option<PathBuf>) -> Result<()> {
    let clock = Clock::system();
    std::fs::create_dir_all(&settings.service.state)
        .with_context(|| format!("cannot make {}", settings.service.state.display()))?;
    let store = Store::open(&settings.database(), clock.clone()).await?;
    let destinations = Destinations::new(&settings, clock.clone())?;
    let pages = web::router(store.clone(), &settings, clock.clone());
    let pages = pages.merge(web::mirror::published(destinations.served()));
    let (ended_job, ended_jobs) = unbounded_channel();
    let here = Here { settings: &settings, config: config.as_deref(), ended: ended_job };
    let ports = Arc::new(ports(&here, destinations.clone(), &clock)?);
    let sources = Arc::new(Sources::new(&settings, clock.clone())?);
    let mut planner = Planner::new(store.clone(), sources.clone(), clock.clone(), &settings)?;
    let engine = Engine::new(store.clone(), ports, clock.clone(), settings.engine.clone());
    let listener = TcpListener::bind(&settings.service.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.service.listen))?;
    tracing::info!("serving on {}", settings.url());
    let reconnected = Notify::new();
    let ended = tokio::select! {
        () = engine.run(&mut planner) => Ok("the engine"),
        result = serve_pages(listener, pages) => result.map(|()| "the pages"),
        result = consume(&settings, &store, &clock, (engine.wake(), &reconnected)) => result.map(|()| "the consumer"),
        () = reap(&store, &settings, &destinations, &clock) => Ok("the reaper"),
        () = warn_once(&settings, &sources, &destinations) => Ok("the check"),
        () = sweep::forever(&store, &sources, &engine, &reconnected) => Ok("the sweeper"),
        () = look_at_ended(&store, ended_jobs, engine.wake()) => Ok("the jobs"),
        result = told_to_stop() => result.map(|()| "a signal"),
    };
    // Another process may plan at once.
    if let Err(error) = store.resign().await {
        tracing::warn!("cannot give the planner's lease back: {error:#}");
    }
    store.close().await;
    tracing::info!("stopped by {}", ended.as_deref().unwrap_or("an error"));
    ended.map(drop)
}

/// What jobs on this machine are begun with.
struct Here<'a> {
    settings: &'a Settings,
    config: Option<&'a Path>,
    ended: UnboundedSender<Handle>,
}

fn ports(here: &Here<'_>, destinations: Destinations, clock: &Clock) -> Result<Ports> {
    let destinations = Arc::new(destinations);
    let announce: Box<dyn Port<Announce>> = match &here.settings.bus {
        Some(bus) => Box::new(Publisher::new(bus.clone(), clock.clone())),
        None => Box::new(NoBus),
    };
    let local = LocalBuilder { jobs: here.jobs("build")? };
    Ok(Ports {
        build: Box::new(Builders::new(local, here.settings, clock)?),
        smoketest: Box::new(QemuCloudlet::new(here.jobs("smoketest")?)),
        upload: Box::new(Arc::clone(&destinations)),
        verify: Box::new(Arc::clone(&destinations)),
        promote: Box::new(destinations),
        announce,
    })
}

impl Here<'_> {
    fn jobs(&self, kind: &'static str) -> Result<Jobs> {
        let root = self.settings.jobs(kind);
        std::fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let root = root.canonicalize()?;
        let program = std::env::current_exe().context("cannot find the program itself")?;
        Ok(Jobs { kind, root, program, config: self.config.map(Path::to_owned), ended: self.ended.clone() })
    }
}

/// Lets the engine look at once at a job whose process has ended. Should it be missed, the next look finds it.
async fn look_at_ended(store: &Store, mut ended: UnboundedReceiver<Handle>, wake: Wake) {
    while let Some(handle) = ended.recv().await {
        match store.due_now(&handle).await {
            Ok(()) => wake.drive(),
            Err(error) => tracing::warn!("cannot say that {} has ended: {error:#}", handle.0),
        }
    }
}

async fn serve_pages(listener: TcpListener, pages: axum::Router) -> Result<()> {
    axum::serve(listener, pages).await.context("cannot serve pages")
}

async fn consume(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    (wake, reconnected): (Wake, &Notify),
) -> Result<()> {
    let Some(bus) = &settings.bus else { return std::future::pending().await };
    let sink = |batch: &consumer::Batch| keep(store, batch, &wake);
    // Whoever drops this future ends the consumer; what was not acknowledged comes again.
    consumer::run(bus, clock, sink, |event| tell(event, reconnected), CancellationToken::new()).await
}

/// Keeps a batch durably, so that it may be acknowledged.
fn keep(store: &Store, batch: &consumer::Batch, wake: &Wake) -> impl Future<Output = Result<()>> + use<> {
    let (store, wake) = (store.clone(), wake.clone());
    let (messages, parked) = (batch.messages.clone(), batch.parked.clone());
    async move {
        store.receive(&messages).await?;
        if !parked.is_empty() {
            store.park_deliveries(&parked).await?;
        }
        wake.plan();
        Ok(())
    }
}

fn tell(event: consumer::Event, reconnected: &Notify) {
    match event {
        consumer::Event::Connected => {
            tracing::info!("messages come in from the bus");
            // What was sent while nobody listened is not sent again.
            reconnected.notify_one();
        }
        consumer::Event::Lost(reason, wait) => {
            tracing::warn!(wait_ms = wait.as_millis(), "the bus is away: {reason}");
        }
        consumer::Event::NotKept(reason, wait) => {
            tracing::error!(
                wait_ms = wait.as_millis(),
                "cannot keep messages; they stay on the bus: {reason}"
            );
        }
    }
}

/// Says at the start what cannot work, and goes on: what is broken must not stop the rest. Never returns.
async fn warn_once(settings: &Settings, sources: &Sources, destinations: &Destinations) {
    for check::Fault { about, what } in check::here(settings, sources, destinations).await {
        tracing::warn!("{about}: {what}");
    }
    std::future::pending::<()>().await;
}

async fn reap(store: &Store, settings: &Settings, destinations: &Destinations, clock: &Clock) {
    loop {
        for removed in reaper::reap(store, settings, destinations, clock).await {
            match removed {
                Ok(what) => tracing::info!("removed {what}"),
                Err(error) => tracing::error!("cannot remove what nobody owns: {error:#}"),
            }
        }
        tokio::time::sleep(REAPING).await;
    }
}

async fn told_to_stop() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Announces to nobody, where no bus is configured: the journal and the pages say it all.
struct NoBus;

#[async_trait]
impl Port<Announce> for NoBus {
    async fn ensure(&self, key: &StepKey, _: &Announcement) -> Result<Handle, Fault> {
        Ok(Handle(format!("{key}: no bus is configured")))
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<Announced>, Fault> {
        Ok(Observation::Succeeded(Announced { message_id: handle.0.clone() }))
    }

    async fn cancel(&self, _: &Handle) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_bus_that_is_there_again_has_the_sources_read_and_one_that_is_away_has_not() {
        let reconnected = Notify::new();
        tell(consumer::Event::Lost("it was restarted".to_owned(), Duration::ZERO), &reconnected);
        assert_eq!(reconnected.notified().now_or_never(), None);
        tell(consumer::Event::Connected, &reconnected);
        assert_eq!(reconnected.notified().now_or_never(), Some(()));
    }
}

//! Takes messages from the broker and acknowledges each batch after it was kept durably, never before and never later.
//!
//! The one loop here keeps the connection: a broker that restarts and a cable that is pulled are ordinary. It knows
//! nothing of what a message means.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Connection, Consumer, ExchangeKind};
use tokio_util::sync::CancellationToken;

use super::connection;
use super::settings::{Exchange, Queue, Settings};
use super::wire::{self, Delivered, Read};
use crate::clock::Clock;
use muster_message::{Incoming, Parked};

/// The first wait after a lost connection; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait between two tries to connect: a broker that is back is found within half a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long a batch waits for more after its first message.
const GATHER: Duration = Duration::from_millis(20);

/// How long a connection must have held for the next loss to begin again with the first wait.
const HEALTHY: Duration = Duration::from_mins(1);

/// What came in one go, to be kept in one go.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages.
    pub messages: Vec<Incoming>,
    /// What could not be read.
    pub parked: Vec<Parked>,
}

/// What happened to the connection, for whoever shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Messages come in.
    Connected,
    /// The connection is gone, or could not be made: the reason, and how long we wait.
    Lost(String, Duration),
    /// A batch could not be kept; it stays unacknowledged and is tried again.
    NotKept(String, Duration),
}

/// Consumes until `stop`. Each batch goes to `sink`, which returns once it is durable; then it is acknowledged.
///
/// It returns early only when the settings cannot work.
pub async fn run<S, F>(
    settings: &Settings,
    clock: &Clock,
    sink: S,
    watch: impl Fn(Event),
    stop: CancellationToken,
) -> Result<()>
where
    S: Fn(&Batch) -> F,
    F: Future<Output = Result<()>>,
{
    settings.check()?;
    let mut wait = FIRST_WAIT;
    while !stop.is_cancelled() {
        let begun = tokio::time::Instant::now();
        let session = Session { settings, clock, sink: &sink, watch: &watch };
        let outcome = tokio::select! {
            outcome = session.run() => outcome,
            () = stop.cancelled() => return Ok(()),
        };
        let reason = match outcome {
            Ok(never) => match never {},
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() > HEALTHY {
            wait = FIRST_WAIT;
        }
        watch(Event::Lost(reason, wait));
        let _ = tokio::time::timeout(wait, stop.cancelled()).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    Ok(())
}

/// Deliveries of all queues, each with the number of its queue. A queue has a channel of its own, because "everything
/// up to this one" is said per channel, and only within one consumer is the order known.
type Deliveries = SelectAll<BoxStream<'static, (usize, lapin::Result<Delivery>)>>;

/// Nothing: a session ends only by an error.
enum Never {}

/// One connection, from its opening to its loss.
struct Session<'a, S, W> {
    settings: &'a Settings,
    clock: &'a Clock,
    sink: &'a S,
    watch: &'a W,
}

impl<S, F, W> Session<'_, S, W>
where
    S: Fn(&Batch) -> F,
    F: Future<Output = Result<()>>,
    W: Fn(Event),
{
    async fn run(&self) -> Result<Never> {
        let connection = connection::open(self.settings, "muster: consumer").await?;
        let mut incoming = subscribe(&connection, self.settings).await?;
        (self.watch)(Event::Connected);
        loop {
            let deliveries = self.gather(&mut incoming, &connection).await?;
            let newest: BTreeMap<usize, Acker> =
                deliveries.iter().map(|(queue, delivery)| (*queue, delivery.acker.clone())).collect();
            let batch = self.read(deliveries);
            self.keep(&batch, &connection).await?;
            for acker in newest.into_values() {
                let acknowledged = acker.ack(BasicAckOptions { multiple: true }).await;
                acknowledged.context("cannot acknowledge a batch")?;
            }
        }
    }

    /// The first message and whatever comes close behind it.
    async fn gather(
        &self,
        incoming: &mut Deliveries,
        connection: &Connection,
    ) -> Result<Vec<(usize, Delivery)>> {
        let most = usize::from(self.settings.qos.prefetch_count);
        let mut deliveries = Vec::new();
        let mut until = None;
        while deliveries.len() < most {
            let next = match until {
                None => incoming.next().await,
                Some(until) => match tokio::time::timeout_at(until, incoming.next()).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            let (queue, delivery) = next.ok_or_else(|| ended(connection))?;
            deliveries.push((queue, delivery.context("cannot take a message")?));
            until.get_or_insert_with(|| tokio::time::Instant::now() + GATHER);
        }
        Ok(deliveries)
    }

    fn read(&self, deliveries: Vec<(usize, Delivery)>) -> Batch {
        let now = self.clock.now();
        let mut batch = Batch::default();
        for (_, delivery) in deliveries {
            let delivered = Delivered {
                routing_key: delivery.routing_key.as_str(),
                properties: &delivery.properties,
                body: delivery.data,
            };
            match wire::read(delivered, self.settings, now) {
                Read::Message(message) => batch.messages.push(message),
                Read::Poison(parked) => batch.parked.push(parked),
            }
        }
        batch
    }

    /// Keeps a batch, however long the database is away: to drop the connection would lose what is in a queue that
    /// lives only as long as it does.
    async fn keep(&self, batch: &Batch, connection: &Connection) -> Result<()> {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match (self.sink)(batch).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            (self.watch)(Event::NotKept(format!("{error:#}"), wait));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            if !connection.status().connected() {
                // The broker delivers the batch again; what was kept of it is recognised by its id.
                return Err(ended(connection));
            }
        }
    }
}

fn ended(connection: &Connection) -> anyhow::Error {
    if connection.status().connected() {
        anyhow!("the broker ended the consumer: its queue may have been deleted")
    } else {
        anyhow!("the connection to the broker is gone")
    }
}

/// Declares what is configured, binds it, and begins to consume.
async fn subscribe(connection: &Connection, settings: &Settings) -> Result<Deliveries> {
    let channel = connection.create_channel().await.context("cannot open a channel")?;
    for (name, exchange) in &settings.exchanges {
        declare_exchange(&channel, name, exchange, settings).await?;
    }
    let mut deliveries = SelectAll::new();
    for (number, (name, queue)) in settings.effective_queues().iter().enumerate() {
        let declared = declare_queue(&channel, name, queue, settings).await?;
        bind(&channel, name, &declared, settings).await?;
        let consumer = consume(connection, &declared, settings).await;
        let consumer = consumer.with_context(|| format!("cannot consume from queue {declared:?}"))?;
        deliveries.push(consumer.map(move |delivery| (number, delivery)).boxed());
    }
    channel.close(200, "everything is declared".into()).await.context("cannot close a channel")?;
    Ok(deliveries)
}

async fn bind(channel: &Channel, name: &str, declared: &str, settings: &Settings) -> Result<()> {
    let bindings = settings.effective_bindings();
    let of_queue = bindings.iter().filter(|binding| binding.queue.as_ref().is_none_or(|of| of == name));
    for binding in of_queue {
        let exchange = binding.exchange.as_str();
        for key in &binding.routing_keys {
            let options = QueueBindOptions::default();
            let (queue, from, by) = (declared.into(), exchange.into(), key.as_str().into());
            channel
                .queue_bind(queue, from, by, options, FieldTable::default())
                .await
                .with_context(|| format!("cannot bind queue {declared:?} to {exchange} by {key}"))?;
        }
    }
    Ok(())
}

async fn consume(connection: &Connection, queue: &str, settings: &Settings) -> lapin::Result<Consumer> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(settings.qos.prefetch_count, BasicQosOptions { global: false }).await?;
    let tag = uuid::Uuid::new_v4().to_string();
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), tag.into(), options, FieldTable::default()).await
}

async fn declare_exchange(
    channel: &Channel,
    name: &str,
    exchange: &Exchange,
    settings: &Settings,
) -> Result<()> {
    let kind = match exchange.kind.as_str() {
        "topic" => ExchangeKind::Topic,
        "fanout" => ExchangeKind::Fanout,
        "direct" => ExchangeKind::Direct,
        "headers" => ExchangeKind::Headers,
        other => ExchangeKind::Custom(other.to_owned()),
    };
    let options = ExchangeDeclareOptions {
        passive: settings.passive_declares,
        durable: exchange.durable,
        auto_delete: exchange.auto_delete,
        internal: false,
        nowait: false,
    };
    channel
        .exchange_declare(name.into(), kind, options, connection::table(&exchange.arguments))
        .await
        .with_context(|| format!("cannot declare exchange {name:?}"))
}

/// Declares a queue and returns its name, which the broker chooses when ours is empty.
async fn declare_queue(channel: &Channel, name: &str, queue: &Queue, settings: &Settings) -> Result<String> {
    let options = QueueDeclareOptions {
        passive: settings.passive_declares,
        durable: queue.durable,
        exclusive: queue.exclusive,
        auto_delete: queue.auto_delete,
        nowait: false,
    };
    let declared = channel
        .queue_declare(name.into(), options, connection::table(&queue.arguments))
        .await
        .with_context(|| format!("cannot declare queue {name:?}"))?;
    Ok(declared.name().as_str().to_owned())
}

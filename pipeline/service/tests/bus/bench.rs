//! What the tests stand on: a broker, queues of one test, a consumer that collects, and the Python client.
#![expect(clippy::format_push_string, reason = "a test")]

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use muster::adapters::fedora_messaging::consumer::{self, Batch, Event};
use muster::adapters::fedora_messaging::settings::{Binding, Queue, Settings};
use muster::clock::Clock;
use muster::program::Program;
use muster_message::{Incoming, Parked};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(25);

/// The surroundings of one test: its own prefix and queue on the common broker.
pub struct Bench {
    pub settings: Settings,
    pub queue: String,
    pub folder: tempfile::TempDir,
    // Tests that stop the broker hold it alone, the others together, across processes.
    _broker: File,
}

/// Whether a test needs the broker for itself.
pub enum Hold {
    Shared,
    Alone,
}

pub fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is not set, and this is CI");
        eprintln!("SKIPPED: {name} is not set, so nothing was tested");
    }
    value
}

pub fn python() -> Option<PathBuf> {
    variable("MUSTER_TEST_PYTHON").map(PathBuf::from)
}

pub fn manage() -> Option<PathBuf> {
    variable("MUSTER_TEST_AMQP_MANAGE").map(PathBuf::from)
}

impl Bench {
    pub fn new(hold: &Hold) -> Option<Bench> {
        let amqp_url = variable("MUSTER_TEST_AMQP")?;
        let lock = File::create(std::env::temp_dir().join("muster-test-broker.lock")).unwrap();
        match hold {
            Hold::Shared => lock.lock_shared().unwrap(),
            Hold::Alone => lock.lock().unwrap(),
        }
        let name = uuid::Uuid::new_v4().to_string();
        let topic_prefix = format!("org.{}.prod", &name[..8]);
        let queue = Queue {
            durable: true,
            auto_delete: false,
            exclusive: false,
            // Whatever a test leaves behind goes by itself.
            arguments: toml::from_str("x-expires = 120000").unwrap(),
        };
        let binding = Binding {
            queue: None,
            exchange: "amq.topic".to_owned(),
            routing_keys: vec![format!("{topic_prefix}.#")],
        };
        let settings = Settings {
            amqp_url,
            topic_prefix,
            queues: [(name.clone(), queue)].into(),
            bindings: vec![binding],
            ..Settings::default()
        };
        Some(Bench { settings, queue: name, folder: tempfile::tempdir().unwrap(), _broker: lock })
    }

    pub async fn raw(&self) -> Raw {
        let connection =
            Connection::connect(&self.settings.amqp_url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Raw {
            prefix: self.settings.topic_prefix.clone(),
            queue: self.queue.clone(),
            channel,
            _connection: connection,
        }
    }

    /// Declares the queue of this test, so that nothing is lost before a consumer is there.
    pub async fn declare(&self) {
        let raw = self.raw().await;
        let mut arguments = FieldTable::default();
        arguments.insert("x-expires".into(), lapin::types::AMQPValue::LongInt(120_000));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        raw.channel.queue_declare(self.queue.as_str().into(), options, arguments).await.unwrap();
        let key = format!("{}.#", self.settings.topic_prefix);
        let (queue, exchange) = (self.queue.as_str().into(), "amq.topic".into());
        let options = QueueBindOptions::default();
        raw.channel.queue_bind(queue, exchange, key.into(), options, FieldTable::default()).await.unwrap();
    }

    /// Begins to consume into memory.
    pub fn collect(&self) -> Collector {
        let collected = Arc::new(Mutex::new(Collected::default()));
        let stop = CancellationToken::new();
        let (settings, into, events, token) =
            (self.settings.clone(), collected.clone(), collected.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let sink = |batch: &Batch| {
                let mut collected = into.lock().unwrap();
                collected.batches += 1;
                let refuse = collected.refuse > 0;
                if refuse {
                    collected.refuse -= 1;
                } else {
                    collected.deliveries += batch.messages.len() + batch.parked.len();
                    for message in &batch.messages {
                        // As the inbox does it: by primary key.
                        if collected.messages.iter().all(|known| known.id != message.id) {
                            collected.messages.push(message.clone());
                        }
                    }
                    collected.parked.extend(batch.parked.iter().cloned());
                }
                async move {
                    if refuse {
                        anyhow::bail!("the database is away");
                    }
                    Ok(())
                }
            };
            let watch = |event| events.lock().unwrap().events.push(event);
            consumer::run(&settings, &Clock::system(), sink, watch, token).await.unwrap();
        });
        Collector { collected, stop, task }
    }

    /// Runs one of the Python programs beside this file with the client's configuration for this test.
    pub async fn python(&self, program: &str, args: &[&str], input: &str) -> Vec<Value> {
        let python = python().unwrap();
        let config = self.folder.path().join("client.toml");
        std::fs::write(&config, self.client_config()).unwrap();
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bus");
        let done = Program::new(python)
            .arg(here.join(program))
            .args(args)
            .env("FEDORA_MESSAGING_CONF", &config)
            .env("PYTHONPATH", self.messages_package())
            .input(input)
            .limit(PATIENCE)
            .run()
            .await
            .unwrap();
        done.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    fn client_config(&self) -> String {
        let Settings { amqp_url, topic_prefix, .. } = &self.settings;
        let queue = &self.queue;
        format!(
            r#"
            amqp_url = "{amqp_url}"
            topic_prefix = "{topic_prefix}"
            publish_exchange = "amq.topic"
            passive_declares = false
            [queues.{queue}]
            durable = true
            auto_delete = false
            exclusive = false
            arguments = {{ x-expires = 120000 }}
            [[bindings]]
            queue = "{queue}"
            exchange = "amq.topic"
            routing_keys = ["{topic_prefix}.#"]
            [log_config]
            version = 1
            disable_existing_loggers = true
            "#
        )
    }

    /// Our Python package as if it were installed: its files, and the entry points that its project file declares.
    fn messages_package(&self) -> PathBuf {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/python");
        let source = source.canonicalize().unwrap();
        let site = self.folder.path().join("site");
        let info = site.join("muster_messages-1.0.0.dist-info");
        if info.exists() {
            return site;
        }
        std::fs::create_dir_all(&info).unwrap();
        std::os::unix::fs::symlink(source.join("muster_messages"), site.join("muster_messages")).unwrap();
        let project: toml::Table =
            toml::from_str(&std::fs::read_to_string(source.join("pyproject.toml")).unwrap()).unwrap();
        let mut text = "[fedora.messages]\n".to_owned();
        for (name, object) in project["project"]["entry-points"]["fedora.messages"].as_table().unwrap() {
            text.push_str(&format!("{name} = {}\n", object.as_str().unwrap()));
        }
        std::fs::write(info.join("entry_points.txt"), text).unwrap();
        std::fs::write(
            info.join("METADATA"),
            "Metadata-Version: 2.1\nName: muster-messages\nVersion: 1.0.0\n",
        )
        .unwrap();
        site
    }
}

/// A publisher that sends whatever it is told.
pub struct Raw {
    prefix: String,
    queue: String,
    pub channel: lapin::Channel,
    _connection: Connection,
}

impl Raw {
    pub async fn send(&self, topic: &str, body: &[u8], properties: BasicProperties) {
        let key = format!("{}.{topic}", self.prefix);
        let options = BasicPublishOptions::default();
        let sent = self.channel.basic_publish("amq.topic".into(), key.into(), options, body, properties);
        assert!(sent.await.unwrap().await.unwrap().is_ack());
    }

    /// How many messages wait in the queue of the test, and are not being delivered.
    pub async fn waiting(&self) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare(self.queue.as_str().into(), options, FieldTable::default());
        queue.await.unwrap().message_count()
    }
}

/// The properties of an ordinary message.
pub fn ordinary(id: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    let text = |text: &str| lapin::types::AMQPValue::LongString(text.into());
    headers.insert("fedora_messaging_schema".into(), text("base.message"));
    headers.insert("fedora_messaging_severity".into(), lapin::types::AMQPValue::LongInt(20));
    headers.insert("sent-at".into(), text("2026-11-21T09:04:35+00:00"));
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_message_id(id.into())
        .with_headers(headers)
}

/// What a consumer has taken so far.
#[derive(Default)]
pub struct Collected {
    pub messages: Vec<Incoming>,
    pub parked: Vec<Parked>,
    pub deliveries: usize,
    pub batches: usize,
    pub events: Vec<Event>,
    /// How many batches are still to be refused.
    pub refuse: usize,
}

/// A consumer at work.
pub struct Collector {
    pub collected: Arc<Mutex<Collected>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Collector {
    pub async fn until(&self, what: &str, is_so: impl Fn(&Collected) -> bool) {
        let begun = std::time::Instant::now();
        while !is_so(&self.collected.lock().unwrap()) {
            {
                let collected = self.collected.lock().unwrap();
                let (messages, parked) = (collected.messages.len(), collected.parked.len());
                assert!(
                    begun.elapsed() < PATIENCE,
                    "waited in vain for {what}: {messages} messages, {parked} parked, {:?}",
                    collected.events
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn end(self) -> Collected {
        self.stop.cancel();
        self.task.await.unwrap();
        std::mem::take(&mut *self.collected.lock().unwrap())
    }
}

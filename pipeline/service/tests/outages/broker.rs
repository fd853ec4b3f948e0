//! RabbitMQ stops and starts while the service is at work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use muster::clock::Clock;
use muster::program::Program;
use muster::store::Store;
use muster_lab::database;

use crate::site::{Site, given};

/// The queue of somebody who hears what we say, and the one that we read.
struct Queues {
    url: String,
    prefix: String,
    heard: String,
    read: String,
}

impl Queues {
    async fn channel(&self) -> (Connection, Channel) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        (connection, channel)
    }

    async fn declare(&self) {
        let (_connection, channel) = self.channel().await;
        for (name, keys) in [(&self.heard, "muster.#"), (&self.read, "buildsys.#")] {
            let mut arguments = FieldTable::default();
            arguments.insert("x-expires".into(), AMQPValue::LongInt(300_000));
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(name.as_str().into(), durable, arguments).await.unwrap();
            let key = format!("{}.{keys}", self.prefix);
            let options = QueueBindOptions::default();
            let bound = channel.queue_bind(
                name.as_str().into(),
                "amq.topic".into(),
                key.into(),
                options,
                FieldTable::default(),
            );
            bound.await.unwrap();
        }
    }

    /// Somebody tells of a build.
    async fn tell(&self, id: &str) {
        let (_connection, channel) = self.channel().await;
        let mut headers = FieldTable::default();
        headers.insert("fedora_messaging_schema".into(), AMQPValue::LongString("base.message".into()));
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_message_id(id.into())
            .with_headers(headers);
        let key = format!("{}.buildsys.tag", self.prefix);
        let body = br#"{"name": "hello", "version": "2.10", "release": "3.mm43", "tag": "f43-updates", "build_id": 1, "tag_id": 1, "instance": "primary", "user": "ada", "owner": "ada"}"#;
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish("amq.topic".into(), key.into(), options, body, properties);
        assert!(sent.await.unwrap().await.unwrap().is_ack());
    }

    /// The ids of all messages that were heard, and how often each was.
    async fn heard(&self) -> BTreeMap<String, u32> {
        let (_connection, channel) = self.channel().await;
        let mut heard = BTreeMap::new();
        let get = async || {
            let options = BasicGetOptions { no_ack: true };
            channel.basic_get(self.heard.as_str().into(), options).await.unwrap()
        };
        while let Some(message) = get().await {
            let id = message.delivery.properties.message_id().as_ref().unwrap().as_str().to_owned();
            *heard.entry(id).or_default() += 1;
        }
        heard
    }

    /// The `[bus]` of the service.
    fn settings(&self) -> String {
        let Queues { url, prefix, read, .. } = self;
        format!(
            r#"
[bus]
amqp_url = "{url}"
topic_prefix = "{prefix}"
[bus.queues.{read}]
durable = true
auto_delete = false
exclusive = false
arguments = {{ x-expires = 300000 }}
[[bus.bindings]]
queue = "{read}"
exchange = "amq.topic"
routing_keys = ["{prefix}.buildsys.#"]
"#
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stops_and_starts_under_the_service_costs_time_and_no_message() {
    let (Some(url), Some(manage)) = (given("MUSTER_TEST_AMQP"), given("MUSTER_TEST_AMQP_MANAGE")) else {
        return;
    };
    // The other tests that talk to the broker wait meanwhile, in whatever process they are.
    let lock = File::create(std::env::temp_dir().join("muster-test-broker.lock")).unwrap();
    lock.lock().unwrap();
    let name = uuid::Uuid::new_v4().simple().to_string();
    let queues = Queues {
        url,
        prefix: format!("org.{}.prod", &name[..8]),
        heard: format!("heard-{name}"),
        read: format!("read-{name}"),
    };
    queues.declare().await;
    let database = database::sqlite().unwrap();
    let Some(site) = Site::new(|_| database.url.clone(), &queues.settings()) else { return };
    let store = Store::open(&database.url, Clock::system()).await.unwrap();
    let manage = async |what: &str| {
        Program::new(&manage).arg(what).limit(Duration::from_mins(2)).run().await.unwrap();
    };
    let mut service = site.serve();
    let weighed = async |id: &str| {
        let is_it = |seen: &muster::store::SeenChange| seen.change.id == id;
        site.until(id, async || store.changes(100).await.unwrap().iter().any(is_it).then_some(())).await;
    };
    queues.tell("before").await;
    weighed("before").await;

    site.release().await;
    let job = site.until_at_work("build").await;
    manage("stop").await;
    assert!(!job.join("result.json").exists(), "the build was over before the broker stopped");
    // The build and the boot come to their ends, and nobody can be told.
    let waiting = async || {
        let rows = store.open_step_rows().await.unwrap();
        rows.into_iter().find(|row| row.kind == "announce" && row.attempt > 1)
    };
    let waiting = site.until("a message that has to wait", waiting).await;
    assert!(waiting.note.contains("cannot connect"), "{waiting:?}");
    assert!(!service.has_ended(), "{}", site.log());
    manage("start").await;

    let candidate = site.until_published(&store).await;
    site.expect_published_once(&store, &candidate).await;
    site.expect_no_second_try(&store, &candidate).await;
    // Nothing that was said is lost; and what was said twice is seen to be the same, by its id.
    let said: BTreeSet<String> =
        candidate.announcements().map(|step| step.output().unwrap().message_id.clone()).collect();
    let heard = queues.heard().await;
    assert_eq!(heard.into_keys().collect::<BTreeSet<_>>(), said);
    queues.tell("after").await;
    weighed("after").await;
    assert!(!service.has_ended(), "{}", site.log());
    service.kill().await;
}

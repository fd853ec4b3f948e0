//! The `[bus]` section: the keys that users of fedora-messaging know from its TOML, with the same meaning.
//!
//! Where we differ from that client, the key says so. Nothing here talks to a broker.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Deserialize;

/// The topics that mean something to us, which is what is bound when no binding is configured.
const TOPICS: [&str; 10] = [
    "#.buildsys.tag",
    "#.buildsys.untag",
    "#.buildsys.build.state.change",
    "#.buildsys.repo.done",
    "#.git.receive",
    "#.git.receive.#",
    "#.pagure.git.receive",
    "#.forgejo.push",
    "#.github.push",
    "#.pungi.compose.status.change",
];

/// The name of the queue that is declared when none is configured. It is durable, so that nothing that is said while
/// we are away is lost; the client of fedora-messaging makes a queue that dies with its connection.
const QUEUE: &str = "muster";

/// The bus.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the broker is: `amqp://` or `amqps://`, with user, password and virtual host.
    pub amqp_url: String,
    /// Whether queues and exchanges are there already and are only looked at.
    pub passive_declares: bool,
    /// The exchange that messages are sent to.
    pub publish_exchange: String,
    /// What stands before each topic, such as `org.fedoraproject.prod`.
    pub topic_prefix: String,
    /// The priority of what we send; none by default.
    pub publish_priority: Option<u8>,
    /// What to do with a message of ours that no queue is bound to.
    pub unroutable: Unroutable,
    /// Seconds that the broker may take to confirm a message.
    pub publish_timeout_s: u64,
    /// Certificates, for `amqps://`.
    pub tls: Tls,
    /// What the broker's operator sees of us beside our name and version.
    pub client_properties: BTreeMap<String, String>,
    /// Exchanges to declare, by name.
    pub exchanges: BTreeMap<String, Exchange>,
    /// Queues to declare and consume from, by name. An empty name lets the broker choose one.
    pub queues: BTreeMap<String, Queue>,
    /// What comes into the queues.
    pub bindings: Vec<Binding>,
    /// How far the broker may run ahead of us.
    pub qos: Qos,
    /// Bytes of the largest body that is read; a larger one is parked.
    pub max_body_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            amqp_url: "amqp://127.0.0.1:5672/%2F".to_owned(),
            passive_declares: false,
            publish_exchange: "amq.topic".to_owned(),
            topic_prefix: String::new(),
            publish_priority: None,
            unroutable: Unroutable::Retry,
            publish_timeout_s: 30,
            tls: Tls::default(),
            client_properties: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            queues: BTreeMap::new(),
            bindings: Vec::new(),
            qos: Qos::default(),
            max_body_bytes: 4 << 20,
        }
    }
}

/// What to do with a message of ours that no queue is bound to. The broker confirms such a message and drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unroutable {
    /// It is sent again later: somebody is meant to listen, and is not there yet.
    Retry,
    /// It is sent, and nobody listens.
    Accept,
}

/// Certificates, each a PEM file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Who signed the broker's certificate; the system's authorities are believed as well.
    pub ca_cert: Option<PathBuf>,
    /// The private key of the client's certificate.
    pub keyfile: Option<PathBuf>,
    /// The client's certificate.
    pub certfile: Option<PathBuf>,
}

/// An exchange.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    /// `topic`, `fanout`, `direct` or `headers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it goes with the last queue bound to it.
    pub auto_delete: bool,
    /// What the broker makes of it.
    pub arguments: toml::Table,
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange {
            kind: "topic".to_owned(),
            durable: true,
            auto_delete: false,
            arguments: toml::Table::new(),
        }
    }
}

/// A queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// Whether it belongs to one connection and goes with it.
    pub exclusive: bool,
    /// What the broker makes of it, such as `x-queue-type`.
    pub arguments: toml::Table,
}

/// What comes into a queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The queue; every queue when there is none.
    #[serde(default)]
    pub queue: Option<String>,
    /// The exchange.
    pub exchange: String,
    /// The topics, with `*` for a word and `#` for any number of words.
    pub routing_keys: Vec<String>,
}

/// How far the broker may run ahead of us.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Qos {
    /// Bytes; RabbitMQ knows only 0, which is no limit.
    pub prefetch_size: u32,
    /// Messages. It bounds the batch that is stored at once, too, which is why it is higher here than the 10 that the
    /// client of fedora-messaging has.
    pub prefetch_count: u16,
}

impl Default for Qos {
    fn default() -> Self {
        Qos { prefetch_size: 0, prefetch_count: 500 }
    }
}

impl Settings {
    /// The topics of a message, with what stands before each of ours.
    pub fn routing_key(&self, topic: &str) -> String {
        match self.topic_prefix.trim_end_matches('.') {
            "" => topic.to_owned(),
            prefix => format!("{prefix}.{topic}"),
        }
    }

    /// The topic of a message as it is known to us: without what this deployment puts before it.
    pub fn topic<'a>(&self, routing_key: &'a str) -> &'a str {
        let prefix = self.topic_prefix.trim_end_matches('.');
        let rest = routing_key.strip_prefix(prefix).filter(|_| !prefix.is_empty());
        rest.and_then(|rest| rest.strip_prefix('.')).unwrap_or(routing_key)
    }

    /// The binding that lets a message of a topic into a queue of ours; none, when the broker keeps it from us.
    pub fn binding_of(&self, routing_key: &str) -> Option<String> {
        let words: Vec<&str> = routing_key.split('.').collect();
        let mut keys = self.effective_bindings().into_iter().flat_map(|binding| binding.routing_keys);
        keys.find(|key| fits(&key.split('.').collect::<Vec<_>>(), &words))
    }

    /// Whether a topic begins with what this deployment puts before each, if it does so at all.
    pub fn is_ours(&self, routing_key: &str) -> bool {
        self.topic_prefix.trim_matches('.').is_empty() || self.topic(routing_key) != routing_key
    }

    /// The queues that are declared and consumed from.
    pub fn effective_queues(&self) -> BTreeMap<String, Queue> {
        if !self.queues.is_empty() {
            return self.queues.clone();
        }
        let queue =
            Queue { durable: true, auto_delete: false, exclusive: false, arguments: toml::Table::new() };
        BTreeMap::from([(QUEUE.to_owned(), queue)])
    }

    /// What is bound to the queues.
    pub fn effective_bindings(&self) -> Vec<Binding> {
        if !self.bindings.is_empty() {
            return self.bindings.clone();
        }
        let routing_keys = TOPICS.map(str::to_owned).to_vec();
        vec![Binding { queue: None, exchange: "amq.topic".to_owned(), routing_keys }]
    }

    /// Looks for what cannot work, without talking to the broker.
    pub fn check(&self) -> Result<()> {
        if self.tls.keyfile.is_some() != self.tls.certfile.is_some() {
            bail!("bus.tls: keyfile and certfile belong together, and one is missing");
        }
        if self.qos.prefetch_size != 0 {
            bail!("bus.qos.prefetch_size: RabbitMQ knows only 0");
        }
        if self.qos.prefetch_count == 0 {
            bail!("bus.qos.prefetch_count: 0 would let the broker send everything at once; set a number");
        }
        let queues = self.effective_queues();
        for binding in &self.bindings {
            if let Some(queue) = &binding.queue
                && !queues.contains_key(queue)
            {
                bail!("bus.bindings: there is no queue {queue:?} under bus.queues");
            }
        }
        let reserved = ["product", "information", "version"];
        if let Some(key) = self.client_properties.keys().find(|key| reserved.contains(&key.as_str())) {
            bail!("bus.client_properties.{key}: this one we set ourselves");
        }
        let names = queues.keys().chain(self.exchanges.keys());
        let keys = self.bindings.iter().flat_map(|binding| &binding.routing_keys);
        if let Some(long) = names.chain(keys).find(|name| name.len() > 255) {
            bail!("bus: {long:?} is longer than the 255 bytes that AMQP allows");
        }
        // The longest topic of ours is far shorter than this.
        if self.topic_prefix.len() > 200 {
            bail!("bus.topic_prefix: it is longer than 200 bytes");
        }
        Ok(())
    }
}

/// Whether a topic fits what a queue is bound by: `*` stands for a word, `#` for any number of them.
fn fits(key: &[&str], topic: &[&str]) -> bool {
    match (key, topic) {
        ([], topic) => topic.is_empty(),
        (["#", rest @ ..], _) => (0..=topic.len()).any(|skipped| fits(rest, &topic[skipped..])),
        (_, []) => false,
        ([word, rest @ ..], [first, others @ ..]) => (*word == "*" || word == first) && fits(rest, others),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_python_client_is_understood() {
        let settings: Settings = toml::from_str(
            r##"
            amqp_url = "amqps://fedora:@rabbitmq.example.org/%2Fpublic_pubsub"
            passive_declares = true
            publish_exchange = "amq.topic"
            topic_prefix = "org.example.prod"
            publish_priority = 2
            [tls]
            ca_cert = "/etc/fedora-messaging/cacert.pem"
            keyfile = "/etc/fedora-messaging/fedora-key.pem"
            certfile = "/etc/fedora-messaging/fedora-cert.pem"
            [client_properties]
            app = "Example"
            [exchanges."amq.topic"]
            type = "topic"
            durable = true
            auto_delete = false
            arguments = {}
            [queues.00000000-0000-0000-0000-000000000000]
            durable = false
            auto_delete = true
            exclusive = true
            arguments = {}
            [[bindings]]
            queue = "00000000-0000-0000-0000-000000000000"
            exchange = "amq.topic"
            routing_keys = ["#"]
            [qos]
            prefetch_size = 0
            prefetch_count = 25
            "##,
        )
        .unwrap();
        settings.check().unwrap();
        assert_eq!(settings.routing_key("muster.build.complete"), "org.example.prod.muster.build.complete");
        assert_eq!(settings.topic("org.example.prod.buildsys.tag"), "buildsys.tag");
        assert_eq!(settings.topic("org.example.production.tag"), "org.example.production.tag");
    }

    #[test]
    fn a_binding_lets_in_what_the_broker_would() {
        let bound = |keys: &[&str], topic: &str| {
            let routing_keys = keys.iter().map(|key| (*key).to_owned()).collect();
            let binding = Binding { queue: None, exchange: "amq.topic".to_owned(), routing_keys };
            Settings { bindings: vec![binding], ..Settings::default() }.binding_of(topic)
        };
        let tag = "org.example.prod.buildsys.tag";
        for key in ["#", "#.buildsys.tag", "org.example.*.buildsys.tag", "org.#.tag", "#.#", tag] {
            assert_eq!(bound(&["x", key], tag).as_deref(), Some(key));
        }
        for key in
            ["", "*", "org.example.stg.#", "*.buildsys.tag", "#.buildsys", "org.example.prod.buildsys.tag.*"]
        {
            assert_eq!(bound(&[key], tag), None, "{key}");
        }
        assert_eq!(Settings::default().binding_of("buildsys.tag").as_deref(), Some("#.buildsys.tag"));
        assert_eq!(Settings::default().binding_of("org.example.prod.bodhi.update.comment"), None);
    }

    #[test]
    fn a_queue_must_say_what_it_is_and_a_binding_must_name_one_that_is_there() {
        let error = toml::from_str::<Settings>("[queues.a]\ndurable = true").unwrap_err().to_string();
        assert!(error.contains("auto_delete"), "{error}");
        let text = "[[bindings]]\nqueue = \"b\"\nexchange = \"amq.topic\"\nrouting_keys = [\"#\"]";
        let settings: Settings = toml::from_str(text).unwrap();
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "bus.bindings: there is no queue \"b\" under bus.queues"
        );
    }
}

//! One message in AMQP, as fedora-messaging lays it out: read with suspicion, written as that client writes it.
//!
//! Pure: bytes and properties in, a message or the reason why there is none out.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use muster_flow::announce::Announcement;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Settings;
use super::mend::SUBSTITUTE;
use muster_message::{Incoming, Parked, schemas};

/// The severities that fedora-messaging knows: debug, info, warning, error.
const SEVERITIES: [i64; 4] = [10, 20, 30, 40];

/// How urgent what we say is: plain information.
const INFO: i32 = 20;

/// The space in which ids are made: for messages that came without one, and for the ones we send.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d75_7374_6572_5f6d_8e5a_7361_6765_5f69);

/// What a delivery turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// A message.
    Message(Incoming),
    /// Something that is none, with the reason.
    Poison(Parked),
}

/// What the broker delivered.
#[derive(Debug)]
pub struct Delivered<'a> {
    /// The routing key.
    pub routing_key: &'a str,
    /// The properties.
    pub properties: &'a BasicProperties,
    /// The body.
    pub body: Vec<u8>,
}

/// Reads one delivery. Whatever it holds, the answer is a message or a reason.
pub fn read(delivered: Delivered<'_>, settings: &Settings, now: Timestamp) -> Read {
    let Delivered { routing_key, properties, body } = delivered;
    let topic = clean(settings.topic(routing_key));
    let headers = headers(properties);
    let headers_text = Value::Object(headers.clone()).to_string();
    let id = match properties.message_id().as_ref().map(|id| clean(id.as_str())) {
        // Two that are no text would be taken for one.
        Some(id) if !id.is_empty() && is_text(&id) => id,
        Some(_) | None => id_of_content(&topic, &headers_text, &body),
    };
    let odd = odd_text(&topic, properties, &headers);
    let sent_at = headers.get("sent-at").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let checked = match odd {
        Some(what) => Err((format!("{what} is not UTF-8"), body)),
        None => check(&topic, properties, &headers, body, settings.max_body_bytes),
    };
    match checked {
        Ok(body) => Read::Message(Incoming { id, topic, headers: headers_text, body, sent_at }),
        Err((reason, body)) => {
            Read::Poison(Parked { id, topic, reason, headers: headers_text, body, received: now })
        }
    }
}

/// Which of the texts that AMQP wants in UTF-8 came as something else. `mend` has marked where.
fn odd_text(topic: &str, properties: &BasicProperties, headers: &Map<String, Value>) -> Option<&'static str> {
    let id = properties.message_id().as_ref().is_some_and(|id| !is_text(id.as_str()));
    let odd = [
        (id, "its id"),
        (!is_text(topic), "its topic"),
        (headers.keys().any(|key| !is_text(key)), "the name of a header"),
    ];
    odd.into_iter().find_map(|(is_odd, what)| is_odd.then_some(what))
}

fn is_text(text: &str) -> bool {
    !text.as_bytes().contains(&SUBSTITUTE)
}

/// The body as JSON text, or the reason and the body as it came.
fn check(
    topic: &str,
    properties: &BasicProperties,
    headers: &Map<String, Value>,
    body: Vec<u8>,
    limit: usize,
) -> Result<String, (String, Vec<u8>)> {
    if body.len() > limit {
        return Err((format!("its body has {} bytes, and the limit is {limit}", body.len()), body));
    }
    if let Some(encoding) = properties.content_encoding() {
        let encoding = encoding.as_str();
        if !["utf-8", "utf8", "us-ascii", "ascii", ""].contains(&encoding.to_ascii_lowercase().as_str()) {
            return Err((format!("its content encoding {encoding:?} is not utf-8"), body));
        }
    }
    if let Err(reason) = check_headers(headers) {
        return Err((reason, body));
    }
    let text = String::from_utf8(body)
        .map_err(|error| (format!("its body is not UTF-8: {}", error.utf8_error()), error.into_bytes()))?;
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => return Err((format!("its body is not JSON: {error}"), text.into_bytes())),
    };
    if !value.is_object() {
        return Err((format!("its body is {}, not an object", kind(&value)), text.into_bytes()));
    }
    match schemas::check(topic, &value) {
        Ok(()) => Ok(text),
        Err(reason) => Err((reason, text.into_bytes())),
    }
}

fn check_headers(headers: &Map<String, Value>) -> Result<(), String> {
    if let Some(severity) = headers.get("fedora_messaging_severity")
        && !severity.as_i64().is_some_and(|severity| SEVERITIES.contains(&severity))
    {
        return Err(format!("its severity {severity} is none of 10, 20, 30, 40"));
    }
    match headers.get("sent-at") {
        Some(Value::String(_)) | None => Ok(()),
        Some(other) => Err(format!("its sent-at header is {}, not text", kind(other))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// PostgreSQL keeps no NUL in a text; no honest topic or id holds one.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn id_of_content(topic: &str, headers: &str, body: &[u8]) -> String {
    let content = [topic.as_bytes(), headers.as_bytes(), body].join(&0);
    Uuid::new_v5(&NAMESPACE, &content).to_string()
}

fn headers(properties: &BasicProperties) -> Map<String, Value> {
    properties.headers().as_ref().map(json_table).unwrap_or_default()
}

fn json_table(table: &FieldTable) -> Map<String, Value> {
    table.inner().iter().map(|(key, value)| (clean(key.as_str()), json_value(value))).collect()
}

fn json_value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(yes) => Value::from(*yes),
        AMQPValue::ShortShortInt(number) => Value::from(*number),
        AMQPValue::ShortShortUInt(number) => Value::from(*number),
        AMQPValue::ShortInt(number) => Value::from(*number),
        AMQPValue::ShortUInt(number) => Value::from(*number),
        AMQPValue::LongInt(number) => Value::from(*number),
        AMQPValue::LongUInt(number) => Value::from(*number),
        AMQPValue::LongLongInt(number) => Value::from(*number),
        AMQPValue::Float(number) => Value::from(*number),
        AMQPValue::Double(number) => Value::from(*number),
        AMQPValue::DecimalValue(number) => Value::from(format!("{}e-{}", number.value, number.scale)),
        AMQPValue::ShortString(text) => Value::from(clean(text.as_str())),
        AMQPValue::LongString(text) => Value::from(clean(&String::from_utf8_lossy(text.as_bytes()))),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(json_value).collect(),
        AMQPValue::Timestamp(seconds) => Value::from(*seconds),
        AMQPValue::FieldTable(table) => Value::Object(json_table(table)),
        AMQPValue::ByteArray(bytes) => Value::from(clean(&String::from_utf8_lossy(bytes.as_slice()))),
        AMQPValue::Void => Value::Null,
    }
}

/// The id of the message that a step sends: the same for every try, so that a duplicate is recognisable, and another one
/// for whatever else another installation, or this one with a new database, has to say under the same key.
pub fn id_of_step(key: &str, announcement: &Announcement, settings: &Settings) -> String {
    let said = serde_json::to_vec(announcement).unwrap_or_default();
    let content = [settings.routing_key(announcement.topic()).as_bytes(), key.as_bytes(), &said].join(&0);
    Uuid::new_v5(&NAMESPACE, &content).to_string()
}

/// The properties of a message of ours, as the client of fedora-messaging sets them.
pub fn properties(
    id: &str,
    announcement: &Announcement,
    settings: &Settings,
    now: Timestamp,
) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut text = |key: &str, value: &str| {
        headers.insert(key.into(), AMQPValue::LongString(value.into()));
    };
    text("fedora_messaging_schema", schemas::name(announcement));
    text("fedora_messaging_schema_package", schemas::PACKAGE);
    text("sent-at", &now.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string());
    let priority = settings.publish_priority.unwrap_or(0);
    headers.insert("fedora_messaging_severity".into(), AMQPValue::LongInt(INFO));
    headers.insert("priority".into(), AMQPValue::LongInt(i32::from(priority)));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_message_id(id.into())
        .with_headers(headers);
    match settings.publish_priority {
        Some(priority) => properties.with_priority(priority),
        None => properties,
    }
}

/// The body of a message of ours: the content of the announcement.
pub fn body(announcement: &Announcement) -> serde_json::Result<Vec<u8>> {
    match announcement {
        Announcement::Build(body) => serde_json::to_vec(body),
        Announcement::Smoketest(body) => serde_json::to_vec(body),
        Announcement::Verdict(body) => serde_json::to_vec(body),
        Announcement::Image(body) => serde_json::to_vec(body),
        Announcement::Stream(body) => serde_json::to_vec(body),
        Announcement::Candidate(body) => serde_json::to_vec(body),
    }
}

#[cfg(test)]
mod tests {
    use muster_flow::announce::{CandidateAnnouncement, Subject};

    use super::*;

    fn ended(outcome: &str) -> Announcement {
        let word = |word: &str| word.to_owned();
        let subject = Subject {
            candidate: word("base/43.20261121.0"),
            recipe: word("base"),
            version: word("43.20261121.0"),
            purpose: word("scratch"),
        };
        Announcement::Candidate(CandidateAnnouncement {
            subject,
            outcome: word(outcome),
            reason: String::new(),
        })
    }

    #[test]
    fn an_id_stands_for_one_thing_said_by_one_deployment() {
        let production = Settings { topic_prefix: "org.production".to_owned(), ..Settings::default() };
        let staging = Settings { topic_prefix: "org.staging".to_owned(), ..Settings::default() };
        let id = id_of_step("base/43.20261121.0/announce/end", &ended("cancelled"), &production);
        assert_eq!(id, id_of_step("base/43.20261121.0/announce/end", &ended("cancelled"), &production));
        assert_ne!(id, id_of_step("base/43.20261121.0/announce/end", &ended("superseded"), &production));
        assert_ne!(id, id_of_step("base/43.20261121.0/announce/end", &ended("cancelled"), &staging));
        assert_ne!(id, id_of_step("base/43.20261121.0/announce/end#2", &ended("cancelled"), &production));
    }
}

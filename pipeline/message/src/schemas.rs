//! The schemas of the messages we send, and of what we need of those that others send. Compiled once.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use muster_flow::announce::Announcement;
use serde_json::Value;

use crate::topic::Subject;

/// The Python package that has the schema classes of our messages.
pub const PACKAGE: &str = "muster_messages";

/// The name of a message's schema: the entry point that the client of fedora-messaging looks up.
pub fn name(announcement: &Announcement) -> &'static str {
    match announcement {
        Announcement::Build(_) => "muster.build.complete.v1",
        Announcement::Smoketest(_) => "muster.smoketest.complete.v1",
        Announcement::Verdict(_) => "muster.candidate.verdict.v1",
        Announcement::Image(_) => "muster.image.published.v1",
        Announcement::Stream(_) => "muster.stream.promoted.v1",
        Announcement::Candidate(_) => "muster.candidate.ended.v1",
    }
}

macro_rules! schema {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/", $file, ".json"))
    };
}

/// Our topics with the schemas of their messages.
pub const OURS: [(&str, &str); 6] = [
    ("muster.build.complete", schema!("muster.build.complete.v1")),
    ("muster.smoketest.complete", schema!("muster.smoketest.complete.v1")),
    ("muster.candidate.verdict", schema!("muster.candidate.verdict.v1")),
    ("muster.image.published", schema!("muster.image.published.v1")),
    ("muster.stream.promoted", schema!("muster.stream.promoted.v1")),
    ("muster.candidate.ended", schema!("muster.candidate.ended.v1")),
];

const THEIRS: [(Subject, &str); 9] = [
    (Subject::Tag, schema!("upstream/buildsys.tag")),
    (Subject::Untag, schema!("upstream/buildsys.tag")),
    (Subject::BuildState, schema!("upstream/buildsys.build.state.change")),
    (Subject::RepoDone, schema!("upstream/buildsys.repo.done")),
    (Subject::DistGit, schema!("upstream/git.receive")),
    (Subject::Pagure, schema!("upstream/pagure.git.receive")),
    (Subject::Forgejo, schema!("upstream/webhook.push")),
    (Subject::Github, schema!("upstream/webhook.push")),
    (Subject::Compose, schema!("upstream/pungi.compose.status.change")),
];

static BY_TOPIC: LazyLock<HashMap<&'static str, Validator>> =
    LazyLock::new(|| OURS.iter().filter_map(|(topic, text)| Some((*topic, compile(text)?))).collect());

static BY_SUBJECT: LazyLock<HashMap<Subject, Validator>> =
    LazyLock::new(|| THEIRS.iter().filter_map(|(subject, text)| Some((*subject, compile(text)?))).collect());

/// A test sees to it that each of them compiles.
fn compile(text: &str) -> Option<Validator> {
    jsonschema::validator_for(&serde_json::from_str(text).ok()?).ok()
}

/// Whether a body fits the schema that its topic calls for; a topic without a schema fits.
///
/// The topic decides and not the header that names a schema: Koji sends some messages under the base schema when they
/// do not fit their own.
pub fn check(topic: &str, body: &Value) -> Result<(), String> {
    let validator = match Subject::of(topic) {
        Some(subject) => BY_SUBJECT.get(&subject),
        None => BY_TOPIC.get(topic),
    };
    let Some(validator) = validator else { return Ok(()) };
    let body = if Subject::of(topic).is_some() { crate::unwrapped(body) } else { body };
    match validator.validate(body) {
        Ok(()) => Ok(()),
        Err(error) => {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "its body".to_owned() } else { place };
            let mut reason = format!("it does not fit the schema of {topic}: {place}: {error}");
            if let Some((end, _)) = reason.char_indices().nth(400) {
                reason.truncate(end);
            }
            Err(reason)
        }
    }
}

/// Whether a message of ours fits its own schema: we send nothing that a consumer would throw away.
pub fn check_ours(announcement: &Announcement) -> Result<(), String> {
    let message = serde_json::to_value(announcement).map_err(|error| error.to_string())?;
    check(announcement.topic(), message.get("body").unwrap_or(&Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_compiles() {
        assert_eq!((BY_TOPIC.len(), BY_SUBJECT.len()), (OURS.len(), THEIRS.len()));
    }
}

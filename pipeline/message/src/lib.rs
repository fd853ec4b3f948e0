//! What a message on the bus says happened: from its topic and body to changes.
//!
//! Pure, and to be used on whatever strangers send: nothing in a body can make it fail otherwise than by an answer.
//! It knows the shapes that Koji, the forges and pungi use. It must not know who asks, nor believe what it reads:
//! `intake` reads it again from its source.

pub mod schemas;
pub mod topic;
mod koji;
mod forge;
mod pungi;

use jiff::Timestamp;
use muster_flow::change::What;
use muster_flow::words;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use topic::Subject;

/// A message that could be read as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// Its id, by which a second delivery is recognised.
    pub id: String,
    /// Its topic, without the deployment's prefix.
    pub topic: String,
    /// Its headers, as JSON.
    pub headers: String,
    /// Its body, as JSON.
    pub body: String,
    /// When it was sent, if it says so.
    pub sent_at: Option<Timestamp>,
}

/// A message that nobody could read, kept for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Its id, or one made of its content.
    pub id: String,
    /// Its topic, without the deployment's prefix.
    pub topic: String,
    /// Why it could not be read, in one line.
    pub reason: String,
    /// Its headers, as JSON.
    pub headers: String,
    /// Its body as it came.
    pub body: Vec<u8>,
    /// When it came.
    pub received: Timestamp,
}

/// A message whose topic we know and whose body lacks what we need.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} message needs {needs}", words::a(subject))]
pub struct Undecodable {
    /// What the topic is about.
    pub subject: &'static str,
    /// What is missing or has another shape.
    pub needs: &'static str,
}

/// The changes that a message speaks of. None, when its topic is not ours or it says nothing that matters.
pub fn decode(topic: &str, body: &Value) -> Result<Vec<What>, Undecodable> {
    let Some(subject) = Subject::of(topic) else { return Ok(Vec::new()) };
    let body = unwrapped(body);
    let what = match subject {
        Subject::Tag => koji::tag(body).map(Some),
        Subject::Untag => koji::untag(body).map(Some),
        Subject::BuildState => koji::build_state(body),
        Subject::RepoDone => koji::repo_done(body).map(Some),
        Subject::RepoInit => Ok(None),
        Subject::DistGit => forge::dist_git(body),
        Subject::Pagure => forge::pagure(body),
        Subject::Forgejo | Subject::Github => forge::webhook(body),
        Subject::Compose => pungi::status(body),
    };
    match what {
        Ok(what) => Ok(what.into_iter().collect()),
        Err(needs) => Err(Undecodable { subject: subject.words(), needs }),
    }
}

/// The body proper: messages that were bridged from the older fedmsg carry theirs below `msg`.
pub(crate) fn unwrapped(body: &Value) -> &Value {
    match (body.get("msg"), body.get("msg_id")) {
        (Some(inner @ Value::Object(_)), Some(_)) => inner,
        _ => body,
    }
}

/// A text that is there and not empty.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;

//! The types of the store, until it is here.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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

/// A change with what it was weighed to do.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// The message in the inbox that it came by, if it came by one.
    pub message: Option<String>,
    /// The change; a message may bring none.
    pub change: Option<muster_flow::change::Change>,
    /// The recipes it touches, or why there are none.
    pub touches: std::result::Result<Vec<muster_flow::relevance::Touch>, String>,
}

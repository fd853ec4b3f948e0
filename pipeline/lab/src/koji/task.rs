//! Tasks as the hub keeps and shows them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// How a task stands, by the hub's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has it yet.
    Free = 0,
    /// A builder is at it.
    Open = 1,
    /// It is done.
    Closed = 2,
    /// Somebody stopped it.
    Canceled = 3,
    /// A builder was told to take it.
    Assigned = 4,
    /// It went wrong.
    Failed = 5,
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its number.
    pub id: i64,
    /// The kind: `image`, `createImage`.
    pub method: String,
    /// What is asked for.
    pub request: Value,
    /// The task it is part of.
    pub parent: Option<i64>,
    /// Which part.
    pub label: Option<String>,
    /// The architecture, or `noarch`.
    pub arch: String,
    /// How it stands.
    pub state: State,
    /// Whose it is.
    pub owner: i64,
    /// When it was made.
    pub created: Timestamp,
    /// What it left: a value, or a fault's code and text.
    pub result: Result<Value, (i64, String)>,
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn words(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.6f+00:00").to_string()
}

impl Task {
    /// Whether nothing more comes of it.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Canceled | State::Failed)
    }

    /// The struct that tells of it; with `request` only where it is asked for.
    pub fn info(&self, with_request: bool) -> Value {
        let began = !matches!(self.state, State::Free | State::Assigned);
        let mut info = json!({
            "id": self.id, "method": self.method, "arch": self.arch, "label": self.label, "parent": self.parent,
            "state": self.state as i64, "owner": self.owner, "channel_id": 7,
            "awaited": self.parent.map(|_| false), "waiting": if began && self.parent.is_none() { Some(true) } else { None },
            "host_id": if self.state == State::Free { None } else { Some(1) },
            "priority": if self.parent.is_some() { 19 } else { 20 },
            "weight": if self.parent.is_some() { 2.0 } else { 1.0 },
        });
        let times = [
            ("create", Some(self.created)),
            ("start", Some(self.created).filter(|_| began)),
            ("completion", Some(self.created).filter(|_| self.is_over())),
        ];
        let mut members = Map::new();
        for (name, at) in times {
            members.insert(format!("{name}_time"), at.map_or(Value::Null, |at| words(at).into()));
            members.insert(format!("{name}_ts"), at.map_or(Value::Null, |at| seconds(at).into()));
        }
        if with_request {
            members.insert("request".to_owned(), self.request.clone());
        }
        if let Some(info) = info.as_object_mut() {
            info.append(&mut members);
        }
        info
    }

    /// Whether it is among those that `listTasks` was asked for.
    pub fn fits(&self, options: &Value) -> bool {
        let is = |key: &str, value: Value| options[key].is_null() || options[key] == value;
        let after = options["createdAfter"].as_f64().is_none_or(|after| seconds(self.created) > after);
        let states =
            options["state"].as_array().is_none_or(|states| states.contains(&json!(self.state as i64)));
        is("owner", self.owner.into())
            && is("method", self.method.clone().into())
            && (options["parent"].is_null() || options["parent"] == json!(self.parent))
            && after
            && states
    }
}

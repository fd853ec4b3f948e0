//! Tasks as the hub tells of them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Hub, keywords};
use super::error::CallError;

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub enum State {
    /// Nobody has it yet.
    Free,
    /// A builder is at it.
    Open,
    /// It is done.
    Closed,
    /// Somebody stopped it.
    Canceled,
    /// A builder was told to take it.
    Assigned,
    /// It went wrong.
    Failed,
}

impl TryFrom<i64> for State {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let states =
            [State::Free, State::Open, State::Closed, State::Canceled, State::Assigned, State::Failed];
        let known = usize::try_from(number).ok().and_then(|number| states.get(number).copied());
        known.ok_or_else(|| format!("{number} is no state of a task"))
    }
}

impl State {
    /// Whether nothing more comes of it.
    pub fn is_over(self) -> bool {
        matches!(self, State::Closed | State::Canceled | State::Failed)
    }

    /// Whether nothing came of it.
    pub fn is_broken(self) -> bool {
        matches!(self, State::Canceled | State::Failed)
    }

    /// The word for a person, as Koji's own pages have it.
    pub fn word(self) -> &'static str {
        match self {
            State::Free => "free",
            State::Open => "open",
            State::Closed => "closed",
            State::Canceled => "canceled",
            State::Assigned => "assigned",
            State::Failed => "failed",
        }
    }
}

/// One task, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
pub struct Task {
    /// Its number.
    pub id: i64,
    /// The kind, such as `image` or `createImage`.
    pub method: String,
    /// How it stands.
    pub state: State,
    /// The number of the user whose it is.
    pub owner: Option<i64>,
    /// Which part of its parent it is.
    #[serde(default)]
    pub label: Option<String>,
    /// When it was made, in seconds since 1970.
    #[serde(default)]
    pub create_ts: Option<f64>,
    /// What is asked for; nil where nobody asked the hub for it.
    #[serde(default)]
    pub request: Value,
}

impl Task {
    /// Its folder below the hub's folder for work.
    pub fn folder(&self) -> String {
        format!("tasks/{}/{}", self.id % 10_000, self.id)
    }
}

/// A task with all its children.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The task.
    pub task: Task,
    /// Its children by number. A reply has them in no order.
    pub children: Vec<Task>,
}

/// Some tasks with all their children, in one request and in the order asked for; `None` in place of one that the hub
/// knows nothing of. What was asked for is not read: it is needed of few, and long.
pub async fn trees(hub: &Hub, ids: &[i64]) -> Result<Vec<Result<Option<Tree>, CallError>>, CallError> {
    let mut calls = vec![("getTaskInfo", vec![json!(ids)])];
    calls.extend(ids.iter().map(|id| ("getTaskDescendents", vec![json!(id)])));
    let mut outcomes = hub.multi(&calls).await?.into_iter();
    let tasks: Vec<Option<Task>> = client::typed("getTaskInfo", outcomes.next().unwrap_or(Ok(Value::Null))?)?;
    if tasks.len() != ids.len() {
        // To pair them by chance would make tasks vanish that are there.
        let text = format!("it tells of {} tasks, and {} were asked after", tasks.len(), ids.len());
        return Err(CallError::Garbled { method: "getTaskInfo".to_owned(), text });
    }
    let trees = tasks.into_iter().zip(outcomes).map(|(task, descendents)| {
        let (Some(task), descendents) = (task, descendents?) else { return Ok(None) };
        let children = descendents[task.id.to_string()].clone();
        let mut children: Vec<Task> = client::typed("getTaskDescendents", children)?;
        children.sort_by_key(|child| child.id);
        Ok(Some(Tree { task, children }))
    });
    Ok(trees.collect())
}

/// A task with what was asked for; `None` when the hub knows nothing of it.
pub async fn find(hub: &Hub, id: i64) -> Result<Option<Task>, CallError> {
    let params = [json!(id), keywords(json!({ "request": true }))];
    hub.call("getTaskInfo", &params).await
}

/// Which tasks are listed.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// The kind.
    pub method: &'a str,
    /// Whose; anybody's without it.
    pub owner: Option<i64>,
    /// Made after this time, in seconds since 1970.
    pub after: f64,
}

impl Listing<'_> {
    /// The parameters of `listTasks`: newest first, with what was asked for.
    pub fn params(&self) -> Vec<Value> {
        let mut options = json!({ "method": self.method, "createdAfter": self.after, "decode": true });
        if let Some(owner) = self.owner {
            options["owner"] = json!(owner);
        }
        vec![options, json!({ "order": "-id" })]
    }
}

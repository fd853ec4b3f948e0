//! What the hub says happened, for sweeps: so that nothing is lost that the bus did not say.
//!
//! It only reads, anonymously, in few requests. What to make of it is not known here.

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Hub, keywords};
use super::error::CallError;
use super::task::Task;

/// How many events further back is looked than asked for: an event gets its number when its transaction begins, and is
/// seen when that ends, so that a lower number may be seen after a higher one.
const OVERLAP: i64 = 1000;

/// How many tasks are asked after in one call.
const TASKS: usize = 500;

/// A build came into a tag, or went out of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tagging {
    /// The event's number: it grows with time. With tag and build it names this for ever.
    pub event: i64,
    /// The tag.
    pub tag: String,
    /// The build's number.
    pub build: i64,
    /// The package.
    pub name: String,
    /// Version and release.
    pub version: String,
    /// The release.
    pub release: String,
    /// Whether it came or went.
    pub what: Moved,
}

/// Whether a build came into a tag or went out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moved {
    /// It is in the tag from then on.
    In,
    /// It is not in the tag any more.
    Out,
}

/// What happened since an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The event to ask from the next time.
    pub event: i64,
    /// What happened, oldest first; some of it may have been told before.
    pub taggings: Vec<Tagging>,
}

#[derive(Deserialize)]
struct Event {
    id: i64,
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    tag_listing: Vec<Stay>,
}

/// One stay of a build in a tag.
#[derive(Deserialize)]
struct Stay {
    #[serde(rename = "tag.name")]
    tag: String,
    build_id: i64,
    name: String,
    version: String,
    release: String,
    create_event: i64,
    revoke_event: Option<i64>,
}

/// A build that is in a tag.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Tagged {
    /// The build's number.
    pub build_id: i64,
    /// Name, version and release.
    pub nvr: String,
}

/// What happened in some tags since an event, in one request.
pub async fn changes_since(hub: &Hub, tags: &[&str], event: i64) -> Result<Changes, CallError> {
    let after = (event - OVERLAP).max(0);
    let history = |tag: &&str| {
        let asked = json!({ "tables": ["tag_listing"], "tag": tag, "afterEvent": after });
        ("queryHistory", vec![keywords(asked)])
    };
    // First, so that nothing can happen between the answers and it.
    let mut calls = vec![("getLastEvent", Vec::new())];
    calls.extend(tags.iter().map(history));
    let mut outcomes = hub.multi(&calls).await?.into_iter();
    let last: Event = client::typed("getLastEvent", outcomes.next().unwrap_or(Ok(Value::Null))?)?;
    let mut taggings = Vec::new();
    for outcome in outcomes {
        let history: History = client::typed("queryHistory", outcome?)?;
        taggings.extend(history.tag_listing.iter().flat_map(|stay| stay.taggings(after)));
    }
    taggings.sort();
    Ok(Changes { event: last.id, taggings })
}

impl Stay {
    /// Its beginning and its end, as far as they came after an event.
    fn taggings(&self, after: i64) -> impl Iterator<Item = Tagging> {
        let ends = [(Some(self.create_event), Moved::In), (self.revoke_event, Moved::Out)];
        ends.into_iter().filter_map(move |(event, what)| {
            Some(Tagging {
                event: event.filter(|event| *event > after)?,
                tag: self.tag.clone(),
                build: self.build_id,
                name: self.name.clone(),
                version: self.version.clone(),
                release: self.release.clone(),
                what,
            })
        })
    }
}

/// The build of this name-version-release in a tag itself, if it is there.
pub async fn find_tagged(hub: &Hub, tag: &str, nvr: &str) -> Result<Option<Tagged>, CallError> {
    let name = nvr.rsplitn(3, '-').nth(2).unwrap_or(nvr);
    let params = [json!(tag), keywords(json!({ "package": name }))];
    let listed: Vec<Tagged> = client::typed("listTagged", hub.call("listTagged", &params).await?)?;
    Ok(listed.into_iter().find(|tagged| tagged.nvr == nvr))
}

/// Every build in a tag itself.
pub async fn tagged(hub: &Hub, tag: &str) -> Result<Vec<Tagged>, CallError> {
    client::typed("listTagged", hub.call("listTagged", &[json!(tag)]).await?)
}

/// How some tasks stand, in one request; those that the hub does not know are left out.
pub async fn tasks(hub: &Hub, ids: &[i64]) -> Result<Vec<Task>, CallError> {
    let calls: Vec<_> = ids.chunks(TASKS).map(|ids| ("getTaskInfo", vec![json!(ids)])).collect();
    let mut tasks = Vec::new();
    for outcome in hub.multi(&calls).await? {
        let known: Vec<Option<Task>> = client::typed("getTaskInfo", outcome?)?;
        tasks.extend(known.into_iter().flatten());
    }
    Ok(tasks)
}

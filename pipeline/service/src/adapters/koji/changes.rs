//! What the hub says happened, for sweeps and for what messages say: so that nothing is lost that the bus did not say,
//! and nothing is believed that the hub does not.
//!
//! It only reads, anonymously, in few requests. What to make of it is not known here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::client::{Hub, keywords};
use super::error::{CallError, code};

/// How many events further back is looked than asked for: an event gets its number when its transaction begins, and is
/// seen when that ends, so that a lower number may be seen after a higher one.
pub const OVERLAP: i64 = 1000;

/// How many builds are asked after in one request, so that the hub need not hold one transaction for long.
const BUILDS: usize = 100;

/// A build came into a tag, or went out of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tagging {
    /// The event's number: it grows with time. With tag and build it names this for ever.
    pub event: i64,
    /// Whether it came or went.
    pub what: Moved,
    /// The tag.
    pub tag: String,
    /// The package.
    pub name: String,
    /// Version and release, joined by a dash.
    pub version_release: String,
    /// When, if the hub says so.
    pub at: Option<Timestamp>,
}

impl Tagging {
    /// Name, version and release, joined by dashes.
    pub fn nvr(&self) -> String {
        format!("{}-{}", self.name, self.version_release)
    }
}

/// Whether a build came into a tag or went out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moved {
    /// It is in the tag from then on.
    In,
    /// It is not in the tag any more.
    Out,
}

/// What happened in some tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The last event of the hub: the one to ask from the next time.
    pub event: i64,
    /// When that was, if the hub says so.
    pub at: Option<Timestamp>,
    /// What happened in each tag, oldest first, some of it told before; or why the hub does not say.
    pub tags: BTreeMap<String, Result<Vec<Tagging>, CallError>>,
}

/// What a hub tells of an event, or of a history: one type for both, because a request that asks for both is read in one
/// go.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    /// The number of an event.
    id: Option<i64>,
    /// When it was, in seconds since 1970.
    ts: Option<f64>,
    tag_listing: Vec<Stay>,
}

impl Told {
    fn event(&self) -> Result<i64, CallError> {
        let garbled = || CallError::Garbled {
            method: "getLastEvent".to_owned(),
            text: "the event has no number".to_owned(),
        };
        self.id.ok_or_else(garbled)
    }
}

/// One stay of a build in a tag.
#[derive(Deserialize)]
struct Stay {
    #[serde(rename = "tag.name")]
    tag: String,
    name: String,
    version: String,
    release: String,
    create_event: i64,
    #[serde(default)]
    create_ts: Option<f64>,
    revoke_event: Option<i64>,
    #[serde(default)]
    revoke_ts: Option<f64>,
}

/// What happened in each tag since the event it comes with, in one request; in two when there is a tag without, of which
/// only the last events are told.
pub async fn changes_since(hub: &Hub, tags: &BTreeMap<String, Option<i64>>) -> Result<Changes, CallError> {
    let mut newest = 0;
    if tags.values().any(Option::is_none) {
        newest = hub.call::<Told>("getLastEvent", &[]).await?.event()?;
    }
    let after = |event: &Option<i64>| (event.unwrap_or(newest) - OVERLAP).max(0);
    let history = |(tag, event): (&String, &Option<i64>)| {
        let asked = json!({ "tables": ["tag_listing"], "tag": tag, "afterEvent": after(event) });
        ("queryHistory", vec![keywords(asked)])
    };
    // First, so that nothing can happen between the answers and it.
    let mut calls = vec![("getLastEvent", Vec::new())];
    calls.extend(tags.iter().map(history));
    let mut outcomes = hub.multi(&calls).await?.into_iter();
    let last: Told = outcomes.next().unwrap_or_else(|| Ok(Told::default()))?;
    let tags = tags.iter().zip(outcomes).map(|((tag, event), outcome)| {
        let taggings = taggings(outcome).map(|mut taggings| {
            taggings.retain(|tagging| tagging.event > after(event));
            taggings
        });
        (tag.clone(), taggings)
    });
    Ok(Changes { event: last.event()?, at: last.ts.and_then(time), tags: tags.collect() })
}

/// A build in a tag: the tag, and name, version and release joined by dashes.
pub type Place = (String, String);

/// Whenever each build came into its tag and went out of it, oldest first. Nothing, where the hub knows no such build or
/// tag.
pub async fn histories(hub: &Hub, places: &[Place]) -> BTreeMap<Place, Result<Vec<Tagging>, CallError>> {
    let mut histories = BTreeMap::new();
    for places in places.chunks(BUILDS) {
        let history = |(tag, nvr): &Place| {
            ("queryHistory", vec![keywords(json!({ "tables": ["tag_listing"], "tag": tag, "build": nvr }))])
        };
        let calls: Vec<_> = places.iter().map(history).collect();
        match hub.multi(&calls).await {
            Ok(outcomes) => {
                let known = outcomes.into_iter().map(|outcome| match taggings(outcome) {
                    Err(error) if error.is(code::GENERIC) => Ok(Vec::new()),
                    known => known,
                });
                histories.extend(places.iter().cloned().zip(known));
            }
            Err(error) => {
                histories.extend(places.iter().cloned().map(|place| (place, Err(error.clone()))));
            }
        }
    }
    histories
}

/// The taggings that a history tells of, oldest first.
fn taggings(outcome: Result<Told, CallError>) -> Result<Vec<Tagging>, CallError> {
    let mut taggings: Vec<Tagging> = outcome?.tag_listing.iter().flat_map(Stay::taggings).collect();
    taggings.sort();
    Ok(taggings)
}

impl Stay {
    /// Its beginning and its end.
    fn taggings(&self) -> impl Iterator<Item = Tagging> {
        let began = (Some(self.create_event), self.create_ts, Moved::In);
        let ended = (self.revoke_event, self.revoke_ts, Moved::Out);
        [began, ended].into_iter().filter_map(|(event, at, what)| {
            Some(Tagging {
                event: event?,
                what,
                tag: self.tag.clone(),
                name: self.name.clone(),
                version_release: format!("{}-{}", self.version, self.release),
                at: at.and_then(time),
            })
        })
    }
}

/// A time in seconds since 1970.
fn time(seconds: f64) -> Option<Timestamp> {
    jiff::SignedDuration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|since| Timestamp::from_duration(since).ok())
}

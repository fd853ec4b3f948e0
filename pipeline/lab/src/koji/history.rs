//! What was tagged when.

use muster::adapters::koji::xml::Reply;
use serde_json::{Value, json};

use super::method::Args;
use super::session::fault;
use super::{KojiHub, State};

/// One stay of a build in a tag.
#[derive(Clone, Debug)]
pub struct Tagging {
    /// The tag.
    pub tag: String,
    /// Name, version and release.
    pub build: [String; 3],
    /// The number of the build.
    pub id: i64,
    /// The event it began with.
    pub began: i64,
    /// The event it ended with.
    pub ended: Option<i64>,
}

impl KojiHub {
    /// Tags a build. Returns the event.
    pub fn tag(&self, tag: &str, build: [&str; 3]) -> i64 {
        let mut state = self.state.lock();
        let event = state.next_event();
        let id = event;
        state.tags.entry(tag.to_owned()).or_default();
        let build = build.map(str::to_owned);
        state.history.push(Tagging { tag: tag.to_owned(), build, id, began: event, ended: None });
        event
    }

    /// Tags so many builds.
    pub fn tag_many(&self, tag: &str, builds: usize) {
        for number in 0..builds {
            self.tag(tag, [&format!("package-{number}"), "1.0", "1.fc43"]);
        }
    }

    /// So many things happen elsewhere that events come to this number. Returns it.
    pub fn jump_to_event(&self, event: i64) -> i64 {
        self.state.lock().event = event;
        event
    }

    /// Takes a build out of a tag. Returns the event.
    pub fn untag(&self, tag: &str, nvr: &str) -> i64 {
        let mut state = self.state.lock();
        let event = state.next_event();
        let stays = state.history.iter_mut();
        for stay in
            stays.filter(|stay| stay.tag == tag && stay.ended.is_none() && stay.build.join("-") == nvr)
        {
            stay.ended = Some(event);
        }
        event
    }
}

impl State {
    pub fn next_event(&mut self) -> i64 {
        self.event += 1;
        self.event
    }

    pub fn last_event(&self) -> Value {
        json!({ "id": self.event, "ts": 1_795_252_022.0 })
    }

    pub fn query_history(&self, args: &Args) -> Reply {
        let after = args.get(usize::MAX, "afterEvent").as_i64();
        let (tag, build) = (args.text(usize::MAX, "tag"), args.text(usize::MAX, "build"));
        if let Some(tag) = tag.as_ref().filter(|tag| !self.tags.contains_key(*tag)) {
            return fault(1000, format!("No such tagInfo: '{tag}'"));
        }
        if let Some(build) = &build
            && !self.history.iter().any(|stay| stay.build.join("-") == *build)
        {
            return fault(1000, format!("No such build: '{build}'"));
        }
        let rows = self.history.iter().filter(|stay| tag.as_ref().is_none_or(|tag| *tag == stay.tag));
        let rows = rows.filter(|stay| build.as_ref().is_none_or(|build| *build == stay.build.join("-")));
        let rows = rows.filter(|stay| {
            after.is_none_or(|after| stay.began > after || stay.ended.is_some_and(|ended| ended > after))
        });
        let rows = rows.map(|stay| {
            json!({ "tag.name": stay.tag, "tag_id": 1, "name": stay.build[0], "version": stay.build[1],
                "release": stay.build[2], "epoch": null, "build_id": stay.id, "build.state": 1,
                "create_event": stay.began, "create_ts": 1_795_252_022.0, "creator_id": 1, "creator_name": "releng",
                "revoke_event": stay.ended, "revoke_ts": stay.ended.map(|_| 1_795_252_022.0), "revoker_id": null,
                "revoker_name": null, "active": if stay.ended.is_none() { Some(true) } else { None } })
        });
        Reply::Value(json!({ "tag_listing": rows.collect::<Vec<_>>() }))
    }

    pub fn list_tagged(&self, args: &Args) -> Reply {
        let (tag, package) = (args.text(0, "tag").unwrap_or_default(), args.text(5, "package"));
        if !self.tags.contains_key(&tag) {
            return fault(1000, format!("No such tagInfo: '{tag}'"));
        }
        let event = args.number(1, "event");
        let rows = self.history.iter().filter(|stay| {
            let was_there = stay.began <= event && stay.ended.is_none_or(|ended| ended > event);
            stay.tag == tag && if event < 0 { stay.ended.is_none() } else { was_there }
        });
        let rows = rows.filter(|stay| package.as_ref().is_none_or(|package| *package == stay.build[0]));
        let rows = rows.map(|stay| {
            json!({ "build_id": stay.id, "id": stay.id, "nvr": stay.build.join("-"), "name": stay.build[0],
                "package_name": stay.build[0], "version": stay.build[1], "release": stay.build[2], "epoch": null,
                "state": 1, "tag_id": 1, "tag_name": stay.tag, "create_event": stay.began, "task_id": null,
                "owner_id": 1, "owner_name": "releng", "volume_id": 0, "volume_name": "DEFAULT", "draft": false,
                "completion_time": "2026-11-21 09:04:34.962519+00:00",
                "creation_event_id": 38, "creation_time": "2026-11-21 09:04:34.962519+00:00", "package_id": 2,
                "promoter_id": null, "promoter_name": null, "promotion_time": null,
                "start_time": null })
        });
        Reply::Value(rows.collect())
    }
}

//! What a message would do and why, without doing it.

use std::fmt;

use anyhow::{Context, Result};
use muster_flow::candidate::Candidate;
use muster_flow::change::{Change, What};
use muster_flow::relevance::{self, Admission, Knowledge, Touch, admit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::look::Look;
use super::{Intake, change};
use crate::adapters::fedora_messaging::Settings;
use crate::ledger::Positions;
use muster_message::schemas;

use muster_message::Incoming;

/// What a message would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The message's id.
    pub id: String,
    /// Its topic, without the deployment's prefix.
    pub topic: String,
    /// Why the running service would never see it, when it would not. The rest says what it would do otherwise.
    pub unseen: Option<String>,
    /// That its topic is of another deployment, when it is and the service sees it all the same.
    pub foreign: Option<String>,
    /// Why it would be put aside for a person, when it would.
    pub parked: Option<String>,
    /// The changes it speaks of, as their sources have them; none, when it says nothing that matters here.
    pub changes: Vec<ExplainedChange>,
}

/// What one change would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedChange {
    /// In one line.
    pub summary: String,
    /// The change itself.
    pub what: What,
    /// The recipes it touches.
    pub touches: Vec<ExplainedTouch>,
    /// Why it touches none, when it does not.
    pub why_not: Option<String>,
    /// The recipes that it leaves alone because their last build recorded this very build.
    pub up_to_date: Vec<String>,
}

/// What would become of one recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedTouch {
    /// The recipe and why.
    #[serde(flatten)]
    pub touch: Touch,
    /// What would be done about it.
    pub then: String,
}

/// A message as the client of fedora-messaging writes it to a file.
#[derive(Deserialize)]
struct Dumped {
    topic: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    headers: Value,
    body: Value,
}

impl Intake {
    /// Explains a message from its dump: `{"topic": …, "id": …, "headers": …, "body": …}`.
    pub async fn explain(
        &self,
        dump: &str,
        bus: Option<&Settings>,
        (knowledge, positions): (&Knowledge, &Positions),
        open: &[Candidate],
    ) -> Result<Explanation> {
        let dumped: Dumped = serde_json::from_str(dump)
            .context("cannot read the message; it must be a JSON object with topic, id, headers and body")?;
        let topic = bus.map_or(dumped.topic.as_str(), |bus| bus.topic(&dumped.topic)).to_owned();
        let (unseen, foreign) = passage(&dumped.topic, bus);
        let mut explanation = Explanation {
            id: dumped.id.clone(),
            topic: topic.clone(),
            unseen,
            foreign,
            parked: None,
            changes: Vec::new(),
        };
        if !dumped.body.is_object() {
            explanation.parked = Some("its body is not an object".to_owned());
            return Ok(explanation);
        }
        let whats = schemas::check(&topic, &dumped.body)
            .and_then(|()| muster_message::decode(&topic, &dumped.body).map_err(|error| error.to_string()));
        let whats = match whats {
            Ok(whats) => whats,
            Err(reason) => {
                explanation.parked = Some(reason);
                return Ok(explanation);
            }
        };
        let sent_at = dumped.headers.get("sent-at").and_then(Value::as_str);
        let message = Incoming {
            id: dumped.id,
            topic,
            headers: dumped.headers.to_string(),
            body: String::new(),
            sent_at: sent_at.and_then(|text| text.parse().ok()),
        };
        // What it notes is not recorded.
        let mut look = Look::begin(self, knowledge, positions);
        look.ask_koji(&whats).await;
        for (number, what) in whats.into_iter().enumerate() {
            let weighed = look.confirm(change(&message, number, what, &self.clock)).await;
            if let Some(change) = weighed.change {
                let up_to_date = relevance::up_to_date(&change.what, look.knowledge());
                let up_to_date = up_to_date.into_iter().map(str::to_owned).collect();
                let change = explained(change, weighed.touches, open);
                explanation.changes.push(ExplainedChange { up_to_date, ..change });
            }
        }
        Ok(explanation)
    }
}

/// Why the service never sees a message, and why one that it sees is not of its own deployment.
fn passage(topic: &str, bus: Option<&Settings>) -> (Option<String>, Option<String>) {
    let Some(bus) = bus else {
        let why = "no bus is configured, so it hears no messages; sweeps find what happened".to_owned();
        return (Some(why), None);
    };
    let prefix = bus.topic_prefix.trim_matches('.');
    match bus.binding_of(topic) {
        None if bus.is_ours(topic) => (Some(format!("no queue of ours is bound to {topic}")), None),
        None => {
            let why = format!(
                "no queue of ours is bound to {topic}, which does not begin with our prefix {prefix}"
            );
            (Some(why), None)
        }
        Some(_) if bus.is_ours(topic) => (None, None),
        Some(binding) => {
            let what =
                format!("{topic} does not begin with our prefix {prefix}; the binding {binding} lets it in");
            (None, Some(what))
        }
    }
}

fn explained(change: Change, touches: Result<Vec<Touch>, String>, open: &[Candidate]) -> ExplainedChange {
    let summary = change.summary();
    let (touches, why_not) = match touches {
        Ok(touches) => (touches, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let touches = touches.into_iter().map(|touch| {
        let then = match admit(&touch, &change.what, open) {
            Admission::Joins(candidate) => format!("joins {}, which waits", candidate.id),
            Admission::Starts { supersedes: None } => {
                format!("makes {}", touch.purpose.candidate())
            }
            Admission::Starts { supersedes: Some(old) } => {
                format!("makes {} in place of {}", touch.purpose.candidate(), old.id)
            }
        };
        ExplainedTouch { touch, then }
    });
    let touches = touches.collect();
    ExplainedChange { summary, touches, what: change.what, why_not, up_to_date: Vec::new() }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "message {} on {}", self.id, self.topic)?;
        if let Some(reason) = &self.unseen {
            writeln!(formatter, "  the running service would never see it: {reason}")?;
            writeln!(formatter, "  if it did:")?;
        }
        if let Some(what) = &self.foreign {
            writeln!(formatter, "  it is of another deployment: {what}")?;
        }
        if let Some(reason) = &self.parked {
            return writeln!(formatter, "  would be parked for a person: {reason}");
        }
        if self.changes.is_empty() {
            return writeln!(formatter, "  says nothing of packages or definitions; it would be passed over");
        }
        for change in &self.changes {
            writeln!(formatter, "  {}", change.summary)?;
            if let Some(reason) = &change.why_not {
                writeln!(formatter, "    touches no image: {reason}")?;
            }
            for ExplainedTouch { touch, then } in &change.touches {
                writeln!(formatter, "    touches {}: {}", touch.recipe, touch.why)?;
                writeln!(formatter, "      {then}")?;
            }
            // When these are all there are, the reason above says so.
            for recipe in change.up_to_date.iter().filter(|_| change.why_not.is_none()) {
                writeln!(formatter, "    leaves {recipe} alone: its last build recorded this very build")?;
            }
        }
        Ok(())
    }
}

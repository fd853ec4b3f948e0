//! Begins inquiries: finds what a red candidate is compared with, and says why one cannot be begun.
//!
//! It knows the store and the rules. What an inquiry needs next is said by `muster_flow::blame` and recorded by the
//! planner.

use anyhow::Result;
use muster_flow::blame::{self, Symptom};
use muster_flow::candidate::Candidate;
use serde::Deserialize;

use crate::store::{Store, Terms};

/// How many candidates of a recipe are looked through for the last good one.
const BACK: u32 = 100;

/// Its section of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which red candidates are inquired into without being asked to.
    pub automatic: Automatic,
    /// How many probes one inquiry may make at most: builds, and boots of what was built already.
    pub probes: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { automatic: Automatic::All, probes: 12 }
    }
}

/// Which red candidates are inquired into without being asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Automatic {
    /// Every one.
    All,
    /// Releases: what a batch, or whatever else was to be published, broke.
    Releases,
    /// None: a person asks by `muster blame`.
    Nothing,
}

impl Automatic {
    /// Whether a candidate is inquired into by itself.
    pub fn covers(self, candidate: &Candidate) -> bool {
        match self {
            _ if candidate.purpose.is_probe() => false,
            Automatic::All => true,
            Automatic::Releases => candidate.purpose.is_published(),
            Automatic::Nothing => false,
        }
    }
}

/// What came of the wish to begin an inquiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It begins.
    Now,
    /// There is one already, into what it is now.
    Before,
    /// There is none: why.
    Not(String),
}

/// Begins the inquiry into a candidate, if it is red and something good came before it.
///
/// Unless a person asks, one inquiry of a recipe goes on at a time, and what is known already is not searched for again:
/// while a culprit stays where it is, every candidate is red.
pub async fn begin(store: &Store, red: &Candidate, bound: u32, who: Option<&str>) -> Result<Begun> {
    let before = store.inquiry(&red.id).await?;
    if before.as_ref().is_some_and(|before| !blame::is_built_again(red, &before.terms.builds)) {
        return Ok(Begun::Before);
    }
    if red.purpose.is_probe() {
        return Ok(Begun::Not(format!("{} is a probe itself", red.id)));
    }
    let symptoms = blame::symptoms(red);
    if symptoms.is_empty() {
        let words = red.stage_before_announcing().words();
        return Ok(Begun::Not(format!("no test of {} is red: it is {words}", red.id)));
    }
    let Some(good) = find_good(store, red, &symptoms).await? else {
        let why = format!(
            "no earlier candidate of {} was good, so there is nothing to compare with",
            red.recipe.name
        );
        return Ok(Begun::Not(why));
    };
    let last = store.last_inquiry(&red.recipe.name, &red.id).await?.filter(|_| who.is_none());
    let mut known = None;
    if let Some(last) = last {
        let Some(conclusion) = &last.conclusion else {
            return Ok(Begun::Not(format!("what made {} red is looked for first", last.candidate)));
        };
        if good.id == last.good && symptoms == last.terms.symptoms {
            known = blame::known(&last.candidate, conclusion, &good, red);
        }
    }
    let earlier = store.probe_count(&red.id).await?;
    let terms = Terms { symptoms, bound, who: who.map(str::to_owned), builds: blame::builds(red), earlier };
    let is_new = store.inquire((&red.id, &good.id), &terms, known.as_ref(), before.as_ref()).await?;
    Ok(if is_new { Begun::Now } else { Begun::Before })
}

async fn find_good(store: &Store, red: &Candidate, symptoms: &[Symptom]) -> Result<Option<Candidate>> {
    for id in store.before(&red.id, BACK).await? {
        let Some(older) = store.find_readable(&id).await? else { continue };
        if blame::is_good(&older, symptoms) {
            return Ok(Some(older));
        }
    }
    Ok(None)
}

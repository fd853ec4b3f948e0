//! What nobody told of before: whatever order messages and sweeps come in, each thing that happened is told of once.

use std::collections::BTreeSet;

use muster_flow::change::Origin;

use crate::ledger::{AllTold, Happening, Heard, Told, Voice};
use crate::upstream::Weighed;

/// Leaves of each change the recipes that nobody told of it, and says who told of what now.
pub(crate) fn untold(weighed: Vec<Weighed>, mut told: AllTold) -> (Vec<Weighed>, Vec<Heard>) {
    let mut heard = Vec::new();
    let left = weighed.into_iter().filter_map(|mut weighed| {
        let voice = match weighed.change.as_ref().map(|change| &change.origin) {
            Some(Origin::Message { .. }) => Voice::Bus,
            Some(Origin::Sweep { .. }) => Voice::Sweep,
            Some(Origin::Calendar | Origin::Person { .. }) | None => return Some(weighed),
        };
        let change = weighed.change.as_ref().map(|change| change.id.clone()).unwrap_or_default();
        let (mut fresh, mut stale) = (BTreeSet::new(), BTreeSet::new());
        let mut reasons = Vec::new();
        for happening in &weighed.happenings {
            let (one, reason) = tell(happening, voice, &change, &mut told);
            match reason {
                None => fresh.extend(happening.recipes.iter().cloned()),
                Some(reason) => {
                    stale.extend(happening.recipes.iter().cloned());
                    reasons.push(reason);
                }
            }
            heard.extend(one);
        }
        if voice == Voice::Sweep {
            if reasons.len() == weighed.happenings.len() {
                return None;
            }
            // Most of what comes into a tag is on no image: what a sweep finds of that is heard, and nothing more.
            if weighed.touches.is_err() {
                weighed.change = None;
            }
        }
        if let Ok(touches) = &mut weighed.touches {
            touches.retain(|touch| fresh.contains(&touch.recipe) || !stale.contains(&touch.recipe));
            if touches.is_empty() {
                reasons.dedup();
                weighed.touches = Err(reasons.join("; "));
            }
        }
        Some(weighed)
    });
    (left.collect(), heard)
}

/// What is to be recorded of a happening that somebody tells of, and why that is nothing new, if it is not.
fn tell(
    happening: &Happening,
    voice: Voice,
    change: &str,
    told: &mut AllTold,
) -> (Option<Heard>, Option<String>) {
    let known = |name: &String| told.get(&(happening.source.clone(), name.clone())).cloned();
    let heard = |name: &String, change: &str| Heard {
        source: happening.source.clone(),
        name: name.clone(),
        label: happening.label.clone(),
        at: happening.at,
        voice,
        change: change.to_owned(),
    };
    let source = &happening.source;
    let fresh = happening.names.iter().find(|name| match (voice, known(name)) {
        (_, None) => !happening.is_past,
        // What was there before our time is no news to a sweep, but it is what a message may speak of.
        (Voice::Bus, Some(told)) => !told.by_change,
        (Voice::Sweep, Some(_)) => false,
    });
    if let Some(name) = fresh {
        let now = Told { by_bus: voice == Voice::Bus, by_change: true };
        told.insert((source.clone(), name.clone()), now);
        return (Some(heard(name, change)), None);
    }
    let late = happening.names.iter().find(|name| known(name).is_some_and(|told| !told.by_bus));
    match (voice, late) {
        (Voice::Bus, Some(name)) => {
            let name = name.clone();
            if let Some(told) = told.get_mut(&(source.clone(), name.clone())) {
                told.by_bus = true;
            }
            let one = Heard {
                source: source.clone(),
                label: happening.label.clone(),
                at: happening.at,
                voice,
                change: String::new(),
                name,
            };
            (
                Some(one),
                Some(format!(
                    "a sweep of the {source} found it before the message came, and it was weighed then"
                )),
            )
        }
        (Voice::Bus, None) => {
            (None, Some(format!("the {source} has nothing of it that was not weighed before")))
        }
        (Voice::Sweep, _) => (None, Some("it was told of before".to_owned())),
    }
}

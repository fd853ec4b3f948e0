//! Merges the keys of an included file into those of the file that includes it.
//!
//! Knows the rule of each kind of key. Must not know files.

use super::keys::{KEYS, Merges};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The keys of one file, or of several after merging.
pub(super) type Keys = Map<String, Value>;

/// Merges what a file includes into `keys`.
pub(super) fn merge(keys: &mut Keys, mut included: Keys) {
    for key in KEYS {
        let Some(theirs) = included.remove(key.name) else { continue };
        let merged = match (keys.remove(key.name), key.merges) {
            (_, Merges::Never) => continue,
            (None, _) => theirs,
            (Some(ours), Merges::First) => ours,
            (Some(ours), Merges::Append) => Value::Array(items(theirs).chain(items(ours)).collect()),
            (Some(ours), Merges::Set) => set(items(theirs).chain(items(ours))),
            (Some(ours), Merges::Entries) => {
                let mut entries = entries(theirs);
                entries.extend(self::entries(ours));
                Value::Object(entries)
            }
        };
        keys.insert(key.name.to_owned(), merged);
    }
    last_repo_wins(keys);
}

/// The texts of a list, each once and sorted.
pub(super) fn set(items: impl Iterator<Item = Value>) -> Value {
    let texts: BTreeSet<String> = items.filter_map(|item| item.as_str().map(str::to_owned)).collect();
    Value::Array(texts.into_iter().map(Value::String).collect())
}

fn items(value: Value) -> impl Iterator<Item = Value> {
    let items = if let Value::Array(items) = value { items } else { Vec::new() };
    items.into_iter()
}

fn entries(value: Value) -> Keys {
    if let Value::Object(entries) = value { entries } else { Map::new() }
}

/// A package named for several repositories comes from the one named last.
fn last_repo_wins(keys: &mut Keys) {
    let Some(Value::Array(repos)) = keys.get_mut("repo-packages") else { return };
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for repo in repos.iter_mut().rev() {
        if let Some(Value::Array(packages)) = repo.get_mut("packages") {
            packages
                .retain(|package| package.as_str().is_some_and(|package| seen.insert(package.to_owned())));
        }
    }
    repos.retain(|repo| repo.get("packages").and_then(Value::as_array).is_some_and(|list| !list.is_empty()));
}

//! Entries of package lists: several names on one line, or one in single quotes.
//!
//! Knows how an entry splits. Must not know what a package is.

use serde_json::Value;

/// The names of all entries; blanks part names unless they stand in single quotes.
pub(super) fn names(entries: &Value) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
    for entry in entries.iter().filter_map(Value::as_str) {
        for (position, part) in entry.split('\'').enumerate() {
            // Every second part stands in quotes.
            if position % 2 == 1 {
                names.push(part.to_owned());
            } else {
                names.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        if entry.matches('\'').count() % 2 == 1 {
            return Err(format!("a single quote in {entry:?} has no partner; close it"));
        }
    }
    Ok(names)
}

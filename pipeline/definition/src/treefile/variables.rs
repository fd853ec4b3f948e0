//! Variables of a treefile, and texts they are put into.
//!
//! Knows which variables there are in every treefile. Must not know which keys take them.

use super::merge::Keys;
use serde_json::Value;

/// The variables that every treefile has and none may define.
pub(super) const RESERVED: [&str; 2] = ["basearch", "releasever"];

/// Puts the variables into `text`; one that does not exist is named in the error.
pub(super) fn put_in(text: &str, variables: &Keys) -> Result<String, String> {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        written.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            return Err(format!("the brace after ${{ is not closed in {text:?}; write ${{NAME}}"));
        };
        match variables.get(name) {
            Some(value) => written.push_str(&shown(value)),
            None => return Err(format!("there is no variable {name}; define it below variables")),
        }
        rest = after;
    }
    written.push_str(rest);
    Ok(written)
}

/// A variable as text.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

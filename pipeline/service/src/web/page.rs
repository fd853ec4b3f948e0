//! What every page shares: rendering, times, addresses.

use askama::Template;
use axum::response::Html;
use jiff::Timestamp;

use super::problem::Problem;
use crate::story::words;
use crate::text;

/// A page as its template makes it.
pub fn render(template: &impl Template) -> Result<Html<String>, Problem> {
    let html = template.render().map_err(|error| anyhow::anyhow!("cannot render a page: {error}"))?;
    Ok(Html(html))
}

/// A time to the second, in UTC.
pub fn time(at: &Timestamp) -> String {
    words::time(*at)
}

/// A span of seconds.
pub fn span(seconds: &i64) -> String {
    words::span(*seconds)
}

/// A span of milliseconds.
pub fn span_ms(milliseconds: &u64) -> String {
    words::span_ms(*milliseconds)
}

/// A number of bytes.
pub fn size(bytes: &u64) -> String {
    words::size(*bytes)
}

/// The path of a candidate's page, or of one of its steps: an id or a key as it may stand in an address.
pub fn path(id: &str) -> String {
    format!("/candidates/{}", text::in_address(id, "/+"))
}

/// The path of a change's page. Its id may come from outside and hold anything.
pub fn change(id: &str) -> String {
    format!("/changes/{}", text::in_address(id, ""))
}

/// The path of a batch's page.
pub fn batch(id: &str) -> String {
    format!("/batches/{}", text::in_address(id, "/+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_safely_in_an_address() {
        assert_eq!(
            path("base/43.1/smoketest/x86_64/bios#2"),
            "/candidates/base/43.1/smoketest/x86_64/bios%232"
        );
        assert_eq!(path("a\"><b>/1"), "/candidates/a%22%3E%3Cb%3E/1");
    }
}

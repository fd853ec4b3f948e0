//! Where changes come from, and how much the bus lost: for people, as JSON, and as metrics for Prometheus.

use std::fmt::Write;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};

use super::problem::Problem;
use super::{Pages, page};
use crate::story::source::{Source, Sources};

#[derive(Template)]
#[template(path = "sources.html")]
struct Page {
    told: Sources,
}

/// The page.
pub async fn html(State(pages): State<Pages>) -> Result<Html<String>, Problem> {
    page::render(&Page { told: pages.teller.sources().await? })
}

/// The same as JSON.
pub async fn json(State(pages): State<Pages>) -> Response {
    match pages.teller.sources().await.map_err(Problem::from) {
        Ok(sources) => Json(sources).into_response(),
        Err(problem) => problem.json(),
    }
}

/// The same as metrics, computed from the store whenever they are asked for.
pub async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.teller.sources().await.map_err(Problem::from) {
        Ok(told) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text(&told.sources))
            .into_response(),
        Err(problem) => problem.json(),
    }
}

/// One sample: its labels beside the source, and its value.
type Sample = (&'static str, Option<i64>);

fn text(sources: &[Source]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: fn(&Source) -> Vec<Sample>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for source in sources {
            for (label, value) in samples(source) {
                let Some(value) = value else { continue };
                let _ = writeln!(text, "{name}{{source=\"{}\"{label}}} {value}", escaped(&source.source));
            }
        }
    };
    family("muster_changes_heard_total", "counter", "Changes, by what told of them first.", |source| {
        vec![
            (",first=\"bus\"", Some(source.first_by_bus)),
            (",first=\"sweep\",message=\"late\"", Some(source.late)),
            (",first=\"sweep\",message=\"lost\"", Some(source.lost)),
        ]
    });
    family(
        "muster_changes_undecided",
        "gauge",
        "Changes that a sweep told of first and whose message may come yet.",
        |source| vec![("", Some(source.undecided))],
    );
    family("muster_source_up", "gauge", "Whether the last sweep of the source was answered.", |source| {
        vec![("", Some(i64::from(source.fault.is_none())))]
    });
    family(
        "muster_source_lag_seconds",
        "gauge",
        "Seconds since the last sweep of the source that was answered.",
        |source| vec![("", source.lag_s)],
    );
    family("muster_source_last_event", "gauge", "The last event of the Koji hub that was seen.", |source| {
        let is_event = source.kind == "koji";
        vec![("", source.position.as_ref().filter(|_| is_event).and_then(|event| event.parse().ok()))]
    });
    text
}

/// A value as it may stand in a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

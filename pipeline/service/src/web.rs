//! Pages, their JSON twins, and the mirror: what the store knows, shown to people and programs.
//!
//! It only reads. People's commands come in through the command line, because these pages know no login. It must not
//! know SQL, and it says nothing about a candidate that `story` does not say.

pub mod page;
pub mod problem;
pub mod candidates;
pub mod candidate;
pub mod boot;
pub mod packages;
pub mod changes;
mod batches;
pub mod images;
pub mod lists;
pub mod sources;
pub mod files;
pub mod mirror;
pub mod health;

use std::path::PathBuf;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Uri};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use muster_flow::candidate::{Candidate, CandidateId};

use crate::clock::Clock;
use crate::config::Settings;
use crate::store::Store;
use crate::story::teller::Teller;
use problem::Problem;

/// What every page is made from.
#[derive(Clone)]
pub struct Pages {
    teller: Teller,
    /// The streams that the configuration names.
    streams: Vec<String>,
    /// The folder of the builds on this machine.
    builds: PathBuf,
    /// Where this process writes, each with what lies there.
    places: Vec<(&'static str, PathBuf)>,
}

/// All pages.
pub fn router(store: Store, settings: &Settings, clock: Clock) -> Router {
    let pages = Pages {
        teller: Teller::new(store, settings, clock),
        streams: settings.streams.keys().cloned().collect(),
        builds: settings.jobs("build"),
        places: health::places(settings),
    };
    let with_pages = Router::new()
        .route("/", get(candidates::html))
        .route("/candidates/{recipe}/{version}", get(candidate::html))
        .route("/candidates/{recipe}/{version}/packages", get(packages::html))
        .route("/candidates/{recipe}/{version}/build/{arch}/log", get(files::build_log))
        .route("/candidates/{recipe}/{version}/smoketest/{arch}/{cell}", get(boot::html))
        .route("/candidates/{recipe}/{version}/smoketest/{arch}/{cell}/files/{file}", get(files::of_boot))
        .route("/batches", get(batches::list_html))
        .route("/batches/{stream}/{name}", get(batches::html))
        .route("/images", get(images::html))
        .route("/waits", get(lists::waits_html))
        .route("/changes", get(changes::html))
        .route("/changes/{id}", get(changes::one_html))
        .route("/sources", get(sources::html))
        .route("/parked", get(lists::parked_html))
        .route("/api", get(lists::api_html))
        .route("/api/candidates", get(candidates::json))
        .route("/api/candidates/{recipe}/{version}", get(candidate::json))
        .route("/api/candidates/{recipe}/{version}/smoketest/{arch}/{cell}", get(boot::json))
        .route("/api/candidates/{recipe}/{version}/packages", get(packages::json))
        .route("/api/batches", get(batches::list_json))
        .route("/api/batches/{stream}/{name}", get(batches::json))
        .route("/api/images", get(images::json))
        .route("/api/waits", get(lists::waits_json))
        .route("/api/changes", get(changes::json))
        .route("/api/changes/{id}", get(changes::one_json))
        .route("/api/sources", get(sources::json))
        .route("/api/parked", get(lists::parked_json))
        .route("/api/journal", get(lists::journal_json))
        .route("/api/{*nothing}", get(unknown))
        .route("/healthz", get(health::text))
        .route("/metrics", get(sources::metrics))
        .with_state(pages);
    let with_pages = with_pages.route("/style.css", get(style));
    mirror::serve(with_pages, settings).layer(map_response(guard))
}

impl Pages {
    fn store(&self) -> &Store {
        &self.teller.store
    }

    fn now(&self) -> Timestamp {
        self.teller.clock.now()
    }

    /// The candidate that an address names.
    async fn candidate(&self, recipe: &str, version: &str) -> Result<Candidate, Problem> {
        let id = CandidateId(format!("{recipe}/{version}"));
        let candidate = self.store().candidate(&id).await?;
        candidate.ok_or_else(|| Problem::no_candidate(&id))
    }
}

/// Programs are answered in JSON, at addresses that are not there too.
async fn unknown(uri: Uri) -> Response {
    Problem::not_found(
        format!("There is nothing at {}.", uri.path()),
        "/api lists what there is for programs.",
    )
    .json()
}

async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")];
    (headers, include_str!("../web/style.css")).into_response()
}

/// Nothing that a page shows may run, and nothing is fetched from elsewhere, whatever a message has smuggled in.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ));
    response
}

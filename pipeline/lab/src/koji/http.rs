//! The web server before the hub: headers, statuses, uploads, and answers that never arrive.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use muster::adapters::koji::xml::{self, Reply};
use serde_json::json;
use tokio::net::TcpListener;

use super::Shared;
use super::mishap::Mishap;
use super::session::{Headers, fault};

/// The largest request a hub takes by default.
const LARGEST: usize = 4 << 20;

pub async fn serve(listener: TcpListener, state: Shared) {
    let router = Router::new()
        .route("/kojihub", post(call))
        .route("/kojihub/ssllogin", post(log_in))
        .route("/kojifiles/{*path}", get(file))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(state);
    // It ends when the hub is dropped.
    let _ = axum::serve(listener, router).await;
}

async fn call(
    State(state): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (response, late) = answered(&state, &query, &headers, &body);
    tokio::time::sleep(late).await;
    response
}

/// What is answered, and after what time.
fn answered(
    state: &Shared,
    query: &HashMap<String, String>,
    headers: &HeaderMap,
    body: &Bytes,
) -> (Response, Duration) {
    let session = session(headers);
    let mut state = state.lock();
    let at_once = |response| (response, Duration::ZERO);
    if query.contains_key("filename") {
        return at_once(match state.take_mishap("upload") {
            Some(Mishap::Fault(code, text)) => answer(&Reply::Fault(code, text)),
            Some(Mishap::Status(status)) => refuse(status),
            Some(Mishap::AnswerLost) => {
                let _ = state.upload(query, body, session.as_ref());
                refuse(502)
            }
            Some(Mishap::Raw(_) | Mishap::Huge(_) | Mishap::Late(_)) | None => {
                answer(&state.upload(query, body, session.as_ref()))
            }
        });
    }
    let Ok(call) = xml::read_call(body) else {
        let text = "Invalid request: not well-formed (invalid token)";
        return at_once((StatusCode::BAD_REQUEST, text).into_response());
    };
    at_once(match state.take_mishap(&call.method) {
        Some(Mishap::Fault(code, text)) => answer(&Reply::Fault(code, text)),
        Some(Mishap::Status(status)) => refuse(status),
        Some(Mishap::Raw(bytes)) => bytes.into_response(),
        Some(Mishap::Huge(size)) => answer(&Reply::Value(json!("x".repeat(size)))),
        Some(Mishap::AnswerLost) => {
            let _ = state.answer(call, session.as_ref());
            refuse(502)
        }
        Some(Mishap::Late(time)) => return (answer(&state.answer(call, session.as_ref())), time),
        None => answer(&state.answer(call, session.as_ref())),
    })
}

async fn log_in(State(state): State<Shared>, headers: HeaderMap) -> Response {
    let mut state = state.lock();
    if state.certified.is_some() {
        return answer(&state.ssl_log_in());
    }
    // As the web server does it for Kerberos, or for a certificate that it does not get.
    if headers.get(header::USER_AGENT).is_some() {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Negotiate")],
            "<html>401 Unauthorized",
        )
            .into_response();
    }
    StatusCode::FORBIDDEN.into_response()
}

async fn file(State(state): State<Shared>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    state.lock().file(&path, &headers)
}

fn refuse(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, "<html><h1>It cannot be done now</h1></html>").into_response()
}

fn answer(reply: &Reply) -> Response {
    (
        [(header::CONTENT_TYPE, "text/xml"), (header::HeaderName::from_static("koji-version"), "1.35.3")],
        xml::reply(reply),
    )
        .into_response()
}

fn session(headers: &HeaderMap) -> Option<Headers> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    Some(Headers {
        id: text("koji-session-id")?.parse().ok()?,
        key: text("koji-session-key")?.to_owned(),
        number: text("koji-session-callnum").and_then(|number| number.parse().ok()),
    })
}

impl super::State {
    /// Keeps a file below the folder for work.
    fn upload(&mut self, query: &HashMap<String, String>, body: &[u8], session: Option<&Headers>) -> Reply {
        self.calls.push(super::Called {
            method: "upload".to_owned(),
            params: Vec::new(),
            logged_in: session.is_some(),
        });
        match self.authenticate(session, "upload") {
            Ok(Some(_)) => {}
            Ok(None) => return fault(1000, "you must be logged-in to upload a file"),
            Err(fault) => return fault,
        }
        let text = |name: &str| query.get(name).cloned().unwrap_or_default();
        let path = format!("{}/{}", text("filepath"), text("filename"));
        if self.uploads.contains_key(&path) && text("overwrite") != "1" {
            return fault(1000, "upload path exists");
        }
        self.uploads.insert(path, body.to_vec());
        self.committed(session, "upload");
        Reply::Value(
            json!({ "size": body.len(), "fileverify": text("fileverify"), "offset": 0, "hexdigest": "0" }),
        )
    }
}

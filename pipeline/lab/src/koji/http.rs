//! The web server before the hub: headers, statuses, uploads, and answers that never arrive.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use muster::adapters::koji::xml::{self, Call, Reply};
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
    let mut state = state.lock();
    let call = match read(query, body) {
        Ok(call) => call,
        Err(response) => return (*response, Duration::ZERO),
    };
    let mishap = match &call {
        Some(call) => state.take_mishap_of(call),
        None => state.take_mishap("upload"),
    };
    let session = session(headers);
    let act = |state: &mut super::State| match (session, call) {
        (Err(fault), _) => fault,
        (Ok(session), Some(call)) => state.answer(call, session.as_ref()),
        (Ok(session), None) => state.upload(query, body, session.as_ref()),
    };
    let response = match mishap {
        Some(Mishap::Fault(code, text)) => answer(&Reply::Fault(code, text)),
        Some(Mishap::Status(status)) => refuse(status),
        Some(Mishap::Raw(bytes)) => bytes.into_response(),
        Some(Mishap::Huge(size)) => answer(&Reply::Value(json!("x".repeat(size)))),
        Some(Mishap::AnswerLost) => {
            let _ = act(&mut state);
            refuse(502)
        }
        Some(Mishap::Late(time)) => return (answer(&act(&mut state)), time),
        None => answer(&act(&mut state)),
    };
    (response, Duration::ZERO)
}

/// What is called; nothing, where a file is uploaded.
fn read(query: &HashMap<String, String>, body: &Bytes) -> Result<Option<Call>, Box<Response>> {
    if query.contains_key("filename") {
        return Ok(None);
    }
    if !query.is_empty() {
        return Err(Box::new(answer(&fault(1002, "'session-id' not specified in session args"))));
    }
    // XML has no place for most control characters.
    let is_text = body.iter().all(|byte| *byte >= b' ' || b"\t\n\r".contains(byte));
    let call = is_text.then(|| xml::read_call(&body[..]).ok()).flatten();
    let refusal = "Invalid request: not well-formed (invalid token)";
    call.map(Some).ok_or_else(|| Box::new((StatusCode::BAD_REQUEST, refusal).into_response()))
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

/// The session that a request comes in; nobody's without headers, and a fault with half of them.
fn session(headers: &HeaderMap) -> Result<Option<Headers>, Reply> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let Some(id) = text("koji-session-id") else { return Ok(None) };
    match (id.parse(), text("koji-session-key")) {
        (Ok(id), Some(key)) => Ok(Some(Headers {
            id,
            key: key.to_owned(),
            number: text("koji-session-callnum").and_then(|number| number.parse().ok()),
        })),
        _ => Err(fault(1, "<class 'ValueError'>: invalid literal for int() with base 10")),
    }
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

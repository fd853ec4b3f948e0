//! Calls over HTTP: one request, one reply, within limits. Anonymous; the session adds its headers.
//!
//! A fault comes with HTTP 200, so that the status is looked at first and the text then. It must not know what a call
//! means, and it tries nothing twice.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::CallError;
use super::reply;
use super::xml::{self, Outcome, Reply};
use crate::{http, text};

/// How long the hub may be silent. A hub whose broker is away takes 30 s for each call that says something there.
const SILENCE: Duration = Duration::from_mins(2);

/// How long the hub may be silent while it reads a whole image to hash it.
const HASHING: Duration = Duration::from_mins(30);

/// How much of an error page is read, in bytes, and how much of that is shown, in characters.
const READ: usize = 64 << 10;
const SHOWN: usize = 300;

/// A hub, as anybody may ask it.
#[derive(Clone, Debug)]
pub struct Hub {
    http: Client,
    patient: Client,
    url: String,
}

impl Hub {
    /// A hub by the address of its XML-RPC end, such as `https://koji.example.org/kojihub`.
    pub fn new(url: &str) -> Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        reqwest::Url::parse(&url).with_context(|| format!("{url} is no address of a Koji hub"))?;
        // A redirect would carry the session's key to whoever is named by it.
        let client = |silence| {
            http::builder()
                .read_timeout(silence)
                .redirect(Policy::none())
                .build()
                .context("cannot make a client")
        };
        Ok(Hub { http: client(SILENCE)?, patient: client(HASHING)?, url })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method.
    pub async fn call<T: Wanted>(&self, method: &str, params: &[Value]) -> Result<T, CallError> {
        self.post(&self.http, Post::of_call(method, params), HeaderMap::new()).await
    }

    /// Calls a method for which the hub reads a whole file.
    pub async fn call_patiently<T: Wanted>(&self, method: &str, params: &[Value]) -> Result<T, CallError> {
        self.post(&self.patient, Post::of_call(method, params), HeaderMap::new()).await
    }

    /// Calls several methods in one request. Each has its own outcome.
    pub async fn multi<T: Wanted>(&self, calls: &[Call<'_>]) -> Result<Vec<Result<T, CallError>>, CallError> {
        let wanted = calls.iter().map(|(method, params)| json!({ "methodName": method, "params": params }));
        let outcomes: Vec<Outcome<T>> = self.call("multiCall", &[wanted.collect()]).await?;
        if outcomes.len() != calls.len() {
            return Err(CallError::Garbled {
                method: "multiCall".to_owned(),
                text: "it is not one outcome per call".to_owned(),
            });
        }
        let outcomes = calls.iter().zip(outcomes).map(|((method, _), outcome)| match outcome {
            Outcome::Value(value) => Ok(value),
            Outcome::Fault(code, text) => Err(CallError::Fault { method: (*method).to_owned(), code, text }),
        });
        Ok(outcomes.collect())
    }

    /// Sends something in a session.
    pub(super) async fn send<T: Wanted>(&self, post: Post, session: HeaderMap) -> Result<T, CallError> {
        self.post(&self.http, post, session).await
    }

    async fn post<T: Wanted>(&self, client: &Client, post: Post, headers: HeaderMap) -> Result<T, CallError> {
        let Post { method, query, kind, body } = post;
        let no_answer = |error: reqwest::Error| CallError::NoAnswer {
            method: method.clone(),
            text: format!("{:#}", anyhow::Error::from(error.without_url())),
        };
        let request = client.post(&self.url).query(&query).headers(headers).header(CONTENT_TYPE, kind);
        let mut response = request.body(body).send().await.map_err(no_answer)?;
        let status = response.status();
        if status == StatusCode::OK {
            return match reply::read(response).await {
                Ok(reply) => understood(&method, reply),
                Err(reply::Fault::BrokeOff(error)) => Err(no_answer(error)),
                Err(reply::Fault::Garbled(text)) => Err(CallError::Garbled { method, text }),
            };
        }
        let mut page = Vec::new();
        while page.len() < READ
            && let Some(piece) = response.chunk().await.map_err(no_answer)?
        {
            page.extend_from_slice(&piece);
        }
        Err(refused(&method, status, &page))
    }
}

/// What may be wanted of a reply: anything that is read from it on another thread.
pub trait Wanted: DeserializeOwned + Send + 'static {}

impl<T: DeserializeOwned + Send + 'static> Wanted for T {}

/// A call of several: its method and parameters.
pub type Call<'a> = (&'a str, Vec<Value>);

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub method: String,
    pub query: Vec<(&'static str, String)>,
    pub kind: HeaderValue,
    pub body: Vec<u8>,
}

impl Post {
    pub(super) fn of_call(method: &str, params: &[Value]) -> Self {
        Post {
            method: method.to_owned(),
            query: Vec::new(),
            kind: HeaderValue::from_static("text/xml"),
            body: xml::call(method, params).into_bytes(),
        }
    }
}

/// What an answer says that is there as a whole.
pub(super) fn judge(method: &str, status: StatusCode, bytes: &[u8]) -> Result<Value, CallError> {
    if status != StatusCode::OK {
        return Err(refused(method, status, bytes));
    }
    match xml::read_reply(bytes) {
        Ok(reply) => understood(method, reply),
        Err(error) => Err(CallError::Garbled { method: method.to_owned(), text: error.to_string() }),
    }
}

fn understood<T>(method: &str, reply: Reply<T>) -> Result<T, CallError> {
    match reply {
        Reply::Value(value) => Ok(value),
        Reply::Fault(code, text) => Err(CallError::Fault { method: method.to_owned(), code, text }),
    }
}

/// What an answer means that is no XML: one with a status other than 200.
fn refused(method: &str, status: StatusCode, page: &[u8]) -> CallError {
    let method = method.to_owned();
    let text: String = text::one_line(&String::from_utf8_lossy(page)).chars().take(SHOWN).collect();
    let later = status.is_server_error()
        || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if later {
        CallError::NoAnswer { method, text: format!("HTTP {status}: {text}") }
    } else {
        CallError::Refused { method, status: status.as_u16(), text }
    }
}

/// A reply, or one outcome of several, as a type.
pub(super) fn typed<T: DeserializeOwned>(method: &str, value: Value) -> Result<T, CallError> {
    serde_json::from_value(value)
        .map_err(|error| CallError::Garbled { method: method.to_owned(), text: error.to_string() })
}

/// Keyword arguments: they stand as the last parameter.
pub(super) fn keywords(mut members: Value) -> Value {
    members["__starstar"] = Value::Bool(true);
    members
}

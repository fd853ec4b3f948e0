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
use super::xml::{self, Reply};
use crate::{http, text};

/// How long the hub may be silent. A hub whose broker is away takes 30 s for each call that says something there.
const SILENCE: Duration = Duration::from_mins(2);

/// How long the hub may be silent while it reads a whole image to hash it.
const HASHING: Duration = Duration::from_mins(30);

/// The largest reply that is read. A tag with 25,000 builds is told in 60 MB, one task in 3 KB.
const LARGEST: usize = 96 << 20;

/// How much of an error page is shown.
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
    pub async fn call(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        self.post(&self.http, Post::of_call(method, params), HeaderMap::new()).await
    }

    /// Calls a method for which the hub reads a whole file.
    pub async fn call_patiently(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        self.post(&self.patient, Post::of_call(method, params), HeaderMap::new()).await
    }

    /// Calls several methods in one request. Each has its own outcome.
    pub async fn multi(&self, calls: &[Call<'_>]) -> Result<Vec<Result<Value, CallError>>, CallError> {
        let wanted = calls.iter().map(|(method, params)| json!({ "methodName": method, "params": params }));
        let reply = self.call("multiCall", &[wanted.collect()]).await?;
        let garbled = || CallError::Garbled {
            method: "multiCall".to_owned(),
            text: "it is not one outcome per call".to_owned(),
        };
        let outcomes =
            reply.as_array().filter(|outcomes| outcomes.len() == calls.len()).ok_or_else(garbled)?;
        let outcomes = calls.iter().zip(outcomes).map(|((method, _), outcome)| match outcome {
            Value::Array(one) if one.len() == 1 => Ok(Ok(one[0].clone())),
            Value::Object(fault) => Ok(Err(CallError::Fault {
                method: (*method).to_owned(),
                code: fault.get("faultCode").and_then(Value::as_i64).ok_or_else(garbled)?,
                text: fault.get("faultString").and_then(Value::as_str).ok_or_else(garbled)?.to_owned(),
            })),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(garbled())
            }
        });
        outcomes.collect()
    }

    /// Sends something in a session.
    pub(super) async fn send(&self, post: Post, session: HeaderMap) -> Result<Value, CallError> {
        self.post(&self.http, post, session).await
    }

    async fn post(&self, client: &Client, post: Post, headers: HeaderMap) -> Result<Value, CallError> {
        let Post { method, query, kind, body } = post;
        let no_answer = |error: reqwest::Error| CallError::NoAnswer {
            method: method.clone(),
            text: format!("{:#}", anyhow::Error::from(error.without_url())),
        };
        let request = client.post(&self.url).query(&query).headers(headers).header(CONTENT_TYPE, kind);
        let mut response = request.body(body).send().await.map_err(no_answer)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(no_answer)? {
            if bytes.len() + piece.len() > LARGEST {
                let text = format!("it is larger than {} MiB", LARGEST >> 20);
                return Err(CallError::Garbled { method, text });
            }
            bytes.extend_from_slice(&piece);
        }
        judge(&method, status, &bytes)
    }
}

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

/// What an answer says. Answers other than 200 are no XML.
pub(super) fn judge(method: &str, status: StatusCode, bytes: &[u8]) -> Result<Value, CallError> {
    let method = method.to_owned();
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(bytes);
        let text: String = text::one_line(&text).chars().take(SHOWN).collect();
        let later = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        return Err(if later {
            CallError::NoAnswer { method, text: format!("HTTP {status}: {text}") }
        } else {
            CallError::Refused { method, status: status.as_u16(), text }
        });
    }
    match xml::read_reply(bytes) {
        Ok(Reply::Value(value)) => Ok(value),
        Ok(Reply::Fault(code, text)) => Err(CallError::Fault { method, code, text }),
        Err(error) => Err(CallError::Garbled { method, text: error.to_string() }),
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

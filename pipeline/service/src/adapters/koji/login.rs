//! The three ways to log in. All give the same session.
//!
//! A password goes the ordinary way. A client certificate and Kerberos go through the program `curl`, for this one call:
//! hubs ask for the certificate at `/ssllogin` only, in the middle of a connection, which rustls cannot follow; and
//! Kerberos would need the C libraries in our own process. See `docs/decisions/0007-koji.md`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Hub, Post, keywords};
use super::error::CallError;
use super::settings::Login;
use super::xml;
use crate::program::Program;

/// How long a login may take, in seconds.
const LIMIT_S: u32 = 90;

/// What the hub gives to whoever logs in.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Ticket {
    #[serde(rename = "session-id")]
    pub id: i64,
    #[serde(rename = "session-key")]
    pub key: String,
}

/// Logs in afresh.
pub(super) async fn log_in(hub: &Hub, login: &Login) -> Result<Ticket, CallError> {
    let reply = match login {
        Login::Password { username, password_file } => {
            let password = first_line(password_file).await.map_err(|error| told(&error))?;
            let params = [json!(username), json!(password), keywords(json!({ "opts": null }))];
            hub.send(Post::of_call("login", &params), HeaderMap::new()).await
        }
        Login::Certificate { certificate, key, authority } => {
            let mut curl = curl().arg("--cert").arg(certificate);
            if let Some(key) = key {
                curl = curl.arg("--key").arg(key);
            }
            if let Some(authority) = authority {
                curl = curl.arg("--cacert").arg(authority);
            }
            by_curl(hub, curl).await
        }
        Login::Kerberos { keytab } => {
            let mut curl = curl().args(["--negotiate", "--user", ":"]);
            if let Some(keytab) = keytab {
                // A ticket of its own, which nobody else's stale one can spoil.
                curl = curl.env("KRB5_CLIENT_KTNAME", keytab).env("KRB5CCNAME", "MEMORY:");
            }
            by_curl(hub, curl).await
        }
    };
    match reply {
        Ok(reply) => client::typed("login", reply),
        Err(CallError::Fault { text, .. }) => Err(CallError::Login(text)),
        Err(CallError::Refused { status, text, .. }) => {
            Err(CallError::Login(explained(login, status).unwrap_or(text)))
        }
        Err(error) => Err(error),
    }
}

fn told(error: &anyhow::Error) -> CallError {
    CallError::Login(format!("{error:#}"))
}

async fn first_line(path: &Path) -> Result<String> {
    let text = tokio::fs::read_to_string(path)
        .await
        .with_context(|| format!("cannot read the password file {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn curl() -> Program {
    let shown = ["--silent", "--show-error", "--write-out", "\n%{http_code}", "--max-time"];
    let sent = ["--header", "Content-Type: text/xml", "--data-binary", "@-"];
    Program::new("curl")
        .arg("--disable")
        .args(shown)
        .arg(LIMIT_S.to_string())
        .args(sent)
        .limit(Duration::from_secs(u64::from(LIMIT_S) + 10))
}

async fn by_curl(hub: &Hub, curl: Program) -> Result<Value, CallError> {
    const METHOD: &str = "sslLogin";
    let body = xml::call(METHOD, &[keywords(json!({ "proxyuser": null }))]);
    let finished = curl.arg(format!("{}/ssllogin", hub.url())).input(body).run().await;
    let finished = finished.map_err(|error| CallError::Login(error.to_string()))?;
    let (reply, status) = split(&finished.stdout).map_err(|error| told(&error))?;
    client::judge(METHOD, status, reply)
}

/// What curl wrote: the answer's body, and the status in the last line.
fn split(output: &[u8]) -> Result<(&[u8], StatusCode)> {
    let Some(at) = output.iter().rposition(|byte| *byte == b'\n') else { bail!("curl gave no status") };
    let status = std::str::from_utf8(&output[at + 1..])?.trim().parse::<u16>()?;
    Ok((&output[..at], StatusCode::from_u16(status)?))
}

/// What the web server's refusal means, in words that help.
fn explained(login: &Login, status: u16) -> Option<String> {
    match (login, status) {
        (Login::Kerberos { .. }, 401) => Some(
            "the hub takes no ticket of ours: is the keytab's principal known to the realm, does the hub's name \
             resolve to the one in its own principal (rdns and dns_canonicalize_hostname in krb5.conf), and is the \
             time right?"
                .to_owned(),
        ),
        (Login::Certificate { .. }, 403) => Some(
            "the hub saw no client certificate it takes: does its authority sign ours, and is this curl made with \
             OpenSSL, which can show one in the middle of a connection?"
                .to_owned(),
        ),
        (Login::Password { .. } | Login::Kerberos { .. } | Login::Certificate { .. }, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_what_curl_writes_last() {
        let (body, status) = split(b"<a>\n</a>\n\n200").unwrap();
        assert_eq!((body, status), (&b"<a>\n</a>\n"[..], StatusCode::OK));
        assert!(split(b"nothing").is_err());
        assert!(split(b"\n000").is_err(), "no connection is no status");
    }
}

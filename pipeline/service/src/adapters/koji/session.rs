//! The one logged-in session: everything that changes something goes through it, one call after the other.
//!
//! The hub keeps the number of a session's last call that changed something and refuses lower ones, so that calls must
//! not overtake each other. A number moves on with each answer; without one it is used again, and should the hub have
//! carried that call out after all, it says so (1009) in place of doing the next one.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::client::{Hub, Post, Wanted};
use super::error::{CallError, code};
use super::login::{self, Ticket};
use super::settings::Login;

/// A session that logs in when it is needed, and again when the hub has forgotten it.
#[derive(Debug)]
pub struct Session {
    hub: Hub,
    login: Login,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    ticket: Ticket,
    number: u64,
    user: User,
}

/// Who is logged in.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// The number by which tasks name their owner.
    pub id: i64,
    /// The name.
    pub name: String,
}

impl Session {
    /// A session that is not logged in yet.
    pub fn new(hub: Hub, login: Login) -> Self {
        Session { hub, login, open: Mutex::new(None) }
    }

    /// Who we are.
    pub async fn user(&self) -> Result<User, CallError> {
        let mut open = self.open.lock().await;
        if let Some(open) = &*open {
            return Ok(open.user.clone());
        }
        Ok(open.insert(self.log_in().await?).user.clone())
    }

    /// Calls a method as the user we are.
    pub async fn call<T: Wanted>(&self, method: &str, params: &[Value]) -> Result<T, CallError> {
        self.send(Post::of_call(method, params)).await
    }

    /// Puts a small file below the hub's folder for work, and looks whether it is whole.
    pub async fn upload(&self, folder: &str, name: &str, content: &[u8]) -> Result<(), CallError> {
        let post = Post {
            method: "upload".to_owned(),
            query: vec![
                ("filename", name.to_owned()),
                ("filepath", folder.to_owned()),
                ("fileverify", "adler32".to_owned()),
                ("offset", "0".to_owned()),
                ("overwrite", "1".to_owned()),
            ],
            kind: HeaderValue::from_static("application/octet-stream"),
            body: content.to_vec(),
        };
        let stored: Value = self.send(post).await?;
        if stored["size"].as_u64() == Some(content.len() as u64) {
            return Ok(());
        }
        let text = format!("of {} bytes it stored {}", content.len(), stored["size"]);
        Err(CallError::NoAnswer { method: "upload".to_owned(), text })
    }

    /// Sends it; and once more after a login, if the hub did nothing for want of one.
    async fn send<T: Wanted>(&self, post: Post) -> Result<T, CallError> {
        let mut open = self.open.lock().await;
        let session = match open.take() {
            Some(session) => open.insert(session),
            None => open.insert(self.log_in().await?),
        };
        match self.attempt(session, post.clone()).await {
            Err(error) if error.asks_for_login() => {
                *open = None;
                let session = open.insert(self.log_in().await?);
                self.attempt(session, post).await
            }
            outcome => outcome,
        }
    }

    async fn attempt<T: Wanted>(&self, session: &mut Open, post: Post) -> Result<T, CallError> {
        let headers = headers(&session.ticket, session.number)?;
        let outcome = self.hub.send(post, headers).await;
        if outcome.as_ref().err().is_none_or(CallError::is_answer) {
            session.number += 1;
        }
        outcome
    }

    /// A new session: its numbers begin at 0, and the old one need not be known.
    async fn log_in(&self) -> Result<Open, CallError> {
        let ticket = login::log_in(&self.hub, &self.login).await?;
        let who = Post::of_call("getLoggedInUser", &[]);
        let user = self.hub.send(who, headers(&ticket, 0)?).await?;
        Ok(Open { ticket, number: 0, user })
    }

    /// The names of what we are allowed.
    pub async fn permissions(&self) -> Result<Vec<String>, CallError> {
        self.call("getPerms", &[]).await
    }

    /// Ends a task with its children. One that is over, or unknown, is no error.
    pub async fn cancel_task(&self, task: i64) -> Result<(), CallError> {
        match self.call::<IgnoredAny>("cancelTask", &[json!(task)]).await {
            Err(error) if error.is(code::GENERIC) => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

fn headers(ticket: &Ticket, number: u64) -> Result<HeaderMap, CallError> {
    let mut key = HeaderValue::from_str(&ticket.key)
        .map_err(|_| CallError::Login("the session's key is no text for a header".to_owned()))?;
    key.set_sensitive(true);
    Ok(HeaderMap::from_iter([
        (HeaderName::from_static("koji-session-id"), HeaderValue::from(ticket.id)),
        (HeaderName::from_static("koji-session-key"), key),
        (HeaderName::from_static("koji-session-callnum"), HeaderValue::from(number)),
    ]))
}

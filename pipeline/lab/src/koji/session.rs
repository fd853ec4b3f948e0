//! Who may do what: users, logins, and the numbers of calls.

use muster::adapters::koji::xml::Reply;
use serde_json::{Value, json};

use super::State;
use super::method::Args;

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct User {
    /// Tasks name their owner by it.
    pub id: i64,
    /// The name, and in the lab the password too.
    pub name: String,
    /// What is allowed.
    pub permissions: Vec<String>,
}

/// A login.
#[derive(Clone, Debug)]
pub struct Session {
    /// What the headers must carry.
    pub key: String,
    /// Whose it is.
    pub user: i64,
    /// The number of the last call that changed something.
    pub number: Option<i64>,
    /// Whether it is too old.
    pub expired: bool,
}

/// What the headers of one request say.
#[derive(Clone, Debug)]
pub struct Headers {
    /// The session.
    pub id: i64,
    /// Its key.
    pub key: String,
    /// The number of the call.
    pub number: Option<i64>,
}

/// The methods that change something.
const WRITES: [&str; 8] = [
    "buildImageOz",
    "kiwiBuild",
    "osbuildImage",
    "buildImageIndirection",
    "runroot",
    "cancelTask",
    "resubmitTask",
    "upload",
];

pub fn fault(code: i64, text: impl Into<String>) -> Reply {
    Reply::Fault(code, text.into())
}

impl State {
    /// The user a request comes from; `None` for anybody.
    pub fn authenticate(&self, headers: Option<&Headers>, method: &str) -> Result<Option<i64>, Reply> {
        let Some(headers) = headers else { return Ok(None) };
        let known = self.sessions.get(&headers.id).filter(|session| session.key == headers.key);
        let Some(session) = known else { return Err(fault(1002, "Invalid session or bad credentials")) };
        if session.expired {
            return Err(fault(1007, format!("session \"{}\" has expired", headers.id)));
        }
        match (session.number, headers.number) {
            (Some(last), Some(number)) if last > number => {
                Err(fault(1008, format!("{last} > {number} (session {})", headers.id)))
            }
            (Some(last), Some(number)) if last == number => Err(fault(
                1009,
                format!("unable to retry call {number} (method {method}) for session {}", headers.id),
            )),
            _ => Ok(Some(session.user)),
        }
    }

    /// Remembers the number of a call that changed something.
    pub fn committed(&mut self, headers: Option<&Headers>, method: &str) {
        let Some(headers) = headers.filter(|_| WRITES.contains(&method)) else { return };
        if let Some(session) = self.sessions.get_mut(&headers.id) {
            session.number = headers.number.or(session.number);
        }
    }

    pub fn log_in(&mut self, args: &Args) -> Reply {
        let name = args.text(0, "user").unwrap_or_default();
        if args.text(1, "password").as_deref() != Some(name.as_str()) {
            return fault(1002, "invalid username or password");
        }
        self.open_session(&name)
    }

    pub fn ssl_log_in(&mut self) -> Reply {
        match self.certified.clone() {
            Some(name) => self.open_session(&name),
            None => fault(1002, "could not verify client: None"),
        }
    }

    fn open_session(&mut self, name: &str) -> Reply {
        let Some(user) = self.users.iter().find(|user| user.name == name).map(|user| user.id) else {
            return fault(1002, "invalid username or password");
        };
        self.last_session += 1;
        let key = format!("{user}-key{}", self.last_session);
        let session = Session { key: key.clone(), user, number: None, expired: false };
        self.sessions.insert(self.last_session, session);
        Reply::Value(json!({ "session-id": self.last_session, "session-key": key, "header-auth": true }))
    }

    pub fn user(&self, id: Option<i64>) -> Option<&User> {
        self.users.iter().find(|user| Some(user.id) == id)
    }

    pub fn logged_in_user(&self, id: Option<i64>) -> Value {
        self.user(id).map_or(Value::Null, |user| {
            json!({ "id": user.id, "name": user.name, "status": 0, "usertype": 0, "krb_principals": [],
                "authtype": 0, "krb_principal": null })
        })
    }

    /// Whether the user may do what needs a permission; the fault that says no otherwise.
    pub fn allowed(&self, user: Option<i64>, permission: &str) -> Result<i64, Reply> {
        let Some(user) = self.user(user) else {
            return Err(fault(1004, format!("{permission} permission required (user not logged in)")));
        };
        if user.permissions.iter().any(|known| known == permission || known == "admin") {
            return Ok(user.id);
        }
        Err(fault(1004, format!("{permission} permission required (logged in as {})", user.name)))
    }
}

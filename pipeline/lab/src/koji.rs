//! A Koji hub over real HTTP, with the builders behind it: sessions, permissions, tasks that move when a test says so,
//! the files they leave, and faults on demand.
//!
//! It answers in the shapes of a real hub, and checks as little as one does: a wrong target or option gives a task, and
//! the task fails. Every call is remembered, so that a test counts what was done to it.

pub mod mishap;
mod session;
mod task;
mod builder;
pub mod build;
mod begin;
mod history;
mod method;
mod query;
mod file;
mod http;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use muster::clock::Clock;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::history::Tagging;
use self::mishap::{FileMishap, Mishap};
use self::session::{Session, User};
pub use self::task::{State as TaskState, Task};

/// A hub on a free port of this machine. Dropping it ends it.
#[derive(Debug)]
pub struct KojiHub {
    state: Shared,
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// What the hub and its web server share.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything a hub knows.
#[derive(Debug)]
struct State {
    clock: Clock,
    users: Vec<User>,
    sessions: BTreeMap<i64, Session>,
    last_session: i64,
    /// The user of `/ssllogin`, when the web server lets anybody in there.
    certified: Option<String>,
    tasks: BTreeMap<i64, Task>,
    last_task: i64,
    /// Target to build tag and destination tag.
    targets: BTreeMap<String, (String, String)>,
    /// Tag to arches, separated by spaces.
    tags: BTreeMap<String, String>,
    /// Which packages each tag lists.
    packages: BTreeMap<String, Vec<String>>,
    builds: Vec<build::Build>,
    repos: Vec<build::Repo>,
    history: Vec<Tagging>,
    /// The number of the last event.
    event: i64,
    uploads: BTreeMap<String, Vec<u8>>,
    /// What lies in each task's folder.
    files: BTreeMap<(i64, String), Vec<u8>>,
    mishaps: Vec<(String, Mishap)>,
    file_mishaps: VecDeque<FileMishap>,
    calls: Vec<Called>,
    downloads: Vec<String>,
}

/// One call as it came in; those within a `multiCall` one by one, and the `multiCall` itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// The method.
    pub method: String,
    /// Its parameters.
    pub params: Vec<Value>,
    /// Whether it came in a session.
    pub logged_in: bool,
}

impl KojiHub {
    /// A hub with the users `imagebot` (who may build images) and `releng` (an administrator), whose passwords are their
    /// names; a target `f43` with `x86_64` and `aarch64`; and the package `Lab` in its list.
    pub async fn start() -> Result<Self> {
        let state = Shared(Arc::new(Mutex::new(State::new())));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(http::serve(listener, state.clone()));
        Ok(KojiHub { state, address, server })
    }

    /// The web server goes away.
    pub fn stop(&self) {
        self.server.abort();
    }

    /// The web server comes back, at the same address.
    pub async fn come_back(&mut self) -> Result<()> {
        self.stop();
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
                Err(error) => return Err(error.into()),
            }
        };
        self.server = tokio::spawn(http::serve(listener, self.state.clone()));
        Ok(())
    }

    /// The address of its XML-RPC end.
    pub fn url(&self) -> String {
        format!("http://{}/kojihub", self.address)
    }

    /// Where files are read from.
    pub fn topurl(&self) -> String {
        format!("http://{}/kojifiles", self.address)
    }

    /// The pages for people.
    pub fn weburl(&self) -> String {
        format!("http://{}/koji", self.address)
    }

    /// How often a method was called.
    pub fn count(&self, method: &str) -> usize {
        self.state.lock().calls.iter().filter(|call| call.method == method).count()
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Called> {
        self.state.lock().calls.clone()
    }

    /// How many HTTP requests asked for calls so far: those within a `multiCall` are not counted.
    pub fn requests(&self) -> usize {
        let state = self.state.lock();
        let inner: usize = state
            .calls
            .iter()
            .filter(|call| call.method == "multiCall")
            .map(|call| call.params.first().and_then(Value::as_array).map_or(0, Vec::len))
            .sum();
        state.calls.len() - inner
    }

    /// The ranges and paths of files that were read so far.
    pub fn downloads(&self) -> Vec<String> {
        self.state.lock().downloads.clone()
    }

    /// A file that was uploaded, by its path below the folder for work.
    pub fn uploaded(&self, path: &str) -> Option<Vec<u8>> {
        self.state.lock().uploads.get(path).cloned()
    }

    /// The next call of `method` (`*` for any) comes to grief.
    pub fn mishap(&self, method: &str, mishap: Mishap) {
        self.state.lock().mishaps.push((method.to_owned(), mishap));
    }

    /// How many mishaps of calls are still to come. A test of what goes wrong sees by it that it did.
    pub fn mishaps_left(&self) -> usize {
        self.state.lock().mishaps.len()
    }

    /// The next file that is read comes to grief.
    pub fn file_mishap(&self, mishap: FileMishap) {
        self.state.lock().file_mishaps.push_back(mishap);
    }

    /// The web server takes whoever comes to `/ssllogin` for this user.
    pub fn certify(&self, user: Option<&str>) {
        self.state.lock().certified = user.map(str::to_owned);
    }

    /// Every session is too old now.
    pub fn expire_sessions(&self) {
        self.state.lock().sessions.values_mut().for_each(|session| session.expired = true);
    }

    /// Nobody knows any session any more.
    pub fn forget_sessions(&self) {
        self.state.lock().sessions.clear();
    }

    /// Takes permissions away, or gives them.
    pub fn permit(&self, user: &str, permissions: &[&str]) {
        let mut state = self.state.lock();
        for known in state.users.iter_mut().filter(|known| known.name == user) {
            known.permissions = permissions.iter().map(|name| (*name).to_owned()).collect();
        }
    }

    /// Says which packages a tag lists.
    pub fn list_packages(&self, tag: &str, packages: &[&str]) {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        self.state.lock().packages.insert(tag.to_owned(), packages);
    }

    /// Nobody knows any build target any more.
    pub fn forget_targets(&self) {
        self.state.lock().targets.clear();
    }

    /// Says which architectures a tag has.
    pub fn arches(&self, tag: &str, arches: &str) {
        self.state.lock().tags.insert(tag.to_owned(), arches.to_owned());
    }
}

impl Drop for KojiHub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    fn new() -> Self {
        let user = |id, name: &str, permissions: &[&str]| User {
            id,
            name: name.to_owned(),
            permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
        };
        State {
            clock: Clock::system(),
            users: vec![user(1, "releng", &["admin"]), user(2, "imagebot", &["image"])],
            sessions: BTreeMap::new(),
            last_session: 0,
            certified: None,
            tasks: BTreeMap::new(),
            last_task: 32,
            targets: [("f43".to_owned(), ("f43-build".to_owned(), "f43".to_owned()))].into(),
            tags: [("f43".to_owned(), String::new()), ("f43-build".to_owned(), "x86_64 aarch64".to_owned())]
                .into(),
            packages: [("f43".to_owned(), vec!["Lab".to_owned()])].into(),
            builds: Vec::new(),
            repos: vec![build::Repo { id: 1, tag: "f43-build".to_owned(), event: 31, state: 1 }],
            history: Vec::new(),
            event: 40,
            uploads: BTreeMap::new(),
            files: BTreeMap::new(),
            mishaps: Vec::new(),
            file_mishaps: VecDeque::new(),
            calls: Vec::new(),
            downloads: Vec::new(),
        }
    }
}

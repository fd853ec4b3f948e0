//! The store: the only module that knows SQL. Facts go in and come out; it decides nothing.
//!
//! The same SQL serves SQLite and PostgreSQL. No transaction is held while anything outside happens: every method
//! here begins and ends its own.

mod batches;
mod blame;
pub mod heard;
mod inbox;
mod ledger;
pub mod lines;
mod people;
mod plan;
pub mod prune;
mod read;
mod steps;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use jiff::Timestamp;
use muster_flow::candidate::CandidateId;
use sqlx::any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, Executor, Transaction};

pub use batches::Revised;
pub use blame::{InquiryRow, Terms};
pub use plan::{Admitted, Plan, Recording};
pub use read::{JournalLine, Milestones, SeenChange, StepRow};
pub use steps::{Claimed, Ending};

use crate::clock::Clock;
pub(crate) use crate::{decode, encode};

/// How long a database that is away is waited for: pages and commands say so before a person gives up.
const PATIENCE: Duration = Duration::from_secs(8);

/// How many connections one process opens at the most.
const CONNECTIONS: u32 = 6;

/// Names the advisory lock that migrations are made under on PostgreSQL: "muster" in ASCII.
const MIGRATION_LOCK: i64 = 0x6d75_7374_6572;

/// The facts, on SQLite or PostgreSQL.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    dialect: Dialect,
    clock: Clock,
    writer: Arc<Writer>,
    witness: Option<Arc<dyn Witness>>,
    /// What could not be read when it was read last, with the reason.
    unreadable: Arc<Mutex<BTreeMap<CandidateId, String>>>,
    /// The candidates whose inquiries could not be read, with the reason, so that it is told once.
    unreadable_inquiries: Arc<Mutex<BTreeMap<String, String>>>,
}

/// Is there at each write. The service has none; a test ends the process there.
#[async_trait]
pub trait Witness: Send + Sync + std::fmt::Debug {
    /// A transaction is about to be committed. A statement that is its own transaction has no such moment: nothing of it
    /// is there before it is durable.
    async fn before(&self, what: &str);
    /// Something has become durable, and whoever wrote it has not been told yet.
    async fn after(&self, what: &str);
}

/// This process as a writer: its name in leases and journal lines.
#[derive(Debug)]
struct Writer {
    name: String,
    last: AtomicI64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Store {
    /// Opens a database by its address, `sqlite://FILE` or `postgres://...`, and brings its tables up to date.
    pub async fn open(url: &str, clock: Clock) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let dialect = if url.starts_with("sqlite:") { Dialect::Sqlite } else { Dialect::Postgres };
        let url = match dialect {
            Dialect::Sqlite if !url.contains('?') => format!("{url}?mode=rwc"),
            Dialect::Sqlite | Dialect::Postgres => url.to_owned(),
        };
        make_folder(dialect, &url)?;
        let options =
            AnyConnectOptions::from_str(&url).context("cannot understand the database's address")?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if dialect == Dialect::Sqlite {
                        // An acknowledged message must survive a power cut, so every commit is synced.
                        connection.execute("PRAGMA journal_mode = WAL").await?;
                        connection.execute("PRAGMA synchronous = FULL").await?;
                        connection.execute("PRAGMA busy_timeout = 20000").await?;
                        connection.execute("PRAGMA foreign_keys = ON").await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .context("cannot open the database")?;
        let name = uuid::Uuid::new_v4().to_string();
        let writer = Arc::new(Writer { name, last: AtomicI64::new(0) });
        let (unreadable, unreadable_inquiries) = (Arc::default(), Arc::default());
        let store = Store { pool, dialect, clock, writer, witness: None, unreadable, unreadable_inquiries };
        store.migrate().await.context("cannot bring the database up to date")?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<()> {
        let mut connection = self.pool.acquire().await?;
        if self.dialect == Dialect::Postgres {
            sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATION_LOCK).execute(&mut *connection).await?;
        }
        let mut migrator = sqlx::migrate!("./migrations");
        // sqlx's own lock does not exist for every database; ours does.
        migrator.set_locking(false);
        let result = self.run_migrations(&migrator, &mut connection).await;
        if self.dialect == Dialect::Postgres {
            sqlx::query("SELECT pg_advisory_unlock($1)")
                .bind(MIGRATION_LOCK)
                .execute(&mut *connection)
                .await?;
        }
        result
    }

    async fn run_migrations(
        &self,
        migrator: &sqlx::migrate::Migrator,
        connection: &mut sqlx::pool::PoolConnection<Any>,
    ) -> Result<()> {
        let mut outcome = migrator.run(&mut **connection).await;
        // On SQLite several processes may start at once: whoever comes second at a migration finds it made, and goes on.
        for _ in migrator.iter() {
            if outcome.is_ok() || self.dialect == Dialect::Postgres {
                break;
            }
            outcome = migrator.run(&mut **connection).await;
        }
        Ok(outcome?)
    }

    /// The name of this process in leases.
    pub fn writer(&self) -> &str {
        &self.writer.name
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The same facts, with a witness of every write.
    #[must_use]
    pub fn witnessed(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    /// Begins a transaction that means to write.
    async fn begin(&self) -> Result<Transaction<'static, Any>> {
        let begun = match self.dialect {
            // A transaction that begins by reading could not become a writing one while another writes.
            Dialect::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            Dialect::Postgres => self.pool.begin().await,
        };
        begun.context("cannot begin a transaction")
    }

    /// Ends a transaction. `what` was to be recorded, for the error's words.
    async fn commit(&self, transaction: Transaction<'static, Any>, what: &str) -> Result<()> {
        if let Some(witness) = &self.witness {
            witness.before(what).await;
        }
        transaction.commit().await.with_context(|| format!("cannot record {what}"))?;
        self.written(what).await;
        Ok(())
    }

    /// Writes by one statement, which is its own transaction; returns how many rows it changed.
    async fn write(&self, query: Query<'_, Any, AnyArguments>, what: &str) -> Result<u64> {
        let done = query.execute(&self.pool).await.with_context(|| format!("cannot record {what}"))?;
        if done.rows_affected() > 0 {
            self.written(what).await;
        }
        Ok(done.rows_affected())
    }

    /// The same for a statement that returns the rows it changed.
    async fn write_returning(&self, query: Query<'_, Any, AnyArguments>, what: &str) -> Result<Vec<AnyRow>> {
        // To take the first row and no more would leave the commit to SQLite's clearing up, whose error nobody hears.
        let rows = query.fetch_all(&self.pool).await.with_context(|| format!("cannot record {what}"))?;
        if !rows.is_empty() {
            self.written(what).await;
        }
        Ok(rows)
    }

    async fn written(&self, what: &str) {
        if let Some(witness) = &self.witness {
            witness.after(what).await;
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A number that follows the clock, in microseconds, and never stands still within one process.
    fn sequence(&self) -> i64 {
        let microseconds = self.now().as_microsecond();
        let last = self.writer.last.fetch_max(microseconds, Ordering::Relaxed);
        if microseconds > last { microseconds } else { self.writer.last.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Adds a line to the journal within a transaction.
    async fn journal_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        candidate: &str,
        text: &str,
    ) -> Result<()> {
        sqlx::query("INSERT INTO journal (seq, writer, at, candidate, text) VALUES ($1, $2, $3, $4, $5)")
            .bind(self.sequence())
            .bind(&self.writer.name)
            .bind(self.now().as_millisecond())
            .bind(candidate)
            .bind(text)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    /// Says within a transaction that a fact about a candidate is new, so that it is looked at.
    async fn touch_in(&self, transaction: &mut Transaction<'static, Any>, candidate: &str) -> Result<()> {
        sqlx::query("UPDATE candidate SET version = version + 1, finished = 0 WHERE id = $1")
            .bind(candidate)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }
}

fn make_folder(dialect: Dialect, url: &str) -> Result<()> {
    if dialect == Dialect::Postgres || url.contains(":memory:") {
        return Ok(());
    }
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    match std::path::Path::new(path).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
        }
        Some(_) | None => Ok(()),
    }
}

/// `($1, $2), ($3, $4)` for `rows` rows of `columns` columns.
fn placeholders(rows: usize, columns: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let separator = if column == 0 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}${}", row * columns + column + 1);
        }
        text.push(')');
    }
    text
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

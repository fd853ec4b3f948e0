//! A database of its own for each test, on SQLite and on PostgreSQL.

use std::str::FromStr;

use anyhow::{Context, Result};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tempfile::TempDir;

/// The variable that names a PostgreSQL server on which tests may make databases.
const SERVER: &str = "MUSTER_TEST_POSTGRES";

/// A database that is gone when it is dropped (SQLite), or that the server's end takes with it (PostgreSQL).
#[derive(Debug)]
pub struct Database {
    /// Its address.
    pub url: String,
    /// What it runs on, for messages.
    pub kind: &'static str,
    _folder: Option<TempDir>,
}

impl Database {
    /// A SQLite database in a folder, on a real disk.
    pub fn at(folder: &std::path::Path) -> Self {
        Database {
            url: format!("sqlite://{}", folder.join("muster.db").display()),
            kind: "SQLite",
            _folder: None,
        }
    }
}

/// A fresh SQLite database.
pub fn sqlite() -> Result<Database> {
    // Tests kill futures, not the machine: a file in memory loses nothing by that, and syncs a hundred times faster.
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let url = format!("sqlite://{}", folder.path().join("muster.db").display());
    Ok(Database { url, kind: "SQLite", _folder: Some(folder) })
}

/// A fresh PostgreSQL database; `None`, and loudly, when no server is named. On CI that is an error.
pub async fn postgres() -> Result<Option<Database>> {
    let Ok(server) = std::env::var(SERVER) else {
        anyhow::ensure!(std::env::var("CI").is_err(), "{SERVER} is not set; deploy/test sets it");
        eprintln!("NOT TESTED on PostgreSQL: {SERVER} is not set; deploy/test sets it");
        return Ok(None);
    };
    sqlx::any::install_default_drivers();
    let name = format!("muster_{}", uuid::Uuid::new_v4().simple());
    let mut connection = AnyConnection::connect_with(&AnyConnectOptions::from_str(&server)?)
        .await
        .with_context(|| format!("cannot reach the server that {SERVER} names"))?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    let (before, query) = server
        .split_once('?')
        .map_or((server.as_str(), String::new()), |(before, query)| (before, format!("?{query}")));
    let (root, _) = before.rsplit_once('/').context("the server's address names no database")?;
    Ok(Some(Database { url: format!("{root}/{name}{query}"), kind: "PostgreSQL", _folder: None }))
}

/// A fresh database of each kind there is.
pub async fn each() -> Result<Vec<Database>> {
    let mut databases = vec![sqlite()?];
    databases.extend(postgres().await?);
    Ok(databases)
}

//! Migrations: they come twice and do no harm, they find data in place, and what was written before can be read.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use muster::clock::Clock;
use muster::store::Store;
use muster_flow::candidate::{CandidateId, Stage};
use muster_lab::database;
use sqlx::{AnyPool, AssertSqlSafe, Executor};

/// The migrations in order: their numbers and texts.
fn migrations() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut found: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let number = path.file_name().unwrap().to_str().unwrap()[..4].to_owned();
            (number, fs::read_to_string(&path).unwrap())
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn facts_written_before_a_migration_can_be_read_after_it() {
    for (number, _) in migrations() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/after_{number}.sql"));
        let data = fs::read_to_string(&data)
            .unwrap_or_else(|_| panic!("add data as of migration {number}: {data:?}"));
        for database in database::each().await.unwrap() {
            sqlx::any::install_default_drivers();
            let url = format!("{}{}", database.url, if database.kind == "SQLite" { "?mode=rwc" } else { "" });
            let pool = AnyPool::connect(&url).await.unwrap();
            let upto: i64 = number.parse().unwrap();
            let mut migrator = sqlx::migrate!("./migrations");
            migrator.migrations =
                migrator.migrations.iter().filter(|one| one.version <= upto).cloned().collect();
            migrator.set_locking(false);
            migrator.run(&pool).await.unwrap();
            pool.execute(AssertSqlSafe(data.clone())).await.unwrap();
            pool.close().await;
            let store = Store::open(&database.url, Clock::system()).await.unwrap();
            let id = CandidateId("cloud/43.20261121.0".to_owned());
            let candidate = store.candidate(&id).await.unwrap().unwrap();
            assert_eq!(candidate.stage(), Stage::Building, "{} after {number}", database.kind);
            assert_eq!(candidate.changes.len(), 1);
            assert_eq!(candidate.decisions.holds[0].who, "ada");
            assert_eq!(store.parked().await.unwrap()[0].body, b"{}");
            assert_eq!(store.unread(9).await.unwrap().len(), 1);
            assert!(store.installed().await.unwrap().contains_key("bash"));
        }
    }
}

#[tokio::test]
async fn two_processes_may_bring_a_database_up_to_date_at_once() {
    for database in database::each().await.unwrap() {
        let opening = (0..4).map(|_| Store::open(&database.url, Clock::system()));
        for store in futures_util::future::join_all(opening).await {
            store.unwrap_or_else(|error| panic!("{}: {error:#}", database.kind));
        }
    }
}

#[tokio::test]
async fn what_a_newer_program_has_migrated_an_older_one_does_not_open() {
    for database in database::each().await.unwrap() {
        Store::open(&database.url, Clock::system()).await.unwrap().close().await;
        let pool = AnyPool::connect(&database.url).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     SELECT 9999, 'newer', success, checksum, 0 FROM _sqlx_migrations LIMIT 1";
        pool.execute(newer).await.unwrap();
        pool.close().await;
        let error = Store::open(&database.url, Clock::system()).await.unwrap_err();
        assert!(format!("{error:#}").contains("9999"), "{}: {error:#}", database.kind);
    }
}

#[test]
fn a_later_migration_never_adds_a_column_that_old_rows_cannot_have() {
    for (number, text) in migrations().into_iter().skip(1) {
        for statement in text.split(';').filter(|statement| statement.contains("ADD COLUMN")) {
            let is_safe = !statement.contains("NOT NULL") || statement.contains("DEFAULT");
            assert!(is_safe, "migration {number}: {statement}");
        }
    }
}

#[test]
fn both_databases_understand_every_type() {
    for (number, text) in migrations() {
        for word in ["SERIAL", "AUTOINCREMENT", "BLOB", "BYTEA", "TIMESTAMP", "BOOLEAN", "JSONB", " INTEGER"]
        {
            assert!(!text.contains(word), "migration {number} uses {word}, which only one database knows");
        }
    }
}

//! Up to where each source of changes is known, and what was heard of it from whom.
//!
//! It is written in the transaction that records what follows from it, and in no other.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use jiff::Timestamp;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::{Store, placeholders};
use crate::ledger::{AllTold, Happening, Heard, Held, Kind, Known, Note, Positions, Told, Voice};

/// How many rows go into one statement.
const ROWS: usize = 500;

impl Store {
    /// The fence of this process's lease as planner; `None` while another process holds it.
    pub async fn fence(&self) -> Result<Option<i64>> {
        let row = sqlx::query("SELECT fence FROM planner WHERE owner = $1 AND lease >= $2")
            .bind(self.writer())
            .bind(self.now().as_millisecond())
            .fetch_optional(&self.pool)
            .await
            .context("cannot read who plans")?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// Every source with a position.
    pub async fn positions(&self) -> Result<Positions> {
        let rows = sqlx::query("SELECT name, position, since FROM source WHERE position <> ''")
            .fetch_all(&self.pool)
            .await
            .context("cannot read the sources")?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, Known { position: row.try_get(1)?, since: row.try_get(2)? })))
            .collect()
    }

    /// What a package repository is known to hold.
    pub async fn held(&self, source: &str) -> Result<Held> {
        let rows = sqlx::query("SELECT build FROM held WHERE source = $1")
            .bind(source)
            .fetch_all(&self.pool)
            .await
            .context("cannot read what a repository holds")?;
        let builds = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let sql = "SELECT label FROM heard WHERE source = $1 \
                   AND bus > COALESCE((SELECT swept FROM source WHERE name = $1), 0)";
        let rows = sqlx::query(sql).bind(source).fetch_all(&self.pool).await?;
        let labels = rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
        let lately = labels.iter().filter_map(|label| label.strip_prefix("in/")).map(str::to_owned).collect();
        Ok(Held { builds, lately })
    }

    /// What is known of some happenings.
    pub async fn told<'a>(&self, happenings: impl Iterator<Item = &'a Happening>) -> Result<AllTold> {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for happening in happenings {
            let names = happening.names.iter().map(String::as_str);
            wanted.entry(&happening.source).or_default().extend(names);
        }
        let mut told = BTreeMap::new();
        for (source, names) in wanted {
            let names: Vec<&str> = names.into_iter().collect();
            for chunk in names.chunks(ROWS) {
                let list: Vec<String> = (2..chunk.len() + 2).map(|number| format!("${number}")).collect();
                let sql = format!(
                    "SELECT name, bus, change FROM heard WHERE source = $1 AND name IN ({})",
                    list.join(", ")
                );
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(source);
                for name in chunk {
                    query = query.bind(*name);
                }
                for row in query.fetch_all(&self.pool).await.context("cannot read what was heard")? {
                    let known = Told {
                        by_bus: row.try_get::<i64, _>(1)? != 0,
                        by_change: !row.try_get::<String, _>(2)?.is_empty(),
                    };
                    told.insert((source.to_owned(), row.try_get(0)?), known);
                }
            }
        }
        Ok(told)
    }

    /// Records within a transaction what is remembered of the sources, and who told of what.
    pub(super) async fn remember_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        notes: &[Note],
        heard: &[Heard],
    ) -> Result<()> {
        let mut before = Vec::new();
        for note in notes {
            if let Note::Before { source, name, label, at } = note {
                let columns = Columns { label, at: *at, ..Columns::default() };
                before.push((source.as_str(), name.as_str(), columns));
            }
            self.note_in(transaction, note).await.context("cannot remember a source")?;
        }
        let now = self.now().as_millisecond();
        // One statement may touch a row only once.
        let mut rows: BTreeMap<(&str, &str), Columns<'_>> =
            before.into_iter().map(|(source, name, row)| ((source, name), row)).collect();
        for one in heard {
            let row = rows.entry((&one.source, &one.name)).or_default();
            (row.label, row.at) = (&one.label, one.at);
            let when = match one.voice {
                Voice::Bus => &mut row.bus,
                Voice::Sweep => &mut row.sweep,
            };
            *when = now;
            if row.change.is_empty() {
                row.change = &one.change;
            }
        }
        let rows: Vec<_> = rows.into_iter().collect();
        for chunk in rows.chunks(ROWS) {
            let sql = format!(
                "INSERT INTO heard (source, name, label, at, bus, sweep, change, event) VALUES {} \
                 ON CONFLICT (source, name) DO UPDATE SET \
                 bus = CASE WHEN heard.bus = 0 THEN excluded.bus ELSE heard.bus END, \
                 sweep = CASE WHEN heard.sweep = 0 THEN excluded.sweep ELSE heard.sweep END, \
                 change = CASE WHEN heard.change = '' THEN excluded.change ELSE heard.change END",
                placeholders(chunk.len(), 8)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for ((source, name), row) in chunk {
                query = query
                    .bind(*source)
                    .bind(*name)
                    .bind(row.label)
                    .bind(row.at.as_millisecond())
                    .bind(row.bus)
                    .bind(row.sweep)
                    .bind(row.change)
                    // A hub's events are numbered, and their names begin with that.
                    .bind(name.split_once('/').and_then(|(event, _)| event.parse().ok()).unwrap_or(0_i64));
            }
            query.execute(&mut **transaction).await.context("cannot remember what was heard")?;
        }
        if heard.iter().any(|one| one.voice == Voice::Sweep) {
            Self::match_said(transaction).await?;
        }
        Ok(())
    }

    /// What a message had spoken of before a sweep found it was first heard by the bus.
    async fn match_said(transaction: &mut Transaction<'static, Any>) -> Result<()> {
        let same = "said.source = heard.source AND said.label = heard.label";
        let take = format!(
            "UPDATE heard SET bus = (SELECT at FROM said WHERE {same}) \
             WHERE bus = 0 AND sweep <> 0 AND EXISTS (SELECT 1 FROM said WHERE {same})"
        );
        sqlx::query(AssertSqlSafe(take)).execute(&mut **transaction).await?;
        let drop = format!(
            "DELETE FROM said WHERE EXISTS (SELECT 1 FROM heard WHERE {same} AND heard.bus = said.at)"
        );
        sqlx::query(AssertSqlSafe(drop)).execute(&mut **transaction).await?;
        Ok(())
    }

    async fn note_in(&self, transaction: &mut Transaction<'static, Any>, note: &Note) -> Result<()> {
        let now = self.now().as_millisecond();
        match note {
            Note::Position { source, kind, position, since, at } => {
                let sql = "INSERT INTO source (name, kind, position, since, at) VALUES ($1, $2, $3, $4, $5) \
                           ON CONFLICT (name) DO UPDATE SET position = $3, \
                           since = CASE WHEN source.position = '' THEN $4 ELSE source.since END, \
                           at = CASE WHEN $5 = 0 THEN source.at ELSE $5 END";
                sqlx::query(sql)
                    .bind(source)
                    .bind(word(*kind))
                    .bind(position)
                    .bind(since)
                    .bind(at.map_or(0, Timestamp::as_millisecond))
                    .execute(&mut **transaction)
                    .await?;
            }
            Note::Swept(source) => {
                sqlx::query("UPDATE source SET swept = $2, tried = $2, fault = '' WHERE name = $1")
                    .bind(source)
                    .bind(now)
                    .execute(&mut **transaction)
                    .await?;
            }
            Note::Fault { source, kind, reason } => {
                let sql = "INSERT INTO source (name, kind, tried, fault) VALUES ($1, $2, $3, $4) \
                           ON CONFLICT (name) DO UPDATE SET tried = $3, fault = $4";
                sqlx::query(sql)
                    .bind(source)
                    .bind(word(*kind))
                    .bind(now)
                    .bind(reason)
                    .execute(&mut **transaction)
                    .await?;
            }
            // Rows of this kind come in thousands, and are written together.
            Note::Before { .. } => {}
            Note::Said { source, label } => Self::said_in(transaction, (source, label), now).await?,
            Note::Holds { source, builds } => Self::hold_in(transaction, source, builds).await?,
            Note::Came { source, build } => {
                let sql = "INSERT INTO held (source, build) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                let query = sqlx::query(sql).bind(source).bind(build);
                let news = query.execute(&mut **transaction).await?.rows_affected();
                self.close_in(transaction, source, &format!("out/{build}"), news > 0).await?;
            }
            Note::Left { source, build } => {
                let query = sqlx::query("DELETE FROM held WHERE source = $1 AND build = $2");
                let news = query.bind(source).bind(build).execute(&mut **transaction).await?.rows_affected();
                self.close_in(transaction, source, &format!("in/{build}"), news > 0).await?;
            }
        }
        Ok(())
    }

    async fn said_in(
        transaction: &mut Transaction<'static, Any>,
        (source, label): (&str, &str),
        now: i64,
    ) -> Result<()> {
        let sql = "UPDATE heard SET bus = $3 WHERE source = $1 AND label = $2 AND bus = 0 AND sweep <> 0";
        let late = sqlx::query(sql).bind(source).bind(label).bind(now).execute(&mut **transaction).await?;
        if late.rows_affected() == 0 {
            sqlx::query("INSERT INTO said (source, label, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(source)
                .bind(label)
                .bind(now)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    async fn hold_in(
        transaction: &mut Transaction<'static, Any>,
        source: &str,
        builds: &[String],
    ) -> Result<()> {
        sqlx::query("DELETE FROM held WHERE source = $1").bind(source).execute(&mut **transaction).await?;
        for chunk in builds.chunks(ROWS) {
            let sql = format!(
                "INSERT INTO held (source, build) VALUES {} ON CONFLICT DO NOTHING",
                placeholders(chunk.len(), 2)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for build in chunk {
                query = query.bind(source).bind(build);
            }
            query.execute(&mut **transaction).await?;
        }
        Ok(())
    }

    /// Something is over: should it happen again, that is news, and has the name to itself. When that `is_news`, the
    /// repository is known to hold something else than at its position: the next sweep compares, whatever it finds.
    async fn close_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        source: &str,
        label: &str,
        is_news: bool,
    ) -> Result<()> {
        let sql = "UPDATE heard SET name = name || $3, label = label || $3 WHERE source = $1 AND label = $2";
        sqlx::query(sql)
            .bind(source)
            .bind(label)
            .bind(format!(" until {}", self.sequence()))
            .execute(&mut **transaction)
            .await?;
        if is_news {
            let sql = "UPDATE source SET position = position || '+' \
                       WHERE name = $1 AND kind = 'packages' AND position NOT LIKE '%+'";
            sqlx::query(sql).bind(source).execute(&mut **transaction).await?;
        }
        Ok(())
    }
}

/// The columns of a row of `heard` beside its key.
#[derive(Default)]
struct Columns<'a> {
    label: &'a str,
    at: Timestamp,
    bus: i64,
    sweep: i64,
    change: &'a str,
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Koji => "koji",
        Kind::Packages => "packages",
        Kind::Git => "git",
    }
}

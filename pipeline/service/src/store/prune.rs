//! Removes what nobody will ask for again, a bounded number of rows at a time.
//!
//! What a message or a sweep is recognised by stays for as long as either may come again, and so does whatever an open
//! candidate was made from.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row;

use super::Store;
use super::heard::Counts;

/// How many rows of a table are removed in one pass.
const MOST: i64 = 1000;

/// Since when each kind of row is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Messages that were digested, by the time of that.
    pub messages: Timestamp,
    /// Changes that were weighed, and who told of what.
    pub changes: Timestamp,
    /// Journal lines.
    pub journal: Timestamp,
    /// Parked messages that were dealt with.
    pub parked: Timestamp,
    /// How far behind a hub's last event one must be that no sweep asks for any more.
    pub events: i64,
    /// How long a message may be later than a sweep before it counts as lost.
    pub grace: SignedDuration,
}

impl Store {
    /// Removes what is older; returns how many rows of what.
    pub async fn prune(&self, kept: &Kept) -> Result<Vec<(u64, &'static str)>> {
        let messages = "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox \
                        WHERE digested <> 0 AND digested < $1 AND received < $1 ORDER BY digested LIMIT $2)";
        let changes = "DELETE FROM change WHERE id IN (SELECT id FROM change \
                       WHERE effect <> '' AND recorded < $1 AND id NOT IN (SELECT change FROM cause \
                       WHERE candidate IN (SELECT id FROM candidate WHERE finished = 0)) \
                       ORDER BY recorded LIMIT $2)";
        // Its sequence is the time in microseconds.
        let journal = "DELETE FROM journal WHERE (seq, writer) IN (SELECT seq, writer FROM journal \
                       WHERE seq < $1 * 1000 AND candidate NOT IN (SELECT id FROM candidate WHERE finished = 0) \
                       ORDER BY seq LIMIT $2)";
        let parked = "DELETE FROM parked WHERE id IN (SELECT id FROM parked \
                      WHERE settled <> '' AND received < $1 ORDER BY received LIMIT $2)";
        let said = "DELETE FROM said WHERE (source, label) IN (SELECT source, label FROM said \
                    WHERE at < $1 ORDER BY at LIMIT $2)";
        let mut removed = Vec::new();
        for (sql, since, what) in [
            (messages, kept.messages, "digested message"),
            (changes, kept.changes, "weighed change"),
            (journal, kept.journal, "journal line"),
            (parked, kept.parked, "parked message"),
            (said, kept.changes, "unconfirmed message"),
        ] {
            let query = sqlx::query(sql).bind(since.as_millisecond()).bind(MOST);
            removed.push((self.write(query, "what is kept no longer").await?, what));
        }
        removed.push((self.prune_heard(kept).await?, "heard happening"));
        removed.retain(|(count, _)| *count > 0);
        Ok(removed)
    }

    /// Removes who told of what, where neither a message nor a sweep can come upon it again; how much it was is kept.
    async fn prune_heard(&self, kept: &Kept) -> Result<u64> {
        let mut transaction = self.begin().await?;
        // Another process that does the same waits here, and finds nothing left: each row is counted once.
        sqlx::query("UPDATE planner SET fence = fence WHERE name = 'planner'")
            .execute(&mut *transaction)
            .await?;
        let sql = "SELECT heard.source, heard.name, heard.bus, heard.sweep FROM heard \
                   JOIN source ON source.name = heard.source \
                   WHERE heard.at < $1 AND heard.bus < $1 AND heard.sweep < $1 AND CASE source.kind \
                   WHEN 'koji' THEN heard.event > CAST(NULLIF(source.since, '') AS BIGINT) \
                   AND heard.event <= CAST(NULLIF(source.position, '') AS BIGINT) - $3 \
                   WHEN 'packages' THEN heard.label LIKE 'out/%' OR heard.label LIKE '% until %' \
                   ELSE 1 = 1 END ORDER BY heard.at LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(kept.changes.as_millisecond())
            .bind(MOST)
            .bind(kept.events)
            .fetch_all(&mut *transaction)
            .await
            .context("cannot look for who told of what long ago")?;
        let grace = i64::try_from(kept.grace.as_millis())?;
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for row in &rows {
            let (source, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (bus, sweep): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
            sqlx::query("DELETE FROM heard WHERE source = $1 AND name = $2")
                .bind(&source)
                .bind(name)
                .execute(&mut *transaction)
                .await?;
            let counts = counts.entry(source).or_default();
            match () {
                () if bus == 0 && sweep == 0 => {}
                () if bus != 0 && (sweep == 0 || bus <= sweep) => counts.bus += 1,
                () if bus != 0 && bus <= sweep + grace => counts.late += 1,
                () => counts.lost += 1,
            }
        }
        for (source, counts) in counts {
            let sql = "UPDATE source SET bus = bus + $2, late = late + $3, lost = lost + $4 WHERE name = $1";
            sqlx::query(sql)
                .bind(source)
                .bind(counts.bus)
                .bind(counts.late)
                .bind(counts.lost)
                .execute(&mut *transaction)
                .await?;
        }
        self.commit(transaction, "what is kept no longer").await?;
        Ok(rows.len() as u64)
    }
}

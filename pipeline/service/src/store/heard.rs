//! How much of what happened was first heard by whom, for people.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row;

use super::{Store, time};

/// How much of what happened at a source was first heard by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By a message.
    pub bus: i64,
    /// By a sweep, and the message came within the time of grace.
    pub late: i64,
    /// By a sweep, and no message came within the time of grace.
    pub lost: i64,
    /// By a sweep, so lately that a message may come yet.
    pub undecided: i64,
}

/// A source as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// Its name.
    pub name: String,
    /// `koji`, `packages` or `git`.
    pub kind: String,
    /// Up to where it is known; empty before the first look.
    pub position: String,
    /// When the position was reached there, as far as it says.
    pub at: Option<Timestamp>,
    /// The last sweep that was answered.
    pub swept: Option<Timestamp>,
    /// Why the last one was not; empty when it was.
    pub fault: String,
    /// Who told first.
    pub counts: Counts,
}

/// The columns that count rows of `heard`: `$1` is the time of grace, and `$2` now, in milliseconds.
const COUNTS: &str = "\
    SUM(CASE WHEN bus <> 0 AND (sweep = 0 OR bus <= sweep) THEN 1 ELSE 0 END), \
    SUM(CASE WHEN sweep <> 0 AND bus > sweep AND bus <= sweep + $1 THEN 1 ELSE 0 END), \
    SUM(CASE WHEN sweep <> 0 AND (bus = 0 OR bus > sweep + $1) AND sweep + $1 < $2 THEN 1 ELSE 0 END), \
    SUM(CASE WHEN sweep <> 0 AND (bus = 0 OR bus > sweep + $1) AND sweep + $1 >= $2 THEN 1 ELSE 0 END)";

impl Store {
    /// Every source, with how much of what happened there was first heard by whom. A message that comes later than
    /// `grace` after a sweep counts as lost.
    pub async fn source_rows(&self, grace: SignedDuration) -> Result<Vec<SourceRow>> {
        let sql = format!("SELECT source, {COUNTS} FROM heard GROUP BY source");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(i64::try_from(grace.as_millis())?)
            .bind(self.now().as_millisecond())
            .fetch_all(&self.pool)
            .await
            .context("cannot count what was heard")?;
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for row in &rows {
            let (bus, late, lost, undecided) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            counts.insert(row.try_get(0)?, Counts { bus, late, lost, undecided });
        }
        let sql =
            "SELECT name, kind, position, at, swept, fault, bus, late, lost FROM source ORDER BY kind, name";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await.context("cannot read the sources")?;
        rows.iter()
            .map(|row| {
                let name: String = row.try_get(0)?;
                let live = counts.get(&name).copied().unwrap_or_default();
                let when = |column: usize| -> Result<Option<Timestamp>> {
                    let at: i64 = row.try_get(column)?;
                    Ok((at != 0).then(|| time(at)))
                };
                Ok(SourceRow {
                    kind: row.try_get(1)?,
                    position: row.try_get(2)?,
                    at: when(3)?,
                    swept: when(4)?,
                    fault: row.try_get(5)?,
                    counts: Counts {
                        bus: live.bus + row.try_get::<i64, _>(6)?,
                        late: live.late + row.try_get::<i64, _>(7)?,
                        lost: live.lost + row.try_get::<i64, _>(8)?,
                        undecided: live.undecided,
                    },
                    name,
                })
            })
            .collect()
    }
}

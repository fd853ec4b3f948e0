//! Steps that are due: claimed by a lease with a fence, moved on, and recorded.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use muster_flow::build::{BuildOutput, BuildRequest};
use muster_flow::publish::PromoteRequest;
use muster_flow::step::{Handle, Place, StepKey};
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::{Store, decode, encode, placeholders, time};

/// Stands behind the architecture of packages that an earlier build recorded and the last one did not.
const EARLIER: &str = ", an earlier build";

/// How long a claim holds when it is not renewed.
pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(15);

/// A step that this process may move on now.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its key.
    pub key: StepKey,
    /// The candidate's id.
    pub candidate: String,
    /// The kind of work.
    pub kind: String,
    /// What is asked for, as JSON.
    pub request: String,
    /// Whether it is to be begun, looked at or ended.
    pub state: String,
    /// What the outside calls it; empty before it is begun.
    pub handle: String,
    /// How often it was tried.
    pub attempt: i64,
    /// When it is given up.
    pub deadline: Timestamp,
    fence: i64,
}

impl Claimed {
    /// Whether this is the first claim ever, so that nothing can have been begun outside.
    pub fn is_first(&self) -> bool {
        self.fence == 1
    }

    /// The same step, now that it has begun and is given up at `deadline`.
    #[must_use]
    pub fn begun(&self, handle: Handle, deadline: Timestamp) -> Self {
        Claimed { state: "running".to_owned(), handle: handle.0, deadline, ..self.clone() }
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an output, as JSON.
    Succeeded(String),
    /// With a reason.
    Failed(String),
    /// Because nobody wanted it any more.
    Cancelled,
}

const COLUMNS: &str = "key, candidate, kind, request, state, handle, attempt, deadline, fence";

impl Store {
    /// Claims steps that have begun, or are to be ended, and are due.
    pub async fn claim_begun(&self, limit: u32) -> Result<Vec<Claimed>> {
        self.claim("state IN ('running', 'ending')", limit).await
    }

    /// Claims steps of one kind and place that are to be begun and are due, at most so many that `parallel` of them run.
    pub async fn claim_wanted(&self, (kind, place): (&str, Place), parallel: u32) -> Result<Vec<Claimed>> {
        let (now, place) = (self.now().as_millisecond(), place.word());
        let busy = "SELECT COUNT(*) FROM step WHERE kind = $1 AND place = $3 \
                    AND (state = 'running' OR (state = 'wanted' AND lease >= $2))";
        let row = sqlx::query(busy).bind(kind).bind(now).bind(place).fetch_one(&self.pool).await?;
        let busy = u32::try_from(row.try_get::<i64, _>(0)?)?;
        if busy >= parallel {
            return Ok(Vec::new());
        }
        // Kind and place are our own constants.
        self.claim(&format!("state = 'wanted' AND kind = '{kind}' AND place = '{place}'"), parallel - busy)
            .await
    }

    async fn claim(&self, which: &str, limit: u32) -> Result<Vec<Claimed>> {
        let now = self.now();
        // PostgreSQL checks only the outer condition again after it waited for a row's lock, so it says everything.
        let free = format!("{which} AND due <= $3 AND lease < $3");
        let sql = format!(
            "UPDATE step SET owner = $1, lease = $2, fence = fence + 1 WHERE {free} AND key IN \
             (SELECT key FROM step WHERE {free} ORDER BY rank, due, key LIMIT $4) RETURNING {COLUMNS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(self.writer())
            .bind((now + LEASE).as_millisecond())
            .bind(now.as_millisecond())
            .bind(i64::from(limit));
        let rows = self.write_returning(query, "claims of steps").await?;
        rows.iter().map(decode_claimed).collect()
    }

    /// Renews a claim while the outside takes its time.
    pub async fn renew(&self, claimed: &Claimed) -> Result<()> {
        let query = sqlx::query("UPDATE step SET lease = $3 WHERE key = $1 AND fence = $2")
            .bind(&claimed.key.0)
            .bind(claimed.fence)
            .bind((self.now() + LEASE).as_millisecond());
        self.write(query, &format!("the lease of {}", claimed.key)).await.map(drop)
    }

    /// Records that a step has begun; it is looked at again at `due`, and given up at `deadline`. `false` when the claim
    /// was lost.
    pub async fn begun(
        &self,
        claimed: &Claimed,
        handle: &Handle,
        (due, deadline): (Timestamp, Timestamp),
    ) -> Result<bool> {
        let sql = "UPDATE step SET state = 'running', handle = $3, due = $4, updated = $5, note = '', deadline = $6 \
                   WHERE key = $1 AND fence = $2 AND state = 'wanted'";
        let mut transaction = self.begin().await?;
        let done = sqlx::query(sql)
            .bind(&claimed.key.0)
            .bind(claimed.fence)
            .bind(&handle.0)
            .bind(due.as_millisecond())
            .bind(self.now().as_millisecond())
            .bind(deadline.as_millisecond())
            .execute(&mut *transaction)
            .await
            .with_context(|| format!("cannot record that {} has begun", claimed.key))?;
        if done.rows_affected() == 0 {
            // It may have been told to end in the meantime: what was begun must be known to be ended.
            sqlx::query(
                "UPDATE step SET handle = $3, lease = 0 WHERE key = $1 AND fence = $2 AND state = 'ending'",
            )
            .bind(&claimed.key.0)
            .bind(claimed.fence)
            .bind(&handle.0)
            .execute(&mut *transaction)
            .await?;
        } else if matches!(claimed.kind.as_str(), "build" | "smoketest") {
            self.journal_in(&mut transaction, &claimed.candidate, &format!("{} began", purpose(claimed)))
                .await?;
        }
        self.commit(transaction, &format!("that {} has begun", claimed.key)).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Records how far a running step is; it is looked at again at `due`.
    pub async fn progressed(&self, claimed: &Claimed, note: &str, due: Timestamp) -> Result<()> {
        let sql = "UPDATE step SET note = $3, due = $4, updated = $5, lease = 0 \
                   WHERE key = $1 AND fence = $2 AND state = 'running'";
        let query = sqlx::query(sql)
            .bind(&claimed.key.0)
            .bind(claimed.fence)
            .bind(note)
            .bind(due.as_millisecond())
            .bind(self.now().as_millisecond());
        match self.write(query, &format!("how far {} is", claimed.key)).await? {
            0 => self.let_go(claimed).await,
            _ => Ok(()),
        }
    }

    /// Records that a running step is to be looked at now: something has happened outside.
    pub async fn due_now(&self, handle: &Handle) -> Result<()> {
        let query =
            sqlx::query("UPDATE step SET due = $2 WHERE handle = $1 AND state = 'running' AND due > $2")
                .bind(&handle.0)
                .bind(self.now().as_millisecond());
        self.write(query, "that a step is due").await.map(drop)
    }

    /// Records that a step is to be tried again at `due`, from the start when the outside has lost it.
    pub async fn postponed(&self, claimed: &Claimed, state: &str, note: &str, due: Timestamp) -> Result<()> {
        let sql = "UPDATE step SET state = $6, attempt = attempt + 1, note = $3, due = $4, updated = $5, lease = 0 \
                   WHERE key = $1 AND fence = $2 AND state = $7";
        let query = sqlx::query(sql)
            .bind(&claimed.key.0)
            .bind(claimed.fence)
            .bind(note)
            .bind(due.as_millisecond())
            .bind(self.now().as_millisecond())
            .bind(state)
            .bind(&claimed.state);
        match self.write(query, &format!("that {} is tried again", claimed.key)).await? {
            0 => self.let_go(claimed).await,
            _ => Ok(()),
        }
    }

    /// Gives up a claim whose step was changed by somebody else meanwhile.
    async fn let_go(&self, claimed: &Claimed) -> Result<()> {
        let query = sqlx::query("UPDATE step SET lease = 0 WHERE key = $1 AND fence = $2 AND lease <> 0")
            .bind(&claimed.key.0)
            .bind(claimed.fence);
        self.write(query, &format!("that {} is claimed no more", claimed.key)).await.map(drop)
    }

    /// Records how a step ended, with what follows from it, in one transaction. `false` when the claim was lost.
    pub async fn ended(&self, claimed: &Claimed, ending: &Ending, summary: &str) -> Result<bool> {
        let (state, output, note) = match ending {
            Ending::Succeeded(output) => ("succeeded", output.as_str(), summary),
            Ending::Failed(reason) => ("failed", "", reason.as_str()),
            Ending::Cancelled => ("cancelled", "", "cancelled"),
        };
        let mut transaction = self.begin().await?;
        let sql = "UPDATE step SET state = $3, output = $4, note = $5, updated = $6, lease = 0 \
                   WHERE key = $1 AND fence = $2 AND state = $7";
        let done = sqlx::query(sql)
            .bind(&claimed.key.0)
            .bind(claimed.fence)
            .bind(state)
            .bind(output)
            .bind(note)
            .bind(self.now().as_millisecond())
            .bind(&claimed.state)
            .execute(&mut *transaction)
            .await
            .with_context(|| format!("cannot record the end of {}", claimed.key))?;
        if done.rows_affected() == 0 {
            transaction.rollback().await?;
            self.let_go(claimed).await?;
            return Ok(false);
        }
        if let Ending::Succeeded(output) = ending {
            self.follow(&mut transaction, claimed, output).await?;
        }
        let text = match ending {
            Ending::Succeeded(_) if summary.is_empty() => format!("{} is done", purpose(claimed)),
            Ending::Succeeded(_) => format!("{} is done: {summary}", purpose(claimed)),
            Ending::Failed(reason) => format!("{} failed: {reason}", purpose(claimed)),
            Ending::Cancelled => format!("{} was cancelled", purpose(claimed)),
        };
        self.journal_in(&mut transaction, &claimed.candidate, &text).await?;
        self.touch_in(&mut transaction, &claimed.candidate).await?;
        self.commit(transaction, &format!("the end of {}", claimed.key)).await?;
        Ok(true)
    }

    /// Facts that are kept in tables of their own: installed packages, and what a stream points at.
    async fn follow(
        &self,
        transaction: &mut Transaction<'static, Any>,
        claimed: &Claimed,
        output: &str,
    ) -> Result<()> {
        if claimed.kind == "build" {
            let recipe = claimed.candidate.split('/').next().unwrap_or_default();
            let output: BuildOutput = decode(output)?;
            let row = sqlx::query("SELECT probe_of FROM candidate WHERE id = $1")
                .bind(&claimed.candidate)
                .fetch_one(&mut **transaction)
                .await?;
            if !row.try_get::<&str, _>(0)?.is_empty() {
                // A probe has packages that no image is made of.
                return Ok(());
            }
            let BuildRequest { arch, .. } = decode(&claimed.request)?;
            let earlier = format!("{arch}{EARLIER}");
            if output.packages.is_empty() {
                // The builder cannot tell, as Koji cannot for a scratch image: what is known already stays, though it is
                // no longer the last build that recorded it.
                sqlx::query("UPDATE installed SET arch = $3 WHERE recipe = $1 AND arch = $2")
                    .bind(recipe)
                    .bind(&arch)
                    .bind(earlier)
                    .execute(&mut **transaction)
                    .await?;
                return Ok(());
            }
            sqlx::query("DELETE FROM installed WHERE recipe = $1 AND arch IN ($2, $3, '')")
                .bind(recipe)
                .bind(&arch)
                .bind(earlier)
                .execute(&mut **transaction)
                .await?;
            for chunk in output.packages.chunks(500) {
                let sql = format!(
                    "INSERT INTO installed (recipe, arch, package, nvra) VALUES {} ON CONFLICT DO NOTHING",
                    placeholders(chunk.len(), 4)
                );
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for package in chunk {
                    let nvra = format!("{}.{}", package.nvr(), package.arch);
                    query = query.bind(recipe).bind(&arch).bind(&package.name).bind(nvra);
                }
                query.execute(&mut **transaction).await?;
            }
        }
        if claimed.kind == "promote"
            && let PromoteRequest::Stream { stream, release } = decode(&claimed.request)?
        {
            let sql = "INSERT INTO stream_release (stream, recipe, release, promoted) VALUES ($1, $2, $3, $4) \
                       ON CONFLICT (stream, recipe) DO UPDATE SET release = $3, promoted = $4";
            sqlx::query(sql)
                .bind(stream)
                .bind(&release.recipe)
                .bind(encode(&release)?)
                .bind(self.now().as_millisecond())
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }
}

/// What a step is for: its key without the candidate.
fn purpose(claimed: &Claimed) -> &str {
    claimed
        .key
        .0
        .strip_prefix(&claimed.candidate)
        .map_or(claimed.key.0.as_str(), |rest| rest.trim_start_matches('/'))
}

fn decode_claimed(row: &AnyRow) -> Result<Claimed> {
    Ok(Claimed {
        key: StepKey(row.try_get(0)?),
        candidate: row.try_get(1)?,
        kind: row.try_get(2)?,
        request: row.try_get(3)?,
        state: row.try_get(4)?,
        handle: row.try_get(5)?,
        attempt: row.try_get(6)?,
        deadline: time(row.try_get(7)?),
        fence: row.try_get(8)?,
    })
}

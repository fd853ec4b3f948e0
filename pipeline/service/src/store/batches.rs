//! Batches: what was frozen, what became of it, and which candidates belong to it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use muster_flow::batch::judge::{self, Judgement};
use muster_flow::batch::members::Member;
use muster_flow::batch::{Batch, BatchId, Before, InBatch, Requires, Revision, Source};
use muster_flow::candidate::{CandidateId, Life};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::read::is_strange;
use super::{Plan, Store, decode, encode, time};

/// What is recorded of a batch once, beside its members.
#[derive(Debug, Serialize, Deserialize)]
struct Fact {
    source: Source,
    requires: Requires,
    until: Timestamp,
    before: Option<Before>,
    /// When people last asked that it goes on: as much time as it had at first begins anew then.
    #[serde(default)]
    again: Option<Timestamp>,
}

impl Fact {
    /// When what still waits for a batch that was frozen first at `frozen` is given up.
    fn until(&self, frozen: Timestamp) -> Timestamp {
        self.until + self.again.map_or(SignedDuration::ZERO, |again| again.duration_since(frozen))
    }
}

/// A new revision, and what follows from it for the candidates.
#[derive(Debug)]
pub struct Revised {
    /// The revision.
    pub revision: Revision,
    /// Every candidate of the batch, at the version that it was judged at.
    pub seen: Vec<(CandidateId, i64)>,
    /// Those that are built again, each with the base keys of all that is done again.
    pub rebuilt: Vec<(CandidateId, BTreeSet<String>)>,
    /// What differs from the batch before, when that is another by now.
    pub members: Option<Vec<Member>>,
}

impl Store {
    /// How many batches of a stream were frozen on a day: the next one's number.
    pub async fn frozen_on(&self, stream: &str, day: &str) -> Result<u32> {
        let row = sqlx::query("SELECT COUNT(*) FROM batch WHERE id >= $1 AND id < $2")
            .bind(format!("{stream}/{day}."))
            .bind(format!("{stream}/{day}/"))
            .fetch_one(&self.pool)
            .await?;
        Ok(u32::try_from(row.try_get::<i64, _>(0)?)?)
    }

    /// The batch that a change called for in a stream, from a source.
    pub async fn find_batch(&self, change: &str, stream: &str, source: &Source) -> Result<Option<BatchId>> {
        let sql = "SELECT id FROM batch WHERE change = $1 AND stream = $2 AND source = $3";
        let row = sqlx::query(sql)
            .bind(change)
            .bind(stream)
            .bind(source.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok(BatchId(row.try_get(0)?))).transpose()
    }

    /// The newest batch of a stream from a source.
    pub async fn last_batch(&self, stream: &str, source: &Source) -> Result<Option<BatchId>> {
        let sql =
            "SELECT id FROM batch WHERE stream = $1 AND source = $2 ORDER BY frozen DESC, id DESC LIMIT 1";
        let row = sqlx::query(sql).bind(stream).bind(source.to_string()).fetch_optional(&self.pool).await?;
        row.map(|row| Ok(BatchId(row.try_get(0)?))).transpose()
    }

    /// The newest batches, the newest first.
    pub async fn batches(&self, limit: u32) -> Result<Vec<Batch>> {
        let rows = sqlx::query("SELECT id FROM batch ORDER BY frozen DESC, id DESC LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .context("cannot list batches")?;
        let mut batches = Vec::new();
        for row in rows {
            batches.extend(self.find_readable_batch(&BatchId(row.try_get(0)?)).await?);
        }
        Ok(batches)
    }

    /// A batch, if it is there and can be read. One that cannot be read keeps none of the others from going on: a newer
    /// Muster may have written it.
    pub async fn find_readable_batch(&self, id: &BatchId) -> Result<Option<Batch>> {
        match self.batch(id).await {
            Err(error) if is_strange(&error) => {
                tracing::warn!(batch = %id, "it cannot be read, and is left alone: {error:#}");
                Ok(None)
            }
            other => other,
        }
    }

    /// One batch.
    pub async fn batch(&self, id: &BatchId) -> Result<Option<Batch>> {
        let sql = "SELECT stream, change, frozen, fact, members, verdict FROM batch WHERE id = $1";
        let row = sqlx::query(sql)
            .bind(&id.0)
            .fetch_optional(&self.pool)
            .await
            .with_context(|| format!("cannot read the batch {id}"))?;
        let Some(row) = row else { return Ok(None) };
        let fact: Fact = decode(row.try_get::<&str, _>(3)?)?;
        let frozen = time(row.try_get(2)?);
        let until = fact.until(frozen);
        let revisions = sqlx::query("SELECT fact FROM batch_revision WHERE batch = $1 ORDER BY number")
            .bind(&id.0)
            .fetch_all(&self.pool)
            .await?;
        Ok(Some(Batch {
            id: id.clone(),
            stream: row.try_get(0)?,
            source: fact.source,
            change: row.try_get(1)?,
            frozen,
            requires: fact.requires,
            until,
            before: fact.before,
            members: decode(row.try_get::<&str, _>(4)?)?,
            revisions: revisions
                .iter()
                .map(|row| decode(row.try_get::<&str, _>(0)?))
                .collect::<Result<_>>()?,
            verdict: verdict(row.try_get(5)?)?,
        }))
    }

    /// A batch as its candidates see it.
    pub(super) async fn in_batch(&self, id: &str) -> Result<Option<InBatch>> {
        if id.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT batch.fact, batch.verdict, batch_revision.fact, batch.frozen FROM batch \
                   JOIN batch_revision ON batch_revision.batch = batch.id \
                   WHERE batch.id = $1 ORDER BY batch_revision.number DESC LIMIT 1";
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.pool).await?;
        let row = row.with_context(|| format!("there is no batch {id}"))?;
        let fact: Fact = decode(row.try_get::<&str, _>(0)?)?;
        let revision: Revision = decode(row.try_get::<&str, _>(2)?)?;
        let verdict = verdict(row.try_get(1)?)?;
        Ok(Some(InBatch {
            id: BatchId(id.to_owned()),
            requires: fact.requires,
            until: fact.until(time(row.try_get(3)?)),
            revision: revision.number,
            set: revision.set,
            repos: revision.repos,
            ruling: verdict.as_ref().and_then(|verdict| verdict.ruling),
            against: verdict.map(|verdict| verdict.against()).unwrap_or_default(),
        }))
    }

    /// The candidates of a batch with their versions, oldest first.
    pub async fn of_batch(&self, id: &BatchId) -> Result<Vec<(CandidateId, i64)>> {
        let rows = sqlx::query("SELECT id, version FROM candidate WHERE batch = $1 ORDER BY created, id")
            .bind(&id.0)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(versioned).collect()
    }

    /// The candidates that are over and whose batch is not: others are still on their way in it, or nobody has judged it
    /// as it is now. With their versions.
    pub async fn finished_in_open_batches(&self) -> Result<Vec<(CandidateId, i64)>> {
        let sql = "SELECT id, version FROM candidate WHERE finished = 1 AND batch <> '' AND batch IN \
                   (SELECT batch FROM candidate WHERE finished = 0 AND batch <> '' \
                   UNION SELECT id FROM batch WHERE verdict = '')";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await.context("cannot list what is in batches")?;
        rows.iter().map(versioned).collect()
    }

    /// Records a batch that was frozen, and that these candidates belong to it.
    pub async fn freeze(&self, plan: &Plan, batch: &Batch, candidates: &[CandidateId]) -> Result<()> {
        let mut transaction = self.begin_planned(plan).await?;
        let fact = Fact {
            source: batch.source.clone(),
            requires: batch.requires,
            until: batch.until,
            before: batch.before.clone(),
            again: None,
        };
        sqlx::query(
            "INSERT INTO batch (id, stream, source, change, frozen, fact, members) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&batch.id.0)
        .bind(&batch.stream)
        .bind(batch.source.to_string())
        .bind(&batch.change)
        .bind(batch.frozen.as_millisecond())
        .bind(encode(&fact)?)
        .bind(encode(&batch.members)?)
        .execute(&mut *transaction)
        .await
        .with_context(|| format!("cannot record the batch {}", batch.id))?;
        for revision in &batch.revisions {
            self.add_revision(&mut transaction, &batch.id, revision).await?;
        }
        self.put_in_batch(&mut transaction, &batch.id, candidates).await?;
        self.commit(transaction, &format!("the batch {}", batch.id)).await
    }

    /// Records that candidates belong to a batch that was frozen before.
    pub async fn join_batch(&self, plan: &Plan, id: &BatchId, candidates: &[CandidateId]) -> Result<()> {
        let mut transaction = self.begin_planned(plan).await?;
        self.put_in_batch(&mut transaction, id, candidates).await?;
        self.commit(transaction, &format!("who belongs to {id}")).await
    }

    async fn put_in_batch(
        &self,
        transaction: &mut Transaction<'static, Any>,
        id: &BatchId,
        candidates: &[CandidateId],
    ) -> Result<()> {
        for candidate in candidates {
            let put = sqlx::query("UPDATE candidate SET batch = $2 WHERE id = $1 AND batch = ''")
                .bind(&candidate.0)
                .bind(&id.0)
                .execute(&mut **transaction)
                .await?;
            if put.rows_affected() == 1 {
                self.touch_in(transaction, &candidate.0).await?;
                self.journal_in(transaction, &candidate.0, &format!("it is built from the batch {id}"))
                    .await?;
            }
        }
        Ok(())
    }

    async fn add_revision(
        &self,
        transaction: &mut Transaction<'static, Any>,
        id: &BatchId,
        revision: &Revision,
    ) -> Result<()> {
        let added = sqlx::query(
            "INSERT INTO batch_revision (batch, number, fact, recorded) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&id.0)
        .bind(i64::from(revision.number))
        .bind(encode(revision)?)
        .bind(revision.at.as_millisecond())
        .execute(&mut **transaction)
        .await
        .with_context(|| format!("cannot record revision {} of {id}", revision.number))?;
        if added.rows_affected() == 0 {
            bail!("somebody else has changed {id} just now; look at it again with `muster batch show {id}`");
        }
        Ok(())
    }

    /// Records what the gate of a batch says, unless a fact about one of its candidates came since they were read at
    /// the versions in `seen`; whether it did.
    pub async fn judged(
        &self,
        plan: &Plan,
        id: &BatchId,
        seen: &[(CandidateId, i64)],
        verdict: &Judgement,
    ) -> Result<bool> {
        let mut transaction = self.begin_planned(plan).await?;
        if !self.is_as_seen(&mut transaction, id, seen).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        sqlx::query("UPDATE batch SET verdict = $2 WHERE id = $1")
            .bind(&id.0)
            .bind(encode(verdict)?)
            .execute(&mut *transaction)
            .await?;
        // What is over stays over: it is not looked at again for this.
        sqlx::query("UPDATE candidate SET version = version + 1 WHERE batch = $1 AND finished = 0")
            .bind(&id.0)
            .execute(&mut *transaction)
            .await?;
        let text = format!("the batch {id}: {}", judge::words(verdict.ruling));
        self.journal_in(&mut transaction, "", &text).await?;
        self.commit(transaction, &format!("what the gate of {id} says")).await?;
        Ok(true)
    }

    /// Whether the candidates of a batch are those, at these versions.
    async fn is_as_seen(
        &self,
        transaction: &mut Transaction<'static, Any>,
        id: &BatchId,
        seen: &[(CandidateId, i64)],
    ) -> Result<bool> {
        // Whoever writes a fact about one of them waits until this transaction is over.
        sqlx::query("UPDATE candidate SET note = note WHERE batch = $1")
            .bind(&id.0)
            .execute(&mut **transaction)
            .await?;
        let rows = sqlx::query("SELECT id, version FROM candidate WHERE batch = $1 ORDER BY created, id")
            .bind(&id.0)
            .fetch_all(&mut **transaction)
            .await?;
        let now = rows.iter().map(versioned).collect::<Result<BTreeSet<_>>>()?;
        Ok(now == seen.iter().cloned().collect())
    }

    /// Begins the time anew in which a batch must have passed.
    async fn begin_again(&self, transaction: &mut Transaction<'static, Any>, id: &BatchId) -> Result<()> {
        let row = sqlx::query("SELECT fact FROM batch WHERE id = $1")
            .bind(&id.0)
            .fetch_one(&mut **transaction)
            .await?;
        let fact: Fact = decode(row.try_get::<&str, _>(0)?)?;
        sqlx::query("UPDATE batch SET fact = $2 WHERE id = $1")
            .bind(&id.0)
            .bind(encode(&Fact { again: Some(self.clock.now()), ..fact })?)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    /// Records a new revision of a batch, and that candidates are built again because of it. What is being built for
    /// them is ended.
    pub async fn revise(&self, id: &BatchId, revised: &Revised) -> Result<()> {
        let Revised { revision, seen, rebuilt, members } = revised;
        let mut transaction = self.begin().await?;
        if !self.is_as_seen(&mut transaction, id, seen).await? {
            bail!(
                "{id} has gone on just now; look at it again with `muster batch show {id}`, and say it once more"
            );
        }
        self.add_revision(&mut transaction, id, revision).await?;
        self.begin_again(&mut transaction, id).await?;
        let number = revision.number;
        let why = format!("{} made revision {number} of {id}: {}", revision.who, revision.why);
        self.journal_in(&mut transaction, "", &why).await?;
        for (candidate, bases) in rebuilt {
            sqlx::query(
                "UPDATE step SET state = 'ending', due = 0 WHERE candidate = $1 AND state IN ('wanted', 'running') \
                 AND kind <> 'announce'",
            )
            .bind(&candidate.0)
            .execute(&mut *transaction)
            .await?;
            for base in bases {
                let sql = "INSERT INTO retry (candidate, base, times) VALUES ($1, $2, 1) \
                           ON CONFLICT (candidate, base) DO UPDATE SET times = retry.times + 1";
                sqlx::query(sql).bind(&candidate.0).bind(base).execute(&mut *transaction).await?;
            }
            self.journal_in(&mut transaction, &candidate.0, &format!("it is built again: {why}")).await?;
            self.touch_in(&mut transaction, &candidate.0).await?;
        }
        // The others see their batch anew, and what is over stays over.
        sqlx::query("UPDATE candidate SET version = version + 1 WHERE batch = $1 AND finished = 0")
            .bind(&id.0)
            .execute(&mut *transaction)
            .await?;
        if let Some(members) = members {
            sqlx::query("UPDATE batch SET members = $2 WHERE id = $1")
                .bind(&id.0)
                .bind(encode(members)?)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("UPDATE batch SET verdict = '' WHERE id = $1")
            .bind(&id.0)
            .execute(&mut *transaction)
            .await?;
        self.commit(transaction, &format!("revision {number} of {id}")).await
    }

    /// Asks that every candidate of a batch is judged again by what is known now; how many there are. None is given up
    /// before it was.
    pub async fn judge_again(&self, id: &BatchId, who: &str) -> Result<u64> {
        let mut transaction = self.begin().await?;
        // What was given up, or never started, stays so.
        let started = "%\"state\":\"started\"%";
        let touched = sqlx::query(
            "UPDATE candidate SET version = version + 1, finished = 0 WHERE batch = $1 AND life LIKE $2",
        )
        .bind(&id.0)
        .bind(started)
        .execute(&mut *transaction)
        .await?;
        self.begin_again(&mut transaction, id).await?;
        let text = format!("{who} asked that the batch {id} is judged again");
        self.journal_in(&mut transaction, "", &text).await?;
        self.commit(transaction, &format!("that {id} is judged again")).await?;
        Ok(touched.rows_affected())
    }

    /// Gives a candidate up whose batch has not passed in time, unless a fact came since it was read at `version`.
    pub async fn give_up(&self, plan: &Plan, id: &CandidateId, version: i64, why: &str) -> Result<()> {
        let mut transaction = self.begin_planned(plan).await?;
        let life = Life::Cancelled { who: "Muster".to_owned(), why: why.to_owned() };
        let done = sqlx::query(
            "UPDATE candidate SET life = $2, note = '', version = version + 1 WHERE id = $1 AND version = $3",
        )
        .bind(&id.0)
        .bind(encode(&life)?)
        .bind(version)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 1 {
            self.journal_in(&mut transaction, &id.0, &format!("Muster gave it up: {why}")).await?;
        }
        self.commit(transaction, &format!("that {id} is given up")).await
    }
}

fn versioned(row: &AnyRow) -> Result<(CandidateId, i64)> {
    Ok((CandidateId(row.try_get(0)?), row.try_get(1)?))
}

fn verdict(text: &str) -> Result<Option<Judgement>> {
    if text.is_empty() { Ok(None) } else { decode(text).map(Some) }
}

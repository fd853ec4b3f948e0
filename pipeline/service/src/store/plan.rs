//! Recording what the rules say. Only the process that holds the planner's lease may do it, and each transaction
//! checks that it still holds it: two processes never decide at once.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use muster_flow::announce::Announce;
use muster_flow::build::Build;
use muster_flow::candidate::{Candidate, CandidateId, Cause, Life, Purpose};
use muster_flow::change::Change;
use muster_flow::next::Intent;
use muster_flow::publish::{Promote, StreamRelease, Upload, Verify};
use muster_flow::recipe::{Definition, Recipe};
use muster_flow::smoketest::{Smoketest, Test};
use muster_flow::step::{Wanted, Work};
use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::read::Facts;
use super::{Store, encode, placeholders, time};
use crate::ledger::{Heard, Note};
use crate::upstream::Weighed;

/// How the journal line begins that says how a candidate ended.
pub(super) const FINISHED: &str = "finished: ";

/// How long the planner's lease holds when it is not renewed.
const LEASE: SignedDuration = SignedDuration::from_secs(10);

/// The right to record what the rules say: held by one process at a time.
#[derive(Debug)]
pub struct Plan {
    fence: i64,
}

impl Plan {
    /// Grows whenever another process takes the lease.
    pub fn fence(&self) -> i64 {
        self.fence
    }
}

/// What is recorded together: changes, what becomes of them, and up to where their sources are known by that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recording<'a> {
    /// The changes.
    pub weighed: &'a [Weighed],
    /// What becomes of them.
    pub admitted: &'a [Admitted],
    /// Who told of what.
    pub heard: &'a [Heard],
    /// What else is remembered of the sources.
    pub notes: &'a [Note],
}

/// What becomes of a touch.
#[derive(Clone, Debug)]
pub enum Admitted {
    /// A waiting candidate takes the change in.
    Joined {
        /// The candidate.
        candidate: CandidateId,
        /// The change, as its cause.
        cause: Cause,
    },
    /// A new candidate is made.
    Made {
        /// The new one.
        candidate: Box<Candidate>,
        /// The waiting one whose place it takes.
        supersedes: Option<CandidateId>,
    },
}

impl Store {
    /// Takes or renews the planner's lease; `None` while another process holds it.
    pub async fn plan(&self) -> Result<Option<Plan>> {
        let now = self.now();
        let sql = "UPDATE planner SET owner = $1, lease = $2, \
                   fence = CASE WHEN owner = $1 THEN fence ELSE fence + 1 END \
                   WHERE name = 'planner' AND (owner = $1 OR lease < $3) RETURNING fence";
        let query = sqlx::query(sql)
            .bind(self.writer())
            .bind((now + LEASE).as_millisecond())
            .bind(now.as_millisecond());
        let rows = self.write_returning(query, "the planner's lease").await?;
        rows.first().map(|row| Ok(Plan { fence: row.try_get(0)? })).transpose()
    }

    /// Gives the planner's lease back, so that another process need not wait for it.
    pub async fn resign(&self) -> Result<()> {
        let sql = "UPDATE planner SET lease = $2 WHERE name = 'planner' AND owner = $1";
        // It is over, and still says until when somebody planned.
        let over = self.now().as_millisecond() - 1;
        self.write(sqlx::query(sql).bind(self.writer()).bind(over), "that nobody plans").await.map(drop)
    }

    /// When the planner's lease ends, or has ended; `None` when that is not known, as before the first start.
    pub async fn planned_until(&self) -> Result<Option<Timestamp>> {
        let row = sqlx::query("SELECT lease FROM planner WHERE name = 'planner' AND lease > 0")
            .fetch_optional(&self.pool)
            .await
            .context("cannot read until when somebody plans")?;
        row.map(|row| Ok(time(row.try_get(0)?))).transpose()
    }

    pub(super) async fn begin_planned(&self, plan: &Plan) -> Result<Transaction<'static, Any>> {
        let mut transaction = self.begin().await?;
        // The row stays locked until the commit, so that nobody else can take the lease in between.
        let held = sqlx::query(
            "UPDATE planner SET fence = fence WHERE name = 'planner' AND owner = $1 AND fence = $2",
        )
        .bind(self.writer())
        .bind(plan.fence)
        .execute(&mut *transaction)
        .await?;
        anyhow::ensure!(held.rows_affected() == 1, "another process plans now");
        Ok(transaction)
    }

    /// Records changes, the candidates they make or join, that their messages are digested, and up to where their
    /// sources are known.
    pub async fn weighed(&self, plan: &Plan, recording: Recording<'_>) -> Result<()> {
        let Recording { weighed, admitted, heard, notes } = recording;
        let mut transaction = self.begin_planned(plan).await?;
        self.remember_in(&mut transaction, notes, heard).await?;
        self.record_changes(&mut transaction, weighed).await?;
        self.digested(&mut transaction, weighed).await?;
        // In their order: one that takes another's place takes over what joined that one before.
        let mut joined: Vec<(&CandidateId, &Cause)> = Vec::new();
        for admission in admitted {
            match admission {
                Admitted::Joined { candidate, cause } => joined.push((candidate, cause)),
                Admitted::Made { candidate, supersedes } => {
                    self.record_causes(&mut transaction, &joined).await?;
                    joined.clear();
                    self.make(&mut transaction, candidate, supersedes.as_ref()).await?;
                }
            }
        }
        self.record_causes(&mut transaction, &joined).await?;
        self.commit(transaction, "changes").await
    }

    async fn record_changes(
        &self,
        transaction: &mut Transaction<'static, Any>,
        weighed: &[Weighed],
    ) -> Result<()> {
        // One statement may touch a row only once.
        let mut known = BTreeSet::new();
        let changes: Vec<(&Change, String)> = weighed
            .iter()
            .filter_map(|weighed| Some((weighed.change.as_ref()?, effect(weighed))))
            .filter(|(change, _)| known.insert(&change.id))
            .collect();
        let now = self.now().as_millisecond();
        for chunk in changes.chunks(500) {
            let sql = format!(
                "INSERT INTO change (id, at, fact, recorded, effect) VALUES {} \
                 ON CONFLICT (id) DO UPDATE SET effect = excluded.effect WHERE change.effect = ''",
                placeholders(chunk.len(), 5)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (change, effect) in chunk {
                query = query
                    .bind(&change.id)
                    .bind(change.at.as_millisecond())
                    .bind(encode(change)?)
                    .bind(now)
                    .bind(effect);
            }
            query.execute(&mut **transaction).await.context("cannot record changes")?;
        }
        Ok(())
    }

    async fn digested(&self, transaction: &mut Transaction<'static, Any>, weighed: &[Weighed]) -> Result<()> {
        let now = self.now().as_millisecond();
        let messages: Vec<&String> = weighed.iter().filter_map(|weighed| weighed.message.as_ref()).collect();
        for chunk in messages.chunks(500) {
            let list: Vec<String> = (2..chunk.len() + 2).map(|number| format!("${number}")).collect();
            let sql =
                format!("UPDATE inbox SET digested = $1 WHERE digested = 0 AND id IN ({})", list.join(", "));
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(now);
            for id in chunk {
                query = query.bind(*id);
            }
            query.execute(&mut **transaction).await.context("cannot mark messages as digested")?;
        }
        Ok(())
    }

    pub(super) async fn make(
        &self,
        transaction: &mut Transaction<'static, Any>,
        candidate: &Candidate,
        supersedes: Option<&CandidateId>,
    ) -> Result<()> {
        let facts = encode(&Facts {
            recipe: candidate.recipe.clone(),
            definition: candidate.definition.clone(),
            tests: candidate.tests.clone(),
            purpose: candidate.purpose.clone(),
        })?;
        sqlx::query(
            "INSERT INTO candidate (id, recipe, stream, created, facts, life) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&candidate.id.0)
        .bind(&candidate.recipe.name)
        .bind(&candidate.recipe.stream)
        .bind(candidate.created.as_millisecond())
        .bind(facts)
        .bind(encode(&candidate.life)?)
        .execute(&mut **transaction)
        .await
        .with_context(|| format!("cannot record {}", candidate.id))?;
        if let Some(old) = supersedes {
            let life = Life::Superseded { by: candidate.id.clone() };
            sqlx::query("UPDATE candidate SET life = $2 WHERE id = $1")
                .bind(&old.0)
                .bind(encode(&life)?)
                .execute(&mut **transaction)
                .await?;
            sqlx::query(
                "INSERT INTO cause (candidate, change, at, summary, why) \
                 SELECT $1, change, at, summary, why FROM cause WHERE candidate = $2",
            )
            .bind(&candidate.id.0)
            .bind(&old.0)
            .execute(&mut **transaction)
            .await?;
            self.touch_in(transaction, &old.0).await?;
            self.journal_in(transaction, &old.0, &format!("superseded by {}", candidate.id)).await?;
        }
        let mut made = candidate.purpose.candidate();
        match &candidate.purpose {
            Purpose::Emergency { who, why } => {
                let _ = write!(made, " for {who} ({why})");
            }
            Purpose::Probe { of, .. } => made = format!("a probe of {of}"),
            Purpose::Scratch | Purpose::Release => {}
        }
        let first = candidate.changes.first();
        let because =
            first.map_or(String::new(), |cause| format!(" because {}, and {}", cause.summary, cause.why));
        self.journal_in(transaction, &candidate.id.0, &format!("{made} was made{because}")).await?;
        let causes: Vec<(&CandidateId, &Cause)> =
            candidate.changes.iter().map(|cause| (&candidate.id, cause)).collect();
        self.record_causes(transaction, &causes).await
    }

    async fn record_causes(
        &self,
        transaction: &mut Transaction<'static, Any>,
        causes: &[(&CandidateId, &Cause)],
    ) -> Result<()> {
        for chunk in causes.chunks(500) {
            let sql = format!(
                "INSERT INTO cause (candidate, change, at, summary, why) VALUES {} ON CONFLICT DO NOTHING",
                placeholders(chunk.len(), 5)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (candidate, cause) in chunk {
                query = query
                    .bind(&candidate.0)
                    .bind(&cause.change)
                    .bind(cause.at.as_millisecond())
                    .bind(&cause.summary)
                    .bind(&cause.why);
            }
            query.execute(&mut **transaction).await.context("cannot record causes")?;
        }
        let mut touched: Vec<&CandidateId> = causes.iter().map(|(candidate, _)| *candidate).collect();
        touched.sort();
        touched.dedup();
        for candidate in touched {
            self.touch_in(transaction, &candidate.0).await?;
        }
        Ok(())
    }

    /// How many candidates of a recipe were made on a day: the next one's number.
    pub async fn made_on(&self, recipe: &str, version: &str, day: &str) -> Result<u32> {
        let prefix = format!("{recipe}/{version}.{day}.");
        // The end of the range is the prefix with its last character raised by one: '.' becomes '/'.
        let end = format!("{recipe}/{version}.{day}/");
        let row = sqlx::query(
            "SELECT COUNT(*) FROM candidate WHERE recipe = $1 AND id >= $2 AND id < $3 AND probe_of = ''",
        )
        .bind(recipe)
        .bind(prefix)
        .bind(end)
        .fetch_one(&self.pool)
        .await?;
        Ok(u32::try_from(row.try_get::<i64, _>(0)?)?)
    }

    /// Freezes recipe, definition and tests of a waiting candidate, and starts it. `false` when it waits no more.
    pub async fn start(
        &self,
        plan: &Plan,
        candidate: &Candidate,
        frozen: (Recipe, Definition, Vec<Test>),
    ) -> Result<bool> {
        let mut transaction = self.begin_planned(plan).await?;
        let (recipe, definition, tests) = frozen;
        let commit: String = definition.commit.chars().take(10).collect();
        let text = match commit.as_str() {
            "" => format!("started with {}", definition.file),
            commit => format!("started with {} at {commit}", definition.file),
        };
        let facts = encode(&Facts { recipe, definition, tests, purpose: candidate.purpose.clone() })?;
        let done =
            sqlx::query("UPDATE candidate SET facts = $2, life = $3, note = '' WHERE id = $1 AND life = $4")
                .bind(&candidate.id.0)
                .bind(facts)
                .bind(encode(&Life::Started { at: self.now() })?)
                .bind(encode(&Life::Waiting)?)
                .execute(&mut *transaction)
                .await
                .with_context(|| format!("cannot start {}", candidate.id))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.touch_in(&mut transaction, &candidate.id.0).await?;
        self.journal_in(&mut transaction, &candidate.id.0, &text).await?;
        self.commit(transaction, &format!("the start of {}", candidate.id)).await?;
        Ok(true)
    }

    /// Records intents of a candidate: steps, a verdict. Nothing is recorded, and the answer is `false`, when a fact
    /// came since it was read at `version`: a person may have stopped it.
    pub async fn intend(
        &self,
        plan: &Plan,
        (candidate, version): (&CandidateId, i64),
        intents: &[Intent],
        deadline: Timestamp,
    ) -> Result<bool> {
        let mut transaction = self.begin_planned(plan).await?;
        let current =
            sqlx::query("UPDATE candidate SET version = version + 1 WHERE id = $1 AND version = $2")
                .bind(&candidate.0)
                .bind(version)
                .execute(&mut *transaction)
                .await?;
        if current.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        for intent in intents {
            match intent {
                Intent::Build(wanted) => {
                    self.want::<Build>(&mut transaction, candidate, wanted, deadline).await?;
                }
                Intent::Smoketest(wanted) => {
                    self.want::<Smoketest>(&mut transaction, candidate, wanted, deadline).await?;
                }
                Intent::Upload(wanted) => {
                    self.want::<Upload>(&mut transaction, candidate, wanted, deadline).await?;
                }
                Intent::Verify(wanted) => {
                    self.want::<Verify>(&mut transaction, candidate, wanted, deadline).await?;
                }
                Intent::Promote(wanted) => {
                    self.want::<Promote>(&mut transaction, candidate, wanted, deadline).await?;
                }
                Intent::Announce(wanted) => {
                    self.want::<Announce>(&mut transaction, candidate, wanted, deadline).await?;
                }
                Intent::Decide(verdict) => {
                    sqlx::query("UPDATE candidate SET verdict = $2 WHERE id = $1")
                        .bind(&candidate.0)
                        .bind(encode(verdict)?)
                        .execute(&mut *transaction)
                        .await?;
                    let text = format!("the gate says {}", verdict.ruling.words());
                    self.journal_in(&mut transaction, &candidate.0, &text).await?;
                }
            }
        }
        self.commit(transaction, &format!("what {candidate} needs at {version}")).await?;
        Ok(true)
    }

    async fn want<W: Work>(
        &self,
        transaction: &mut Transaction<'static, Any>,
        candidate: &CandidateId,
        wanted: &Wanted<W>,
        deadline: Timestamp,
    ) -> Result<()> {
        let now = self.now().as_millisecond();
        // Whatever is not a probe goes first.
        let sql = "INSERT INTO step (key, candidate, kind, request, state, due, deadline, created, updated, place, rank) \
                   SELECT $1, $2, $3, $4, 'wanted', $5, $6, $5, $5, $7, CASE WHEN probe_of = '' THEN 0 ELSE 1 END \
                   FROM candidate WHERE id = $2 ON CONFLICT DO NOTHING";
        sqlx::query(sql)
            .bind(&wanted.key.0)
            .bind(&candidate.0)
            .bind(W::NAME)
            .bind(encode(&wanted.request)?)
            .bind(now)
            .bind(deadline.as_millisecond())
            .bind(W::place(&wanted.request).word())
            .execute(&mut **transaction)
            .await
            .with_context(|| format!("cannot record {}", wanted.key))?;
        Ok(())
    }

    /// Records that a newer release took a candidate's place before it could move a pointer, unless a fact came since it
    /// was read at `version`.
    pub async fn supersede(
        &self,
        plan: &Plan,
        id: &CandidateId,
        version: i64,
        newer: &StreamRelease,
    ) -> Result<()> {
        let mut transaction = self.begin_planned(plan).await?;
        let life = Life::Superseded { by: CandidateId(newer.candidate.clone()) };
        let done = sqlx::query(
            "UPDATE candidate SET life = $2, note = '', version = version + 1 WHERE id = $1 AND version = $3",
        )
        .bind(&id.0)
        .bind(encode(&life)?)
        .bind(version)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 1 {
            let text = format!("superseded by {}: the stream points at it already", newer.candidate);
            self.journal_in(&mut transaction, &id.0, &text).await?;
        }
        self.commit(transaction, &format!("that {id} is superseded")).await
    }

    /// Records what a candidate waits for; empty when it waits for nothing.
    pub async fn set_note(&self, candidate: &CandidateId, note: &str) -> Result<()> {
        let sql = "UPDATE candidate SET note = $2 WHERE id = $1 AND note <> $2";
        let query = sqlx::query(sql).bind(&candidate.0).bind(note);
        self.write(query, &format!("what {candidate} waits for")).await.map(drop)
    }

    /// Records that nothing is left to do for a candidate, unless a fact came since it was read at `version`.
    pub async fn finish(
        &self,
        plan: &Plan,
        candidate: &CandidateId,
        version: i64,
        words: &str,
    ) -> Result<()> {
        let mut transaction = self.begin_planned(plan).await?;
        let done = sqlx::query(
            "UPDATE candidate SET finished = 1, note = '' WHERE id = $1 AND version = $2 AND finished = 0",
        )
        .bind(&candidate.0)
        .bind(version)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 1 {
            self.journal_in(&mut transaction, &candidate.0, &format!("{FINISHED}{words}")).await?;
        }
        self.commit(transaction, &format!("that {candidate} is finished")).await
    }
}

fn effect(weighed: &Weighed) -> String {
    match &weighed.touches {
        Ok(touches) => {
            let names: Vec<&str> = touches.iter().map(|touch| touch.recipe.as_str()).collect();
            format!("touches {}", names.join(", "))
        }
        Err(why) => format!("starts nothing: {why}"),
    }
}

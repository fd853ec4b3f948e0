//! Candidates and what surrounds them, read back from facts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;

use anyhow::{Context, Result};
use jiff::Timestamp;
use muster_flow::announce::Announce;
use muster_flow::build::Build;
use muster_flow::candidate::{
    Candidate, CandidateId, Cause, Decisions, Hold, Outcome, Purpose, Stage, Steps,
};
use muster_flow::change::Change;
use muster_flow::gate::{Verdict, Waiver};
use muster_flow::publish::{Promote, StreamRelease, Upload, Verify};
use muster_flow::recipe::{Definition, Recipe};
use muster_flow::smoketest::{Smoketest, Test};
use muster_flow::step::{Handle, Progress, Step, StepKey, Work};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::plan::FINISHED;
use super::{Store, decode, placeholders, time};

/// How many causes of a candidate are read at most: a mass rebuild gives it thousands.
const CAUSES: i64 = 200;

/// The columns of a step's row, for a person. The journal has noted when a build or a boot was begun.
const STEP_ROW: &str = "key, candidate, kind, state, attempt, note, due, deadline, created, updated, \
    (SELECT MAX(at) FROM journal WHERE journal.candidate = step.candidate \
    AND journal.text = SUBSTR(step.key, LENGTH(step.candidate) + 2) || ' began')";

/// What is frozen of a candidate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    pub recipe: Recipe,
    pub definition: Definition,
    pub tests: Vec<Test>,
    pub purpose: Purpose,
}

/// A step as its row stands, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepRow {
    /// Its key.
    pub key: StepKey,
    /// The candidate's id.
    pub candidate: String,
    /// The kind of work.
    pub kind: String,
    /// `wanted`, `running`, `ending`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// How often it was tried.
    pub attempt: i64,
    /// Progress, or the last fault, or the reason of its end.
    pub note: String,
    /// When it is looked at next.
    pub due: Timestamp,
    /// When it is given up.
    pub deadline: Timestamp,
    /// When it was recorded.
    pub created: Timestamp,
    /// When its row changed last.
    pub updated: Timestamp,
    /// When it was begun last; `None` before that, and for what takes no time worth noting.
    pub began: Option<Timestamp>,
}

impl StepRow {
    /// When it was begun, or else recorded: the time in the queue is none of its own.
    pub fn at_work_since(&self) -> Timestamp {
        self.began.unwrap_or(self.created)
    }

    /// Whether it is worked on, be it only to end it.
    pub fn is_running(&self) -> bool {
        ["running", "ending"].contains(&self.state.as_str())
    }
}

/// When a candidate came to where it is, as far as that does not stand in its other facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Milestones {
    /// When the last step of each kind came to its end, by the kind of work.
    pub ends: BTreeMap<String, Timestamp>,
    /// When nothing was left to do for it.
    pub finished: Option<Timestamp>,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalLine {
    /// Grows with time.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// About which candidate, if about one.
    pub candidate: Option<String>,
    /// What happened, in one line.
    pub text: String,
    /// The process that wrote it. Two may write at the same `seq`.
    #[serde(skip)]
    pub writer: String,
}

/// A change and what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenChange {
    /// The change.
    pub change: Change,
    /// What it did, or why it started nothing; empty while it waits to be weighed.
    pub effect: String,
    /// The candidates that it called for, in the order of their ids.
    pub candidates: Vec<CandidateId>,
}

impl Store {
    /// Every candidate with something left to do, oldest first.
    pub async fn open_candidates(&self) -> Result<Vec<Candidate>> {
        let ids = sqlx::query("SELECT id FROM candidate WHERE finished = 0 ORDER BY created, id")
            .fetch_all(&self.pool)
            .await
            .context("cannot list the open candidates")?;
        self.load_all(ids).await
    }

    /// The newest candidates, finished ones too; but no finished probe, which is told of with the candidate that it was
    /// made for.
    pub async fn candidates(&self, limit: u32) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for id in self.ids(limit).await? {
            candidates.extend(self.find_readable(&id).await?);
        }
        Ok(candidates)
    }

    /// The ids of the newest candidates, newest first; not those of finished probes.
    pub async fn ids(&self, limit: u32) -> Result<Vec<CandidateId>> {
        let sql = "SELECT id FROM candidate WHERE probe_of = '' OR finished = 0 \
                   ORDER BY created DESC, id DESC LIMIT $1";
        let ids = sqlx::query(sql)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .context("cannot list candidates")?;
        ids.iter().map(|row| Ok(CandidateId(row.try_get(0)?))).collect()
    }

    /// The ids of the newest candidates with nothing left to do; not those of probes.
    pub(super) async fn finished_ids(&self, limit: u32) -> Result<Vec<CandidateId>> {
        let sql = "SELECT id FROM candidate WHERE finished = 1 AND probe_of = '' ORDER BY created DESC, id DESC LIMIT $1";
        let ids = sqlx::query(sql).bind(i64::from(limit)).fetch_all(&self.pool).await;
        let ids = ids.context("cannot list the finished candidates")?;
        ids.iter().map(|row| Ok(CandidateId(row.try_get(0)?))).collect()
    }

    /// How many candidates that are no probes have nothing left to do.
    pub async fn finished_count(&self) -> Result<usize> {
        let row = sqlx::query("SELECT COUNT(*) FROM candidate WHERE finished = 1 AND probe_of = ''")
            .fetch_one(&self.pool)
            .await
            .context("cannot count the finished candidates")?;
        Ok(usize::try_from(row.try_get::<i64, _>(0)?)?)
    }

    /// The ids of the candidates of a recipe that were made before one of them, newest first.
    pub async fn before(&self, id: &CandidateId, limit: u32) -> Result<Vec<CandidateId>> {
        let ids = sqlx::query(
            "SELECT older.id FROM candidate AS older JOIN candidate AS this ON this.recipe = older.recipe \
             WHERE this.id = $1 AND older.id <> $1 AND older.created <= this.created AND older.probe_of = '' \
             ORDER BY older.created DESC, older.id DESC LIMIT $2",
        )
        .bind(&id.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .context("cannot list older candidates")?;
        ids.iter().map(|row| Ok(CandidateId(row.try_get(0)?))).collect()
    }

    /// The ids of the other candidates of its recipe, newest first.
    pub async fn siblings(&self, id: &CandidateId, limit: u32) -> Result<Vec<CandidateId>> {
        let ids = sqlx::query(
            "SELECT id FROM candidate WHERE recipe = $1 AND id <> $2 ORDER BY created DESC, id DESC LIMIT $3",
        )
        .bind(id.recipe())
        .bind(&id.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .context("cannot list the candidates of a recipe")?;
        ids.iter().map(|row| Ok(CandidateId(row.try_get(0)?))).collect()
    }

    async fn load_all(&self, ids: Vec<AnyRow>) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::with_capacity(ids.len());
        for row in ids {
            let id: String = row.try_get(0)?;
            candidates.extend(self.find_readable(&CandidateId(id)).await?);
        }
        Ok(candidates)
    }

    /// The versions of the open candidates: a version grows with every new fact.
    pub async fn open_versions(&self) -> Result<Vec<(CandidateId, i64)>> {
        let rows = sqlx::query("SELECT id, version FROM candidate WHERE finished = 0 ORDER BY created, id")
            .fetch_all(&self.pool)
            .await
            .context("cannot list the open candidates")?;
        rows.iter().map(|row| Ok((CandidateId(row.try_get(0)?), row.try_get(1)?))).collect()
    }

    /// The version of a candidate: it grows with each fact about it.
    pub async fn version(&self, id: &CandidateId) -> Result<Option<i64>> {
        let row = sqlx::query("SELECT version FROM candidate WHERE id = $1")
            .bind(&id.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// The candidates made since then whose publishing failed: a person may yet have it tried again.
    pub async fn publish_failed_since(&self, since: Timestamp) -> Result<Vec<CandidateId>> {
        let ids = sqlx::query(
            "SELECT id FROM candidate WHERE finished = 1 AND created >= $1 AND EXISTS (SELECT 1 FROM step \
             WHERE candidate = candidate.id AND kind IN ('upload', 'verify', 'promote') AND state = 'failed')",
        )
        .bind(since.as_millisecond())
        .fetch_all(&self.pool)
        .await
        .context("cannot list the candidates whose publishing failed")?;
        let candidates = self.load_all(ids).await?;
        let failed = candidates.into_iter().filter(|candidate| {
            matches!(candidate.stage_before_announcing(), Stage::Finished(Outcome::PublishFailed(_)))
        });
        Ok(failed.map(|candidate| candidate.id).collect())
    }

    /// A candidate, if it is there and can be read. One that cannot be read keeps none of the others from being read: a
    /// newer Muster may have written it. That is told once, and by [`Store::unreadable`].
    pub async fn find_readable(&self, id: &CandidateId) -> Result<Option<Candidate>> {
        let found = self.candidate(id).await;
        let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(candidate) => {
                unreadable.remove(id);
                Ok(candidate)
            }
            Err(error) if is_strange(&error) => {
                let reason = format!("{error:#}");
                if unreadable.get(id) != Some(&reason) {
                    tracing::warn!(candidate.id = %id, "it cannot be read, and is left alone: {reason}");
                    unreadable.insert(id.clone(), reason);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The candidates that could not be read when they were read last, each with the reason.
    pub fn unreadable(&self) -> Vec<(CandidateId, String)> {
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        unreadable.iter().map(|(id, reason)| (id.clone(), reason.clone())).collect()
    }

    /// A candidate of a stream that cannot be read and is moving pointers.
    pub async fn find_unreadable_promotion(&self, stream: &str) -> Result<Option<CandidateId>> {
        let sql = "SELECT DISTINCT step.candidate FROM step JOIN candidate ON candidate.id = step.candidate \
                   WHERE candidate.stream = $1 AND step.kind = 'promote' AND step.state IN ('wanted', 'running', 'ending')";
        let rows = sqlx::query(sql).bind(stream).fetch_all(&self.pool).await?;
        let unreadable = self.unreadable();
        for row in rows {
            let id = CandidateId(row.try_get(0)?);
            if unreadable.iter().any(|(other, _)| *other == id) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// One candidate with everything known of it.
    pub async fn candidate(&self, id: &CandidateId) -> Result<Option<Candidate>> {
        let row = sqlx::query(
            "SELECT facts, life, verdict, created, recipe, finished, batch FROM candidate WHERE id = $1",
        )
        .bind(&id.0)
        .fetch_optional(&self.pool)
        .await
        .with_context(|| format!("cannot read {id}"))?;
        let Some(row) = row else { return Ok(None) };
        let facts: Facts = decode(row.try_get::<&str, _>(0)?)?;
        let verdict: String = row.try_get(2)?;
        let recipe: String = row.try_get(4)?;
        let batch: String = row.try_get(6)?;
        let verdict: Option<Verdict> = if verdict.is_empty() { None } else { Some(decode(&verdict)?) };
        let mut waivers = self.waivers(&recipe).await?;
        if row.try_get::<i64, _>(5)? == 1 {
            waivers.retain(|waiver| waiver.bears_on_what_is_over(verdict.as_ref()));
        }
        let decisions =
            Decisions { verdict, waivers, holds: self.holds(id).await?, retries: self.retries(id).await? };
        Ok(Some(Candidate {
            id: id.clone(),
            recipe: facts.recipe,
            definition: facts.definition,
            tests: facts.tests,
            purpose: facts.purpose,
            created: time(row.try_get(3)?),
            changes: self.causes(id).await?,
            life: decode(row.try_get::<&str, _>(1)?)?,
            batch: self.in_batch(&batch).await?,
            steps: self.steps(id).await?,
            decisions,
        }))
    }

    /// The first causes of a candidate, and its newest one.
    async fn causes(&self, id: &CandidateId) -> Result<Vec<Cause>> {
        let first =
            "SELECT change, at, summary, why FROM cause WHERE candidate = $1 ORDER BY at, change LIMIT $2";
        let last = "SELECT change, at, summary, why FROM cause WHERE candidate = $1 \
                    ORDER BY at DESC, change DESC LIMIT 1";
        let mut causes = Vec::new();
        for row in sqlx::query(first).bind(&id.0).bind(CAUSES).fetch_all(&self.pool).await? {
            causes.push(decode_cause(&row)?);
        }
        if i64::try_from(causes.len())? == CAUSES {
            for row in sqlx::query(last).bind(&id.0).fetch_all(&self.pool).await? {
                causes.push(decode_cause(&row)?);
            }
        }
        Ok(causes)
    }

    /// How many changes called for a candidate.
    pub async fn cause_count(&self, id: &CandidateId) -> Result<i64> {
        let row = sqlx::query("SELECT COUNT(*) FROM cause WHERE candidate = $1")
            .bind(&id.0)
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn steps(&self, id: &CandidateId) -> Result<Steps> {
        let rows = sqlx::query(
            "SELECT key, kind, request, state, handle, output, note FROM step WHERE candidate = $1 ORDER BY created, key",
        )
        .bind(&id.0)
        .fetch_all(&self.pool)
        .await
        .with_context(|| format!("cannot read the steps of {id}"))?;
        let mut steps = Steps::default();
        for row in &rows {
            add_step(&mut steps, row)?;
        }
        Ok(steps)
    }

    pub(super) async fn waivers(&self, recipe: &str) -> Result<Vec<Waiver>> {
        let rows = sqlx::query("SELECT fact FROM waiver WHERE recipe = $1 ORDER BY recorded, id")
            .bind(recipe)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| decode(row.try_get::<&str, _>(0)?)).collect()
    }

    /// Every exception that people made, newest first, each with when it was made.
    pub async fn all_waivers(&self) -> Result<Vec<(Waiver, Timestamp)>> {
        let rows = sqlx::query("SELECT fact, recorded FROM waiver ORDER BY recorded DESC, id")
            .fetch_all(&self.pool)
            .await
            .context("cannot list the waivers")?;
        rows.iter().map(|row| Ok((decode(row.try_get::<&str, _>(0)?)?, time(row.try_get(1)?)))).collect()
    }

    async fn holds(&self, id: &CandidateId) -> Result<Vec<Hold>> {
        let rows = sqlx::query("SELECT who, why FROM hold WHERE candidate = $1")
            .bind(&id.0)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(Hold { who: row.try_get(0)?, why: row.try_get(1)? })).collect()
    }

    async fn retries(&self, id: &CandidateId) -> Result<BTreeMap<String, u32>> {
        let rows = sqlx::query("SELECT base, times FROM retry WHERE candidate = $1")
            .bind(&id.0)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, u32::try_from(row.try_get::<i64, _>(1)?).unwrap_or(u32::MAX))))
            .collect()
    }

    /// When candidates came to where they are.
    pub async fn milestones(&self, ids: &[&CandidateId]) -> Result<HashMap<CandidateId, Milestones>> {
        let mut milestones: HashMap<CandidateId, Milestones> = HashMap::new();
        for chunk in ids.chunks(500) {
            let among = placeholders(1, chunk.len());
            let ends = format!(
                "SELECT candidate, kind, MAX(updated) FROM step WHERE candidate IN {among} \
                 AND state IN ('succeeded', 'failed', 'cancelled') GROUP BY candidate, kind"
            );
            let finished = format!(
                "SELECT candidate, '', MAX(at) FROM journal WHERE candidate IN {among} AND text LIKE '{FINISHED}%' \
                 GROUP BY candidate"
            );
            for sql in [ends, finished] {
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for id in chunk {
                    query = query.bind(&id.0);
                }
                let rows = query.fetch_all(&self.pool).await.context("cannot read when candidates got on")?;
                for row in &rows {
                    let known = milestones.entry(CandidateId(row.try_get(0)?)).or_default();
                    let (kind, at) = (row.try_get::<&str, _>(1)?, time(row.try_get(2)?));
                    if kind.is_empty() {
                        known.finished = Some(at);
                    } else {
                        known.ends.insert(kind.to_owned(), at);
                    }
                }
            }
        }
        Ok(milestones)
    }

    /// What a candidate waits for, in one line; empty when it waits for nothing.
    pub async fn note(&self, id: &CandidateId) -> Result<String> {
        let row = sqlx::query("SELECT note FROM candidate WHERE id = $1")
            .bind(&id.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    /// The rows of a candidate's steps, in the order they were recorded.
    pub async fn step_rows(&self, id: &CandidateId) -> Result<Vec<StepRow>> {
        let sql = format!("SELECT {STEP_ROW} FROM step WHERE candidate = $1 ORDER BY created, key");
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(&id.0).fetch_all(&self.pool).await?;
        rows.iter().map(decode_step_row).collect()
    }

    /// The rows of every step that is not over.
    pub async fn open_step_rows(&self) -> Result<Vec<StepRow>> {
        let open = "state IN ('wanted', 'running', 'ending')";
        let sql = format!("SELECT {STEP_ROW} FROM step WHERE {open} ORDER BY created, key");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter().map(decode_step_row).collect()
    }

    /// The row of one step.
    pub async fn step_row(&self, key: &StepKey) -> Result<Option<StepRow>> {
        let sql = format!("SELECT {STEP_ROW} FROM step WHERE key = $1");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(&key.0).fetch_optional(&self.pool).await?;
        row.as_ref().map(decode_step_row).transpose()
    }

    /// Lines of the journal after `after`, oldest first; of one candidate, or of all.
    pub async fn journal(
        &self,
        candidate: Option<&CandidateId>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<JournalLine>> {
        let query = match candidate {
            Some(id) => sqlx::query(
                "SELECT seq, at, candidate, text, writer FROM journal WHERE candidate = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            )
            .bind(id.0.clone()),
            None => sqlx::query(
                "SELECT seq, at, candidate, text, writer FROM journal WHERE $1 = '' AND seq > $2 ORDER BY seq LIMIT $3",
            )
            .bind(String::new()),
        };
        let rows = query.bind(after).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let candidate: String = row.try_get(2)?;
                Ok(JournalLine {
                    seq: row.try_get(0)?,
                    at: time(row.try_get(1)?),
                    candidate: Some(candidate).filter(|id| !id.is_empty()),
                    text: row.try_get(3)?,
                    writer: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// The newest changes and what they did.
    pub async fn changes(&self, limit: u32) -> Result<Vec<SeenChange>> {
        let rows = sqlx::query("SELECT fact, effect FROM change ORDER BY recorded DESC, id LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        self.seen_changes(&rows).await
    }

    /// One change and what it did.
    pub async fn change(&self, id: &str) -> Result<Option<SeenChange>> {
        let sql = "SELECT fact, effect FROM change WHERE id = $1";
        let rows = sqlx::query(sql).bind(id).fetch_all(&self.pool).await?;
        Ok(self.seen_changes(&rows).await?.pop())
    }

    async fn seen_changes(&self, rows: &[AnyRow]) -> Result<Vec<SeenChange>> {
        let mut seen = Vec::with_capacity(rows.len());
        for row in rows {
            let change: Change = decode(row.try_get::<&str, _>(0)?)?;
            seen.push(SeenChange { change, effect: row.try_get(1)?, candidates: Vec::new() });
        }
        if seen.is_empty() {
            return Ok(seen);
        }
        let changes = placeholders(1, seen.len());
        let sql = format!("SELECT change, candidate FROM cause WHERE change IN {changes} ORDER BY candidate");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for SeenChange { change, .. } in &seen {
            query = query.bind(change.id.clone());
        }
        let mut led_to: HashMap<String, Vec<CandidateId>> = HashMap::new();
        for row in query.fetch_all(&self.pool).await? {
            led_to.entry(row.try_get(0)?).or_default().push(CandidateId(row.try_get(1)?));
        }
        for one in &mut seen {
            one.candidates = led_to.remove(&one.change.id).unwrap_or_default();
        }
        Ok(seen)
    }

    /// The changes that were not yet weighed, oldest first.
    pub async fn unweighed(&self, limit: u32) -> Result<Vec<Change>> {
        let rows = sqlx::query("SELECT fact FROM change WHERE effect = '' ORDER BY recorded, id LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| decode(row.try_get::<&str, _>(0)?)).collect()
    }

    /// The packages that the last build of each recipe recorded: package to recipes, each with the package's name, version
    /// and release where these are the same for all architectures.
    pub async fn installed(&self) -> Result<HashMap<String, BTreeMap<String, Option<String>>>> {
        // What is trimmed is everything behind the last dot, which is the architecture.
        let sql = "SELECT DISTINCT package, recipe, RTRIM(nvra, REPLACE(nvra, '.', '')) FROM installed";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await?;
        let mut installed: HashMap<String, BTreeMap<String, Option<String>>> = HashMap::new();
        for row in &rows {
            let nvr = row.try_get::<&str, _>(2)?.trim_end_matches('.').to_owned();
            let recipes = installed.entry(row.try_get(0)?).or_default();
            recipes.entry(row.try_get(1)?).and_modify(|known| *known = None).or_insert(Some(nvr));
        }
        Ok(installed)
    }

    /// The architectures of each recipe whose packages its last build recorded.
    pub async fn recorded_arches(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let rows = sqlx::query("SELECT DISTINCT recipe, arch FROM installed").fetch_all(&self.pool).await?;
        let mut recorded: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in &rows {
            // One build on Koji is for several.
            let arches = row.try_get::<&str, _>(1)?.split('+').map(str::to_owned);
            recorded.entry(row.try_get(0)?).or_default().extend(arches);
        }
        Ok(recorded)
    }

    /// The recipes that have a candidate which is not built yet.
    pub async fn in_the_making(&self) -> Result<BTreeSet<String>> {
        let sql = "SELECT DISTINCT recipe FROM candidate WHERE finished = 0 AND (\
                   NOT EXISTS (SELECT 1 FROM step WHERE candidate = candidate.id AND kind = 'build') OR \
                   EXISTS (SELECT 1 FROM step WHERE candidate = candidate.id AND kind = 'build' \
                   AND state IN ('wanted', 'running', 'ending')))";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await.context("cannot list what is being built")?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// What a stream points at, one release per recipe, by the recipe's name.
    pub async fn releases(&self, stream: &str) -> Result<Vec<StreamRelease>> {
        let rows = sqlx::query("SELECT release FROM stream_release WHERE stream = $1 ORDER BY recipe")
            .bind(stream)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| decode(row.try_get::<&str, _>(0)?)).collect()
    }

    /// The streams that point at anything.
    pub async fn streams(&self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT DISTINCT stream FROM stream_release ORDER BY stream")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

/// A fact that this Muster has no word for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Strange(String);

/// Whether a fact was read and not understood; otherwise it could not be read at all, and may be later.
pub(super) fn is_strange(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<serde_json::Error>() || cause.is::<Strange>())
}

pub(super) fn decode_cause(row: &AnyRow) -> Result<Cause> {
    Ok(Cause {
        change: row.try_get(0)?,
        at: time(row.try_get(1)?),
        summary: row.try_get(2)?,
        why: row.try_get(3)?,
    })
}

/// Adds a step to those of its kind; the columns are key, kind, request, state, handle, output and note.
pub(super) fn add_step(steps: &mut Steps, row: &AnyRow) -> Result<()> {
    match row.try_get::<&str, _>(1)? {
        Build::NAME => steps.builds.push(decode_step(row)?),
        Smoketest::NAME => steps.smoketests.push(decode_step(row)?),
        Upload::NAME => steps.uploads.push(decode_step(row)?),
        Verify::NAME => steps.verifications.push(decode_step(row)?),
        Promote::NAME => steps.promotions.push(decode_step(row)?),
        Announce::NAME => steps.announcements.push(decode_step(row)?),
        other => return Err(Strange(format!("there is a step of the unknown kind {other}")).into()),
    }
    Ok(())
}

fn decode_step<W: Work>(row: &AnyRow) -> Result<Step<W>> {
    let (handle, note): (String, String) = (row.try_get(4)?, row.try_get(6)?);
    let progress = match row.try_get::<&str, _>(3)? {
        "wanted" => Progress::Wanted,
        "running" | "ending" if handle.is_empty() => Progress::Wanted,
        "running" | "ending" => Progress::Running(Handle(handle)),
        "succeeded" => Progress::Succeeded(decode(row.try_get::<&str, _>(5)?)?),
        "failed" => Progress::Failed(note),
        "cancelled" => Progress::Cancelled,
        other => return Err(Strange(format!("a step is in the unknown state {other}")).into()),
    };
    Ok(Step { key: StepKey(row.try_get(0)?), request: decode(row.try_get::<&str, _>(2)?)?, progress })
}

fn decode_step_row(row: &AnyRow) -> Result<StepRow> {
    Ok(StepRow {
        key: StepKey(row.try_get(0)?),
        candidate: row.try_get(1)?,
        kind: row.try_get(2)?,
        state: row.try_get(3)?,
        attempt: row.try_get(4)?,
        note: row.try_get(5)?,
        due: time(row.try_get(6)?),
        deadline: time(row.try_get(7)?),
        created: time(row.try_get(8)?),
        updated: time(row.try_get(9)?),
        began: row.try_get::<Option<i64>, _>(10)?.map(time),
    })
}

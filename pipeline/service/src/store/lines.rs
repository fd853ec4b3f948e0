//! Candidates as lists show them, many at once.
//!
//! Their stage follows from the same facts as ever. What only their own pages show stays in the database: lists of
//! packages, texts of definitions, scripts of tests and what these wrote are nearly all there is to read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use muster_flow::batch::InBatch;
use muster_flow::candidate::{Candidate, CandidateId, Decisions, Hold, Steps};
use muster_flow::gate::{Verdict, Waiver};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::read::{Facts, add_step, decode_cause};
use super::{Dialect, Store, decode, placeholders, time};

/// How many candidates are asked for in one statement; both databases take more parameters than this.
const AT_ONCE: usize = 1000;

/// A part of a JSON document that lists leave out: the path of its keys, and what stands there instead.
type Part = (&'static [&'static str], &'static str);

/// What lists leave out of the frozen facts.
const OF_FACTS: [Part; 2] = [(&["definition", "texts"], "{}"), (&["tests"], "[]")];

/// What they leave out of the request for a build.
const OF_BUILD_REQUEST: [Part; 1] = [(&["definition", "texts"], "{}")];

/// What they leave out of what a builder made.
const OF_BUILD_OUTPUT: [Part; 1] = [(&["packages"], "[]")];

/// What they leave out of the request for a boot.
const OF_BOOT_REQUEST: [Part; 2] = [(&["packages"], "[]"), (&["tests"], "[]")];

/// What they leave out of what a boot showed.
const OF_BOOT_OUTPUT: [Part; 1] = [(&["results"], "[]")];

/// A candidate as a list shows it.
#[derive(Clone, Debug)]
pub struct Line {
    /// The candidate without package lists, texts, scripts and results, and of its changes only the last. Its stage is
    /// that of the whole; nothing else may be decided from it.
    pub candidate: Candidate,
    /// How many changes called for it.
    pub changes: usize,
    /// What it waits for, in one line; empty when it waits for nothing.
    pub note: String,
}

impl Store {
    /// Every candidate with something left to do, oldest first.
    pub async fn open_lines(&self) -> Result<Vec<Line>> {
        let ids: Vec<CandidateId> = self.open_versions().await?.into_iter().map(|(id, _)| id).collect();
        self.lines_of(&ids).await
    }

    /// The newest candidates, finished ones too.
    pub async fn lines(&self, limit: u32) -> Result<Vec<Line>> {
        self.lines_of(&self.ids(limit).await?).await
    }

    /// The newest candidates with nothing left to do.
    pub async fn finished_lines(&self, limit: u32) -> Result<Vec<Line>> {
        self.lines_of(&self.finished_ids(limit).await?).await
    }

    /// Some candidates, in the order of their ids. What cannot be read is left out, as everywhere.
    pub async fn lines_of(&self, ids: &[CandidateId]) -> Result<Vec<Line>> {
        let mut lines = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            lines.extend(self.some_lines(some).await?);
        }
        Ok(lines)
    }

    async fn some_lines(&self, ids: &[CandidateId]) -> Result<Vec<Line>> {
        // A database refuses the whole question when it finds one document that is none; then each is asked for alone.
        let mut read = self.read_lines(ids).await.unwrap_or_default();
        // What could not be read lately is read as a whole, until it can be: what a line leaves out may be at fault.
        for (id, _) in self.unreadable() {
            read.remove(&id.0);
        }
        let mut lines = Vec::with_capacity(ids.len());
        for id in ids {
            match read.remove(&id.0) {
                Some(line) => lines.push(line),
                None => lines.extend(self.whole_line(id).await?),
            }
        }
        Ok(lines)
    }

    /// A line made from the whole candidate, for one that could not be read among others: either it can be, or what
    /// hinders it is told.
    async fn whole_line(&self, id: &CandidateId) -> Result<Option<Line>> {
        let Some(candidate) = self.find_readable(id).await? else { return Ok(None) };
        let changes = usize::try_from(self.cause_count(id).await?).unwrap_or_default();
        Ok(Some(Line { candidate, changes, note: self.note(id).await? }))
    }

    /// The lines that can be read, by id.
    async fn read_lines(&self, ids: &[CandidateId]) -> Result<HashMap<String, Line>> {
        let facts = self.dialect.without("facts", &OF_FACTS);
        let sql = format!(
            "SELECT id, {facts}, life, verdict, created, recipe, finished, note, batch FROM candidate WHERE id IN"
        );
        let candidates = self.rows(&sql, "", ids).await?;
        let causes = self.last_causes(ids).await?;
        let mut steps = self.steps_of_lines(ids).await?;
        let mut decisions = self.decisions_of_lines(ids, &candidates).await?;
        let batches = self.batches_of_lines(&candidates).await?;
        let mut lines = HashMap::with_capacity(ids.len());
        for row in &candidates {
            let id: String = row.try_get(0)?;
            let batch = batches.get(row.try_get::<&str, _>(8)?).cloned();
            let all = (causes.get(&id), steps.remove(&id), decisions.remove(&id).unwrap_or_default(), batch);
            if let Ok(line) = line(row, all) {
                lines.insert(id, line);
            }
        }
        Ok(lines)
    }

    /// What a statement finds for some candidates; it ends before the list of their ids, and `rest` follows it.
    async fn rows(&self, sql: &str, rest: &str, ids: &[CandidateId]) -> Result<Vec<AnyRow>> {
        let sql = format!("{sql} {} {rest}", placeholders(1, ids.len()));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in ids {
            query = query.bind(&id.0);
        }
        query.fetch_all(&self.pool).await.context("cannot read the lines of candidates")
    }

    /// The last cause of each candidate, and how many it has.
    async fn last_causes(&self, ids: &[CandidateId]) -> Result<HashMap<String, (AnyRow, usize)>> {
        let sql = "SELECT cause.change, cause.at, cause.summary, cause.why, cause.candidate, newest.causes FROM cause \
                   JOIN (SELECT candidate, MAX(at) AS at, COUNT(*) AS causes FROM cause WHERE candidate IN";
        let rest = "GROUP BY candidate) AS newest ON newest.candidate = cause.candidate AND newest.at = cause.at \
                    ORDER BY cause.change";
        let mut causes = HashMap::new();
        for row in self.rows(sql, rest, ids).await? {
            let count = usize::try_from(row.try_get::<i64, _>(5)?).unwrap_or_default();
            // Of several at the same time it is the last.
            causes.insert(row.try_get::<String, _>(4)?, (row, count));
        }
        Ok(causes)
    }

    /// The steps of each candidate. An error is that of one candidate alone.
    async fn steps_of_lines(&self, ids: &[CandidateId]) -> Result<HashMap<String, Result<Steps>>> {
        let without = |column, parts| self.dialect.without(column, parts);
        let sql = format!(
            "SELECT key, kind, CASE kind WHEN 'build' THEN {} WHEN 'smoketest' THEN {} ELSE request END, state, handle, \
             CASE WHEN state <> 'succeeded' THEN output WHEN kind = 'build' THEN {} WHEN kind = 'smoketest' THEN {} \
             ELSE output END, note, candidate FROM step WHERE candidate IN",
            without("request", &OF_BUILD_REQUEST),
            without("request", &OF_BOOT_REQUEST),
            without("output", &OF_BUILD_OUTPUT),
            without("output", &OF_BOOT_OUTPUT),
        );
        let mut all: HashMap<String, Result<Steps>> = HashMap::new();
        for row in self.rows(&sql, "ORDER BY created, key", ids).await? {
            let steps = all.entry(row.try_get(7)?).or_insert_with(|| Ok(Steps::default()));
            if let Ok(so_far) = steps
                && let Err(error) = add_step(so_far, &row)
            {
                *steps = Err(error);
            }
        }
        Ok(all)
    }

    /// Holds, retries and waivers, by candidate.
    async fn decisions_of_lines(
        &self,
        ids: &[CandidateId],
        candidates: &[AnyRow],
    ) -> Result<HashMap<String, Decisions>> {
        let mut decisions: HashMap<String, Decisions> = HashMap::new();
        for row in self.rows("SELECT candidate, who, why FROM hold WHERE candidate IN", "", ids).await? {
            let hold = Hold { who: row.try_get(1)?, why: row.try_get(2)? };
            decisions.entry(row.try_get(0)?).or_default().holds.push(hold);
        }
        for row in self.rows("SELECT candidate, base, times FROM retry WHERE candidate IN", "", ids).await? {
            let times = u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or(u32::MAX);
            decisions.entry(row.try_get(0)?).or_default().retries.insert(row.try_get(1)?, times);
        }
        let recipes = candidates.iter().map(|row| row.try_get(5)).collect::<Result<BTreeSet<String>, _>>()?;
        let mut waivers: BTreeMap<&str, Vec<Waiver>> = BTreeMap::new();
        for recipe in &recipes {
            waivers.insert(recipe, self.waivers(recipe).await?);
        }
        for row in candidates {
            let of_recipe = waivers.get(row.try_get::<&str, _>(5)?).cloned().unwrap_or_default();
            decisions.entry(row.try_get(0)?).or_default().waivers = of_recipe;
        }
        Ok(decisions)
    }

    /// The batches that candidates are in, by their ids: there are far fewer of them.
    async fn batches_of_lines(&self, candidates: &[AnyRow]) -> Result<HashMap<String, InBatch>> {
        let ids = candidates.iter().map(|row| row.try_get(8)).collect::<Result<BTreeSet<String>, _>>()?;
        let mut batches = HashMap::new();
        for id in ids {
            if let Some(batch) = self.in_batch(&id).await? {
                batches.insert(id, batch);
            }
        }
        Ok(batches)
    }
}

type Surroundings<'a> = (Option<&'a (AnyRow, usize)>, Option<Result<Steps>>, Decisions, Option<InBatch>);

fn line(row: &AnyRow, (cause, steps, mut decisions, batch): Surroundings<'_>) -> Result<Line> {
    let facts: Facts = decode(row.try_get::<&str, _>(1)?)?;
    let verdict: String = row.try_get(3)?;
    let verdict: Option<Verdict> = if verdict.is_empty() { None } else { Some(decode(&verdict)?) };
    if row.try_get::<i64, _>(6)? == 1 {
        decisions.waivers.retain(|waiver| waiver.bears_on_what_is_over(verdict.as_ref()));
    }
    let candidate = Candidate {
        id: CandidateId(row.try_get(0)?),
        recipe: facts.recipe,
        definition: facts.definition,
        tests: facts.tests,
        purpose: facts.purpose,
        created: time(row.try_get(4)?),
        changes: cause.map(|(row, _)| decode_cause(row)).transpose()?.into_iter().collect(),
        life: decode(row.try_get::<&str, _>(2)?)?,
        steps: steps.transpose()?.unwrap_or_default(),
        decisions: Decisions { verdict, ..decisions },
        batch,
    };
    Ok(Line { candidate, changes: cause.map_or(0, |(_, count)| *count), note: row.try_get(7)? })
}

impl Dialect {
    /// A column of JSON with some parts of it replaced before it is sent.
    fn without(self, column: &str, parts: &[Part]) -> String {
        match self {
            Dialect::Sqlite => {
                let parts =
                    parts.iter().map(|(path, value)| format!(", '$.{}', json('{value}')", path.join(".")));
                format!("json_set({column}{})", parts.collect::<String>())
            }
            Dialect::Postgres => {
                let document = format!("CAST({column} AS jsonb)");
                let replaced = parts.iter().fold(document, |document, (path, value)| {
                    format!("jsonb_set({document}, '{{{}}}', '{value}')", path.join(","))
                });
                format!("CAST({replaced} AS text)")
            }
        }
    }
}

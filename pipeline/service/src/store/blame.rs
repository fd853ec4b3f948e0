//! Inquiries: which candidate turned red, the good one it is compared with, its probes, and what was found.

use std::sync::PoisonError;

use anyhow::{Context, Result};
use jiff::Timestamp;
use muster_flow::blame::{Conclusion, Symptom, Trial};
use muster_flow::candidate::{Candidate, CandidateId};
use muster_flow::step::{Progress, StepKey};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::read::is_strange;
use super::{Plan, Store, decode, encode, time};

/// An inquiry as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InquiryRow {
    /// The red candidate.
    pub candidate: CandidateId,
    /// The last good one before it.
    pub good: CandidateId,
    /// What was settled when it began.
    pub terms: Terms,
    /// When it began.
    pub recorded: Timestamp,
    /// What was found; `None` while it goes on.
    pub conclusion: Option<Conclusion>,
}

/// What is settled when an inquiry begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What was red.
    pub symptoms: Vec<Symptom>,
    /// How many probes it may make.
    pub bound: u32,
    /// The person who asked for it; `None` when it began by itself.
    pub who: Option<String>,
    /// The builds that were red; none in what an older Muster wrote.
    #[serde(default)]
    pub builds: Vec<StepKey>,
    /// How many probes were made for earlier inquiries into the same candidate, before it was built again.
    #[serde(default)]
    pub earlier: u32,
}

impl Store {
    /// Records that an inquiry begins, or what is known without one. It takes the place of `before`, the one into what the
    /// candidate was before it was built again. `false` when there was one already.
    pub async fn inquire(
        &self,
        (red, good): (&CandidateId, &CandidateId),
        terms: &Terms,
        known: Option<&Conclusion>,
        before: Option<&InquiryRow>,
    ) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let sql = match before {
            None => {
                "INSERT INTO inquiry (candidate, good, facts, recorded, conclusion) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT DO NOTHING"
            }
            Some(_) => {
                "UPDATE inquiry SET good = $2, facts = $3, recorded = $4, conclusion = $5 \
                 WHERE candidate = $1 AND recorded = $6"
            }
        };
        let query = sqlx::query(sql)
            .bind(&red.0)
            .bind(&good.0)
            .bind(encode(terms)?)
            .bind(self.now().as_millisecond())
            .bind(known.map(encode).transpose()?.unwrap_or_default());
        let query = match before {
            None => query,
            Some(before) => query.bind(before.recorded.as_millisecond()),
        };
        let done = query
            .execute(&mut *transaction)
            .await
            .with_context(|| format!("cannot record that it is asked what made {red} red"))?;
        if done.rows_affected() > 0 {
            if let Some(before) = before {
                let found = before.conclusion.as_ref().map_or("nothing".to_owned(), Conclusion::words);
                let text = format!("it was built again; what was found of it before: {found}");
                self.journal_in(&mut transaction, &red.0, &text).await?;
            }
            let by = terms.who.as_ref().map(|who| format!("{who} asked for it: ")).unwrap_or_default();
            let text = match known {
                None => format!("{by}what made it red is looked for, {good} was good"),
                Some(known) => format!("blame: {}", known.words()),
            };
            self.journal_in(&mut transaction, &red.0, &text).await?;
        }
        self.commit(transaction, &format!("that it is asked what made {red} red")).await?;
        Ok(done.rows_affected() > 0)
    }

    /// The inquiries that go on, wait for no probe and can be read, oldest first.
    pub async fn idle_inquiries(&self) -> Result<Vec<InquiryRow>> {
        let sql = "SELECT candidate, good, facts, recorded, conclusion FROM inquiry WHERE conclusion = '' \
                   AND NOT EXISTS (SELECT 1 FROM candidate WHERE probe_of = inquiry.candidate AND finished = 0) \
                   ORDER BY recorded, candidate";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await.context("cannot list inquiries")?;
        let found: Vec<_> = rows.iter().map(|row| self.readable_inquiry(row)).collect::<Result<_>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The newest inquiry into another candidate of a recipe than this one.
    pub async fn last_inquiry(&self, recipe: &str, than: &CandidateId) -> Result<Option<InquiryRow>> {
        let sql = "SELECT inquiry.candidate, good, inquiry.facts, recorded, conclusion FROM inquiry \
                   JOIN candidate ON candidate.id = inquiry.candidate WHERE candidate.recipe = $1 AND candidate.id <> $2 \
                   ORDER BY recorded DESC, inquiry.candidate DESC LIMIT 1";
        let row = sqlx::query(sql).bind(recipe).bind(&than.0).fetch_optional(&self.pool).await?;
        Ok(row.as_ref().map(|row| self.readable_inquiry(row)).transpose()?.flatten())
    }

    /// The inquiry into one candidate, if it can be read.
    pub async fn inquiry(&self, red: &CandidateId) -> Result<Option<InquiryRow>> {
        let sql = "SELECT candidate, good, facts, recorded, conclusion FROM inquiry WHERE candidate = $1";
        let row = sqlx::query(sql).bind(&red.0).fetch_optional(&self.pool).await?;
        Ok(row.as_ref().map(|row| self.readable_inquiry(row)).transpose()?.flatten())
    }

    /// The probes that were made for one inquiry, in their order.
    pub async fn probes_of(&self, inquiry: &InquiryRow) -> Result<Vec<Candidate>> {
        let mut probes = self.probes(&inquiry.candidate).await?;
        Ok(probes.split_off(probes.len().min(inquiry.terms.earlier as usize)))
    }

    /// How many probes were made for a candidate.
    pub async fn probe_count(&self, red: &CandidateId) -> Result<u32> {
        let sql = "SELECT COUNT(*) FROM candidate WHERE probe_of = $1";
        let count: i64 = sqlx::query(sql).bind(&red.0).fetch_one(&self.pool).await?.try_get(0)?;
        Ok(u32::try_from(count)?)
    }

    /// The probes that were made for a candidate, in their order, whichever inquiry they were made for.
    pub async fn probes(&self, red: &CandidateId) -> Result<Vec<Candidate>> {
        let sql = "SELECT id FROM candidate WHERE probe_of = $1 ORDER BY created, LENGTH(id), id";
        let rows = sqlx::query(sql).bind(&red.0).fetch_all(&self.pool).await?;
        let mut probes = Vec::with_capacity(rows.len());
        for row in rows {
            let id = CandidateId(row.try_get(0)?);
            probes.push(self.candidate(&id).await?.with_context(|| format!("{id} is not there"))?);
        }
        Ok(probes)
    }

    /// Records a probe with what was built for it already.
    pub async fn probe(&self, plan: &Plan, red: &CandidateId, probe: &Candidate) -> Result<()> {
        let mut transaction = self.begin_planned(plan).await?;
        self.make(&mut transaction, probe, None).await?;
        sqlx::query("UPDATE candidate SET probe_of = $2 WHERE id = $1")
            .bind(&probe.id.0)
            .bind(&red.0)
            .execute(&mut *transaction)
            .await?;
        for build in &probe.steps.builds {
            let Progress::Succeeded(output) = &build.progress else { continue };
            let sql = "INSERT INTO step (key, candidate, kind, request, state, output, note, due, deadline, created, updated) \
                       VALUES ($1, $2, 'build', $3, 'succeeded', $4, 'it was built already', $5, $5, $5, $5)";
            sqlx::query(sql)
                .bind(&build.key.0)
                .bind(&probe.id.0)
                .bind(encode(&build.request)?)
                .bind(encode(output)?)
                .bind(self.now().as_millisecond())
                .execute(&mut *transaction)
                .await
                .with_context(|| format!("cannot record {}", build.key))?;
        }
        let what = probe.purpose.trial().map(Trial::words).unwrap_or_default();
        self.journal_in(&mut transaction, &red.0, &format!("{} boots {what}", probe.id)).await?;
        self.commit(transaction, &format!("the probe {}", probe.id)).await
    }

    /// Records what an inquiry has found, once.
    pub async fn conclude(&self, plan: &Plan, inquiry: &InquiryRow, conclusion: &Conclusion) -> Result<()> {
        let red = &inquiry.candidate;
        let mut transaction = self.begin_planned(plan).await?;
        // Another one may have taken its place meanwhile.
        let sql =
            "UPDATE inquiry SET conclusion = $2 WHERE candidate = $1 AND recorded = $3 AND conclusion = ''";
        let done = sqlx::query(sql)
            .bind(&red.0)
            .bind(encode(conclusion)?)
            .bind(inquiry.recorded.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 1 {
            self.journal_in(&mut transaction, &red.0, &format!("blame: {}", conclusion.words())).await?;
        }
        self.commit(transaction, &format!("what made {red} red")).await
    }

    /// An inquiry, if it can be read. One that cannot keeps none of the others from going on: a newer Muster may have written
    /// it.
    fn readable_inquiry(&self, row: &AnyRow) -> Result<Option<InquiryRow>> {
        match decode_inquiry(row) {
            Ok(inquiry) => Ok(Some(inquiry)),
            Err(error) if is_strange(&error) => {
                let candidate: String = row.try_get(0)?;
                let reason = format!("{error:#}");
                let mut unreadable = self.unreadable_inquiries.lock().unwrap_or_else(PoisonError::into_inner);
                if unreadable.get(&candidate) != Some(&reason) {
                    tracing::warn!(candidate.id = %candidate, "its inquiry cannot be read, and is left alone: {reason}");
                    unreadable.insert(candidate, reason);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn decode_inquiry(row: &AnyRow) -> Result<InquiryRow> {
    let conclusion: String = row.try_get(4)?;
    Ok(InquiryRow {
        candidate: CandidateId(row.try_get(0)?),
        good: CandidateId(row.try_get(1)?),
        terms: decode(row.try_get::<&str, _>(2)?)?,
        recorded: time(row.try_get(3)?),
        conclusion: if conclusion.is_empty() { None } else { Some(decode(&conclusion)?) },
    })
}

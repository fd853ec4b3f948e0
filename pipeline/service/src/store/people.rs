//! What people say: each is a fact, inserted once; the rules do the rest.

use anyhow::{Context, Result, bail};
use muster_flow::candidate::{Candidate, CandidateId, Hold, Life};
use muster_flow::change::Change;
use muster_flow::gate::{EarlyEnd, Waiver};
use muster_flow::wish;
use sqlx::{Any, Row, Transaction};

use super::{Store, decode, encode};

impl Store {
    /// Records a change that a person, a sweep or the calendar brings; it is weighed next. `false` when it is known.
    pub async fn ask(&self, change: &Change) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO change (id, at, fact, recorded) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&change.id)
        .bind(change.at.as_millisecond())
        .bind(encode(change)?)
        .bind(self.now().as_millisecond())
        .execute(&mut *transaction)
        .await
        .context("cannot record the change")?;
        if done.rows_affected() > 0 {
            self.journal_in(&mut transaction, "", &change.summary()).await?;
        }
        self.commit(transaction, &format!("the change {}", change.id)).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Records an exception to the gate.
    pub async fn waive(&self, waiver: &Waiver) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO waiver (id, recipe, fact, recorded) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&waiver.id)
        .bind(&waiver.recipe)
        .bind(encode(waiver)?)
        .bind(self.now().as_millisecond())
        .execute(&mut *transaction)
        .await
        .context("cannot record the waiver")?;
        let text = format!(
            "{} waived {} of {} until {:.0}: {}",
            waiver.author, waiver.test, waiver.recipe, waiver.expires, waiver.reason
        );
        self.journal_in(&mut transaction, waiver.candidate.as_deref().unwrap_or(""), &text).await?;
        // A rejected candidate is judged again, if the waiver names it; otherwise only those that are on their way.
        let sql = "UPDATE candidate SET version = version + 1, finished = 0 \
                   WHERE recipe = $1 AND (id = $2 OR (finished = 0 AND $2 = ''))";
        sqlx::query(sql)
            .bind(&waiver.recipe)
            .bind(waiver.candidate.as_deref().unwrap_or(""))
            .execute(&mut *transaction)
            .await?;
        self.commit(transaction, &format!("the waiver {}", waiver.id)).await
    }

    /// Ends an exception before it runs out; returns how it stands since, and the candidates on which the gate speaks anew.
    pub async fn unwaive(&self, id: &str, end: EarlyEnd) -> Result<(Waiver, Vec<CandidateId>)> {
        let row = sqlx::query("SELECT fact FROM waiver WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .context("cannot read the waiver")?;
        let row = row.with_context(|| format!("there is no waiver {id}; `muster waivers` lists them"))?;
        let fact: String = row.try_get(0)?;
        let mut waiver: Waiver = decode(&fact)?;
        wish::may_unwaive(&waiver, end.at).map_err(anyhow::Error::msg)?;
        let text = format!(
            "{} ended {}'s waiver of {} of {} early: {}",
            end.who, waiver.author, waiver.test, waiver.recipe, end.why
        );
        waiver.ended = Some(end);
        let judged = self.judged_anew(&waiver).await?;
        let mut transaction = self.begin().await?;
        let ended = sqlx::query("UPDATE waiver SET fact = $2 WHERE id = $1 AND fact = $3")
            .bind(id)
            .bind(encode(&waiver)?)
            .bind(&fact)
            .execute(&mut *transaction)
            .await
            .context("cannot record the end of the waiver")?;
        if ended.rows_affected() == 0 {
            bail!("somebody else ended this waiver just now; `muster waivers` says who");
        }
        self.journal_in(&mut transaction, waiver.candidate.as_deref().unwrap_or(""), &text).await?;
        // A verdict that is being given now was judged by how the waiver stood before.
        sqlx::query("UPDATE candidate SET version = version + 1 WHERE recipe = $1 AND finished = 0")
            .bind(&waiver.recipe)
            .execute(&mut *transaction)
            .await?;
        for candidate in &judged {
            if waiver.candidate.as_ref() != Some(&candidate.0) {
                self.journal_in(&mut transaction, &candidate.0, &text).await?;
            }
            self.touch_in(&mut transaction, &candidate.0).await?;
        }
        self.commit(transaction, &format!("the end of the waiver {id}")).await?;
        Ok((waiver, judged))
    }

    /// The candidates on which the gate speaks anew when a waiver stands as it does now.
    async fn judged_anew(&self, waiver: &Waiver) -> Result<Vec<CandidateId>> {
        // Whoever moves pointers is decided, and a verdict names the waivers that it was given on.
        let sql = "SELECT id FROM candidate WHERE recipe = $1 AND verdict LIKE $2 AND NOT EXISTS \
                   (SELECT 1 FROM step WHERE step.candidate = candidate.id AND kind = 'promote') \
                   ORDER BY created, id";
        let rows = sqlx::query(sql)
            .bind(&waiver.recipe)
            .bind(format!("%{}%", waiver.id))
            .fetch_all(&self.pool)
            .await
            .context("cannot list the candidates that a waiver bears on")?;
        let mut judged = Vec::new();
        for row in rows {
            let id = CandidateId(row.try_get(0)?);
            let candidate = self.find_readable(&id).await?;
            if candidate.is_some_and(|candidate| wish::is_judged_anew(&candidate, waiver)) {
                judged.push(id);
            }
        }
        Ok(judged)
    }

    /// Keeps a candidate from being promoted until the hold is lifted; returns the hold in whose place it came.
    pub async fn hold(&self, id: &CandidateId, hold: &Hold) -> Result<Option<Hold>> {
        let (candidate, version) = self.known(id).await?;
        wish::may_hold(&candidate).map_err(anyhow::Error::msg)?;
        let mut transaction = self.begin_as_seen(id, version).await?;
        let sql = "INSERT INTO hold (candidate, who, why, recorded) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (candidate) DO UPDATE SET who = $2, why = $3, recorded = $4";
        sqlx::query(sql)
            .bind(&id.0)
            .bind(&hold.who)
            .bind(&hold.why)
            .bind(self.now().as_millisecond())
            .execute(&mut *transaction)
            .await
            .context("cannot record the hold")?;
        let former = candidate.decisions.holds.first().cloned();
        let instead = match &former {
            Some(former) => format!(" (in place of {}'s hold: {})", former.who, former.why),
            None => String::new(),
        };
        let text = format!("{} holds it: {}{instead}", hold.who, hold.why);
        self.journal_in(&mut transaction, &id.0, &text).await?;
        self.touch_in(&mut transaction, &id.0).await?;
        self.commit(transaction, &format!("that {id} is held")).await?;
        Ok(former)
    }

    /// Lifts a hold.
    pub async fn unhold(&self, id: &CandidateId, who: &str) -> Result<()> {
        self.known(id).await?;
        let mut transaction = self.begin().await?;
        let lifted = sqlx::query("DELETE FROM hold WHERE candidate = $1")
            .bind(&id.0)
            .execute(&mut *transaction)
            .await?;
        if lifted.rows_affected() == 0 {
            bail!("{id} is not held");
        }
        self.journal_in(&mut transaction, &id.0, &format!("{who} lifted the hold")).await?;
        self.touch_in(&mut transaction, &id.0).await?;
        self.commit(transaction, &format!("that {id} is held no more")).await
    }

    /// Asks that a step, and what follows from it, is done again.
    pub async fn retry(&self, id: &CandidateId, base: &str, who: &str, why: &str) -> Result<()> {
        let (candidate, version) = self.known(id).await?;
        let releases = self.releases(&candidate.recipe.stream).await?;
        let bases = wish::may_retry(&candidate, base, &releases).map_err(anyhow::Error::msg)?;
        let mut transaction = self.begin_as_seen(id, version).await?;
        for base in &bases {
            let sql = "INSERT INTO retry (candidate, base, times) VALUES ($1, $2, 1) \
                       ON CONFLICT (candidate, base) DO UPDATE SET times = retry.times + 1";
            sqlx::query(sql).bind(&id.0).bind(base).execute(&mut *transaction).await?;
        }
        self.journal_in(&mut transaction, &id.0, &format!("{who} asked to try {base} again: {why}")).await?;
        self.touch_in(&mut transaction, &id.0).await?;
        self.commit(transaction, &format!("that {base} is to be tried again")).await
    }

    /// Gives a candidate up: what runs for it is ended.
    pub async fn cancel(&self, id: &CandidateId, who: &str, why: &str) -> Result<()> {
        let (candidate, version) = self.known(id).await?;
        wish::may_cancel(&candidate).map_err(anyhow::Error::msg)?;
        let life = Life::Cancelled { who: who.to_owned(), why: why.to_owned() };
        let mut transaction = self.begin_as_seen(id, version).await?;
        sqlx::query("UPDATE candidate SET life = $2 WHERE id = $1")
            .bind(&id.0)
            .bind(encode(&life)?)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE step SET state = 'ending', due = 0 WHERE candidate = $1 AND state IN ('wanted', 'running')")
            .bind(&id.0)
            .execute(&mut *transaction)
            .await?;
        self.journal_in(&mut transaction, &id.0, &format!("{who} cancelled it: {why}")).await?;
        self.touch_in(&mut transaction, &id.0).await?;
        self.commit(transaction, &format!("that {id} is cancelled")).await
    }

    /// A candidate and the version of it that was read; the version first, so that no fact comes in between unseen.
    async fn known(&self, id: &CandidateId) -> Result<(Candidate, i64)> {
        let missing = || format!("there is no candidate {id}; `muster status` lists those there are");
        let version = self.version(id).await?.with_context(missing)?;
        let candidate = self.candidate(id).await?.with_context(missing)?;
        Ok((candidate, version))
    }

    /// A transaction in which a candidate is as it was at `version`: what was judged of it then is still so.
    async fn begin_as_seen(&self, id: &CandidateId, version: i64) -> Result<Transaction<'static, Any>> {
        let mut transaction = self.begin().await?;
        let unchanged =
            sqlx::query("UPDATE candidate SET version = version + 1 WHERE id = $1 AND version = $2")
                .bind(&id.0)
                .bind(version)
                .execute(&mut *transaction)
                .await?;
        if unchanged.rows_affected() == 0 {
            bail!(
                "{id} has gone on just now; look at it again with `muster show {id}`, and say it once more"
            );
        }
        Ok(transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn what_was_judged_of_a_candidate_that_has_gone_on_since_is_not_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/muster.db", folder.path().display());
        let store = Store::open(&url, Clock::system()).await.unwrap();
        for statement in include_str!("../../tests/data/after_0002.sql").lines() {
            sqlx::query(statement).execute(&store.pool).await.unwrap();
        }
        let id = CandidateId("cloud/43.20261121.0".to_owned());
        let (_, version) = store.known(&id).await.unwrap();
        let hold = Hold { who: "ada".to_owned(), why: "wait".to_owned() };
        store.hold(&id, &hold).await.unwrap();
        let error = store.begin_as_seen(&id, version).await.unwrap_err();
        assert!(error.to_string().contains("has gone on just now"), "{error}");
        let (_, version) = store.known(&id).await.unwrap();
        store.begin_as_seen(&id, version).await.unwrap();
    }
}

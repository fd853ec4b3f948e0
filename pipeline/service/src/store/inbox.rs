//! Messages as they came: the durable inbox, and the shelf for those that nobody could read.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Row};

use super::{Store, placeholders, time};

/// How many rows go into one statement; PostgreSQL and SQLite take more parameters than this needs.
const ROWS: usize = 500;

/// A message that could be read as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// Its id, by which a second delivery is recognised.
    pub id: String,
    /// Its topic, without the deployment's prefix.
    pub topic: String,
    /// Its headers, as JSON.
    pub headers: String,
    /// Its body, as JSON.
    pub body: String,
    /// When it was sent, if it says so.
    pub sent_at: Option<Timestamp>,
}

/// A message that nobody could read, kept for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Its id, or one made of its content.
    pub id: String,
    /// Its topic, without the deployment's prefix.
    pub topic: String,
    /// Why it could not be read, in one line.
    pub reason: String,
    /// Its headers, as JSON.
    pub headers: String,
    /// Its body as it came.
    pub body: Vec<u8>,
    /// When it came.
    pub received: Timestamp,
}

impl Store {
    /// Keeps messages durably, and returns how many of them are new.
    pub async fn receive(&self, messages: &[Incoming]) -> Result<u64> {
        let now = self.now();
        let mut transaction = self.begin().await?;
        let mut new = 0;
        for chunk in messages.chunks(ROWS) {
            let sql = format!(
                "INSERT INTO inbox (id, topic, headers, body, sent, received) VALUES {} ON CONFLICT DO NOTHING",
                placeholders(chunk.len(), 6)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for message in chunk {
                query = query
                    .bind(&message.id)
                    .bind(&message.topic)
                    .bind(&message.headers)
                    .bind(&message.body)
                    .bind(message.sent_at.unwrap_or(now).as_millisecond())
                    .bind(now.as_millisecond());
            }
            new += query.execute(&mut *transaction).await.context("cannot keep messages")?.rows_affected();
        }
        transaction.commit().await.context("cannot keep messages")?;
        Ok(new)
    }

    /// The oldest messages that were not yet digested.
    pub async fn unread(&self, limit: u32) -> Result<Vec<Incoming>> {
        let rows = sqlx::query(
            "SELECT id, topic, headers, body, sent FROM inbox WHERE digested = 0 ORDER BY received, id LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .context("cannot read the inbox")?;
        rows.iter()
            .map(|row| {
                Ok(Incoming {
                    id: row.try_get(0)?,
                    topic: row.try_get(1)?,
                    headers: row.try_get(2)?,
                    body: row.try_get(3)?,
                    sent_at: Some(time(row.try_get(4)?)),
                })
            })
            .collect()
    }

    /// Puts messages on the shelf for a person. One that is there already stays as it is.
    pub async fn park(&self, messages: &[Parked]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for message in messages {
            let sql = "INSERT INTO parked (id, topic, reason, headers, body, received) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
            let done = sqlx::query(sql)
                .bind(&message.id)
                .bind(&message.topic)
                .bind(&message.reason)
                .bind(&message.headers)
                .bind(BASE64.encode(&message.body))
                .bind(message.received.as_millisecond())
                .execute(&mut *transaction)
                .await
                .context("cannot park a message")?;
            sqlx::query("UPDATE inbox SET digested = $1 WHERE id = $2 AND digested = 0")
                .bind(self.now().as_millisecond())
                .bind(&message.id)
                .execute(&mut *transaction)
                .await?;
            if done.rows_affected() > 0 {
                let text =
                    format!("message {} on {} was parked: {}", message.id, message.topic, message.reason);
                self.journal_in(&mut transaction, "", &text).await?;
            }
        }
        transaction.commit().await.context("cannot park messages")
    }

    /// The messages on the shelf that nobody has dealt with, oldest first.
    pub async fn parked(&self) -> Result<Vec<Parked>> {
        let rows = sqlx::query(
            "SELECT id, topic, reason, headers, body, received FROM parked WHERE settled = '' ORDER BY received, id",
        )
        .fetch_all(&self.pool)
        .await
        .context("cannot read the parked messages")?;
        rows.iter()
            .map(|row| {
                Ok(Parked {
                    id: row.try_get(0)?,
                    topic: row.try_get(1)?,
                    reason: row.try_get(2)?,
                    headers: row.try_get(3)?,
                    body: BASE64.decode(row.try_get::<String, _>(4)?)?,
                    received: time(row.try_get(5)?),
                })
            })
            .collect()
    }

    /// Puts a parked message back into the inbox, to be digested again. `false` when it is not on the shelf.
    pub async fn replay(&self, id: &str, message: &Incoming) -> Result<bool> {
        let mut transaction = self.begin().await?;
        // It leaves the shelf for good: should it still be unreadable, it may be parked once more.
        let found = sqlx::query("DELETE FROM parked WHERE id = $1 AND settled = ''")
            .bind(id)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if found == 0 {
            return Ok(false);
        }
        let now = self.now().as_millisecond();
        let sql = "INSERT INTO inbox (id, topic, headers, body, sent, received) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (id) DO UPDATE SET digested = 0";
        sqlx::query(sql)
            .bind(&message.id)
            .bind(&message.topic)
            .bind(&message.headers)
            .bind(&message.body)
            .bind(message.sent_at.map_or(now, jiff::Timestamp::as_millisecond))
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        self.journal_in(&mut transaction, "", &format!("message {id} was replayed")).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Takes a message off the shelf for good. `false` when it is not there.
    pub async fn drop_parked(&self, id: &str, who: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let found = sqlx::query("UPDATE parked SET settled = 'dropped' WHERE id = $1 AND settled = ''")
            .bind(id)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if found > 0 {
            self.journal_in(&mut transaction, "", &format!("{who} dropped the parked message {id}")).await?;
        }
        transaction.commit().await?;
        Ok(found > 0)
    }
}

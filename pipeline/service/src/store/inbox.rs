//! Messages as they came: the durable inbox, and the shelf for those that nobody could read.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::{Store, placeholders, time};
use crate::text;
use muster_message::{Incoming, Parked};

/// How many rows go into one statement; PostgreSQL and SQLite take more parameters than this needs.
const ROWS: usize = 500;

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
        self.commit(transaction, "messages").await?;
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

    /// Puts messages of the inbox that could not be understood on the shelf for a person: they are digested by that.
    pub async fn park(&self, messages: &[Parked]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for message in messages {
            self.shelve_in(&mut transaction, message, &message.id).await?;
            sqlx::query("UPDATE inbox SET digested = $1 WHERE id = $2 AND digested = 0")
                .bind(self.now().as_millisecond())
                .bind(&message.id)
                .execute(&mut *transaction)
                .await?;
        }
        self.commit(transaction, "parked messages").await
    }

    /// Puts deliveries that never came into the inbox on the shelf for a person.
    ///
    /// Whoever sends poison may give it any id. So it takes nothing from a message of the inbox that has the same.
    pub async fn park_deliveries(&self, deliveries: &[Parked]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for delivery in deliveries {
            let taken = sqlx::query("SELECT 1 FROM inbox WHERE id = $1")
                .bind(&delivery.id)
                .fetch_optional(&mut *transaction)
                .await
                .context("cannot look into the inbox")?;
            let own = content_id(delivery);
            let first = if taken.is_some() && !self.is_shelved_in(&mut transaction, delivery).await? {
                &own
            } else {
                &delivery.id
            };
            self.shelve_in(&mut transaction, delivery, first).await?;
        }
        self.commit(transaction, "parked deliveries").await
    }

    /// Puts a message on the shelf under an id, or, if something else has that, under one made of its content too. One
    /// that is there already stays as it is.
    async fn shelve_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        message: &Parked,
        id: &str,
    ) -> Result<()> {
        let mut id = id.to_owned();
        if !self.insert_in(transaction, message, &id).await? {
            if self.is_shelved_in(transaction, message).await? {
                return Ok(());
            }
            id = content_id(message);
            if !self.insert_in(transaction, message, &id).await? {
                return Ok(());
            }
        }
        let text = format!("message {id} on {} was parked: {}", message.topic, message.reason);
        self.journal_in(transaction, "", &text).await
    }

    /// `false` when the id is taken.
    async fn insert_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        message: &Parked,
        id: &str,
    ) -> Result<bool> {
        let sql = "INSERT INTO parked (id, topic, reason, headers, body, received) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql)
            .bind(id)
            .bind(&message.topic)
            .bind(&message.reason)
            .bind(&message.headers)
            .bind(BASE64.encode(&message.body))
            .bind(message.received.as_millisecond())
            .execute(&mut **transaction)
            .await
            .context("cannot park a message")?;
        Ok(done.rows_affected() > 0)
    }

    /// Whether this very message is on the shelf, or was dropped from it, under the id that it came with.
    async fn is_shelved_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        message: &Parked,
    ) -> Result<bool> {
        let row = sqlx::query("SELECT topic, headers, body FROM parked WHERE id = $1")
            .bind(&message.id)
            .fetch_optional(&mut **transaction)
            .await
            .context("cannot look at the parked messages")?;
        let Some(row) = row else { return Ok(false) };
        let topic: String = row.try_get(0)?;
        let headers: String = row.try_get(1)?;
        let body: String = row.try_get(2)?;
        Ok(topic == message.topic
            && lasting(&headers) == lasting(&message.headers)
            && body == BASE64.encode(&message.body))
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
        // What stands in the inbox under its id may be another message: neither takes the place of the other.
        let other = sqlx::query("SELECT 1 FROM inbox WHERE id = $1 AND (topic <> $2 OR body <> $3)")
            .bind(&message.id)
            .bind(&message.topic)
            .bind(&message.body)
            .fetch_optional(&mut *transaction)
            .await
            .context("cannot look into the inbox")?;
        let own =
            other.map(|_| own_id(&message.id, &message.topic, &message.headers, message.body.as_bytes()));
        let sql = "INSERT INTO inbox (id, topic, headers, body, sent, received) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (id) DO UPDATE SET digested = 0";
        sqlx::query(sql)
            .bind(own.as_ref().unwrap_or(&message.id))
            .bind(&message.topic)
            .bind(&message.headers)
            .bind(&message.body)
            .bind(message.sent_at.map_or(now, jiff::Timestamp::as_millisecond))
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        self.journal_in(&mut transaction, "", &format!("message {id} was replayed")).await?;
        self.commit(transaction, &format!("that message {id} is replayed")).await?;
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
        self.commit(transaction, &format!("that message {id} is dropped")).await?;
        Ok(found > 0)
    }
}

/// The id of a message whose own is taken: that, and a part of the hash of its content, so that the same message gets
/// the same one whenever it is delivered.
fn content_id(message: &Parked) -> String {
    own_id(&message.id, &message.topic, &message.headers, &message.body)
}

fn own_id(id: &str, topic: &str, headers: &str, body: &[u8]) -> String {
    let headers = serde_json::to_vec(&lasting(headers)).unwrap_or_default();
    let content = [topic.as_bytes(), &headers, body].join(&0);
    format!("{id}.{}", text::hex(&Sha256::digest(content)[..8]))
}

/// The headers that a message keeps: what begins with `x-` is the broker's own, such as the count of deliveries.
fn lasting(headers: &str) -> Map<String, Value> {
    let mut headers: Map<String, Value> = serde_json::from_str(headers).unwrap_or_default();
    headers.retain(|name, _| !name.starts_with("x-"));
    headers
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::Clock;

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite://{}", folder.path().join("facts.db").display());
        let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
        let store = Store::open(&address, clock).await.unwrap();
        (folder, store)
    }

    fn good(id: &str, body: &str) -> Incoming {
        Incoming {
            id: id.to_owned(),
            topic: "buildsys.tag".to_owned(),
            headers: "{}".to_owned(),
            body: body.to_owned(),
            sent_at: None,
        }
    }

    fn poison(id: &str, body: &str) -> Parked {
        Parked {
            id: id.to_owned(),
            topic: "buildsys.tag".to_owned(),
            reason: "its body is not JSON".to_owned(),
            headers: "{}".to_owned(),
            body: body.as_bytes().to_vec(),
            received: Timestamp::UNIX_EPOCH,
        }
    }

    fn ids(parked: &[Parked]) -> Vec<&str> {
        parked.iter().map(|parked| parked.id.as_str()).collect()
    }

    #[tokio::test]
    async fn poison_with_the_id_of_a_good_message_takes_nothing_from_it() {
        let (_folder, store) = store().await;
        store.receive(&[good("7", "{}")]).await.unwrap();
        store.park_deliveries(&[poison("7", "{")]).await.unwrap();
        store.park_deliveries(&[poison("7", "{")]).await.unwrap();
        assert_eq!(store.unread(9).await.unwrap().len(), 1, "the good message is never digested");
        let parked = store.parked().await.unwrap();
        assert!(parked.len() == 1 && parked[0].id.starts_with("7."), "{:?}", ids(&parked));
        // The planner's path is the other one: what it could not understand is dealt with.
        store.park(&[poison("7", "{}")]).await.unwrap();
        assert_eq!(store.unread(9).await.unwrap(), []);
        assert_eq!(store.parked().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn every_poison_is_kept_whatever_its_id_and_once_however_often_it_comes() {
        let (_folder, store) = store().await;
        let mut again = poison("7", "{");
        again.headers = r#"{"x-delivery-count": 2}"#.to_owned();
        let mut urgent = poison("7", "{");
        urgent.headers = r#"{"fedora_messaging_severity": 25}"#.to_owned();
        for delivered in [poison("7", "{"), poison("7", "["), again.clone(), poison("7", "["), urgent] {
            store.park_deliveries(&[delivered]).await.unwrap();
        }
        let parked = store.parked().await.unwrap();
        assert_eq!(parked.len(), 3, "{:?}", ids(&parked));
        // What comes under the id of one that was dropped is not dropped with it.
        assert!(store.drop_parked("7", "ada").await.unwrap());
        store.park_deliveries(&[again, poison("7", "(")]).await.unwrap();
        let bodies: Vec<Vec<u8>> = store.parked().await.unwrap().into_iter().map(|it| it.body).collect();
        assert!(bodies.len() == 3 && bodies.contains(&b"(".to_vec()), "{bodies:?}");
        // A good message with that id is not refused, and neither is lost when the planner cannot understand it.
        store.receive(&[good("7", "{}")]).await.unwrap();
        store.park(&[poison("7", "{}")]).await.unwrap();
        assert_eq!(store.parked().await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_replay_takes_the_place_of_no_other_message() {
        let (_folder, store) = store().await;
        store.park_deliveries(&[poison("7", "{\"a\": NaN}")]).await.unwrap();
        store.receive(&[good("7", "{}")]).await.unwrap();
        assert!(store.replay("7", &good("7", "{\"a\": NaN}")).await.unwrap());
        let mut bodies: Vec<String> = store.unread(9).await.unwrap().into_iter().map(|it| it.body).collect();
        bodies.sort();
        assert_eq!(bodies, ["{\"a\": NaN}", "{}"]);
    }
}

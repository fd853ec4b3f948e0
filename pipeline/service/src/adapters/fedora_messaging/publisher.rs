//! Sends what the pipeline has to say, and calls it sent once the broker has confirmed it.
//!
//! What was sent cannot be looked up on a bus. So the id of a message is made from the key of its step: one that is
//! sent twice is recognised by whoever receives it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection};
use muster_flow::announce::{Announce, Announced, Announcement};
use muster_flow::step::{Handle, StepKey};
use muster_message::schemas;
use tokio::sync::Mutex;

use super::settings::{Settings, Unroutable};
use super::{connection, wire};
use crate::clock::Clock;
use crate::port::{Fault, Observation, Port};

/// The sending side of the bus. Its connection opens with the first message, and anew after it was lost.
pub struct Publisher {
    settings: Settings,
    clock: Clock,
    link: Mutex<Option<Link>>,
}

struct Link {
    connection: Connection,
    channel: Channel,
}

impl Publisher {
    /// A publisher that has not connected yet.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Publisher { settings, clock, link: Mutex::new(None) }
    }

    async fn send(&self, id: &str, announcement: &Announcement) -> Result<Confirmation> {
        let body = wire::body(announcement).context("cannot write the message")?;
        let properties = wire::properties(id, announcement, &self.settings, self.clock.now());
        let key = self.settings.routing_key(announcement.topic());
        let channel = self.channel().await?;
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let exchange = self.settings.publish_exchange.as_str();
        let publishing = channel.basic_publish(exchange.into(), key.into(), options, &body, properties).await;
        publishing.context("cannot send the message")?.await.context("the broker did not confirm the message")
    }

    async fn channel(&self) -> Result<Channel> {
        let mut link = self.link.lock().await;
        if let Some(link) = link.as_ref()
            && link.connection.status().connected()
            && link.channel.status().connected()
        {
            return Ok(link.channel.clone());
        }
        // A channel that was closed for a missing exchange would leave its connection behind.
        if let Some(old) = link.take() {
            let _ = old.connection.close(200, "reconnecting".into()).await;
        }
        let connection = connection::open(&self.settings, "muster: publisher").await?;
        let channel = connection.create_channel().await.context("cannot open a channel")?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .context("cannot ask for publisher confirms")?;
        *link = Some(Link { connection, channel: channel.clone() });
        Ok(channel)
    }

    fn judge(&self, confirmation: Confirmation, topic: &str) -> Result<(), Fault> {
        let returned = match confirmation {
            Confirmation::Ack(None) => return Ok(()),
            Confirmation::Ack(Some(returned)) => returned,
            Confirmation::Nack(_) => {
                return Err(Fault::Retry("the broker refused the message".to_owned()));
            }
            Confirmation::NotRequested => {
                return Err(Fault::Retry("the broker does not confirm messages".to_owned()));
            }
        };
        let topic = self.settings.routing_key(topic);
        let why = returned.reply_text.as_str();
        match self.settings.unroutable {
            Unroutable::Accept => {
                tracing::warn!(message.topic = topic, "nobody listens to {topic}: {why}");
                Ok(())
            }
            Unroutable::Retry => Err(Fault::Retry(format!(
                "no queue is bound to {topic} ({why}); bind one, or set bus.unroutable = \"accept\""
            ))),
        }
    }
}

#[async_trait]
impl Port<Announce> for Publisher {
    async fn ensure(&self, key: &StepKey, request: &Announcement) -> Result<Handle, Fault> {
        let id = wire::id_of_step(&key.0, request, &self.settings);
        if let Err(reason) = schemas::check_ours(request) {
            return Err(Fault::GiveUp(reason));
        }
        let limit = Duration::from_secs(self.settings.publish_timeout_s);
        let sending = tokio::time::timeout(limit, self.send(&id, request));
        let Ok(confirmation) = sending.await else {
            let why = format!("the broker did not confirm the message within {} s", limit.as_secs());
            return Err(Fault::retry(anyhow!(why)));
        };
        let confirmation = confirmation.map_err(Fault::retry)?;
        self.judge(confirmation, request.topic())?;
        Ok(Handle(id))
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<Announced>, Fault> {
        // There is a handle only after the broker's confirm.
        Ok(Observation::Succeeded(Announced { message_id: handle.0.clone() }))
    }

    async fn cancel(&self, _handle: &Handle) -> Result<(), Fault> {
        // What was said cannot be taken back.
        Ok(())
    }
}

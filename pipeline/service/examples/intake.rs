//! What `deploy/bench intake` measures: messages of all the shapes that matter, taken from RabbitMQ into a durable inbox.
//!
//! `fill COUNT QUEUE...` sends as many messages, which go to every queue; `consume COUNT QUEUE` takes them as the
//! service does and prints what it cost. `BENCH_AMQP` is the broker.
#![expect(clippy::unchecked_time_subtraction, reason = "a measurement")]
#![expect(clippy::print_stdout, reason = "it is a program for people")]

mod measure;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use muster::adapters::fedora_messaging::consumer::{self, Batch};
use muster::adapters::fedora_messaging::settings::{Binding, Queue, Settings};
use muster::clock::Clock;
use muster::store::Store;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// What stands before each topic here.
const PREFIX: &str = "org.example.bench";

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["fill", count, queues @ ..] => fill(count.parse()?, queues).await,
        ["consume", count, queue] => consume(count.parse()?, queue).await,
        _ => bail!("usage: intake fill COUNT QUEUE... | consume COUNT QUEUE"),
    }
}

fn amqp() -> Result<String> {
    std::env::var("BENCH_AMQP").context("BENCH_AMQP is not set")
}

/// Sends `count` messages of all shapes to every queue, and waits for the broker's confirm of each.
async fn fill(count: usize, queues: &[&str]) -> Result<()> {
    let connection = Connection::connect(&amqp()?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in queues {
        channel.queue_delete((*queue).into(), QueueDeleteOptions::default()).await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare((*queue).into(), options, FieldTable::default()).await?;
        let key = format!("{PREFIX}.#");
        let options = QueueBindOptions::default();
        channel
            .queue_bind((*queue).into(), "amq.topic".into(), key.into(), options, FieldTable::default())
            .await?;
    }
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut bytes = 0;
    let mut confirms = Vec::new();
    for number in 0..count {
        let (topic, schema, body) = message(number);
        let body = serde_json::to_vec(&body)?;
        bytes += body.len();
        let key = format!("{PREFIX}.{topic}");
        let options = BasicPublishOptions::default();
        let properties = properties(number, schema);
        let sent = channel.basic_publish("amq.topic".into(), key.into(), options, &body, properties).await?;
        confirms.push(sent);
        if confirms.len() == 1000 {
            for confirm in confirms.drain(..) {
                confirm.await?;
            }
        }
    }
    for confirm in confirms {
        confirm.await?;
    }
    println!("{count} messages, {} bytes each on average", bytes / count.max(1));
    Ok(())
}

fn properties(number: usize, schema: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    headers.insert("fedora_messaging_schema".into(), text(schema));
    headers.insert("fedora_messaging_severity".into(), AMQPValue::LongInt(20));
    headers.insert("sent-at".into(), text("2026-11-21T09:04:35+00:00"));
    headers.insert("priority".into(), AMQPValue::LongInt(0));
    headers.insert(format!("fedora_messaging_rpm_package-{number}").into(), AMQPValue::Boolean(true));
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_message_id(uuid::Uuid::from_u128(number as u128).to_string().into())
        .with_headers(headers)
}

/// Topic, schema and body of one message: of ten, three are tags, two builds, two pushes, three of no concern.
fn message(number: usize) -> (&'static str, &'static str, Value) {
    let tag = || measure::tag_body(number);
    match number % 10 {
        0..=2 => ("buildsys.tag", "koji_fedoramessaging.tag.TagV1", tag()),
        3 | 4 => (
            "buildsys.build.state.change",
            "koji_fedoramessaging.build.BuildStateChangeV1",
            build_body(number),
        ),
        5 => ("pagure.git.receive", "base.message", pagure_body(number)),
        6 => ("forgejo.push", "base.message", forgejo_body(number)),
        7 => ("bodhi.update.comment", "base.message", prose_body(number, 1)),
        8 => ("openqa.job.done", "base.message", prose_body(number, 3)),
        _ => ("copr.build.end", "base.message", prose_body(number, 12)),
    }
}

fn build_body(number: usize) -> Value {
    json!({"base_url": "https://koji.example.org", "name": format!("package-{number}"), "version": "1.2.3",
        "release": "4.fc43", "epoch": null, "attribute": "state", "old": 0, "new": 1, "build_id": number,
        "task_id": number, "owner": "somebody", "files_base_url": "https://koji.example.org/work",
        "url": "https://koji.example.org/koji/buildinfo", "instance": "primary",
        "creation_time": "2026-11-21T09:04:35.236009+00:00", "completion_time": "2026-11-21T09:14:35.1+00:00",
        "request": [format!("git+https://src.example.org/rpms/package-{number}.git#0123456789abcdef"), "f43", {}],
        "task": {"id": number, "method": "build", "state": 2, "arch": "noarch", "label": null, "owner": "somebody",
            "create_time": 1_795_251_874.5, "start_time": 1_795_251_875.5, "completion_time": 1_795_251_975.5,
            "request": ["a", "b", {}], "result": null, "waiting": false, "awaited": null, "channel_id": 1,
            "children": [], "host_id": 7, "host_name": "builder-7", "parent": null, "priority": 20,
            "url": "https://koji.example.org/koji/taskinfo"}})
}

fn pagure_body(number: usize) -> Value {
    json!({"agent": "somebody", "authors": [{"fullname": "Some Body", "name": "somebody"}],
        "branch": "main", "forced": false, "total_commits": 1, "old_commit": "1111111111111111",
        "start_commit": "2222222222222222", "end_commit": format!("{number:040x}"),
        "changed_files": {format!("file-{number}.ks"): "M"},
        "repo": {"name": "kickstarts", "fullname": "kickstarts", "namespace": null, "parent": null, "id": 5,
            "access_groups": {"admin": [], "commit": [], "ticket": []}, "access_users": {"owner": ["somebody"]},
            "custom_keys": [], "date_created": "1433438868", "description": "Kickstarts", "milestones": {},
            "priorities": {}, "tags": [], "url_path": "kickstarts", "close_status": [],
            "user": {"fullname": "Some Body", "name": "somebody"}}})
}

fn forgejo_body(number: usize) -> Value {
    let commit = json!({"id": format!("{number:040x}"), "message": "Make the root larger\n", "added": [],
        "removed": [], "modified": [format!("file-{number}.ks")], "timestamp": "2026-11-21T08:31:28-07:00",
        "url": "https://forge.example.org/releng/kickstarts/commit", "verification": null,
        "author": {"name": "Some Body", "email": "somebody@example.org", "username": "somebody"},
        "committer": {"name": "Some Body", "email": "somebody@example.org", "username": "somebody"}});
    json!({"agent": "somebody", "headers": {"x-forgejo-event": "push", "x-forgejo-event-type": "push"},
        "body": {"ref": "refs/heads/main", "before": "1111111111111111", "after": format!("{number:040x}"),
            "commits": [commit], "head_commit": commit, "total_commits": 1,
            "repository": {"id": 4, "name": "kickstarts", "full_name": "releng/kickstarts",
                "default_branch": "main", "owner": {"login": "releng"}},
            "pusher": {"login": "somebody"}, "sender": {"login": "somebody"}}})
}

fn prose_body(number: usize, lines: usize) -> Value {
    let line =
        "A line of words as people write them in comments, with \u{fc}mlauts and \u{201c}quotes\u{201d}. ";
    let comments: Vec<Value> = (0..lines)
        .map(|at| json!({"id": at, "text": line.repeat(2), "author": "somebody", "karma": 0}))
        .collect();
    json!({"id": number, "state": "done", "arch": "x86_64", "agent": "somebody", "comments": comments})
}

/// Takes `count` messages as the service does, into a SQLite inbox, and prints what it cost.
async fn consume(count: usize, queue: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store =
        Store::open(&format!("sqlite://{}/muster.db", folder.path().display()), Clock::system()).await?;
    let settings = Settings {
        amqp_url: amqp()?,
        topic_prefix: PREFIX.to_owned(),
        queues: [(
            queue.to_owned(),
            Queue { durable: true, auto_delete: false, exclusive: false, arguments: toml::Table::new() },
        )]
        .into(),
        bindings: vec![Binding {
            queue: None,
            exchange: "amq.topic".to_owned(),
            routing_keys: vec![format!("{PREFIX}.#")],
        }],
        ..Settings::default()
    };
    let kept = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let sink = |batch: &Batch| {
        let (store, kept, stop) = (store.clone(), kept.clone(), stop.clone());
        let (messages, parked) = (batch.messages.clone(), batch.parked.clone());
        async move {
            store.receive(&messages).await?;
            if !parked.is_empty() {
                store.park(&parked).await?;
            }
            let kept = kept.fetch_add(messages.len() + parked.len(), Ordering::Relaxed);
            if kept + messages.len() + parked.len() >= count {
                // The acknowledgement of this last batch is not counted.
                stop.cancel();
            }
            Ok(())
        }
    };
    let (begun, cpu) = (Instant::now(), measure::cpu()?);
    consumer::run(&settings, &Clock::system(), sink, |_| {}, stop.clone()).await?;
    println!("consumed {}", measure::cost(count, begun.elapsed(), measure::cpu()? - cpu));
    let unread = store.unread(u32::try_from(count)?).await?.len();
    anyhow::ensure!(unread == count, "{unread} messages are in the inbox, not {count}");
    Ok(())
}

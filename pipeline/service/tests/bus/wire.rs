//! The wire format, both ways.

use serde_json::{Value, json};

use super::bench::{Bench, Hold, ordinary, python};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_python_client_sends_is_read_as_it_was_meant() {
    let Some(bench) = Bench::new(&Hold::Shared) else { return };
    if python().is_none() {
        return;
    }
    bench.declare().await;
    let body = json!({"name": "bash", "version": "5.3.0", "release": "2.fc43", "tag": "f43", "note": "Grüße \u{1f427}"});
    let told = json!({"topic": "buildsys.tag", "body": body, "severity": 10});
    let sent = bench.python("publish.py", &[], &format!("{told}\n")).await;
    let collector = bench.collect();
    collector.until("the message", |collected| !collected.messages.is_empty()).await;
    let collected = collector.end().await;
    let message = &collected.messages[0];
    assert_eq!(message.id, sent[0]["id"].as_str().unwrap());
    assert_eq!(message.topic, "buildsys.tag");
    assert_eq!(serde_json::from_str::<Value>(&message.body).unwrap(), body);
    let headers: Value = serde_json::from_str(&message.headers).unwrap();
    assert_eq!(headers["fedora_messaging_severity"], 10);
    assert_eq!(headers["fedora_messaging_schema"], "base.message");
    assert!(message.sent_at.is_some(), "{headers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_acknowledged_and_nothing_else() {
    let Some(bench) = Bench::new(&Hold::Shared) else { return };
    bench.declare().await;
    let raw = bench.raw().await;
    for number in 0..40 {
        raw.send("some.topic", b"{}", ordinary(&format!("id-{number}"))).await;
    }
    let collector = bench.collect();
    collector.collected.lock().unwrap().refuse = 2;
    collector.until("all messages", |collected| collected.messages.len() == 40).await;
    let collected = collector.end().await;
    let refusals = collected.events.iter().filter(|event| {
        matches!(event, muster::adapters::fedora_messaging::consumer::Event::NotKept(reason, _) if reason.contains("away"))
    });
    assert_eq!(refusals.count(), 2);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(raw.waiting().await, 0, "something was not acknowledged");
    let again = bench.collect();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(again.end().await.deliveries, 0, "something was delivered twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_delivered_a_hundred_times_is_one_message() {
    let Some(bench) = Bench::new(&Hold::Shared) else { return };
    bench.declare().await;
    let raw = bench.raw().await;
    for _ in 0..100 {
        raw.send("some.topic", b"{\"a\": 1}", ordinary("the-same")).await;
        raw.send("some.topic", b"{\"a\": 2}", lapin::BasicProperties::default()).await;
    }
    let collector = bench.collect();
    collector.until("every delivery", |collected| collected.deliveries == 200).await;
    let collected = collector.end().await;
    let mut ids: Vec<&str> = collected.messages.iter().map(|message| message.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert_eq!(ids[1], "the-same");
    assert_eq!(uuid::Uuid::parse_str(ids[0]).unwrap().get_version_num(), 5);
}

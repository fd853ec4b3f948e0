//! What nobody can read is put aside with a reason, and stops nothing.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::bench::{Bench, Hold, ordinary};

fn with_header(id: &str, name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), value);
    ordinary(id).with_headers(headers)
}

/// Each poison: its id, its topic, its properties, its body, and words of the reason.
fn poisons() -> Vec<(&'static str, &'static str, BasicProperties, Vec<u8>, &'static str)> {
    let severity = |id, value| with_header(id, "fedora_messaging_severity", value);
    let text = |text: &str| AMQPValue::LongString(text.into());
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep = format!("{{\"a\": {deep}}}").into_bytes();
    let huge = format!("{{\"a\": \"{}\"}}", "x".repeat(8 << 20)).into_bytes();
    let gzip = ordinary("encoding").with_content_encoding("gzip".into());
    vec![
        ("json", "any", ordinary("json"), b"{\"a\": ".to_vec(), "not JSON"),
        ("utf8", "any", ordinary("utf8"), b"{\"a\": \"\xff\xfe\"}".to_vec(), "not UTF-8"),
        ("encoding", "any", gzip, b"{}".to_vec(), "content encoding \"gzip\""),
        ("deep", "any", ordinary("deep"), deep, "recursion limit"),
        ("list", "any", ordinary("list"), b"[1]".to_vec(), "a list, not an object"),
        ("empty", "any", ordinary("empty"), Vec::new(), "not JSON"),
        (
            "severity-25",
            "any",
            severity("severity-25", AMQPValue::LongInt(25)),
            b"{}".to_vec(),
            "severity 25",
        ),
        ("severity-text", "any", severity("severity-text", text("20")), b"{}".to_vec(), "severity \"20\""),
        (
            "sent-at",
            "any",
            with_header("sent-at", "sent-at", AMQPValue::Timestamp(1)),
            b"{}".to_vec(),
            "sent-at header is a number",
        ),
        ("huge", "any", ordinary("huge"), huge, "the limit is"),
        ("surrogate", "any", ordinary("surrogate"), br#"{"a": "\ud800"}"#.to_vec(), "not JSON"),
        ("nan", "any", ordinary("nan"), b"{\"a\": NaN}".to_vec(), "not JSON"),
        (
            "schema",
            "buildsys.tag",
            ordinary("schema"),
            b"{\"tag\": null}".to_vec(),
            "does not fit the schema",
        ),
        (
            "schema-ours",
            "muster.stream.promoted",
            ordinary("schema-ours"),
            b"{\"stream\": 1}".to_vec(),
            "does not fit the schema",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_poison_is_parked_with_its_reason_and_what_comes_behind_it_is_read() {
    let Some(bench) = Bench::new(&Hold::Shared) else { return };
    bench.declare().await;
    let raw = bench.raw().await;
    for (_, topic, properties, body, _) in poisons() {
        raw.send(topic, &body, properties).await;
    }
    raw.send("after.it.all", b"{}", ordinary("behind")).await;
    let collector = bench.collect();
    collector.until("the message behind", |collected| !collected.messages.is_empty()).await;
    let collected = collector.end().await;
    assert_eq!(collected.messages[0].id, "behind");
    assert_eq!(collected.events.len(), 1, "the consumer stumbled: {:?}", collected.events);
    for (id, topic, _, body, reason) in poisons() {
        let parked = collected.parked.iter().find(|parked| parked.id == id).expect(id);
        assert!(parked.reason.contains(reason), "{id}: {}", parked.reason);
        assert!(parked.reason.len() < 600, "{id}: the reason has {} bytes", parked.reason.len());
        assert_eq!(parked.topic, topic);
        assert!(parked.body == body, "{id}: the body was not kept as it came");
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(raw.waiting().await, 0, "poison is still on the bus");
}

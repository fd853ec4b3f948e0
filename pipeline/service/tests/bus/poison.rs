//! What nobody can read is put aside with a reason, and stops nothing.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

/// Speaks AMQP byte by byte, because the library sends no text that is none.
struct Bytes(tokio::net::TcpStream);

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

impl Bytes {
    async fn open(amqp_url: &str) -> Bytes {
        let address =
            amqp_url.split(['@', '/']).find(|part| part.contains(':') && part.contains("127.0.0.1"));
        let mut bytes = Bytes(tokio::net::TcpStream::connect(address.unwrap()).await.unwrap());
        bytes.0.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        bytes.answer([10, 10]).await;
        let login = [long(b""), short(b"PLAIN"), long(b"\0guest\0guest"), short(b"en_US")].concat();
        bytes.method(0, [10, 11], &login).await;
        bytes.answer([10, 30]).await;
        bytes.method(0, [10, 31], &[7, 255, 0, 2, 0, 0, 0, 0]).await;
        bytes.method(0, [10, 40], &[short(b"/"), short(b""), vec![0]].concat()).await;
        bytes.answer([10, 41]).await;
        bytes.method(1, [20, 10], &short(b"")).await;
        bytes.answer([20, 11]).await;
        bytes
    }

    async fn frame(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let frame = [&[kind, 0, channel], &long(payload)[..], &[0xce]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    async fn method(&mut self, channel: u8, [class, method]: [u8; 2], arguments: &[u8]) {
        self.frame(1, channel, &[&[0, class, 0, method], arguments].concat()).await;
    }

    /// Reads up to a method of the broker.
    async fn answer(&mut self, [class, method]: [u8; 2]) {
        loop {
            let mut head = [0; 7];
            self.0.read_exact(&mut head).await.unwrap();
            let size = u32::from_be_bytes(head[3..7].try_into().unwrap()) as usize;
            let mut payload = vec![0; size + 1];
            self.0.read_exact(&mut payload).await.unwrap();
            if head[0] == 1 && payload[..4] == [0, class, 0, method] {
                return;
            }
            assert!(payload[..4] != [0, 20, 0, 40] && payload[..4] != [0, 10, 0, 50], "{payload:?}");
        }
    }

    /// Publishes `{}` with a table of headers and an id.
    async fn publish(&mut self, key: &[u8], table: &[u8], id: &[u8]) {
        let to = [vec![0, 0], short(b"amq.topic"), short(key), vec![0]].concat();
        self.method(1, [60, 40], &to).await;
        let flags = [0x20, 0x80];
        let header = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2][..], &flags, &long(table), &short(id)].concat();
        self.frame(2, 1, &header).await;
        self.frame(3, 1, b"{}").await;
    }

    async fn close(mut self) {
        self.method(1, [20, 40], &[&[0, 200][..], &short(b""), &[0; 4]].concat()).await;
        self.answer([20, 41]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_where_amqp_wants_one_is_parked_and_what_comes_behind_it_is_read() {
    let Some(bench) = Bench::new(&Hold::Shared) else { return };
    bench.declare().await;
    let key = |rest: &[u8]| [bench.settings.topic_prefix.as_bytes(), rest].concat();
    let mut deep = vec![b'V'];
    for _ in 0..20_000 {
        deep = [&b"A"[..], &long(&deep)].concat();
    }
    let mut bytes = Bytes::open(&bench.settings.amqp_url).await;
    bytes.publish(&key(b".id"), b"", b"\xff\xfe-1").await;
    bytes.publish(&key(b".id"), b"\x01ai\0\0\0\x01", b"\xff\xfe-1").await;
    bytes.publish(&key(b".header"), b"\x02a\xffV", b"header").await;
    bytes.publish(&key(b".t\xe9"), b"", b"topic").await;
    bytes.publish(&key(b".deep"), &[b"\x01a", &deep[..]].concat(), b"deep").await;
    bytes.close().await;
    bench.raw().await.send("after.it.all", b"{}", ordinary("behind")).await;
    let collector = bench.collect();
    collector.until("the message behind", |all| all.messages.iter().any(|one| one.id == "behind")).await;
    let collected = collector.end().await;
    assert_eq!(collected.events.len(), 1, "the consumer stumbled: {:?}", collected.events);
    let mut reasons: Vec<&str> = collected.parked.iter().map(|parked| parked.reason.as_str()).collect();
    reasons.sort_unstable();
    let expected = [
        "its id is not UTF-8",
        "its id is not UTF-8",
        "its topic is not UTF-8",
        "the name of a header is not UTF-8",
    ];
    assert_eq!(reasons, expected);
    let ids: std::collections::BTreeSet<&str> =
        collected.parked.iter().map(|parked| parked.id.as_str()).collect();
    assert_eq!(ids.len(), 4, "two would be taken for one: {ids:?}");
    assert!(collected.messages.iter().any(|message| message.id == "deep"));
}

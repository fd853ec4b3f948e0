//! What a hub's answers cost in memory, whatever it sends: measured, by the process's own peak.
//!
//! In a program of its own, because the peak is the whole process's.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use muster::adapters::koji::changes;
use muster::adapters::koji::client::Hub;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MIB: usize = 1 << 20;

/// What the largest answer may take that is read at all, in MiB.
const MOST: usize = 160;

/// A piece by its number.
type Piece = fn(usize) -> String;

/// What is sent: a beginning, pieces by their number until there are so many bytes of them, and an end.
struct Sent {
    begin: &'static str,
    piece: Piece,
    bytes: usize,
    end: &'static str,
}

const ARRAY: (&str, &str) = ("<value><array><data>", "</data></array></value>");
const STRUCT: (&str, &str) = ("<value><struct>", "</struct></value>");
const STRING: (&str, &str) = ("<value><string>", "</string></value>");

fn sent((begin, end): (&'static str, &'static str), piece: Piece, bytes: usize) -> Sent {
    Sent { begin, piece, bytes, end }
}

async fn send(mut connection: TcpStream, sent: &Sent) -> std::io::Result<()> {
    let mut asked = Vec::new();
    while !asked.ends_with(b"</methodCall>\n") {
        connection.read_buf(&mut asked).await?;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n";
    let open = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n";
    connection.write_all(format!("{head}{open}{}", sent.begin).as_bytes()).await?;
    let (mut batch, mut number, mut bytes) = (String::new(), 0, 0);
    while bytes < sent.bytes {
        batch.clear();
        while batch.len() < 1 << 16 {
            batch += &(sent.piece)(number);
            number += 1;
        }
        connection.write_all(batch.as_bytes()).await?;
        bytes += batch.len();
    }
    let close = "</param>\n</params>\n</methodResponse>\n";
    connection.write_all(format!("{}{close}", sent.end).as_bytes()).await
}

/// A hub that answers everything so.
async fn hub(sent: Sent) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hub = Hub::new(&format!("http://{}/kojihub", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // Whoever has seen enough hangs up.
            let _ = send(connection, &sent).await;
        }
    });
    hub
}

fn status(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() >> 10
}

/// What the process takes at the most while something goes on, beyond what it took before, in MiB.
async fn peak<T>(work: impl Future<Output = T>) -> (T, usize) {
    // The kernel forgets the peak of before.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let done = work.await;
    (done, status("VmHWM").saturating_sub(before))
}

/// A stay of a build in a tag, as long as a real hub tells of it.
fn stay(number: usize) -> String {
    let mut text = String::from("<value><struct>\n");
    let words = [("tag.name", "f43".to_owned()), ("name", format!("package-{number}"))];
    let more = [("version", "1.0"), ("release", "1.fc43"), ("creator_name", "releng"), ("cg_name", "none")];
    for (name, value) in words.into_iter().chain(more.map(|(name, value)| (name, value.to_owned()))) {
        write!(text, "<member>\n<name>{name}</name>\n<value><string>{value}</string></value>\n</member>\n")
            .unwrap();
    }
    let numbers = [("create_event", 5000 + number), ("tag_id", 1), ("build_id", number), ("build.state", 1)];
    for (name, value) in numbers {
        write!(text, "<member>\n<name>{name}</name>\n<value><int>{value}</int></value>\n</member>\n")
            .unwrap();
    }
    for name in ["revoke_event", "revoke_ts", "revoker_id", "revoker_name", "epoch", "active"] {
        write!(text, "<member>\n<name>{name}</name>\n<value><nil/></value></member>\n").unwrap();
    }
    // What else a hub says of it, which nobody here asks for.
    write!(text, "<member>\n<name>extra</name>\n<value><string>{:700}</string></value>\n</member>\n", "")
        .unwrap();
    text + "</struct></value>\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_hub_answers_the_process_stays_small() {
    // A history of 25,000 builds and more: what is kept of it is what is wanted.
    let event = "<value><array><data><value><array><data><value><struct><member><name>id</name><value><int>90000</int>\
                 </value></member></struct></value></data></array></value><value><array><data><value><struct><member>\
                 <name>tag_listing</name><value><array><data>";
    let end =
        "</data></array></value></member></struct></value></data></array></value></data></array></value>";
    let answering = hub(sent((event, end), stay, 60 * MIB)).await;
    let asked = BTreeMap::from([("f43".to_owned(), Some(0))]);
    let (seen, grown) = peak(changes::changes_since(&answering, &asked)).await;
    let builds = seen.unwrap().tags["f43"].as_ref().unwrap().len();
    println!("{builds} builds in 60 MiB: {grown} MiB");
    assert!(builds > 25_000, "{builds}");
    assert!(grown < 64, "{grown} MiB");

    let text: Piece = |number| format!("<value><string>{number:01000}</string></value>");
    let member: Piece = |number| format!("<member><name>a{number}</name><value/></member>");
    let deep: Piece = |_| "<value><array><data>".to_owned();
    let cases: [(&str, (&'static str, &'static str), Piece, &str); 6] = [
        ("texts", ARRAY, text, "it is larger than 96 MiB"),
        ("one text", STRING, |_| "x".repeat(1 << 16), "it has a text of more than 16 MiB"),
        ("one tag", ("<", ">"), |_| "x".repeat(1 << 16), "it has a text of more than 16 MiB"),
        ("empty values", ARRAY, |_| "<value/>".to_owned(), "it has more than 1000000 values"),
        ("members", STRUCT, member, "it has more than 1000000 values"),
        ("values in each other", ARRAY, deep, "its values lie too deep in each other"),
    ];
    for (what, around, piece, why) in cases {
        let answering = hub(sent(around, piece, 100 * MIB)).await;
        let (seen, grown) = peak(answering.call::<Value>("echo", &[])).await;
        let said = seen.unwrap_err().to_string();
        println!("100 MiB of {what}: {grown} MiB, {said}");
        assert!(said.contains(why), "{what}: {said}");
        assert!(grown < MOST, "{what}: {grown} MiB");
    }
}

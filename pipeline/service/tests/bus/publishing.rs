//! What we say on the bus.

use muster::adapters::fedora_messaging::publisher::Publisher;
use muster::adapters::fedora_messaging::settings::{Settings, Unroutable};
use muster::clock::Clock;
use muster::port::{Fault, Observation, Port};
use muster_flow::announce::{Announcement, CandidateAnnouncement, Subject};
use muster_flow::step::StepKey;

use super::bench::{Bench, Hold, python};

fn subject() -> Subject {
    Subject {
        candidate: "cloud-base/43.20261121.0".to_owned(),
        recipe: "cloud-base".to_owned(),
        version: "43.20261121.0".to_owned(),
        purpose: "release".to_owned(),
    }
}

fn ended() -> Announcement {
    Announcement::Candidate(CandidateAnnouncement {
        subject: subject(),
        outcome: "build failed".to_owned(),
        reason: "nothing provides läuse".to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_nobody_listens_to_is_sent_again_later_unless_that_is_accepted() {
    let Some(bench) = Bench::new(&Hold::Shared) else { return };
    let key = StepKey("cloud-base/43.20261121.0/announce/ended".to_owned());
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    let fault = publisher.ensure(&key, &ended()).await.unwrap_err();
    assert!(matches!(&fault, Fault::Retry(reason) if reason.contains("no queue is bound to")), "{fault}");
    let accepting = Settings { unroutable: Unroutable::Accept, ..bench.settings.clone() };
    Publisher::new(accepting, Clock::system()).ensure(&key, &ended()).await.unwrap();
    bench.declare().await;
    let handle = publisher.ensure(&key, &ended()).await.unwrap();
    assert!(matches!(publisher.observe(&handle).await.unwrap(), Observation::Succeeded(_)));
    assert_eq!(bench.raw().await.waiting().await, 1, "a confirmed message is not in the queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_consumer_reads_what_we_send() {
    let Some(bench) = Bench::new(&Hold::Shared) else { return };
    if python().is_none() {
        return;
    }
    bench.declare().await;
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    let key = StepKey("cloud-base/43.20261121.0/announce/ended".to_owned());
    let handle = publisher.ensure(&key, &ended()).await.unwrap();
    let seen = bench.python("consume.py", &["1"], "").await;
    assert_eq!(seen[0]["id"].as_str().unwrap(), handle.0);
    assert_eq!(seen[0]["schema"], "CandidateEndedV1", "{:?}", seen[0]);
    assert_eq!(seen[0]["body"]["reason"], "nothing provides läuse");
}

//! What we say on the bus.

use muster::adapters::fedora_messaging::publisher::Publisher;
use muster::adapters::fedora_messaging::settings::{Settings, Unroutable};
use muster::clock::Clock;
use muster::port::{Fault, Observation, Port};
use muster_flow::announce::{
    AnnouncedArtifact, Announcement, BuildAnnouncement, CandidateAnnouncement, ImageAnnouncement,
    PublishedImage, SmoketestAnnouncement, StreamAnnouncement, Subject, VerdictAnnouncement,
};
use muster_flow::gate::Ruling;
use muster_flow::recipe::{Destination, DestinationKind, Form};
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

pub fn ended() -> Announcement {
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

/// One message of each kind.
fn every_kind() -> Vec<Announcement> {
    let artifact = AnnouncedArtifact {
        name: "Murmur-Cloud-Base.qcow2".to_owned(),
        size: 1 << 40,
        digest: "ab".to_owned(),
    };
    let destination = Destination {
        name: "registry".to_owned(),
        kind: DestinationKind::Registry,
        takes: Form::Oci,
        path: "murmur/base".to_owned(),
    };
    let image = PublishedImage {
        name: "base".to_owned(),
        arch: "x86_64".to_owned(),
        location: "registry.example.org/murmur/base".to_owned(),
        digest: "cd".to_owned(),
        size: 7,
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    vec![
        Announcement::Build(BuildAnnouncement {
            subject: subject(),
            arch: "x86_64".to_owned(),
            artifacts: vec![artifact],
            packages: 212,
        }),
        Announcement::Smoketest(SmoketestAnnouncement {
            subject: subject(),
            arch: "x86_64".to_owned(),
            cell: "uefi".to_owned(),
            place: "qemu".to_owned(),
            green: texts(&["boots", "ssh"]),
            red: texts(&["hostname"]),
            not_run: Vec::new(),
        }),
        Announcement::Verdict(VerdictAnnouncement {
            subject: subject(),
            ruling: Ruling::CannotTell,
            reasons: texts(&["uefi hostname missing: \u{1f427}"]),
            changes: texts(&["bash-5.3.0-2.fc43 was tagged into f43"]),
            at: "2026-11-21T12:00:00.123456789Z".parse().unwrap(),
        }),
        Announcement::Image(ImageAnnouncement {
            subject: subject(),
            stream: "stable".to_owned(),
            destination,
            images: vec![image],
        }),
        Announcement::Stream(StreamAnnouncement {
            subject: subject(),
            stream: "stable".to_owned(),
            pointers: texts(&["latest -> 43.20261121.0"]),
        }),
        ended(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_consumer_knows_and_validates_every_message_we_send() {
    let Some(mut bench) = Bench::new(&Hold::Shared) else { return };
    if python().is_none() {
        return;
    }
    bench.settings.publish_priority = Some(2);
    bench.declare().await;
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    let mut ids = Vec::new();
    for (number, announcement) in every_kind().iter().enumerate() {
        let key = StepKey(format!("cloud-base/43.20261121.0/announce/{number}"));
        ids.push(publisher.ensure(&key, announcement).await.unwrap().0);
    }
    // The client validates each against the schema that its header names, and drops what does not fit.
    let seen = bench.python("consume.py", &["6"], "").await;
    for (number, announcement) in every_kind().iter().enumerate() {
        let seen = &seen[number];
        assert_eq!(seen["id"], ids[number]);
        assert_eq!(seen["topic"], bench.settings.routing_key(announcement.topic()));
        assert_eq!(seen["body"], serde_json::to_value(announcement).unwrap()["body"]);
        assert_eq!((&seen["severity"], &seen["headers"]["priority"]), (&20.into(), &2.into()));
        assert!(seen["headers"]["sent-at"].as_str().unwrap().ends_with("+00:00"));
    }
    let summaries: Vec<&str> = seen.iter().map(|seen| seen["summary"].as_str().unwrap()).collect();
    assert_eq!(
        summaries,
        [
            "cloud-base/43.20261121.0 was built for x86_64: Murmur-Cloud-Base.qcow2",
            "cloud-base/43.20261121.0 was tested in uefi: 2 passed, 1 failed, 0 did not run",
            "cloud-base/43.20261121.0 could not be judged",
            "cloud-base 43.20261121.0 is at registry",
            "stable of cloud-base is now 43.20261121.0",
            "cloud-base/43.20261121.0 ended: build failed: nothing provides läuse",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_under_the_same_id_at_every_try_and_never_before_the_broker_confirms() {
    let Some(bench) = Bench::new(&Hold::Shared) else { return };
    bench.declare().await;
    let key = StepKey("cloud-base/43.20261121.0/announce/ended".to_owned());
    let away = Settings { amqp_url: "amqp://127.0.0.1:1/%2F".to_owned(), ..bench.settings.clone() };
    let fault = Publisher::new(away, Clock::system()).ensure(&key, &ended()).await.unwrap_err();
    assert!(matches!(&fault, Fault::Retry(reason) if reason.contains("cannot connect")), "{fault}");
    let elsewhere = Settings { publish_exchange: "no.such.exchange".to_owned(), ..bench.settings.clone() };
    let lost = Publisher::new(elsewhere, Clock::system());
    for _ in 0..2 {
        let fault = lost.ensure(&key, &ended()).await.unwrap_err();
        assert!(matches!(&fault, Fault::Retry(reason) if reason.contains("no.such.exchange")), "{fault}");
    }
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    let first = publisher.ensure(&key, &ended()).await.unwrap();
    assert_eq!(publisher.ensure(&key, &ended()).await.unwrap(), first);
    let raw = bench.raw().await;
    assert_eq!(raw.waiting().await, 2);
    let collector = bench.collect();
    collector.until("both", |collected| collected.deliveries == 2).await;
    assert_eq!(collector.end().await.messages.len(), 1, "the second try was not recognised");
}

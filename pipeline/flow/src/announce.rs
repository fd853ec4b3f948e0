//! What is said on the bus, and when. Nothing is said that was not read back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::candidate::{Candidate, Outcome, Stage};
use crate::gate::{self, Counts, Ruling, Standing};
use crate::publish::{self, Publication};
use crate::recipe::Destination;
use crate::step::{Wanted, Work};

/// The sending of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announce {}

impl Work for Announce {
    const NAME: &'static str = "announce";
    type Request = Announcement;
    type Output = Announced;
}

/// The proof that the broker has the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The message's id, made from the step's key and what is said: a duplicate is recognisable.
    pub message_id: String,
}

/// One message. Its body is the content of the variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", content = "body", rename_all = "snake_case")]
pub enum Announcement {
    /// A build is over.
    Build(BuildAnnouncement),
    /// A boot is over.
    Smoketest(SmoketestAnnouncement),
    /// The gate has spoken.
    Verdict(VerdictAnnouncement),
    /// A release is public at one destination.
    Image(ImageAnnouncement),
    /// A stream points at a new release.
    Stream(StreamAnnouncement),
    /// A candidate ended without being published or rejected by the gate.
    Candidate(CandidateAnnouncement),
}

impl Announcement {
    /// The topic, below the deployment's prefix.
    pub fn topic(&self) -> &'static str {
        match self {
            Announcement::Build(_) => "muster.build.complete",
            Announcement::Smoketest(_) => "muster.smoketest.complete",
            Announcement::Verdict(_) => "muster.candidate.verdict",
            Announcement::Image(_) => "muster.image.published",
            Announcement::Stream(_) => "muster.stream.promoted",
            Announcement::Candidate(_) => "muster.candidate.ended",
        }
    }
}

/// What every message says of its candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The candidate's id.
    pub candidate: String,
    /// The recipe's name.
    pub recipe: String,
    /// The release's version.
    pub version: String,
    /// `scratch`, `release` or `emergency`.
    pub purpose: String,
}

/// A build is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildAnnouncement {
    /// Whose.
    pub subject: Subject,
    /// The architecture.
    pub arch: String,
    /// Names, sizes in bytes and digests of what was made.
    pub artifacts: Vec<AnnouncedArtifact>,
    /// How many packages are on the image.
    pub packages: u64,
}

/// One artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedArtifact {
    /// Its published name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Its identity in hex.
    pub digest: String,
}

/// A boot is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmoketestAnnouncement {
    /// Whose.
    pub subject: Subject,
    /// The architecture.
    pub arch: String,
    /// The cell.
    pub cell: String,
    /// Where it ran.
    pub place: String,
    /// The names of the tests that passed.
    pub green: Vec<String>,
    /// The names of the tests that failed.
    pub red: Vec<String>,
    /// The names of the tests that did not run.
    pub not_run: Vec<String>,
}

/// The gate has spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictAnnouncement {
    /// Of whom.
    pub subject: Subject,
    /// What it said.
    pub ruling: Ruling,
    /// Why, one line each, the worst first; what passed is not listed.
    pub reasons: Vec<String>,
    /// The changes that called for the candidate, one line each, at most 100.
    pub changes: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// A release is public at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAnnouncement {
    /// Whose.
    pub subject: Subject,
    /// The stream.
    pub stream: String,
    /// Where.
    pub destination: Destination,
    /// What, with address, digest and size.
    pub images: Vec<PublishedImage>,
}

/// One image as a stranger finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedImage {
    /// The published name.
    pub name: String,
    /// The architecture.
    pub arch: String,
    /// The address.
    pub location: String,
    /// The identity in hex.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// A stream points at a new release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamAnnouncement {
    /// Whose.
    pub subject: Subject,
    /// The stream.
    pub stream: String,
    /// The pointers that moved, one line each.
    pub pointers: Vec<String>,
}

/// A candidate ended otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateAnnouncement {
    /// Which.
    pub subject: Subject,
    /// How, in a word or two.
    pub outcome: String,
    /// Why, in one line.
    pub reason: String,
}

/// Every message that is due by now.
pub fn wanted(candidate: &Candidate, stage: &Stage) -> Vec<Wanted<Announce>> {
    let mut wanted = Vec::new();
    if candidate.purpose.is_probe() {
        // What it shows is told of the candidate that it was made for.
        return wanted;
    }
    wanted.extend(builds(candidate));
    wanted.extend(smoketests(candidate));
    wanted.extend(verdict(candidate));
    if publish::is_promoted(candidate) {
        let images: Vec<_> = images(candidate).collect();
        // The stream's pointer moved last, and whoever listens hears of it last. A message that could not be sent keeps
        // nobody waiting.
        let is_last = images.iter().all(|image| is_said(candidate, image));
        wanted.extend(images);
        if is_last {
            wanted.push(stream(candidate));
        }
    }
    wanted.extend(ending(candidate, stage));
    wanted
}

/// Whether every message that is due is out, or could not be sent.
pub fn is_everything_said(candidate: &Candidate, stage: &Stage) -> bool {
    wanted(candidate, stage).iter().all(|wanted| is_said(candidate, wanted))
}

/// Whether a message is out, or could not be sent.
fn is_said(candidate: &Candidate, wanted: &Wanted<Announce>) -> bool {
    candidate.announcements().any(|step| step.key == wanted.key && step.is_over())
}

fn subject(candidate: &Candidate) -> Subject {
    Subject {
        candidate: candidate.id.to_string(),
        recipe: candidate.recipe.name.clone(),
        version: candidate.id.version().to_owned(),
        purpose: candidate.purpose.word().to_owned(),
    }
}

fn builds(candidate: &Candidate) -> impl Iterator<Item = Wanted<Announce>> {
    candidate.builds().filter_map(|build| {
        let output = build.output()?;
        let artifacts = output.artifacts.iter().map(|artifact| AnnouncedArtifact {
            name: artifact.name.clone(),
            size: artifact.size,
            digest: artifact.digest.clone(),
        });
        Some(Wanted {
            key: candidate.key(&format!("announce/build/{}", build.request.arch)),
            request: Announcement::Build(BuildAnnouncement {
                subject: subject(candidate),
                arch: build.request.arch.clone(),
                artifacts: artifacts.collect(),
                packages: output.packages.len() as u64,
            }),
        })
    })
}

fn smoketests(candidate: &Candidate) -> impl Iterator<Item = Wanted<Announce>> {
    use crate::smoketest::Colour;
    candidate.smoketests().filter_map(|step| {
        let output = step.output()?;
        let (mut green, mut red, mut not_run) = (Vec::new(), Vec::new(), Vec::new());
        for result in &output.results {
            let names = match result.colour {
                Colour::Green => &mut green,
                Colour::Red(_) => &mut red,
                Colour::NotRun(_) => &mut not_run,
            };
            names.push(result.name.clone());
        }
        let (arch, cell) = (&step.request.artifact.arch, &step.request.cell.name);
        Some(Wanted {
            key: candidate.key(&format!("announce/smoketest/{arch}/{cell}")),
            request: Announcement::Smoketest(SmoketestAnnouncement {
                subject: subject(candidate),
                arch: arch.clone(),
                cell: cell.clone(),
                place: output.place.clone(),
                green,
                red,
                not_run,
            }),
        })
    })
}

fn verdict(candidate: &Candidate) -> Option<Wanted<Announce>> {
    let verdict = candidate.verdict()?;
    let notable = verdict.reasons.iter().filter(|reason| reason.standing != Standing::Passed);
    let reasons = notable.map(|reason| {
        let test = reason.test.as_deref().unwrap_or("boot");
        let counts = match reason.counts {
            Counts::Yes => "",
            Counts::No => " (only shown)",
        };
        format!("{} {test} {}{counts}: {}", reason.cell, reason.standing.words(), reason.note)
    });
    // A verdict that an exception, or the end of one, has changed is news.
    let purpose = match verdict.evidence.iter().filter(|name| gate::is_waiver(name)).count() {
        0 => "announce/verdict".to_owned(),
        waivers => format!("announce/verdict-with-{waivers}-waived"),
    };
    let changes = candidate.changes.iter().take(100).map(|cause| cause.summary.clone());
    Some(Wanted {
        key: candidate.key(&purpose),
        request: Announcement::Verdict(VerdictAnnouncement {
            subject: subject(candidate),
            ruling: verdict.ruling,
            reasons: reasons.collect(),
            changes: changes.collect(),
            at: verdict.at,
        }),
    })
}

fn images(candidate: &Candidate) -> impl Iterator<Item = Wanted<Announce>> {
    publish::publications(candidate).into_iter().map(|Publication { destination, uploaded }| {
        let images = uploaded.into_iter().map(|uploaded| PublishedImage {
            name: uploaded.name,
            arch: uploaded.arch,
            location: uploaded.location,
            digest: uploaded.digest,
            size: uploaded.size,
        });
        Wanted {
            key: candidate.key(&format!(
                "announce/image/{}/{}",
                destination.name,
                destination.takes.extension()
            )),
            request: Announcement::Image(ImageAnnouncement {
                subject: subject(candidate),
                stream: candidate.recipe.stream.clone(),
                images: images.collect(),
                destination,
            }),
        }
    })
}

fn stream(candidate: &Candidate) -> Wanted<Announce> {
    let stream = &candidate.recipe.stream;
    let outputs = candidate.promotions().filter_map(|step| step.output());
    Wanted {
        key: candidate.key(&format!("announce/stream/{stream}")),
        request: Announcement::Stream(StreamAnnouncement {
            subject: subject(candidate),
            stream: stream.clone(),
            pointers: outputs.flat_map(|output| output.pointers.clone()).collect(),
        }),
    }
}

fn ending(candidate: &Candidate, stage: &Stage) -> Option<Wanted<Announce>> {
    let Stage::Finished(outcome) = stage else { return None };
    let reason = match outcome {
        Outcome::BuildFailed(reason) | Outcome::PublishFailed(reason) => reason.clone(),
        Outcome::Passed
        | Outcome::Published
        | Outcome::Rejected
        | Outcome::CannotTell
        | Outcome::Superseded
        | Outcome::Cancelled => return None,
    };
    Some(Wanted {
        key: candidate.key("announce/ended"),
        request: Announcement::Candidate(CandidateAnnouncement {
            subject: subject(candidate),
            outcome: outcome.words().to_owned(),
            reason,
        }),
    })
}

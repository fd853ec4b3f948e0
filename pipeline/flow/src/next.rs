//! The pipeline on one page: what should be recorded next for a candidate, from the facts alone.

use jiff::Timestamp;

use crate::announce::{self, Announce};
use crate::build::{self, Build};
use crate::candidate::{Candidate, Stage};
use crate::gate::{self, Verdict};
use crate::publish::{self, Promote, Upload, Verify};
use crate::smoketest::{self, Smoketest};
use crate::step::{Step, Wanted, Work};

/// Something that should be recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// A build.
    Build(Wanted<Build>),
    /// A boot.
    Smoketest(Wanted<Smoketest>),
    /// A private upload.
    Upload(Wanted<Upload>),
    /// A reading back.
    Verify(Wanted<Verify>),
    /// A move of a pointer.
    Promote(Wanted<Promote>),
    /// A message.
    Announce(Wanted<Announce>),
    /// What the gate says.
    Decide(Verdict),
}

/// What should be recorded next for `candidate`, with the other open candidates and the time as they are now.
pub fn next(candidate: &Candidate, open: &[Candidate], now: Timestamp) -> Vec<Intent> {
    let stage = candidate.stage();
    let mut intents = match stage {
        Stage::Waiting | Stage::Finished(_) => return Vec::new(),
        Stage::Building => fresh(build::wanted(candidate), &candidate.steps.builds, Intent::Build),
        Stage::Testing => fresh(smoketest::wanted(candidate), &candidate.steps.smoketests, Intent::Smoketest),
        // What has its verdict waits for its batch.
        Stage::Gating if candidate.verdict().is_some() => Vec::new(),
        Stage::Gating => vec![Intent::Decide(gate::judge(candidate, now))],
        Stage::Publishing => {
            let uploads = publish::wanted_uploads(candidate);
            let mut intents = fresh(uploads, &candidate.steps.uploads, Intent::Upload);
            let verifications = publish::wanted_verifications(candidate);
            intents.extend(fresh(verifications, &candidate.steps.verifications, Intent::Verify));
            intents
        }
        Stage::Promoting if publish::may_promote(candidate, open).is_err() => Vec::new(),
        Stage::Promoting => {
            let mut promotions = publish::wanted_promotions(candidate);
            promotions.extend(publish::wanted_stream_promotion(candidate));
            fresh(promotions, &candidate.steps.promotions, Intent::Promote)
        }
        Stage::Announcing => Vec::new(),
    };
    let announcements = announce::wanted(candidate, &candidate.stage_before_announcing());
    intents.extend(fresh(announcements, &candidate.steps.announcements, Intent::Announce));
    intents
}

/// What is wanted and not yet recorded.
fn fresh<W: Work>(wanted: Vec<Wanted<W>>, steps: &[Step<W>], intent: fn(Wanted<W>) -> Intent) -> Vec<Intent> {
    let is_new = |wanted: &Wanted<W>| !steps.iter().any(|step| step.key == wanted.key);
    wanted.into_iter().filter(is_new).map(intent).collect()
}

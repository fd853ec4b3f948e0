//! How one thing stands, as a word and a shape: no two of these are ever shown as the same.

use muster_flow::candidate::{Candidate, Outcome, Stage};
use muster_flow::gate::Standing;
use muster_flow::step::{Progress, Step, Work};
use serde::Serialize;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Its turn has not come.
    NotYet,
    /// Recorded, and not begun.
    Queued,
    /// Begun, and not over.
    Running,
    /// A person holds it.
    Held,
    /// It happened, or was done.
    Done,
    /// It was tested and found well.
    Passed,
    /// Red, and a person's waiver covers it.
    Waived,
    /// Red, and known to be, with a ticket.
    ExpectedFailure,
    /// The image, or what it is made from, is at fault.
    Failed,
    /// It is required, and did not run.
    Missing,
    /// We could not do it or could not find out: not the image is at fault.
    InfraError,
    /// Nobody wants it any more.
    GivenUp,
    /// It will not happen.
    Skipped,
}

/// Who is at fault when work of a kind fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The image, or what it is made from.
    Image,
    /// A place outside: a cloudlet, a destination, the bus.
    Outside,
}

impl Mark {
    /// A word or two for a person.
    pub fn word(self) -> &'static str {
        match self {
            Mark::NotYet => "not yet",
            Mark::Queued => "queued",
            Mark::Running => "running",
            Mark::Held => "held",
            Mark::Done => "done",
            Mark::Passed => "passed",
            Mark::Waived => "waived",
            Mark::ExpectedFailure => "expected failure",
            Mark::Failed => "failed",
            Mark::Missing => "missing",
            Mark::InfraError => "infra error",
            Mark::GivenUp => "given up",
            Mark::Skipped => "skipped",
        }
    }

    /// A shape for the eye, one character wide.
    pub fn shape(self) -> &'static str {
        match self {
            Mark::NotYet => "·",
            Mark::Queued => "○",
            Mark::Running => "◐",
            Mark::Held => "‖",
            Mark::Done => "●",
            Mark::Passed => "✓",
            Mark::Waived => "≈",
            Mark::ExpectedFailure => "~",
            Mark::Failed => "✕",
            Mark::Missing => "?",
            Mark::InfraError => "△",
            Mark::GivenUp => "⊘",
            Mark::Skipped => "»",
        }
    }

    /// The name of its style.
    pub fn class(self) -> &'static str {
        match self {
            Mark::NotYet => "not-yet",
            Mark::Queued => "queued",
            Mark::Running => "running",
            Mark::Held => "held",
            Mark::Done => "done",
            Mark::Passed => "passed",
            Mark::Waived => "waived",
            Mark::ExpectedFailure => "expected",
            Mark::Failed => "failed",
            Mark::Missing => "missing",
            Mark::InfraError => "infra",
            Mark::GivenUp => "given-up",
            Mark::Skipped => "skipped",
        }
    }

    /// How a candidate as a whole stands.
    pub fn of_stage(candidate: &Candidate) -> Mark {
        match candidate.stage() {
            Stage::Waiting => Mark::Queued,
            Stage::Promoting if !candidate.decisions.holds.is_empty() => Mark::Held,
            Stage::Building
            | Stage::Testing
            | Stage::Gating
            | Stage::Publishing
            | Stage::Promoting
            | Stage::Announcing => Mark::Running,
            Stage::Finished(Outcome::Passed | Outcome::Published) => Mark::Passed,
            Stage::Finished(Outcome::Rejected | Outcome::BuildFailed(_)) => Mark::Failed,
            Stage::Finished(Outcome::CannotTell | Outcome::PublishFailed(_)) => Mark::InfraError,
            Stage::Finished(Outcome::Superseded | Outcome::Cancelled) => Mark::GivenUp,
        }
    }

    /// How a step stands.
    pub fn of_step<W: Work>(step: &Step<W>, fault: Fault) -> Mark {
        match (&step.progress, fault) {
            (Progress::Wanted, _) => Mark::Queued,
            (Progress::Running(_), _) => Mark::Running,
            (Progress::Succeeded(_), _) => Mark::Done,
            (Progress::Failed(_), Fault::Image) => Mark::Failed,
            (Progress::Failed(_), Fault::Outside) => Mark::InfraError,
            (Progress::Cancelled, _) => Mark::GivenUp,
        }
    }

    /// How a test in a cell stands.
    pub fn of_standing(standing: Standing) -> Mark {
        match standing {
            Standing::Failed => Mark::Failed,
            Standing::Missing => Mark::Missing,
            Standing::InfraError => Mark::InfraError,
            Standing::Queued => Mark::Queued,
            Standing::Running => Mark::Running,
            Standing::Waived => Mark::Waived,
            Standing::ExpectedFailure => Mark::ExpectedFailure,
            Standing::Passed => Mark::Passed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const ALL: [Mark; 13] = [
        Mark::NotYet,
        Mark::Queued,
        Mark::Running,
        Mark::Held,
        Mark::Done,
        Mark::Passed,
        Mark::Waived,
        Mark::ExpectedFailure,
        Mark::Failed,
        Mark::Missing,
        Mark::InfraError,
        Mark::GivenUp,
        Mark::Skipped,
    ];

    #[test]
    fn no_two_marks_share_a_word_or_a_shape_or_a_style() {
        for part in [Mark::word, Mark::shape, Mark::class] {
            assert_eq!(ALL.map(part).into_iter().collect::<BTreeSet<_>>().len(), ALL.len());
        }
        assert!(ALL.iter().all(|mark| mark.shape().chars().count() == 1));
    }
}

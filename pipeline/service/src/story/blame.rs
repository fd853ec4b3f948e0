//! What made a candidate red: the suspects, the probes that were made, and what they have shown.

use std::collections::BTreeSet;

use muster_flow::blame::probe::Answer;
use muster_flow::blame::suspect::{self, Change, Suspect, without_arch};
use muster_flow::blame::{self, Conclusion, Inquiry, Trial};
use muster_flow::candidate::Candidate;
use serde::Serialize;

use super::mark::Mark;
use super::next_action::shell;
use super::words;
use crate::store::InquiryRow;

/// What the story of an inquiry is told from.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The inquiry.
    pub row: InquiryRow,
    /// The last good candidate.
    pub good: Candidate,
    /// The probes that were made for it, in their order.
    pub probes: Vec<Candidate>,
    /// The names of those accused that may be ejected from the batch of the red candidate.
    pub ejectable: BTreeSet<String>,
}

/// All there is to tell about an inquiry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blame {
    /// What was found, or how far the search has got, in one sentence.
    pub headline: String,
    /// The same as a mark.
    pub mark: Mark,
    /// The last good candidate, which the red one is compared with.
    pub good: String,
    /// What was red, such as `hostname in x86_64/bios-pc`.
    pub symptoms: Vec<String>,
    /// What has changed between the two.
    pub suspects: Vec<Suspected>,
    /// The probes that were made.
    pub probes: Vec<Probed>,
    /// How many probes it may make at most.
    pub bound: u32,
    /// What was found; none while it is looked for.
    pub conclusion: Option<Conclusion>,
    /// Commands that take what did it out of the candidate's batch; none when it is in none,
    /// nothing was found, or it would be refused.
    pub commands: Vec<String>,
}

/// One suspect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspected {
    /// What it is, such as `hello-2.10-3`.
    pub what: String,
    /// How it stands.
    pub standing: Standing,
    /// The changes that brought it, one line each, as far as they called for the candidate.
    pub changes: Vec<String>,
    /// The suspect itself.
    #[serde(flatten)]
    pub suspect: Suspect,
}

/// How a suspect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It did it, alone or with others.
    Accused,
    /// It may have done it.
    Left,
    /// Nothing speaks against it.
    Cleared,
}

impl Standing {
    /// A few words for a person.
    pub fn words(self) -> &'static str {
        match self {
            Standing::Accused => "it did it",
            Standing::Left => "it may have done it",
            Standing::Cleared => "nothing speaks against it",
        }
    }
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probed {
    /// The candidate that it is.
    pub candidate: String,
    /// What it boots.
    pub boots: String,
    /// What it has shown, or how far it is.
    pub shows: String,
    /// The same as a mark.
    pub mark: Mark,
}

/// Tells of the inquiry into a red candidate.
pub fn tell(red: &Candidate, asked: &Asked) -> Blame {
    let Asked { row, good, probes, ejectable } = asked;
    let (symptoms, bound) = (row.terms.symptoms.as_slice(), row.terms.bound);
    let builds = row.terms.builds.as_slice();
    let inquiry = Inquiry { red, good, symptoms, builds, probes, earlier: row.terms.earlier, bound };
    let left = match &row.conclusion {
        None => blame::left(&inquiry),
        Some(Conclusion::Inconclusive { left, .. }) => left.clone(),
        Some(_) => Vec::new(),
    };
    let accused = row.conclusion.as_ref().map(|conclusion| conclusion.accused().to_vec()).unwrap_or_default();
    let mut all = suspect::of(good, red);
    let others: Vec<Suspect> = accused.iter().filter(|suspect| !all.contains(suspect)).cloned().collect();
    all.extend(others);
    let suspects = all.into_iter().map(|suspect| Suspected {
        what: suspect.words(),
        standing: match () {
            () if accused.contains(&suspect) => Standing::Accused,
            () if left.contains(&suspect.name) => Standing::Left,
            () => Standing::Cleared,
        },
        changes: changes(red, &suspect),
        suspect,
    });
    let suspects: Vec<Suspected> = suspects.collect();
    let shown = blame::shown(&inquiry);
    Blame {
        headline: headline(row, probes.len(), &suspects),
        mark: match &row.conclusion {
            None => Mark::Running,
            Some(_) if accused.is_empty() => Mark::InfraError,
            Some(_) => Mark::Failed,
        },
        good: good.id.to_string(),
        symptoms: symptoms
            .iter()
            .map(|symptom| format!("{} in {}/{}", symptom.test, symptom.arch, symptom.cell))
            .collect(),
        suspects,
        probes: probes.iter().zip(shown).map(|(probe, answer)| probed(probe, answer)).collect(),
        bound,
        conclusion: row.conclusion.clone(),
        commands: ejections(red, ejectable),
    }
}

/// The commands that eject these from the batch of the red candidate.
fn ejections(red: &Candidate, names: &BTreeSet<String>) -> Vec<String> {
    let Some(batch) = &red.batch else { return Vec::new() };
    let command = |name: &String| {
        let (batch, package) = (shell(&batch.id.0), shell(name));
        let why = shell(&format!("it made {} red", red.id));
        format!("muster batch eject {batch} {package} --why {why}")
    };
    names.iter().map(command).collect()
}

fn headline(row: &InquiryRow, made: usize, suspects: &[Suspected]) -> String {
    if let Some(conclusion) = &row.conclusion {
        return format!("{} ({}).", conclusion.words(), words::count(made, "probe"));
    }
    let left: Vec<&str> = suspects
        .iter()
        .filter(|suspect| suspect.standing == Standing::Left)
        .map(|suspect| suspect.what.as_str())
        .collect();
    let left = if left.is_empty() { String::new() } else { format!(", suspects left: {}", left.join(", ")) };
    format!("Bisecting: {made} of at most {}{left}.", words::count(row.terms.bound as usize, "probe"))
}

/// The changes of the candidate that brought a suspect.
fn changes(red: &Candidate, suspect: &Suspect) -> Vec<String> {
    let signs: Vec<String> = match &suspect.change {
        Change::Packages(differences) => {
            let new = differences.iter().filter_map(|one| Some((&one.name, without_arch(one.new.as_ref()?))));
            new.map(|(name, evr)| format!("{name}-{} was tagged", evr.rsplit(':').next().unwrap_or(evr)))
                .collect()
        }
        Change::Definition { new, .. } if !new.is_empty() => {
            vec![format!("was pushed to {}", new.chars().take(10).collect::<String>())]
        }
        Change::Definition { .. } | Change::Recipe(_) | Change::Testing(_) => Vec::new(),
    };
    let summaries = red.changes.iter().map(|cause| &cause.summary);
    summaries.filter(|summary| signs.iter().any(|sign| summary.contains(sign))).cloned().collect()
}

fn probed(probe: &Candidate, answer: Option<Answer>) -> Probed {
    let (shows, mark) = match answer {
        None => (probe.stage().words().to_owned(), Mark::of_stage(probe)),
        Some(Answer::Red) => ("it is red".to_owned(), Mark::Failed),
        Some(Answer::Green) => ("it is green".to_owned(), Mark::Passed),
        Some(Answer::NotBuilt(why)) => {
            (format!("it could not be built: {}", why.lines().next().unwrap_or_default()), Mark::InfraError)
        }
        Some(Answer::NotTold(why)) => (format!("it shows nothing: {why}"), Mark::InfraError),
        Some(Answer::Stopped(why)) => (format!("it was stopped: {why}"), Mark::GivenUp),
    };
    let boots = probe.purpose.trial().map(Trial::words).unwrap_or_default();
    Probed { candidate: probe.id.to_string(), boots, shows, mark }
}

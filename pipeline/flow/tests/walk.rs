//! Walks through every order of successes and failures of a small recipe.
//!
//! No IO, no async: a candidate, what `next` says, and every way the outside can answer.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use muster_flow::announce::{Announce, Announced, Announcement};
use muster_flow::batch::{BatchId, InBatch, Requires, judge};
use muster_flow::build::{Artifact, BuildOutput};
use muster_flow::candidate::{Candidate, CandidateId, Outcome, Purpose, Stage};
use muster_flow::gate::{Ruling, Verdict};
use muster_flow::next::{Intent, next};
use muster_flow::publish::{PromoteOutput, UploadOutput, Uploaded, VerifyOutput, may_promote, publications};
use muster_flow::recipe::Form;
use muster_flow::smoketest::{Colour, SmoketestOutput, TestResult, Weight};
use muster_flow::step::{Handle, Progress, Step, Wanted, Work};

/// A candidate that has started.
fn candidate(purpose: Purpose) -> Candidate {
    muster_specimen::candidate(muster_specimen::recipe("cloud"), purpose)
}

/// A step of any kind, and how the outside may end it.
type Answer = Box<dyn Fn(&mut Candidate)>;

/// Every way in which the outside may answer one open step.
fn answers(candidate: &Candidate) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    for (at, step) in candidate.steps.builds.iter().enumerate().filter(|(_, step)| !step.is_over()) {
        let name = format!("{}.qcow2", step.request.file_stem);
        let artifact = Artifact {
            form: Form::Qcow2,
            arch: "x86_64".to_owned(),
            path: name.clone(),
            name,
            size: 1,
            digest: "d".to_owned(),
        };
        let output = BuildOutput { artifacts: vec![artifact], ..BuildOutput::default() };
        answers.push(Box::new(move |c| c.steps.builds[at].progress = Progress::Succeeded(output.clone())));
        answers.push(Box::new(move |c| c.steps.builds[at].progress = Progress::Failed("full".to_owned())));
    }
    for (at, _) in candidate.steps.smoketests.iter().enumerate().filter(|(_, step)| !step.is_over()) {
        for colour in [Colour::Green, Colour::Red("no".to_owned()), Colour::NotRun("late".to_owned())] {
            answers.push(Box::new(move |c| {
                let result = TestResult {
                    name: "boots".to_owned(),
                    weight: Weight::Gating,
                    colour: colour.clone(),
                    duration_ms: 1,
                    log: String::new(),
                    expected_failure: None,
                };
                let output = SmoketestOutput { results: vec![result], ..SmoketestOutput::default() };
                c.steps.smoketests[at].progress = Progress::Succeeded(output);
            }));
        }
        answers.push(Box::new(move |c| {
            c.steps.smoketests[at].progress = Progress::Failed("no host".to_owned());
        }));
    }
    for (at, step) in candidate.steps.uploads.iter().enumerate().filter(|(_, step)| !step.is_over()) {
        let uploaded = Uploaded {
            name: "image".to_owned(),
            arch: "x86_64".to_owned(),
            location: step.request.destination.name.clone(),
            digest: "d".to_owned(),
            size: 1,
        };
        let output = UploadOutput { uploaded: vec![uploaded] };
        answers.push(Box::new(move |c| c.steps.uploads[at].progress = Progress::Succeeded(output.clone())));
        answers.push(Box::new(move |c| c.steps.uploads[at].progress = Progress::Failed("full".to_owned())));
    }
    for (at, _) in candidate.steps.verifications.iter().enumerate().filter(|(_, step)| !step.is_over()) {
        let output = VerifyOutput { checked: Vec::new() };
        answers.push(Box::new(move |c| {
            c.steps.verifications[at].progress = Progress::Succeeded(output.clone());
        }));
        answers.push(Box::new(move |c| {
            c.steps.verifications[at].progress = Progress::Failed("gone".to_owned());
        }));
    }
    for (at, _) in candidate.steps.promotions.iter().enumerate().filter(|(_, step)| !step.is_over()) {
        let output = PromoteOutput { pointers: vec!["pointer".to_owned()] };
        answers
            .push(Box::new(move |c| c.steps.promotions[at].progress = Progress::Succeeded(output.clone())));
        answers
            .push(Box::new(move |c| c.steps.promotions[at].progress = Progress::Failed("gone".to_owned())));
    }
    for (at, _) in candidate.steps.announcements.iter().enumerate().filter(|(_, step)| !step.is_over()) {
        let output = Announced { message_id: "m".to_owned() };
        answers.push(Box::new(move |c| {
            c.steps.announcements[at].progress = Progress::Succeeded(output.clone());
        }));
        answers.push(Box::new(move |c| {
            c.steps.announcements[at].progress = Progress::Failed("too long".to_owned());
        }));
    }
    answers
}

/// Records intents as the store would. Messages about images and streams wait for their answer; any other is sent at
/// once, since its order is not what is walked here.
fn record(candidate: &mut Candidate, intents: Vec<Intent>) {
    fn wanted<W: Work>(wanted: Wanted<W>) -> Step<W> {
        Step { key: wanted.key, request: wanted.request, progress: Progress::Running(Handle("h".to_owned())) }
    }
    for intent in intents {
        match intent {
            Intent::Build(step) => candidate.steps.builds.push(wanted(step)),
            Intent::Smoketest(step) => candidate.steps.smoketests.push(wanted(step)),
            Intent::Upload(step) => candidate.steps.uploads.push(wanted(step)),
            Intent::Verify(step) => candidate.steps.verifications.push(wanted(step)),
            Intent::Promote(step) => candidate.steps.promotions.push(wanted(step)),
            Intent::Decide(verdict) => candidate.decisions.verdict = Some(verdict),
            Intent::Announce(step) => {
                let mut step = wanted(step);
                if !matches!(step.request, Announcement::Image(_) | Announcement::Stream(_)) {
                    step.progress = Progress::Succeeded(Announced { message_id: "m".to_owned() });
                }
                candidate.steps.announcements.push(step);
            }
        }
    }
}

/// What must hold in every state that can be reached.
fn check(candidate: &Candidate) {
    let all_green = candidate.steps.smoketests.len() == 2
        && candidate.steps.smoketests.iter().all(|step| {
            step.output()
                .is_some_and(|output| output.results.iter().all(|result| result.colour == Colour::Green))
        });
    let passes = |verdict: &Verdict| verdict.ruling == Ruling::Pass;
    let passed = candidate.decisions.verdict.as_ref().is_some_and(passes);
    assert!(!passed || all_green, "it passed without every test green: {candidate:#?}");
    let touched = !candidate.steps.uploads.is_empty() || !candidate.steps.promotions.is_empty();
    assert!(!touched || passed, "something was published without a passing verdict: {candidate:#?}");
    let verified = candidate.steps.verifications.iter().filter(|step| step.output().is_some()).count();
    assert!(
        candidate.steps.promotions.is_empty() || verified == 2,
        "a pointer moves before all is read back"
    );
    let stream = candidate.steps.promotions.iter().find(|step| step.key.0.contains("/promote/stream/"));
    let others = candidate.steps.promotions.iter().filter(|step| !step.key.0.contains("/promote/stream/"));
    let others_done = others.filter(|step| step.output().is_some()).count();
    assert!(stream.is_none() || others_done == 2, "the stream's pointer moves before the others");
    let said = |about: fn(&Announcement) -> bool| {
        candidate.steps.announcements.iter().any(|step| about(&step.request))
    };
    let announced =
        said(|announcement| matches!(announcement, Announcement::Image(_) | Announcement::Stream(_)));
    let promoted = stream.is_some_and(|step| step.output().is_some());
    assert!(!announced || promoted, "something was announced that is not so: {candidate:#?}");
    let is_image = |announcement: &Announcement| matches!(announcement, Announcement::Image(_));
    let images = candidate.steps.announcements.iter().filter(|step| is_image(&step.request));
    let images_over = images.filter(|step| step.is_over()).count();
    let tells_of_stream = said(|announcement| matches!(announcement, Announcement::Stream(_)));
    assert!(!tells_of_stream || images_over == 2, "a stream is told of before its images: {candidate:#?}");
}

/// Walks on from a state; counts the outcomes it ends in.
fn walk(candidate: &Candidate, seen: &mut HashSet<String>, outcomes: &mut BTreeMap<&'static str, u32>) {
    let mut candidate = candidate.clone();
    loop {
        let intents = next(&candidate, &[], Timestamp::UNIX_EPOCH);
        if intents.is_empty() {
            break;
        }
        record(&mut candidate, intents);
        check(&candidate);
    }
    if !seen.insert(serde_json::to_string(&candidate).unwrap()) {
        return;
    }
    let answers = answers(&candidate);
    if let Stage::Finished(outcome) = candidate.stage() {
        *outcomes.entry(outcome.words()).or_default() += 1;
        assert!(next(&candidate, &[], Timestamp::UNIX_EPOCH).is_empty());
        // What still runs may end after the candidate did; it must change nothing.
        if matches!(outcome, Outcome::Published) {
            assert!(answers.is_empty(), "it is published while something still runs");
            let last = candidate.steps.announcements.last().map(|step| &step.request);
            assert!(matches!(last, Some(Announcement::Stream(_))), "its stream was told of last: {last:#?}");
        }
    } else {
        assert!(!answers.is_empty(), "it stands still with nothing under way: {candidate:#?}");
    }
    for answer in answers {
        let mut after = candidate.clone();
        answer(&mut after);
        check(&after);
        walk(&after, seen, outcomes);
    }
}

#[test]
fn nothing_is_ever_published_without_a_passing_verdict() {
    let (mut seen, mut outcomes) = (HashSet::new(), BTreeMap::new());
    walk(&candidate(Purpose::Release), &mut seen, &mut outcomes);
    assert!(seen.len() > 100, "only {} states were reached", seen.len());
    let reached: Vec<&str> = outcomes.keys().copied().collect();
    assert_eq!(reached, ["build failed", "cannot tell", "published", "publishing failed", "rejected"]);
}

/// Two candidates of one batch, of which little is wanted so that every order can be walked.
fn batch(requires: Requires) -> Vec<Candidate> {
    let in_batch = InBatch {
        id: BatchId::new("stable", "20261121", 0),
        requires,
        until: Timestamp::MAX,
        revision: 1,
        set: "5e7".to_owned(),
        repos: Vec::new(),
        ruling: None,
        against: String::new(),
    };
    let candidate = |name: &str| {
        let mut recipe = muster_specimen::recipe(name);
        recipe.smoketests.cells.truncate(1);
        recipe.destinations.truncate(1);
        let candidate = muster_specimen::candidate(recipe, Purpose::Release);
        Candidate { batch: Some(in_batch.clone()), ..candidate }
    };
    vec![candidate("cloud"), candidate("server")]
}

/// Lets every candidate of a batch see what the gate of the batch says now.
fn judge_batch(candidates: &mut [Candidate]) {
    let verdict = judge::judge(&*candidates, Timestamp::UNIX_EPOCH);
    for candidate in candidates {
        candidate.batch.as_mut().unwrap().ruling = verdict.ruling;
    }
}

/// Records what follows for all of them until nothing does, and looks after each whether it may be so.
fn settle(candidates: &mut [Candidate], check: fn(&[Candidate])) {
    loop {
        judge_batch(candidates);
        let others = candidates.to_vec();
        let mut moved = false;
        for candidate in candidates.iter_mut() {
            let intents = next(candidate, &others, Timestamp::UNIX_EPOCH);
            moved |= !intents.is_empty();
            record(candidate, intents);
        }
        check(candidates);
        if !moved {
            return;
        }
    }
}

fn walk_batch(
    candidates: &[Candidate],
    seen: &mut HashSet<String>,
    ends: &mut BTreeSet<Vec<&'static str>>,
    check: fn(&[Candidate]),
) {
    let mut candidates = candidates.to_vec();
    settle(&mut candidates, check);
    if !seen.insert(serde_json::to_string(&candidates).unwrap()) {
        return;
    }
    let mut is_over = true;
    for at in 0..candidates.len() {
        for answer in answers(&candidates[at]) {
            is_over = false;
            let mut after = candidates.clone();
            answer(&mut after[at]);
            walk_batch(&after, seen, ends, check);
        }
    }
    if is_over {
        ends.insert(candidates.iter().map(|candidate| candidate.stage().words()).collect());
    }
}

fn is_touched(candidate: &Candidate) -> bool {
    !candidate.steps.uploads.is_empty() || !candidate.steps.promotions.is_empty()
}

fn has_passed(candidate: &Candidate) -> bool {
    candidate.verdict().is_some_and(|verdict| verdict.ruling == Ruling::Pass)
}

#[test]
fn nothing_is_published_before_its_batch_passes() {
    let check = |candidates: &[Candidate]| {
        let touched = candidates.iter().any(is_touched);
        assert!(!touched || candidates.iter().all(has_passed), "published before its batch: {candidates:#?}");
    };
    let (mut seen, mut ends) = (HashSet::new(), BTreeSet::new());
    walk_batch(&batch(Requires::All), &mut seen, &mut ends, check);
    assert!(seen.len() > 100, "only {} states were reached", seen.len());
    assert!(ends.contains(&vec!["published", "published"]), "{ends:?}");
    assert!(ends.contains(&vec!["gating", "rejected"]), "one that passed waits for its batch: {ends:?}");
    assert!(!ends.contains(&vec!["published", "rejected"]), "{ends:?}");
}

#[test]
fn where_each_is_judged_on_its_own_no_other_keeps_it_from_being_published() {
    let check = |candidates: &[Candidate]| {
        let mut touched = candidates.iter().filter(|candidate| is_touched(candidate));
        assert!(touched.all(has_passed), "published without a passing verdict: {candidates:#?}");
    };
    let (mut seen, mut ends) = (HashSet::new(), BTreeSet::new());
    walk_batch(&batch(Requires::Own), &mut seen, &mut ends, check);
    assert!(ends.contains(&vec!["published", "rejected"]), "{ends:?}");
    assert!(ends.iter().flatten().all(|end| *end != "gating"), "{ends:?}");
}

#[test]
fn a_scratch_candidate_is_never_published() {
    let (mut seen, mut outcomes) = (HashSet::new(), BTreeMap::new());
    walk(&candidate(Purpose::Scratch), &mut seen, &mut outcomes);
    let reached: Vec<&str> = outcomes.keys().copied().collect();
    assert_eq!(reached, ["build failed", "cannot tell", "passed", "rejected"]);
}

#[test]
fn a_recipe_without_cells_never_passes() {
    let mut candidate = candidate(Purpose::Release);
    candidate.recipe.smoketests.cells.clear();
    let (mut seen, mut outcomes) = (HashSet::new(), BTreeMap::new());
    walk(&candidate, &mut seen, &mut outcomes);
    let reached: Vec<&str> = outcomes.keys().copied().collect();
    assert_eq!(reached, ["build failed", "rejected"]);
}

/// Walks one way to its end, on which everything goes well, but for the smoketests where they are not green.
fn one_way(purpose: Purpose, is_green: bool) -> Candidate {
    let mut candidate = walk_until(Stage::is_finished, candidate(purpose), is_green);
    let last = next(&candidate, &[], Timestamp::UNIX_EPOCH);
    record(&mut candidate, last);
    candidate
}

/// The same way up to a stage.
fn walk_until(is_there: impl Fn(&Stage) -> bool, mut candidate: Candidate, is_green: bool) -> Candidate {
    while !is_there(&candidate.stage()) {
        let intents = next(&candidate, &[], Timestamp::UNIX_EPOCH);
        if intents.is_empty() {
            // The first answer is always the good one, and the second to a smoketest is red.
            let answer = usize::from(!is_green && candidate.stage() == Stage::Testing);
            let open = answers(&candidate);
            open[answer](&mut candidate);
        }
        record(&mut candidate, intents);
    }
    candidate
}

/// The messages of a candidate: what each is about and its topic.
fn said(candidate: &Candidate) -> Vec<(String, &'static str)> {
    let purpose = |step: &Step<Announce>| step.key.0.split_once("/announce/").unwrap().1.to_owned();
    candidate.steps.announcements.iter().map(|step| (purpose(step), step.request.topic())).collect()
}

#[test]
fn each_stage_is_told_of_once_under_its_topic() {
    let judged = [
        ("build/x86_64", "muster.build.complete"),
        ("smoketest/x86_64/bios", "muster.smoketest.complete"),
        ("smoketest/x86_64/uefi", "muster.smoketest.complete"),
        ("verdict", "muster.candidate.verdict"),
    ];
    let out = [
        ("image/mirror/qcow2", "muster.image.published"),
        ("image/archive/qcow2", "muster.image.published"),
        ("stream/stable", "muster.stream.promoted"),
    ];
    let expected = |all: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
        all.iter().map(|(about, topic)| ((*about).to_owned(), *topic)).collect()
    };
    assert_eq!(said(&one_way(Purpose::Release, true)), expected(&[&judged[..], &out].concat()));
    assert_eq!(said(&one_way(Purpose::Release, false)), expected(&judged));
    assert_eq!(said(&one_way(Purpose::Scratch, true)), expected(&judged));
}

#[test]
fn whoever_is_older_moves_pointers_first_and_whoever_has_begun_before_all() {
    let in_line = |id: &str, hours| {
        let mut candidate = candidate(Purpose::Release);
        candidate.id = CandidateId(id.to_owned());
        candidate.created += SignedDuration::from_hours(hours);
        walk_until(|stage| *stage == Stage::Promoting, candidate, true)
    };
    let (older, newer) = (in_line("cloud/43.20261121.98", 0), in_line("cloud/43.20261121.99", 1));
    assert_eq!(may_promote(&older, &[older.clone(), newer.clone()]), Ok(()));
    assert!(may_promote(&newer, &[older.clone(), newer.clone()]).is_err(), "the newer one goes first");
    let mut begun = newer.clone();
    let intents = next(&begun, &[], Timestamp::UNIX_EPOCH);
    record(&mut begun, intents);
    assert_ne!(begun.promotions().count(), 0);
    assert!(may_promote(&older, &[older.clone(), begun.clone()]).is_err(), "two move pointers at once");
    assert_eq!(may_promote(&begun, &[older.clone(), begun.clone()]), Ok(()));
    // Each stream by itself.
    begun.recipe.stream = "testing".to_owned();
    assert_eq!(may_promote(&older, &[older.clone(), begun]), Ok(()));
    let twin = in_line("cloud/43.20261121.99", 0);
    let turns = [may_promote(&older, std::slice::from_ref(&twin)), may_promote(&twin, &[older])];
    assert_eq!(
        turns.iter().filter(|turn| turn.is_ok()).count(),
        1,
        "of two made at once one goes first: {turns:?}"
    );
}

#[test]
fn a_stream_leads_to_everything_that_was_read_back() {
    let published = one_way(Purpose::Release, true);
    let places: Vec<String> =
        publications(&published).into_iter().map(|publication| publication.destination.name).collect();
    assert_eq!(places, ["mirror", "archive"]);
}

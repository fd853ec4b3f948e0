//! The rules, one fact each: what the gate says, and what follows from it and from what people wish.
#![expect(clippy::unwrap_used, reason = "a test")]

use jiff::{SignedDuration, Timestamp};
use muster_flow::announce::{self, Announced, Announcement, StreamAnnouncement, Subject};
use muster_flow::build::{Allowed, Artifact, Build, BuildOutput, BuildRequest};
use muster_flow::candidate::{Candidate, CandidateId, Life, Patience, Purpose, Stage, may_start};
use muster_flow::gate::{Counts, EarlyEnd, Ruling, Standing, Waiver, judge};
use muster_flow::publish::{Promote, PromoteRequest, StreamRelease, may_promote, overtaken};
use muster_flow::recipe::{Budgets, Form};
use muster_flow::smoketest::{
    Colour, ExpectedFailure, Smoketest, SmoketestOutput, SmoketestRequest, TestResult, Weight,
};
use muster_flow::step::{Handle, Progress, Step, StepKey};
use muster_flow::wish::{is_judged_anew, may_cancel, may_hold, may_retry, may_unwaive, retried};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    at("2026-11-21T12:00:00Z")
}

fn started(purpose: Purpose) -> Candidate {
    muster_specimen::candidate(muster_specimen::recipe("cloud"), purpose)
}

fn artifact() -> Artifact {
    Artifact {
        form: Form::Qcow2,
        arch: "x86_64".to_owned(),
        name: "i".to_owned(),
        path: "i".to_owned(),
        size: 1,
        digest: "d".to_owned(),
    }
}

/// With the build that its smoketests booted.
fn built(mut candidate: Candidate) -> Candidate {
    let recipe = &candidate.recipe;
    candidate.steps.builds.push(Step::<Build> {
        key: StepKey(format!("{}/build/x86_64", candidate.id)),
        request: BuildRequest {
            recipe: recipe.name.clone(),
            definition: candidate.definition.clone(),
            product: recipe.product.clone(),
            packages: recipe.packages.clone(),
            allowed: Allowed::default(),
            arch: "x86_64".to_owned(),
            version: recipe.version.clone(),
            file_stem: "i".to_owned(),
            source_date_epoch: 0,
            koji: None,
            imagefactory: None,
            composed: None,
        },
        progress: Progress::Succeeded(BuildOutput { artifacts: vec![artifact()], ..BuildOutput::default() }),
    });
    candidate
}

fn tested(colour: Colour) -> Candidate {
    let mut candidate = started(Purpose::Release);
    let artifact = artifact();
    let result = TestResult {
        name: "boots".to_owned(),
        weight: Weight::Gating,
        colour,
        duration_ms: 1,
        log: String::new(),
        expected_failure: None,
    };
    let output = SmoketestOutput { results: vec![result], ..SmoketestOutput::default() };
    candidate.steps.smoketests.push(Step::<Smoketest> {
        key: StepKey("cloud/43.20261121.0/smoketest/x86_64/bios".to_owned()),
        request: SmoketestRequest {
            candidate: candidate.id.to_string(),
            artifact,
            cell: candidate.recipe.smoketests.cells[0].clone(),
            tests: candidate.tests.clone(),
            packages: Vec::new(),
            ostree_commit: None,
            budgets: Budgets::default(),
        },
        progress: Progress::Succeeded(output),
    });
    candidate
}

/// The ruling and the standing of the one test.
fn ruling(candidate: &Candidate) -> (Ruling, Standing) {
    let verdict = judge(candidate, noon());
    (verdict.ruling, verdict.reasons[0].standing)
}

fn red() -> Candidate {
    tested(Colour::Red("it hangs".to_owned()))
}

fn results(candidate: &mut Candidate) -> &mut TestResult {
    let Progress::Succeeded(output) = &mut candidate.steps.smoketests[0].progress else {
        panic!("it is not over")
    };
    &mut output.results[0]
}

fn waiver() -> Waiver {
    muster_specimen::waiver("cloud", at("2026-12-01T00:00:00Z"))
}

#[test]
fn green_passes_and_red_fails() {
    assert_eq!(ruling(&tested(Colour::Green)), (Ruling::Pass, Standing::Passed));
    assert_eq!(ruling(&red()), (Ruling::Fail, Standing::Failed));
}

#[test]
fn a_test_that_did_not_run_is_missing_and_not_green() {
    assert_eq!(ruling(&tested(Colour::NotRun("no time".to_owned()))), (Ruling::Fail, Standing::Missing));
}

#[test]
fn a_boot_that_could_not_be_made_is_an_infra_error_and_no_failure() {
    let mut candidate = red();
    candidate.steps.smoketests[0].progress = Progress::Failed("no host".to_owned());
    assert_eq!(ruling(&candidate), (Ruling::CannotTell, Standing::InfraError));
}

#[test]
fn a_red_test_outweighs_a_broken_cloudlet() {
    let mut candidate = red();
    let mut other = candidate.steps.smoketests[0].clone();
    other.key = StepKey("cloud/43.20261121.0/smoketest/x86_64/uefi".to_owned());
    other.progress = Progress::Failed("no host".to_owned());
    candidate.steps.smoketests.push(other);
    assert_eq!(judge(&candidate, noon()).ruling, Ruling::Fail);
}

#[test]
fn a_waiver_forgives_what_it_covers_until_it_expires() {
    let mut candidate = red();
    candidate.decisions.waivers.push(waiver());
    assert_eq!(ruling(&candidate), (Ruling::Pass, Standing::Waived));
    assert_eq!(judge(&candidate, at("2026-12-01T00:00:00Z")).ruling, Ruling::Fail);
}

#[test]
fn a_waiver_for_another_cell_candidate_or_test_forgives_nothing() {
    let others = [
        Waiver { cell: Some("uefi".to_owned()), ..waiver() },
        Waiver { candidate: Some("cloud/43.20261120.0".to_owned()), ..waiver() },
        Waiver { test: "root-grown".to_owned(), ..waiver() },
        Waiver { recipe: "server".to_owned(), ..waiver() },
    ];
    for other in others {
        let mut candidate = red();
        candidate.decisions.waivers.push(other.clone());
        assert_eq!(judge(&candidate, noon()).ruling, Ruling::Fail, "{other:?}");
    }
}

#[test]
fn a_new_waiver_makes_the_old_verdict_out_of_date() {
    let mut candidate = red();
    candidate.decisions.verdict = Some(judge(&candidate, noon()));
    assert!(candidate.verdict().is_some());
    candidate.decisions.waivers.push(waiver());
    assert!(candidate.verdict().is_none());
}

#[test]
fn a_later_waiver_leaves_a_pass_as_it_is() {
    let mut candidate = tested(Colour::Green);
    candidate.decisions.verdict = Some(judge(&candidate, noon()));
    candidate.decisions.waivers.push(waiver());
    assert!(candidate.verdict().is_some());
}

/// A waiver that somebody ended at noon.
fn ended() -> Waiver {
    Waiver {
        ended: Some(EarlyEnd { who: "ada".to_owned(), why: "it was wrong".to_owned(), at: noon() }),
        ..waiver()
    }
}

#[test]
fn a_waiver_that_was_ended_forgives_nothing_any_more() {
    let mut candidate = red();
    candidate.decisions.waivers.push(ended());
    assert_eq!(ruling(&candidate), (Ruling::Fail, Standing::Failed));
    assert!(may_unwaive(&waiver(), noon()).is_ok());
    assert!(may_unwaive(&ended(), noon()).unwrap_err().contains("ada has ended this waiver"));
    assert!(may_unwaive(&waiver(), at("2026-12-01T00:00:00Z")).unwrap_err().contains("ran out"));
}

#[test]
fn a_pass_by_a_waiver_that_was_ended_is_judged_anew_until_pointers_move() {
    let mut candidate = red();
    candidate.decisions.waivers.push(waiver());
    candidate.decisions.verdict = Some(judge(&candidate, noon()));
    assert!(is_judged_anew(&candidate, &ended()));
    let mut scratch = candidate.clone();
    scratch.purpose = Purpose::Scratch;
    assert!(!is_judged_anew(&scratch, &ended()), "a scratch candidate is decided by its verdict");
    let mut promoting = candidate.clone();
    promoting.steps.promotions.push(promotion(&candidate));
    assert!(!is_judged_anew(&promoting, &ended()), "a pointer has moved");
    let mut cancelled = candidate.clone();
    cancelled.life = Life::Cancelled { who: "ada".to_owned(), why: "no".to_owned() };
    assert!(!is_judged_anew(&cancelled, &ended()), "it is over");

    // Judged without it, it is told of once more and stays as it is then.
    candidate.decisions.waivers = vec![ended()];
    assert_eq!(candidate.verdict(), None);
    let key = |candidate: &Candidate| {
        let wanted = announce::wanted(candidate, &candidate.stage_before_announcing());
        wanted.into_iter().find(|wanted| matches!(wanted.request, Announcement::Verdict(_))).unwrap().key
    };
    let mut before = candidate.clone();
    before.decisions.waivers = vec![waiver()];
    candidate.decisions.verdict = Some(judge(&candidate, noon()));
    assert_eq!(candidate.verdict().unwrap().ruling, Ruling::Fail);
    assert_ne!(key(&candidate), key(&before));
}

#[test]
fn the_end_of_a_waiver_leaves_what_it_did_not_make_pass_as_it_is() {
    let mut candidate = tested(Colour::Green);
    candidate.decisions.waivers.push(waiver());
    candidate.decisions.verdict = Some(judge(&candidate, noon()));
    assert!(!is_judged_anew(&candidate, &ended()), "it passed by itself");
    let mut candidate = red();
    let other = Waiver { test: "hostname".to_owned(), ..waiver() };
    candidate.decisions.waivers.push(other.clone());
    candidate.decisions.verdict = Some(judge(&candidate, noon()));
    assert_eq!(candidate.verdict().unwrap().ruling, Ruling::Fail);
    assert!(
        !is_judged_anew(&candidate, &Waiver { test: "hostname".to_owned(), ..ended() }),
        "it failed with it"
    );
}

#[test]
fn a_waiver_for_another_candidate_leaves_every_verdict_as_it_is() {
    let mut candidate = red();
    candidate.decisions.verdict = Some(judge(&candidate, noon()));
    candidate
        .decisions
        .waivers
        .push(Waiver { candidate: Some("cloud/43.20261120.0".to_owned()), ..waiver() });
    assert!(candidate.verdict().is_some());
}

fn release(recipe: &str, created: i64) -> StreamRelease {
    StreamRelease {
        recipe: recipe.to_owned(),
        summary: String::new(),
        version: "43.20261122.0".to_owned(),
        candidate: String::new(),
        created,
        publications: Vec::new(),
    }
}

/// A promotion that is on its way.
fn promotion(candidate: &Candidate) -> Step<Promote> {
    Step {
        key: StepKey(format!("{}/promote/mirror/qcow2", candidate.id)),
        request: PromoteRequest::Stream { stream: "stable".to_owned(), release: release("cloud", 0) },
        progress: Progress::Running(Handle("x".to_owned())),
    }
}

#[test]
fn a_candidate_that_was_overtaken_moves_no_pointer() {
    let candidate = started(Purpose::Release);
    let created = candidate.created.as_second();
    assert!(overtaken(&candidate, &[release("cloud", created + 1)]).is_some());
    let no_newer = [release("cloud", created - 1), release("cloud", created), release("server", created + 1)];
    assert!(overtaken(&candidate, &no_newer).is_none());
}

#[test]
fn a_form_that_no_build_left_is_missing_in_its_cell_and_at_its_destination() {
    let mut candidate = built(tested(Colour::Green));
    assert_eq!(ruling(&candidate).0, Ruling::Pass);
    let mut cell = candidate.recipe.smoketests.cells[0].clone();
    (cell.name, cell.artifact) = ("container".to_owned(), Form::Oci);
    candidate.recipe.smoketests.cells.push(cell);
    assert_eq!(ruling(&candidate), (Ruling::Fail, Standing::Missing));
    candidate.recipe.gate.informative_cells.push("container".to_owned());
    assert_eq!(ruling(&candidate).0, Ruling::Pass);
    let mut destination = candidate.recipe.destinations[0].clone();
    destination.takes = Form::Oci;
    candidate.recipe.destinations.push(destination);
    assert_eq!(ruling(&candidate).0, Ruling::Fail);
}

#[test]
fn what_is_not_done_again_is_not_told_again() {
    let mut candidate = red();
    let announcement = Announcement::Stream(StreamAnnouncement {
        subject: Subject {
            candidate: candidate.id.to_string(),
            recipe: "cloud".to_owned(),
            version: "43.20261121.0".to_owned(),
            purpose: "release".to_owned(),
        },
        stream: "stable".to_owned(),
        pointers: Vec::new(),
    });
    let told = |purpose: &str| Step {
        key: StepKey(format!("{}/{purpose}", candidate.id)),
        request: announcement.clone(),
        progress: Progress::Succeeded(Announced { message_id: String::new() }),
    };
    let purposes =
        ["build/x86_64", "smoketest/x86_64/bios", "smoketest/x86_64/uefi", "verdict", "stream/stable"];
    candidate.steps.announcements = purposes.map(|purpose| told(&format!("announce/{purpose}"))).into();
    let again = |purpose: &str| {
        let bases = retried(&candidate, &format!("{}/{purpose}", candidate.id));
        let told: Vec<String> =
            bases.iter().filter_map(|base| Some(base.split_once("/announce/")?.1.to_owned())).collect();
        told
    };
    assert_eq!(again("smoketest/x86_64/bios"), ["smoketest/x86_64/bios", "verdict", "stream/stable"]);
    assert_eq!(again("build/x86_64"), purposes);
    assert_eq!(again("build/aarch64"), ["verdict", "stream/stable"]);
    assert_eq!(again("promote/mirror/raw"), ["stream/stable"]);
}

#[test]
fn a_candidate_with_only_messages_left_keeps_no_other_from_starting() {
    let mut other = built(tested(Colour::Green));
    other.recipe.smoketests.cells.truncate(1);
    other.purpose = Purpose::Scratch;
    other.decisions.verdict = Some(judge(&other, noon()));
    assert_eq!(other.stage(), Stage::Announcing);
    let mut waiting = started(Purpose::Scratch);
    (waiting.life, waiting.id) = (Life::Waiting, CandidateId("cloud/43.20261121.1".to_owned()));
    let patience = Patience { quiet: SignedDuration::ZERO, at_most: SignedDuration::ZERO };
    let at = waiting.created + SignedDuration::from_hours(1);
    assert_eq!(may_start(&waiting, &[other], patience, at), Ok(()));
}

#[test]
fn nobody_moves_pointers_while_a_promotion_that_failed_elsewhere_is_not_over() {
    let candidate = started(Purpose::Release);
    let mut other = started(Purpose::Release);
    other.id = CandidateId("cloud/43.20261120.9".to_owned());
    let promotion = |progress| Step {
        key: StepKey("cloud/43.20261120.9/promote/registry/oci".to_owned()),
        request: PromoteRequest::Stream { stream: "stable".to_owned(), release: release("cloud", 0) },
        progress,
    };
    other.steps.promotions = vec![promotion(Progress::Running(Handle("x".to_owned())))];
    assert!(may_promote(&candidate, &[other.clone()]).is_err());
    other.steps.promotions = vec![promotion(Progress::Failed("it is away".to_owned()))];
    assert_eq!(may_promote(&candidate, &[other]), Ok(()));
}

#[test]
fn an_expected_failure_counts_again_once_it_ran_out() {
    let mut candidate = red();
    let known = ExpectedFailure { tracker: "issue 7".to_owned(), until: at("2026-11-22T00:00:00Z") };
    results(&mut candidate).expected_failure = Some(known);
    assert_eq!(ruling(&candidate), (Ruling::Pass, Standing::ExpectedFailure));
    let late = judge(&candidate, at("2026-11-22T00:00:00Z"));
    assert_eq!(late.ruling, Ruling::Fail);
    assert_eq!(
        late.reasons[0].note,
        "it hangs; the expected failure issue 7 ran out on 2026-11-22T00:00:00Z"
    );
}

#[test]
fn an_informative_test_is_shown_and_does_not_count() {
    let mut candidate = red();
    candidate.recipe.gate.informative.push("boots".to_owned());
    let verdict = judge(&candidate, noon());
    assert_eq!((verdict.ruling, verdict.reasons[0].counts), (Ruling::Pass, Counts::No));
}

#[test]
fn a_required_test_that_the_recipe_does_not_run_is_missing() {
    let mut candidate = tested(Colour::Green);
    candidate.recipe.gate.required.push("survives-reboot".to_owned());
    assert_eq!(ruling(&candidate), (Ruling::Fail, Standing::Missing));
}

#[test]
fn a_step_that_is_tried_again_gets_a_key_of_its_own_and_reopens_the_candidate() {
    let mut candidate = red();
    let base = "cloud/43.20261121.0/smoketest/x86_64/bios";
    candidate.decisions.retries.insert(base.to_owned(), 1);
    assert_eq!(candidate.key("smoketest/x86_64/bios").0, format!("{base}#2"));
    assert_eq!(candidate.smoketests().count(), 0);
    assert_eq!(candidate.stage(), Stage::Building);
}

#[test]
fn the_try_before_the_second_is_the_first() {
    let key = |text: &str| StepKey(text.to_owned());
    assert_eq!((key("a/b").generation(), key("a/b").previous()), (1, None));
    assert_eq!((key("a/b#2").generation(), key("a/b#2").previous()), (2, Some(key("a/b"))));
    assert_eq!(key("a/b#3").previous(), Some(key("a/b#2")));
}

#[test]
fn whoever_moves_pointers_can_neither_be_held_nor_cancelled_nor_built_again() {
    let mut candidate = built(started(Purpose::Release));
    assert_eq!((may_hold(&candidate), may_cancel(&candidate)), (Ok(()), Ok(())));
    let base = format!("{}/build/x86_64", candidate.id);
    assert!(may_retry(&candidate, &base, &[]).is_ok());
    candidate.steps.promotions = vec![promotion(&candidate)];
    assert!(may_hold(&candidate).unwrap_err().contains("too late to hold it"));
    assert!(may_cancel(&candidate).unwrap_err().contains("cannot be stopped half way"));
}

#[test]
fn a_candidate_that_is_never_promoted_cannot_be_held() {
    let scratch = built(started(Purpose::Scratch));
    assert!(may_hold(&scratch).unwrap_err().contains("it is never promoted"));
}

#[test]
fn nothing_is_tried_again_that_is_not_there_or_was_overtaken() {
    let candidate = built(started(Purpose::Release));
    let base = format!("{}/build/x86_64", candidate.id);
    assert!(
        may_retry(&candidate, "cloud/43.20261121.0/build/s390x", &[]).unwrap_err().contains("has no step")
    );
    let newer = [release("cloud", candidate.created.as_second() + 1)];
    assert!(may_retry(&candidate, &base, &newer).unwrap_err().contains("points at the newer"));
    let scratch = built(started(Purpose::Scratch));
    assert!(may_retry(&scratch, &base, &newer).is_ok(), "a scratch candidate moves no pointer");
}

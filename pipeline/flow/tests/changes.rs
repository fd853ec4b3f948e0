//! The rules about changes, one fact each: what touches what, and what waits for what.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use muster_flow::candidate::{self, Candidate, CandidateId, Life, Patience, Purpose};
use muster_flow::change::{What, Wish};
use muster_flow::relevance::{Admission, Knowledge, Touch, admit, up_to_date, weigh};

fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

// What touches what.

fn knowledge() -> Knowledge {
    let mut cloud = muster_specimen::recipe("cloud");
    cloud.packages.tags = vec!["f43-updates".to_owned()];
    let mut server = cloud.clone();
    server.name = "server".to_owned();
    server.definition.file = "server.ks".to_owned();
    let files = |own: &str| BTreeSet::from([own.to_owned(), "common.ks".to_owned()]);
    Knowledge {
        installed: [("bash".to_owned(), recorded("cloud", "bash-0-1"))].into(),
        files: [("cloud".to_owned(), files("cloud.ks")), ("server".to_owned(), files("server.ks"))].into(),
        recipes: vec![cloud, server],
        ..Knowledge::default()
    }
}

/// What the last build of a recipe recorded of a package.
fn recorded(recipe: &str, build: &str) -> BTreeMap<String, Option<String>> {
    [(recipe.to_owned(), Some(build.to_owned()))].into()
}

fn tagged(package: &str, tag: &str) -> What {
    What::PackageTagged { package: package.to_owned(), nvr: format!("{package}-1-1"), tag: tag.to_owned() }
}

fn pushed(files: &[&str]) -> What {
    What::Pushed {
        repository: "kickstarts".to_owned(),
        branch: "main".to_owned(),
        commit: "c0ffee".to_owned(),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
    }
}

fn names(what: &What, knowledge: &Knowledge) -> Result<Vec<String>, String> {
    weigh(what, Some("ada"), knowledge).map(|touches| touches.into_iter().map(|touch| touch.recipe).collect())
}

#[test]
fn a_package_touches_the_recipes_whose_last_build_recorded_it() {
    assert_eq!(names(&tagged("bash", "f43-updates"), &knowledge()).unwrap(), ["cloud"]);
}

#[test]
fn a_package_on_no_image_starts_nothing() {
    assert_eq!(names(&tagged("emacs", "f43-updates"), &knowledge()).unwrap_err(), "emacs is on no image");
}

#[test]
fn a_package_in_a_tag_that_no_recipe_takes_starts_nothing() {
    let why = names(&tagged("bash", "eln"), &knowledge()).unwrap_err();
    assert_eq!(why, "no recipe takes packages from eln");
}

#[test]
fn a_build_that_the_last_build_recorded_starts_nothing() {
    let mut knowledge = knowledge();
    knowledge.installed.insert("bash".to_owned(), recorded("cloud", "bash-1-1"));
    let tagged = tagged("bash", "f43-updates");
    assert_eq!(
        names(&tagged, &knowledge).unwrap(),
        ["cloud"],
        "nobody knows whether that is its newest image"
    );
    assert!(up_to_date(&tagged, &knowledge).is_empty());
    knowledge.settled.insert("cloud".to_owned());
    let why = names(&tagged, &knowledge).unwrap_err();
    assert_eq!(why, "the last build of cloud recorded this very build of bash");
    assert_eq!(up_to_date(&tagged, &knowledge), ["cloud"]);
    let untagged = What::PackageUntagged {
        package: "bash".to_owned(),
        nvr: "bash-1-1".to_owned(),
        tag: "f43-updates".to_owned(),
    };
    assert_eq!(names(&untagged, &knowledge).unwrap(), ["cloud"], "it must go from the image");
    // Another recipe may need it all the same.
    let on_both = [recorded("cloud", "bash-1-1"), recorded("server", "bash-0-1")].into_iter().flatten();
    knowledge.installed.insert("bash".to_owned(), on_both.collect());
    knowledge.settled.insert("server".to_owned());
    assert_eq!(names(&tagged, &knowledge).unwrap(), ["server"]);
    // Its architectures may have different ones.
    knowledge.installed.insert("bash".to_owned(), [("cloud".to_owned(), None)].into());
    assert_eq!(names(&tagged, &knowledge).unwrap(), ["cloud"]);
}

#[test]
fn a_recipe_that_was_never_built_is_touched_by_every_package_of_its_tags() {
    let mut knowledge = knowledge();
    knowledge.unbuilt.insert("server".to_owned());
    assert_eq!(names(&tagged("emacs", "f43-updates"), &knowledge).unwrap(), ["server"]);
}

#[test]
fn a_push_touches_what_it_changed_and_what_includes_it() {
    assert_eq!(names(&pushed(&["cloud.ks"]), &knowledge()).unwrap(), ["cloud"]);
    assert_eq!(names(&pushed(&["common.ks"]), &knowledge()).unwrap(), ["cloud", "server"]);
    assert_eq!(
        names(&pushed(&["README"]), &knowledge()).unwrap_err(),
        "no definition, and nothing that one includes, was changed"
    );
}

#[test]
fn a_push_to_another_repository_or_branch_touches_nothing() {
    let mut knowledge = knowledge();
    let push = |repository: &str, branch: &str| What::Pushed {
        repository: repository.to_owned(),
        branch: branch.to_owned(),
        commit: "c0ffee".to_owned(),
        files: vec!["common.ks".to_owned()],
    };
    assert!(names(&push("elsewhere", "main"), &knowledge).is_err());
    // A recipe that names no branch follows every one.
    assert_eq!(names(&push("kickstarts", "f43"), &knowledge).unwrap(), ["cloud", "server"]);
    for recipe in &mut knowledge.recipes {
        recipe.definition.branch = "main".to_owned();
    }
    assert!(names(&push("kickstarts", "f43"), &knowledge).is_err());
    assert_eq!(names(&push("kickstarts", "main"), &knowledge).unwrap(), ["cloud", "server"]);
}

#[test]
fn a_push_that_names_no_files_touches_every_definition_of_the_repository() {
    assert_eq!(names(&pushed(&[]), &knowledge()).unwrap(), ["cloud", "server"]);
}

#[test]
fn an_emergency_says_who_and_why() {
    let what = What::Requested {
        recipe: Some("cloud".to_owned()),
        stream: None,
        purpose: Wish::Emergency,
        reason: "a hole in bash".to_owned(),
    };
    let touches = weigh(&what, Some("ada"), &knowledge()).unwrap();
    let purpose = Purpose::Emergency { who: "ada".to_owned(), why: "a hole in bash".to_owned() };
    assert_eq!(touches[0].purpose, purpose);
}

#[test]
fn a_request_for_an_unknown_recipe_names_the_known_ones() {
    let what = What::Requested {
        recipe: Some("clod".to_owned()),
        stream: None,
        purpose: Wish::Scratch,
        reason: String::new(),
    };
    assert_eq!(names(&what, &knowledge()).unwrap_err(), "there is no recipe clod; there are: cloud, server");
}

// What waits for what.

fn waiting(id: &str) -> Candidate {
    let mut candidate = muster_specimen::candidate(muster_specimen::recipe("cloud"), Purpose::Scratch);
    candidate.id = CandidateId(id.to_owned());
    candidate.life = Life::Waiting;
    candidate.created = noon();
    candidate
}

fn touch() -> Touch {
    Touch { recipe: "cloud".to_owned(), purpose: Purpose::Scratch, why: String::new() }
}

#[test]
fn package_changes_join_the_candidate_that_waits() {
    let open = [waiting("cloud/43.20261121.0")];
    assert_eq!(admit(&touch(), &tagged("bash", "f43-updates"), &open), Admission::Joins(&open[0]));
}

#[test]
fn a_push_supersedes_the_candidate_that_waits() {
    let open = [waiting("cloud/43.20261121.0")];
    assert_eq!(admit(&touch(), &pushed(&[]), &open), Admission::Starts { supersedes: Some(&open[0]) });
}

#[test]
fn a_candidate_that_has_started_takes_nothing_in() {
    let mut started = waiting("cloud/43.20261121.0");
    started.life = Life::Started { at: noon() };
    let what = tagged("bash", "f43-updates");
    assert_eq!(admit(&touch(), &what, &[started]), Admission::Starts { supersedes: None });
}

#[test]
fn a_scratch_candidate_waits_until_changes_stop_but_not_for_ever() {
    let patience = Patience { quiet: SignedDuration::from_mins(1), at_most: SignedDuration::from_mins(15) };
    let mut candidate = waiting("cloud/43.20261121.0");
    let may_start = |candidate: &Candidate, now| candidate::may_start(candidate, &[], patience, now).is_ok();
    assert!(!may_start(&candidate, noon() + SignedDuration::from_secs(59)));
    assert!(may_start(&candidate, noon() + SignedDuration::from_secs(60)));
    candidate.changes.push(candidate::Cause {
        change: "c".to_owned(),
        at: noon() + SignedDuration::from_mins(20),
        summary: String::new(),
        why: String::new(),
    });
    assert!(may_start(&candidate, noon() + SignedDuration::from_mins(15)));
}

#[test]
fn one_scratch_candidate_of_a_recipe_runs_at_a_time() {
    let patience = Patience { quiet: SignedDuration::ZERO, at_most: SignedDuration::ZERO };
    let mut running = waiting("cloud/43.20261121.0");
    running.life = Life::Started { at: noon() };
    let candidate = waiting("cloud/43.20261121.1");
    let why = candidate::may_start(&candidate, &[running], patience, noon()).unwrap_err();
    assert_eq!(why, "cloud/43.20261121.0 is still on its way");
}

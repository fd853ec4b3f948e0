//! Who is accused, of what, after how many probes; and that no test that is red by chance gets an innocent accused.
//!
//! A made-up world says of each image whether it is red, from the packages and the definition that are really in it, and
//! lies at the boots that it is told to lie at.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_flow::blame::suspect::{Change, DEFINITION};
use muster_flow::blame::{self, Conclusion, How, Inquiry, Next, Sight, Symptom, Trial};
use muster_flow::build::{self, Artifact, BuildOutput, Package};
use muster_flow::candidate::{Candidate, CandidateId, Life, Outcome, Purpose, Stage};
use muster_flow::difference;
use muster_flow::gate;
use muster_flow::recipe::Form;
use muster_flow::smoketest::{self, Colour, SmoketestOutput, TestResult, Weight};
use muster_flow::step::{Progress, Step, StepKey};
use proptest::prelude::*;

/// More than any of the stories here needs.
const PLENTY: u32 = 60;

/// What is in an image that was not in the good one, by the names of the suspects.
type Image = BTreeSet<String>;

/// What images are like.
#[derive(Clone, Debug, Default)]
struct World {
    /// An image is red when it has all of any of these.
    culprits: Vec<Image>,
    /// What cannot be built without something else.
    needs: Vec<(String, String)>,
    /// The boots, counted from 0, that show the opposite of what is so.
    lies: BTreeSet<usize>,
    /// Whether every image is red since the red candidate was booted.
    is_broken: bool,
    /// Whether the builder takes the newest packages, whatever it may take.
    is_careless: bool,
}

impl World {
    fn with(culprits: &[&[&str]]) -> Self {
        let culprit = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        World { culprits: culprits.iter().map(culprit).collect(), ..World::default() }
    }

    fn is_red(&self, image: &Image) -> bool {
        self.is_broken || self.culprits.iter().any(|culprit| culprit.is_subset(image))
    }

    fn can_be_built(&self, image: &Image) -> bool {
        self.needs.iter().all(|(name, needed)| !image.contains(name) || image.contains(needed))
    }
}

/// Before and after: so many packages, each in a new version, and perhaps a new definition.
struct Case {
    good: Candidate,
    red: Candidate,
    symptoms: Vec<Symptom>,
    builds: Vec<StepKey>,
}

fn name(number: usize) -> String {
    format!("p{number:02}")
}

fn package(name: &str, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        epoch: 0,
        version: version.to_owned(),
        release: "1".to_owned(),
        arch: "x86_64".to_owned(),
    }
}

fn case(packages: usize, definitions: [&str; 2]) -> Case {
    let side = |number: u32, version: &str, definition: &str, colour: &Colour| {
        let mut candidate = muster_specimen::candidate(muster_specimen::recipe("cloud"), Purpose::Scratch);
        candidate.id = CandidateId(format!("cloud/43.20261121.{number}"));
        candidate.definition.texts = [("cloud.ks".to_owned(), definition.to_owned())].into();
        let packages: Vec<Package> = (0..packages).map(|number| package(&name(number), version)).collect();
        finish(&mut candidate, &packages, |cell| if cell == "uefi" { colour.clone() } else { Colour::Green });
        candidate
    };
    let good = side(0, "1", definitions[0], &Colour::Green);
    let red = side(1, "2", definitions[1], &Colour::Red("it hangs".to_owned()));
    let symptoms = blame::symptoms(&red);
    assert!(blame::is_good(&good, &symptoms) && !blame::is_good(&red, &symptoms));
    let builds = blame::builds(&red);
    Case { good, red, symptoms, builds }
}

/// Brings a candidate to its end: its builds install these packages, and its one test has this colour in a cell.
fn finish(candidate: &mut Candidate, packages: &[Package], colour: impl Fn(&str) -> Colour) {
    for wanted in build::wanted(candidate) {
        if candidate.steps.builds.iter().any(|step| step.key == wanted.key) {
            continue;
        }
        let artifact = Artifact {
            form: Form::Qcow2,
            arch: "x86_64".to_owned(),
            name: wanted.key.flat(),
            path: "i".to_owned(),
            size: 1,
            digest: "d".to_owned(),
        };
        let packages = packages.to_vec();
        let output = BuildOutput { artifacts: vec![artifact], packages, ..BuildOutput::default() };
        let progress = Progress::Succeeded(output);
        candidate.steps.builds.push(Step { key: wanted.key, request: wanted.request, progress });
    }
    for wanted in smoketest::wanted(candidate) {
        let result = |test: &smoketest::Test| TestResult {
            name: test.name.clone(),
            weight: Weight::Gating,
            colour: colour(&wanted.request.cell.name),
            duration_ms: 1,
            log: String::new(),
            expected_failure: None,
        };
        let results = wanted.request.tests.iter().map(result).collect();
        let progress = Progress::Succeeded(SmoketestOutput { results, ..SmoketestOutput::default() });
        candidate.steps.smoketests.push(Step { key: wanted.key, request: wanted.request, progress });
    }
    candidate.decisions.verdict = Some(gate::judge(candidate, Timestamp::UNIX_EPOCH));
    // Its messages are of no interest here.
    candidate.recipe.destinations.clear();
}

impl Case {
    /// Makes every probe that is asked for, until the inquiry is over; returns what it found and after which probes.
    fn inquire(&self, world: &World, bound: u32) -> (Conclusion, Vec<Candidate>) {
        let mut probes: Vec<Candidate> = Vec::new();
        loop {
            let inquiry = self.inquiry(&probes, bound);
            match blame::next(&inquiry, Timestamp::UNIX_EPOCH) {
                Next::Over(conclusion) => return (conclusion, probes),
                Next::Wait => panic!("a probe that is over is waited for: {:#?}", probes.last()),
                Next::Probe(probe) => {
                    let mut candidate = probe.candidate;
                    let booted = probes.iter().filter(|probe| !probe.steps.smoketests.is_empty()).count();
                    self.make(&mut candidate, probe.packages, world, booted);
                    assert!(probes.len() < bound as usize, "more probes than it may make");
                    assert!(probes.iter().all(|probe| probe.id != candidate.id), "{}", candidate.id);
                    probes.push(candidate);
                }
            }
        }
    }

    fn inquiry<'a>(&'a self, probes: &'a [Candidate], bound: u32) -> Inquiry<'a> {
        let (red, good, symptoms, builds) = (&self.red, &self.good, &self.symptoms, &self.builds);
        Inquiry { red, good, symptoms, builds, probes, earlier: 0, bound }
    }

    /// Builds and boots a probe, as the `number`th boot.
    fn make(&self, probe: &mut Candidate, packages: Option<BTreeSet<Package>>, world: &World, number: usize) {
        let mut packages: Vec<Package> = packages.into_iter().flatten().collect();
        if world.is_careless {
            packages = difference::packages(&self.red).into_iter().cloned().collect();
        }
        let is_new = |package: &&Package| package.version == "2";
        let of = |packages: &[Package], probe: &Candidate| -> Image {
            let names = packages.iter().filter(is_new).map(|package| package.name.clone());
            let is_changed = probe.definition.texts != self.good.definition.texts;
            names.chain(is_changed.then(|| DEFINITION.to_owned())).collect()
        };
        if probe.steps.builds.is_empty() && !world.can_be_built(&of(&packages, probe)) {
            let wanted = build::wanted(probe).remove(0);
            let progress = Progress::Failed("nothing provides it".to_owned());
            probe.steps.builds.push(Step { key: wanted.key, request: wanted.request, progress });
            return;
        }
        // What is booted may have been built before.
        let built = probe.builds().find_map(|step| step.output()).map(|output| output.packages.clone());
        let image = of(&built.unwrap_or_else(|| packages.clone()), probe);
        let is_red = world.is_red(&image) != world.lies.contains(&number);
        let colour = if is_red { Colour::Red("it hangs".to_owned()) } else { Colour::Green };
        finish(probe, &packages, |_| colour.clone());
    }
}

/// The names of those who are accused; none when nobody is.
fn accused(conclusion: &Conclusion) -> Vec<&str> {
    conclusion.accused().iter().map(|suspect| suspect.name.as_str()).collect()
}

fn builds(probes: &[Candidate]) -> usize {
    let is_built =
        |probe: &&Candidate| matches!(&probe.purpose, Purpose::Probe { trial: Trial::With(_), .. });
    let trials: BTreeSet<_> =
        probes.iter().filter(is_built).filter_map(|probe| probe.purpose.trial()).collect();
    trials.len()
}

#[test]
fn one_culprit_is_found_among_any_number_with_a_probe_for_each_halving_and_six_to_confirm() {
    for packages in (1..=9).chain([16, 17, 33]) {
        let case = case(packages, ["", ""]);
        for number in 0..packages {
            let culprit = name(number);
            let (conclusion, probes) = case.inquire(&World::with(&[&[&culprit]]), PLENTY);
            let Conclusion::Accused(accusation) = &conclusion else { panic!("{conclusion:?}") };
            assert_eq!(accused(&conclusion), [&culprit]);
            assert_eq!((accusation.how, &accusation.alone), (How::One, &Sight::Red));
            assert_eq!(accusation.without, Sight::Green);
            let halvings = packages.next_power_of_two().trailing_zeros() as usize;
            let expected = if packages == 1 { 3 } else { halvings + 6 };
            assert!(probes.len() <= expected, "{} probes for {culprit} of {packages}", probes.len());
            assert!(
                builds(&probes) <= halvings + 2,
                "{} builds for {culprit} of {packages}",
                builds(&probes)
            );
        }
    }
}

#[test]
fn one_suspect_is_confirmed_without_a_build() {
    let (conclusion, probes) = case(1, ["", ""]).inquire(&World::with(&[&["p00"]]), PLENTY);
    assert_eq!(accused(&conclusion), ["p00"]);
    let trials: Vec<_> = probes.iter().filter_map(|probe| probe.purpose.trial()).collect();
    assert_eq!(trials, [&Trial::Red, &Trial::Red, &Trial::Good]);
}

#[test]
fn the_definition_is_a_suspect_among_the_packages() {
    let case = case(5, ["old", "new"]);
    let (conclusion, _) = case.inquire(&World::with(&[&[DEFINITION]]), PLENTY);
    assert_eq!(accused(&conclusion), [DEFINITION]);
    let Conclusion::Accused(accusation) = &conclusion else { panic!("{conclusion:?}") };
    let files = vec!["cloud.ks".to_owned()];
    let change = Change::Definition { old: String::new(), new: String::new(), files };
    assert_eq!(accusation.suspects[0].change, change);
    let (conclusion, _) = case.inquire(&World::with(&[&["p03"]]), PLENTY);
    assert_eq!(accused(&conclusion), ["p03"]);
}

#[test]
fn a_test_that_is_red_by_chance_is_told_as_such_and_nobody_is_accused() {
    let (conclusion, probes) = case(5, ["old", "new"]).inquire(&World::default(), PLENTY);
    assert_eq!(conclusion, Conclusion::NotReproduced { red: 1, green: 2 });
    assert_eq!(probes.len(), 2);
    assert_eq!(builds(&probes), 0);
}

#[test]
fn one_boot_that_lies_gets_no_innocent_accused() {
    for packages in 1..=7 {
        let case = case(packages, ["", ""]);
        for lie in 0..16 {
            let lies = BTreeSet::from([lie]);
            let (conclusion, _) = case.inquire(&World { lies: lies.clone(), ..World::default() }, PLENTY);
            assert_eq!(accused(&conclusion), [""; 0], "nobody did it, {packages} suspects, boot {lie} lies");
            for number in 0..packages {
                let culprit = name(number);
                let world = World { lies: lies.clone(), ..World::with(&[&[&culprit]]) };
                let (conclusion, probes) = case.inquire(&world, PLENTY);
                let told: Vec<_> = probes.iter().map(|probe| probe.purpose.trial().unwrap()).collect();
                let accused = accused(&conclusion);
                // A lie about the red image itself means that it is not the same each time: then nobody is accused.
                let expected: &[&str] = if lie < 2 { &[] } else { &[&culprit] };
                assert_eq!(accused, expected, "{culprit} of {packages}, boot {lie} lies: {told:?}");
            }
        }
    }
}

#[test]
fn two_that_do_it_together_are_accused_together() {
    let packages = 6;
    let case = case(packages, ["", ""]);
    for one in 0..packages {
        for other in 0..one {
            let names = [name(other), name(one)];
            let world = World::with(&[&[&names[0], &names[1]]]);
            let (conclusion, _) = case.inquire(&world, PLENTY);
            assert_eq!(accused(&conclusion), names.each_ref().map(String::as_str));
            let Conclusion::Accused(accusation) = &conclusion else { panic!("{conclusion:?}") };
            assert_eq!((accusation.how, &accusation.without), (How::Together, &Sight::Green));
        }
    }
}

#[test]
fn of_two_that_each_do_it_one_is_accused_and_it_is_said_that_there_is_more() {
    let case = case(5, ["", ""]);
    let (conclusion, _) = case.inquire(&World::with(&[&["p01"], &["p04"]]), PLENTY);
    let Conclusion::Accused(accusation) = &conclusion else { panic!("{conclusion:?}") };
    assert_eq!(accused(&conclusion), ["p01"]);
    assert_eq!((&accusation.alone, &accusation.without), (&Sight::Red, &Sight::Red));
}

#[test]
fn what_cannot_be_built_accuses_nobody_and_is_tried_otherwise() {
    let packages = 6;
    let case = case(packages, ["", ""]);
    for needing in 0..packages {
        for needed in (0..packages).filter(|needed| *needed != needing) {
            for number in 0..packages {
                let culprit = name(number);
                let needs = vec![(name(needing), name(needed))];
                let world = World { needs, ..World::with(&[&[&culprit]]) };
                let (conclusion, _) = case.inquire(&world, PLENTY);
                let accused = accused(&conclusion);
                let told = format!("{culprit} did it, {needing} needs {needed}: {conclusion:?}");
                assert!(accused.contains(&culprit.as_str()), "{told}");
                // Only what cannot be told apart from it stands beside it.
                let tied = [culprit.clone(), name(needing), name(needed)];
                assert!(accused.iter().all(|name| tied.iter().any(|tied| tied == name)), "{told}");
                assert!(accused.len() == 1 || tied[1..].contains(&culprit), "{told}");
            }
        }
    }
}

#[test]
fn when_nothing_can_be_built_nobody_is_accused() {
    let case = case(4, ["", ""]);
    let ring = (0..4).map(|number| (name(number), name((number + 1) % 4))).collect();
    let world = World { needs: ring, ..World::with(&[&["p00"]]) };
    let (conclusion, _) = case.inquire(&world, PLENTY);
    let Conclusion::Inconclusive { left, .. } = &conclusion else { panic!("{conclusion:?}") };
    assert_eq!(left.len(), 4);
}

#[test]
fn a_builder_that_takes_what_it_should_not_gets_nobody_accused() {
    let world = World { is_careless: true, ..World::with(&[&["p02"]]) };
    let (conclusion, _) = case(5, ["", ""]).inquire(&world, PLENTY);
    assert_eq!(accused(&conclusion), [""; 0], "{conclusion:?}");
}

#[test]
fn when_the_good_image_is_red_as_well_no_change_of_the_image_is_accused() {
    let world = World { is_broken: true, ..World::default() };
    let mut case = case(5, ["", ""]);
    let (conclusion, _) = case.inquire(&world, PLENTY);
    assert!(matches!(conclusion, Conclusion::Elsewhere { .. }), "{conclusion:?}");
    case.red.tests[0].script = "false".to_owned();
    let (conclusion, _) = case.inquire(&world, PLENTY);
    let Conclusion::Accused(accusation) = &conclusion else { panic!("{conclusion:?}") };
    let change = Change::Testing(vec!["the smoketest boots was changed".to_owned()]);
    assert_eq!(accusation.suspects[0].change, change);
}

#[test]
fn a_bound_ends_it_with_those_who_are_left() {
    let case = case(16, ["", ""]);
    let (conclusion, probes) = case.inquire(&World::with(&[&["p05"]]), 5);
    assert_eq!(probes.len(), 5);
    let Conclusion::Inconclusive { left, .. } = &conclusion else { panic!("{conclusion:?}") };
    assert_eq!(left.join(" "), "p04 p05 p06 p07");
}

#[test]
fn a_probe_that_a_person_stops_ends_it() {
    let case = case(5, ["", ""]);
    let Next::Probe(probe) = blame::next(&case.inquiry(&[], PLENTY), Timestamp::UNIX_EPOCH) else {
        panic!("nothing is needed")
    };
    let mut probe = probe.candidate;
    let probes = [probe.clone()];
    assert_eq!(blame::next(&case.inquiry(&probes, PLENTY), Timestamp::UNIX_EPOCH), Next::Wait);
    probe.life = Life::Cancelled { who: "ada".to_owned(), why: "the month is over".to_owned() };
    let probes = [probe];
    let next = blame::next(&case.inquiry(&probes, PLENTY), Timestamp::UNIX_EPOCH);
    let Next::Over(Conclusion::Inconclusive { why, .. }) = next else { panic!("{next:?}") };
    assert!(why.contains("ada cancelled cloud/43.20261121.1_probe1: the month is over"), "{why}");
}

#[test]
fn a_candidate_that_is_built_again_gets_no_probe_and_nothing_is_said_of_its_test() {
    let mut case = case(2, ["a", "a"]);
    let base = case.builds[0].base().to_owned();
    case.red.decisions.retries.insert(base.clone(), 1);
    let over = |case: &Case| match blame::next(&case.inquiry(&[], PLENTY), Timestamp::UNIX_EPOCH) {
        Next::Over(conclusion) => conclusion.words(),
        other @ (Next::Wait | Next::Probe(_)) => panic!("{other:?}"),
    };
    let words = "it could not be found out what did it: it was built again meanwhile";
    assert_eq!(over(&case), words, "while it is built");
    let mut again = case.red.steps.builds[0].clone();
    again.key = StepKey::of_generation(&base, 2);
    case.red.steps.builds.push(again);
    assert_eq!(over(&case), words, "once it is built");
    // An older Muster did not remember what was red.
    case.builds.clear();
    assert!(matches!(blame::next(&case.inquiry(&[], PLENTY), Timestamp::UNIX_EPOCH), Next::Probe(_)));
}

#[test]
fn a_probe_boots_what_was_red_and_goes_nowhere() {
    let case = case(5, ["", ""]);
    assert_eq!(case.red.stage_before_announcing(), Stage::Finished(Outcome::Rejected));
    let (_, probes) = case.inquire(&World::with(&[&["p02"]]), PLENTY);
    for probe in &probes {
        let cells: Vec<_> = probe.smoketests().map(|step| step.request.cell.name.as_str()).collect();
        assert_eq!(cells, ["uefi"]);
        assert!(probe.recipe.destinations.is_empty() && !probe.purpose.is_published());
        assert!(muster_flow::next::next(probe, &[], Timestamp::UNIX_EPOCH).is_empty());
    }
    assert_eq!(probes[0].id.release(), "20261121.1_probe1");
}

#[test]
fn packages_of_one_source_are_one_suspect_and_what_comes_with_them_is_none() {
    let mut case = case(0, ["", ""]);
    let set = |candidate: &mut Candidate, packages: &[(&str, &str)]| {
        let Progress::Succeeded(output) = &mut candidate.steps.builds[0].progress else {
            panic!("not built")
        };
        output.packages = packages.iter().map(|(name, version)| package(name, version)).collect();
    };
    set(&mut case.good, &[("glibc", "1"), ("glibc-common", "1"), ("bash", "1"), ("old-dep", "1")]);
    set(&mut case.red, &[("glibc", "2"), ("glibc-common", "2"), ("bash", "2"), ("new-dep", "1")]);
    let suspects = muster_flow::blame::suspect::of(&case.good, &case.red);
    let names: Vec<Vec<&str>> = suspects
        .iter()
        .map(|suspect| suspect.packages().iter().map(|difference| difference.name.as_str()).collect())
        .collect();
    assert_eq!(names, [vec!["bash"], vec!["glibc", "glibc-common"]]);
    set(&mut case.red, &[("glibc", "1"), ("glibc-common", "1"), ("bash", "1"), ("new-dep", "1")]);
    let suspects = muster_flow::blame::suspect::of(&case.good, &case.red);
    let names: Vec<&str> = suspects.iter().map(|suspect| suspect.name.as_str()).collect();
    assert_eq!(names, ["new-dep", "old-dep"], "nothing else has changed");
}

/// A set of suspects of at most this many.
fn images(packages: usize) -> impl Strategy<Value = Image> {
    prop::collection::btree_set((0..packages).prop_map(name), 1..=2)
}

proptest! {
    /// Whoever did it, whatever cannot be built, and however often boots lie.
    #[test]
    fn it_always_ends_within_its_bound(
        (packages, culprits, needs, lies) in (1_usize..20).prop_flat_map(|packages| (
            Just(packages),
            prop::collection::vec(images(packages), 0..3),
            prop::collection::vec(((0..packages).prop_map(name), (0..packages).prop_map(name)), 0..4),
            prop::collection::btree_set(0_usize..30, 0..12),
        )),
        bound in 0_u32..14,
    ) {
        let world = World { culprits, needs, lies, ..World::default() };
        let (_, probes) = case(packages, ["", ""]).inquire(&world, bound);
        prop_assert!(probes.len() <= bound as usize);
    }

    /// One lie among many boots, wherever it is.
    #[test]
    fn a_rare_lie_gets_no_innocent_accused(
        (packages, culprit) in (1_usize..24).prop_flat_map(|packages| (Just(packages), 0..packages)),
        lie in 0_usize..14,
    ) {
        let culprit = name(culprit);
        let world = World { lies: [lie].into(), ..World::with(&[&[&culprit]]) };
        let (conclusion, _) = case(packages, ["", ""]).inquire(&world, PLENTY);
        prop_assert!(accused(&conclusion).iter().all(|name| *name == culprit), "{conclusion:?}");
    }
}

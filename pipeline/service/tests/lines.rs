//! Lists read what a line needs, and say what the whole would say. On both databases.
#![expect(clippy::unwrap_used, reason = "a test")]

mod tale;

use std::time::Instant;

use muster::store::lines::Line;
use muster::story::teller::Teller;
use muster_flow::candidate::{Candidate, CandidateId, Purpose};
use muster_flow::smoketest::Test;
use muster_lab::database;
use sqlx::AnyPool;
use tale::{Fate, Tale, recipe, tests};

/// A candidate at each bend of the way, on a database of the test's own.
async fn every_stage(tale: &mut Tale) -> Vec<CandidateId> {
    type Fates = fn(&str) -> Fate;
    let bends: [(Purpose, Fates); 8] = [
        (Purpose::Release, |_| Fate::Well),
        (Purpose::Scratch, |_| Fate::Well),
        (Purpose::Release, |key| if key.contains("/build/") { Fate::Fails("no libfoo") } else { Fate::Well }),
        (Purpose::Release, |key| {
            if key.contains("smoketest") { Fate::Red(&["hostname"], "it is localhost") } else { Fate::Well }
        }),
        (
            Purpose::Release,
            |key| if key.contains("smoketest") { Fate::Fails("no cloud") } else { Fate::Well },
        ),
        (
            Purpose::Release,
            |key| if key.contains("upload") { Fate::Stumbles("no route") } else { Fate::Well },
        ),
        (Purpose::Release, |key| if key.contains("smoketest") { Fate::Runs("booting") } else { Fate::Well }),
        (Purpose::Scratch, |_| Fate::Queued),
    ];
    let mut ids = Vec::new();
    for (number, (purpose, fates)) in (0_u32..).zip(bends) {
        let id = tale.make(recipe("cloud-base"), number, purpose).await;
        tale.start(&id, tests()).await;
        tale.live(&id, fates).await;
        ids.push(id);
    }
    // One that a person has asked to try again, and one that a person stopped.
    tale.store
        .retry(&ids[3], &format!("{}/smoketest/x86_64/uefi-q35", ids[3]), "ada", "why not")
        .await
        .unwrap();
    tale.store.cancel(&ids[7], "ada", "enough").await.unwrap();
    ids
}

/// What must not be read for a list.
fn burden(candidate: &Candidate) -> usize {
    let builds = candidate.steps.builds.iter();
    let packages = builds.clone().filter_map(|step| step.output()).map(|output| output.packages.len());
    let texts =
        builds.map(|step| step.request.definition.texts.len()).chain([candidate.definition.texts.len()]);
    let boots = candidate.steps.smoketests.iter();
    let asked = boots.clone().map(|step| step.request.tests.len() + step.request.packages.len());
    let shown = boots.filter_map(|step| step.output()).map(|output| output.results.len());
    packages.chain(texts).chain(asked).chain(shown).sum::<usize>() + candidate.tests.len()
}

#[tokio::test]
async fn a_line_stands_where_the_whole_candidate_stands_and_carries_no_lists() {
    for database in database::each().await.unwrap() {
        let mut tale = Tale::on(Some(database.url.clone())).await;
        let ids = every_stage(&mut tale).await;
        let mut lines = tale.store.lines(100).await.unwrap();
        lines.reverse();
        assert_eq!(
            lines.iter().map(|line| &line.candidate.id).collect::<Vec<_>>(),
            ids.iter().collect::<Vec<_>>()
        );
        for line in &lines {
            let whole = tale.candidate(&line.candidate.id).await;
            assert_eq!(line.candidate.stage(), whole.stage(), "{} of {}", whole.id, database.kind);
            assert_eq!(line.candidate.decisions, whole.decisions, "{}", whole.id);
            assert_eq!(line.candidate.changes.last(), whole.changes.last(), "{}", whole.id);
            assert!(burden(&whole) > 0 || whole.steps.builds.is_empty(), "the tale has nothing to leave out");
            assert_eq!(burden(&line.candidate), 0, "{} of {}", whole.id, database.kind);
        }
        let open = tale.store.open_lines().await.unwrap();
        let whole = tale.store.open_candidates().await.unwrap();
        let ids = |candidates: Vec<&Candidate>| -> Vec<CandidateId> {
            candidates.into_iter().map(|candidate| candidate.id.clone()).collect()
        };
        assert_eq!(ids(open.iter().map(|line| &line.candidate).collect()), ids(whole.iter().collect()));
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_read_takes_no_other_with_it_and_is_told() {
    for database in database::each().await.unwrap() {
        let mut tale = Tale::on(Some(database.url.clone())).await;
        let ids = every_stage(&mut tale).await;
        let pool = AnyPool::connect(&database.url).await.unwrap();
        for (sql, count) in [
            ("UPDATE step SET output = 'no JSON' WHERE key = $1", ids.len() - 1),
            ("UPDATE step SET output = '{}' WHERE key = $1", ids.len() - 1),
        ] {
            let key = format!("{}/build/x86_64", ids[0]);
            let done = sqlx::query(sql).bind(&key).execute(&pool).await.unwrap();
            assert_eq!(done.rows_affected(), 1);
            assert_eq!(tale.store.lines(100).await.unwrap().len(), count, "{sql} on {}", database.kind);
            assert_eq!(tale.store.unreadable()[0].0, ids[0]);
        }
        pool.close().await;
    }
}

/// As many candidates as a service has made in a year, each as heavy as a real one.
async fn a_year(tale: &mut Tale, url: &str, candidates: u32, packages: usize) {
    tale.installs = (0..packages)
        .map(|number| (&*format!("package-{number}-with-a-name").leak(), "1.22.333", "4.fc43"))
        .collect();
    let script = "#!/bin/sh\nset -eu\ncurl -fsS http://169.254.169.254/latest/meta-data/hostname\n".repeat(8);
    let test =
        |number: u32| Test { script: script.clone(), ..muster_specimen::test(&format!("test-{number}")) };
    let id = tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    tale.start(&id, (0..16).map(test).collect()).await;
    tale.live(&id, |_| Fate::Well).await;
    let pool = AnyPool::connect(url).await.unwrap();
    for number in 1..candidates {
        let another = CandidateId::new("cloud-base", "43", "20261121", number).0;
        for sql in [
            "INSERT INTO candidate (id, recipe, stream, created, facts, life, verdict, finished) SELECT $2, recipe, \
             stream, created + 1, facts, life, REPLACE(verdict, $1, $2), finished FROM candidate WHERE id = $1",
            "INSERT INTO cause (candidate, change, at, summary, why) SELECT $2, change, at, summary, why FROM cause \
             WHERE candidate = $1",
            "INSERT INTO step (key, candidate, kind, request, state, handle, output, due, deadline, created, updated) \
             SELECT REPLACE(key, $1, $2), $2, kind, REPLACE(request, $1, $2), state, handle, output, due, deadline, \
             created, updated FROM step WHERE candidate = $1",
        ] {
            sqlx::query(sql).bind(&id.0).bind(&another).execute(&pool).await.unwrap();
        }
    }
    pool.close().await;
}

#[tokio::test]
#[ignore = "it measures: what a list of 300 candidates with 500 packages costs, by what all of them cost as a whole"]
async fn what_a_list_costs() {
    for database in database::each().await.unwrap() {
        let mut tale = Tale::on(Some(database.url.clone())).await;
        a_year(&mut tale, &database.url, 300, 500).await;
        let teller = Teller::new(tale.store.clone(), &tale.settings, tale.clock.clone());
        let begun = Instant::now();
        let whole = tale.store.candidates(300).await.unwrap();
        let whole = whole.into_iter().map(|candidate| Line { candidate, changes: 1, note: String::new() });
        let by_whole = teller.briefs(&whole.collect::<Vec<_>>()).await.unwrap();
        let of_whole = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let by_lines = teller.briefs(&tale.store.lines(300).await.unwrap()).await.unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!((by_lines.len(), by_whole), (300, by_lines));
        eprintln!(
            "{}: whole {of_whole:.3} s, lines {seconds:.3} s, ratio {:.1}",
            database.kind,
            of_whole / seconds
        );
    }
}

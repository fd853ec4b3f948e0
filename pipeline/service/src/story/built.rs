//! What a candidate's builds left on record: what is in them, and what the builder knows them by.

use muster_flow::build::Package;
use muster_flow::candidate::Candidate;
use muster_flow::koji::KojiRecord;
use serde::Serialize;

/// One build that is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Built {
    /// The step, by its key.
    pub step: String,
    /// The architecture; several, joined by plus signs, where one build made the images of all.
    pub arch: String,
    /// What Koji knows it by, when Koji built it.
    pub koji: Option<KojiRecord>,
    /// What is installed, sorted by name.
    pub packages: Vec<Package>,
}

/// The builds of a candidate that are done.
pub fn of_candidate(candidate: &Candidate) -> Vec<Built> {
    let built = candidate.builds().filter_map(|step| {
        let output = step.output()?;
        Some(Built {
            step: step.key.to_string(),
            arch: step.request.arch.clone(),
            koji: output.koji.clone(),
            packages: output.packages.clone(),
        })
    });
    built.collect()
}

/// What Koji knows a build by, one line each; nothing of a scratch image, whose links say it all.
pub fn lines(record: &KojiRecord) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(build) = &record.build {
        lines.push(format!("Koji keeps it as {} (build {}, task {}).", build.nvr, build.id, record.task));
    }
    lines.extend(record.repos.iter().map(|repo| {
        format!(
            "Its packages came from {} as it was at event {} (repository {}).",
            repo.tag, repo.event, repo.id
        )
    }));
    lines
}

//! Which topics mean something to us.

/// What a message is about, by its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Koji: a build came into a tag.
    Tag,
    /// Koji: a build left a tag.
    Untag,
    /// Koji: a build began, was completed, failed, was cancelled or deleted.
    BuildState,
    /// Koji: the repository of a tag was made.
    RepoDone,
    /// Koji: the repository of a tag is being made.
    RepoInit,
    /// A commit in dist-git, as its hook sends it.
    DistGit,
    /// A push to pagure.
    Pagure,
    /// A push to Forgejo.
    Forgejo,
    /// A push to GitHub.
    Github,
    /// The state of a compose.
    Compose,
}

/// Each subject with the end of its topic.
pub(super) const KNOWN: [(&str, Subject); 10] = [
    ("buildsys.tag", Subject::Tag),
    ("buildsys.untag", Subject::Untag),
    ("buildsys.build.state.change", Subject::BuildState),
    ("buildsys.repo.done", Subject::RepoDone),
    ("buildsys.repo.init", Subject::RepoInit),
    ("git.receive", Subject::DistGit),
    ("pagure.git.receive", Subject::Pagure),
    ("forgejo.push", Subject::Forgejo),
    ("github.push", Subject::Github),
    ("pungi.compose.status.change", Subject::Compose),
];

/// The words that end a deployment's prefix, as in `org.fedoraproject.prod` and `io.pagure.stg`. A topic of another
/// deployment keeps its prefix, since only that of our own is known.
const DEPLOYMENTS: [&str; 7] = ["prod", "stg", "staging", "stage", "dev", "devel", "lab"];

impl Subject {
    /// What a topic is about; `None` when it is none of ours.
    pub fn of(topic: &str) -> Option<Subject> {
        let known = KNOWN.iter().find(|(end, _)| {
            topic.strip_suffix(end).is_some_and(|before| before.is_empty() || is_prefix(before))
        });
        known.map(|(_, subject)| *subject).or_else(|| old_dist_git(topic))
    }

    /// What it is called in sentences for people.
    pub fn words(self) -> &'static str {
        match self {
            Subject::Tag => "tag",
            Subject::Untag => "untag",
            Subject::BuildState => "build state",
            Subject::RepoDone | Subject::RepoInit => "repository",
            Subject::DistGit => "dist-git",
            Subject::Pagure => "pagure push",
            Subject::Forgejo => "Forgejo push",
            Subject::Github => "GitHub push",
            Subject::Compose => "compose",
        }
    }
}

/// Whether what stands before the end of a topic is the prefix of a deployment.
fn is_prefix(before: &str) -> bool {
    let last = before.strip_suffix('.').and_then(|before| before.rsplit('.').next());
    last.is_some_and(|last| DEPLOYMENTS.contains(&last))
}

/// Long ago dist-git put package and branch behind the topic, as in `git.receive.valgrind.master`.
fn old_dist_git(topic: &str) -> Option<Subject> {
    let (before, _) = topic.split_once("git.receive.")?;
    (before.is_empty() || is_prefix(before)).then_some(Subject::DistGit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_known_under_any_deployment_and_never_inside_another_application() {
        for (topic, subject) in [
            ("buildsys.tag", Some(Subject::Tag)),
            ("org.fedoraproject.stg.buildsys.untag", Some(Subject::Untag)),
            ("git.receive", Some(Subject::DistGit)),
            ("org.fedoraproject.prod.git.receive.valgrind.master", Some(Subject::DistGit)),
            ("io.pagure.prod.pagure.git.receive", Some(Subject::Pagure)),
            ("org.fedoraproject.prod.trac.git.receive", None),
            ("trac.git.receive", None),
            ("org.fedoraproject.prod.infragit.receive", None),
            ("org.fedoraproject.prod.coreos.build.state.change", None),
            ("org.fedoraproject.prod.bodhi.repo.done", None),
            ("xbuildsys.tag", None),
            ("", None),
            ("git.receive.", Some(Subject::DistGit)),
        ] {
            assert_eq!(Subject::of(topic), subject, "{topic}");
        }
    }
}

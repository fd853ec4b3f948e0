//! A commit that something else composed: read into an archive, every object checked by its hash, and made to boot.

use anyhow::Context;
use muster_flow::build::{Artifact, BuildOutput, Composed, Package};
use muster_flow::recipe::Form;

use super::{Sysroot, disk_of, empty_sysroot, finish_archive, finish_disk, in_repository, os_name};
use crate::adapters::local::fault::Result;
use crate::adapters::local::workshop::Workshop;

/// Where rpm-ostree keeps what is installed, in a commit's metadata.
const PACKAGES: &str = "rpmostree.rpmdb.pkglist";

/// The archive of a commit that was composed elsewhere, and the disks that boot it.
pub async fn finish(workshop: &Workshop, composed: &Composed) -> Result<BuildOutput> {
    let archive = workshop.phase("archive", pull(workshop, composed)).await?;
    boot(workshop, composed, archive).await
}

/// The disks that boot a commit that the archive holds.
pub async fn boot(workshop: &Workshop, composed: &Composed, archive: Artifact) -> Result<BuildOutput> {
    let packages = workshop.phase("manifest", packages(workshop, composed)).await?;
    let sysroot = workshop.phase("commit", sysroot(workshop, composed)).await?;
    let disk = disk_of(workshop, &sysroot).await?;
    let mut artifacts = vec![archive];
    artifacts.extend(workshop.phase("compress", finish_disk(workshop, disk)).await?);
    Ok(BuildOutput {
        artifacts,
        packages,
        warnings: composed.warnings.clone(),
        links: composed.links.clone(),
        koji: composed.koji.clone(),
        ..BuildOutput::default()
    })
}

/// Reads the commit, and nothing that came before it.
async fn pull(workshop: &Workshop, composed: &Composed) -> Result<Artifact> {
    let Composed { repository, reference, commit, .. } = composed;
    workshop.say(&format!("reading {commit} from {repository}"));
    let to = in_repository(&workshop.artifact(Form::OstreeCommit));
    workshop.run("ostree", |ostree| ostree.args(["init", "--mode=archive", &to])).await?;
    // What is read is the commit that the builders named, whoever may have signed it.
    workshop
        .run("ostree", |ostree| {
            ostree.args(["remote", "add", &to, "--no-gpg-verify", "composed"]).arg(repository)
        })
        .await?;
    let wanted = format!("{reference}@{commit}");
    workshop
        .run("ostree", |ostree| ostree.args(["pull", &to, "--mirror", "--depth=0", "composed", &wanted]))
        .await
        .with_context(|| format!("cannot read {wanted} from {repository}"))?;
    workshop.run("ostree", |ostree| ostree.args(["remote", "delete", &to, "composed"])).await?;
    finish_archive(workshop, commit).await
}

async fn sysroot(workshop: &Workshop, composed: &Composed) -> Result<Sysroot> {
    let from = workshop.artifact(Form::OstreeCommit);
    let (repository, commit) = (in_repository(&from), &composed.commit);
    let os_release = workshop
        .run("ostree", |ostree| ostree.args(["cat", &repository, commit, "/usr/lib/os-release"]))
        .await?;
    let name = os_name(&os_release.text());
    let path = empty_sysroot(workshop, &name).await?;
    let to = in_repository(&path.join("ostree/repo"));
    workshop
        .run("ostree", |ostree| ostree.args(["pull-local", &to]).arg(&from).arg(&composed.reference))
        .await?;
    Ok(Sysroot { path, name, commit: commit.clone(), reference: composed.reference.clone() })
}

/// What the commit says is installed.
async fn packages(workshop: &Workshop, composed: &Composed) -> Result<Vec<Package>> {
    let repository = in_repository(&workshop.artifact(Form::OstreeCommit));
    let key = format!("--print-metadata-key={PACKAGES}");
    let shown = workshop
        .run("ostree", |ostree| ostree.args(["show", &repository, &key, &composed.commit]))
        .await
        .context("the commit does not say what is installed")?;
    let mut packages =
        read_packages(&shown.text()).context("cannot read what the commit says is installed")?;
    packages.sort();
    Ok(packages)
}

/// `[('bash', '0', '5.2', '1.fc43', 'x86_64'), ...]`, as `ostree` prints an array of five strings each.
fn read_packages(text: &str) -> anyhow::Result<Vec<Package>> {
    let mut words = Vec::new();
    let mut characters = text.chars();
    while let Some(quote) = characters.by_ref().find(|character| ['\'', '"'].contains(character)) {
        let mut word = String::new();
        loop {
            match characters.next().context("a word has no end")? {
                '\\' => word.extend(characters.next()),
                character if character == quote => break,
                character => word.push(character),
            }
        }
        words.push(word);
    }
    anyhow::ensure!(words.len() % 5 == 0, "it has {} words, and a package has five", words.len());
    let package = |five: &[String]| {
        let [name, epoch, version, release, arch] = five else { anyhow::bail!("a package has five words") };
        Ok(Package {
            name: name.clone(),
            epoch: epoch.parse().with_context(|| format!("{name} has the epoch {epoch:?}"))?,
            version: version.clone(),
            release: release.clone(),
            arch: arch.clone(),
        })
    };
    words.chunks(5).map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_as_glib_prints_them() {
        let text = "[('bash', '0', '5.2', '1.fc43', 'x86_64'), (\"it's\", '2', '1~rc', '1', 'noarch')]\n";
        let packages = read_packages(text).unwrap();
        assert_eq!(packages[0].nvr(), "bash-5.2-1.fc43");
        assert_eq!((packages[1].name.as_str(), packages[1].epoch), ("it's", 2));
        assert_eq!(read_packages("@a(sssss) []").unwrap(), []);
        assert!(read_packages("[('bash', '0')]").is_err());
        assert!(read_packages("[('bash").is_err());
    }
}

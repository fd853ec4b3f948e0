//! An OSTree repository: commits arrive under a private ref, and the public ref moves on promotion.
//!
//! The private ref lies among those of a remote called `muster-staging`, which no summary lists, no reader of
//! `refs/heads` finds, and which is not served. The objects of an upload are served by their hashes from its beginning,
//! as those that verify it need them: who knows a commit's id can pull it before promotion, and nobody is told the id.
//! It knows `ostree`. It must not know when refs move.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use muster_flow::build::Artifact;
use muster_flow::publish::{PromoteOutput, UploadOutput, UploadRequest, Uploaded, VerifyOutput};
use muster_flow::recipe::Form;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::adapters::destination::Shown;
use crate::adapters::mirror::layout;
use crate::adapters::signer::{KEY_FILE, PublicKey, Signer};
use crate::port::Fault;
use crate::program::{self, Program};

/// The remote whose refs keep uploads alive.
const STAGING: &str = "muster-staging";

/// What a client of a repository reads. Private refs, and what `ostree` keeps for itself, are not among it.
pub const SHOWN: Shown = Shown::Only {
    folders: &["objects", "refs/heads", "refs/mirrors", "deltas", "delta-indexes"],
    files: &["config", "summary", "summary.sig", KEY_FILE],
};

/// How long one run of `ostree` may take: a large tree over a slow line.
const LIMIT: Duration = Duration::from_hours(1);

/// An OSTree repository in the section `[destinations.NAME]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder of the repository, in archive mode; `NAME` in the state folder by default.
    pub repository: Option<PathBuf>,
    /// The address at which strangers find it, without a slash at the end; `URL/pub/NAME` by default.
    pub url: Option<String>,
}

/// An OSTree repository.
#[derive(Clone, Debug)]
pub struct OstreeRepository {
    /// Its name in the configuration.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The address at which strangers find it.
    pub url: String,
    /// Who signs.
    pub signer: Signer,
}

/// One commit and the ref it is for.
struct Commit {
    id: String,
    source: String,
    reference: String,
    staging: String,
    uploaded: Uploaded,
}

impl OstreeRepository {
    /// Pulls every commit into the repository, signs it, and keeps it alive by a private ref.
    pub async fn upload(&self, upload: &UploadRequest) -> Result<UploadOutput, Fault> {
        let commits = self.commits(upload).map_err(Fault::give_up)?;
        let _lock = self.lock().await.map_err(Fault::retry)?;
        for commit in &commits {
            self.take(commit).await.map_err(Fault::retry)?;
        }
        Ok(UploadOutput { uploaded: commits.into_iter().map(|commit| commit.uploaded).collect() })
    }

    /// Whether every commit is there.
    pub async fn holds(&self, upload: &UploadRequest) -> Result<bool> {
        for commit in self.commits(upload)? {
            if !self.has(&commit.id).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pulls every commit by its id into a repository of a stranger, and lets `ostree` check all of it.
    pub async fn verify(&self, upload: &UploadRequest, uploaded: &[Uploaded]) -> Result<VerifyOutput, Fault> {
        let commits = self.commits(upload).map_err(Fault::give_up)?;
        if !commits.iter().map(|commit| &commit.uploaded).eq(uploaded) {
            return Err(Fault::GiveUp("what was uploaded is not what was asked for".to_owned()));
        }
        let key = self.commit_key().await.map_err(Fault::retry)?;
        let mut checked = Vec::new();
        for commit in &commits {
            let stranger = Stranger::new(&self.url, key.as_ref()).await.map_err(Fault::retry)?;
            stranger.pull(&commit.id, &[]).await?;
            stranger.fsck().await.map_err(Fault::give_up)?;
            checked.push(format!(
                "{}: commit {} pulled and checked, {}",
                self.url,
                commit.id,
                signed(key.as_ref())
            ));
        }
        Ok(VerifyOutput { checked })
    }

    /// Moves the public refs, writes the summary anew, and pulls each ref as a stranger.
    pub async fn promote(&self, upload: &UploadRequest) -> Result<PromoteOutput, Fault> {
        let commits = self.commits(upload).map_err(Fault::give_up)?;
        let lock = self.lock().await.map_err(Fault::retry)?;
        for Commit { id, reference, .. } in &commits {
            if self.find_ref(reference).await.as_deref() != Some(id) {
                let moved = self.ostree("refs").args(["--force", "--create", reference, id]).run().await;
                moved.with_context(|| format!("cannot move {reference}")).map_err(Fault::retry)?;
            }
        }
        self.summarize().await.map_err(Fault::retry)?;
        let key = self.commit_key().await.map_err(Fault::retry)?;
        if let Some(key) = &key {
            key.offer(&self.folder).map_err(Fault::retry)?;
        }
        let mut pointers = Vec::new();
        for Commit { id, reference, .. } in &commits {
            let stranger = Stranger::new(&self.url, key.as_ref()).await.map_err(Fault::retry)?;
            // Every object was read back before; now the ref is to be seen, with the commit and its signature.
            stranger.pull(reference, &["--commit-metadata-only"]).await?;
            let seen = stranger.resolve(reference).await.map_err(Fault::retry)?;
            if seen != *id {
                return Err(Fault::Retry(format!("a reader of {reference} gets {seen}, not {id}")));
            }
            pointers.push(format!("{} {reference} -> {id}, {}", self.url, signed(key.as_ref())));
        }
        drop(lock);
        self.forget(&commits).await.map_err(Fault::retry)?;
        Ok(PromoteOutput { pointers })
    }

    /// Removes the private refs. What no ref names is removed by the next prune of the repository's owner.
    pub async fn withdraw(&self, upload: &UploadRequest) -> Result<()> {
        self.forget(&self.commits(upload)?).await
    }

    /// Removes the private refs that were made before `born` and belong to none of the candidates with these ids. Says
    /// of each what came of it.
    pub async fn sweep(&self, open: &[String], born: SystemTime) -> Result<Vec<Result<String>>> {
        let mut removed = Vec::new();
        let folder = self.folder.join("refs/remotes").join(STAGING);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(removed),
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", folder.display())),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_old = entry.metadata()?.modified()? < born;
            if is_old && !open.iter().any(|candidate| layout::is_staged_by(&name, candidate)) {
                let refs = format!("{STAGING}:{name}");
                let delete = self.ostree("refs").args(["--delete", &refs]).run().await;
                removed.push(
                    delete.map(|_| refs.clone()).with_context(|| format!("cannot remove the ref {refs}")),
                );
            }
        }
        Ok(removed)
    }

    /// What is missing, in plain words.
    pub fn check(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if program::find("ostree").is_none() {
            missing.push(format!("destination {}: ostree is not installed", self.name));
        }
        let writable =
            std::fs::create_dir_all(&self.folder).and_then(|()| tempfile::tempfile_in(&self.folder));
        if let Err(error) = writable {
            missing.push(format!("destination {}: folder {}: {error}", self.name, self.folder.display()));
        }
        if self.signer.signs_elsewhere() {
            missing.push(format!(
                "destination {}: ostree signs with a gpg key of this machine only; commits will not be signed",
                self.name
            ));
        }
        missing
    }

    /// Makes the repository where there is none: beside its place, and then whole into it. `ostree init` itself leaves
    /// half a repository when it is killed, which no later one completes.
    async fn make_repository(&self) -> Result<()> {
        let objects = self.folder.join("objects");
        if objects.exists() {
            return Ok(());
        }
        let parent = self.folder.parent().context("a repository needs a folder around it")?;
        std::fs::create_dir_all(parent)?;
        let fresh = tempfile::Builder::new().prefix(".repository-").tempdir_in(parent)?;
        ostree(fresh.path(), "init").arg("--mode=archive").run().await?;
        std::fs::set_permissions(fresh.path(), std::fs::Permissions::from_mode(0o755))?;
        match std::fs::rename(fresh.path(), &self.folder) {
            // Another process may have been quicker.
            Err(_) if objects.exists() => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => {
                let _ = fresh.keep();
                Ok(())
            }
        }
    }

    async fn take(&self, commit: &Commit) -> Result<()> {
        let Commit { id, source, staging, .. } = commit;
        self.make_repository().await.context("cannot make the repository")?;
        if !self.has(id).await {
            let pull = self.ostree("pull-local").arg("--untrusted").args([source, id]).limit(LIMIT);
            pull.run().await.with_context(|| format!("cannot take commit {id} from {source}"))?;
        }
        if self.find_ref(staging).await.as_deref() != Some(id) {
            let keep = self.ostree("refs").args(["--force", "--create", staging, id]);
            keep.run().await.with_context(|| format!("cannot keep commit {id}"))?;
        }
        let Some((key, homedir)) = self.signer.gpg_key() else {
            tracing::warn!(commit = id, "the commit is not signed");
            return Ok(());
        };
        let key = self.signer.key_id(key).await?;
        let mut sign = self.ostree("gpg-sign");
        if let Some(homedir) = homedir {
            sign = sign.arg("--gpg-homedir").arg(homedir);
        }
        let signed = sign.args([id, &key]).run_any().await?;
        let said = String::from_utf8_lossy(&signed.stderr);
        ensure!(
            signed.code == Some(0) || said.contains("already signed"),
            "cannot sign commit {id}: {}",
            said.trim()
        );
        Ok(())
    }

    async fn summarize(&self) -> Result<()> {
        let mut summary = self.ostree("summary").arg("--update").limit(LIMIT);
        if let Some((key, homedir)) = self.signer.gpg_key() {
            summary = summary.arg(format!("--gpg-sign={}", self.signer.key_id(key).await?));
            if let Some(homedir) = homedir {
                summary = summary.arg("--gpg-homedir").arg(homedir);
            }
        }
        summary.run().await.context("cannot write the summary").map(drop)
    }

    async fn forget(&self, commits: &[Commit]) -> Result<()> {
        for Commit { staging, .. } in commits {
            if self.find_ref(staging).await.is_some() {
                self.ostree("refs")
                    .args(["--delete", staging])
                    .run()
                    .await
                    .context("cannot remove a private ref")?;
            }
        }
        Ok(())
    }

    async fn has(&self, id: &str) -> bool {
        // `show` fails on a commit that was pulled by half, as that is marked as partial.
        let partial = self.folder.join(format!("state/{id}.commitpartial"));
        !partial.exists() && self.ostree("show").args(["--raw", id]).run().await.is_ok()
    }

    async fn find_ref(&self, reference: &str) -> Option<String> {
        let found = self.ostree("rev-parse").arg(reference).run().await.ok()?;
        Some(found.text().trim().to_owned())
    }

    /// The key that commits are signed with; `None` when they are not.
    async fn commit_key(&self) -> Result<Option<PublicKey>> {
        if self.signer.gpg_key().is_none() { Ok(None) } else { self.signer.public_key().await }
    }

    /// One upload or promotion at a time: a summary is made of all refs.
    async fn lock(&self) -> Result<File> {
        let folder = self.folder.clone();
        let locked = spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            let file = File::open(&folder)?;
            file.lock().map(|()| file)
        });
        locked.await?.with_context(|| format!("cannot lock {}", self.folder.display()))
    }

    fn commits(&self, upload: &UploadRequest) -> Result<Vec<Commit>> {
        let mut commits: Vec<Commit> = Vec::new();
        for artifact in &upload.artifacts {
            let commit = self.commit(upload, artifact)?;
            ensure!(
                commits.iter().all(|other| other.reference != commit.reference),
                "two architectures share the ref {}: write {{arch}} into the path of the destination",
                commit.reference
            );
            commits.push(commit);
        }
        Ok(commits)
    }

    fn commit(&self, upload: &UploadRequest, artifact: &Artifact) -> Result<Commit> {
        let Artifact { arch, name, path, digest, size, .. } = artifact;
        ensure!(
            artifact.form == Form::OstreeCommit,
            "an OSTree repository takes commits, and {name} is none"
        );
        ensure!(
            digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{digest:?} is no commit id"
        );
        let reference = layout::expand(&upload.destination.path, arch, &upload.version)?;
        let is_harmless = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
        ensure!(
            reference.chars().all(is_harmless)
                && reference.starts_with(|first: char| first.is_ascii_alphanumeric()),
            "{reference:?} cannot be a ref"
        );
        let uploaded = Uploaded {
            name: name.clone(),
            arch: arch.clone(),
            location: format!("{} {reference}", self.url),
            digest: digest.clone(),
            size: *size,
        };
        let staging = format!("{STAGING}:{}/{arch}", layout::staging_stem(upload));
        Ok(Commit { id: digest.clone(), source: path.clone(), reference, staging, uploaded })
    }

    fn ostree(&self, command: &str) -> Program {
        ostree(&self.folder, command)
    }
}

fn ostree(repository: &Path, command: &str) -> Program {
    Program::new("ostree").arg(command).arg(format!("--repo={}", repository.display()))
}

fn signed(key: Option<&PublicKey>) -> &'static str {
    key.map_or("NOT SIGNED", |_| "signed by our key")
}

/// Somebody with an empty repository, the public key and the address.
struct Stranger {
    folder: TempDir,
}

impl Stranger {
    async fn new(url: &str, key: Option<&PublicKey>) -> Result<Self> {
        let stranger = Stranger { folder: tempfile::tempdir().context("cannot make a folder")? };
        ostree(stranger.folder.path(), "init").arg("--mode=archive").run().await?;
        let mut remote = ostree(stranger.folder.path(), "remote").arg("add");
        match key {
            None => remote = remote.arg("--no-sign-verify").arg("--set=gpg-verify=false"),
            Some(key) => {
                let file = stranger.folder.path().join("key");
                std::fs::write(&file, &key.armour)?;
                remote = remote.arg("--set=gpg-verify=true").arg(format!("--gpg-import={}", file.display()));
            }
        }
        remote.args(["origin", url]).run().await.context("cannot set up a stranger's repository")?;
        Ok(stranger)
    }

    async fn pull(&self, what: &str, options: &[&str]) -> Result<(), Fault> {
        let pull = ostree(self.folder.path(), "pull").args(options).args(["origin", what]).limit(LIMIT);
        let pulled = pull.run().await.with_context(|| format!("a stranger cannot pull {what}"));
        pulled.map(drop).map_err(|error| {
            let said = format!("{error:#}");
            // Wrong content stays wrong; a server may come back.
            let is_wrong = ["orrupt", "checksum", "signature", "GPG", "Writing content object"]
                .iter()
                .any(|word| said.contains(word));
            if is_wrong { Fault::GiveUp(said) } else { Fault::Retry(said) }
        })
    }

    async fn fsck(&self) -> Result<()> {
        let fsck = ostree(self.folder.path(), "fsck").arg("--quiet").limit(LIMIT);
        fsck.run().await.context("what a stranger pulled is damaged").map(drop)
    }

    async fn resolve(&self, reference: &str) -> Result<String> {
        let found = ostree(self.folder.path(), "rev-parse").arg(format!("origin:{reference}")).run().await;
        Ok(found.context("a stranger does not find the ref")?.text().trim().to_owned())
    }
}

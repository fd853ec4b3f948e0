//! A branch of a git repository, mirrored into the service's folder.
//!
//! The mirror is bare. Each commit that is read is written out once as a folder of plain files, so that readers need
//! not know git. To ask where the branch ends is cheap; it is fetched only when that is somewhere else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{Pushed, Settings, Tree};
use crate::clock::Clock;
use crate::program::{Finished, Program};

/// The ref that says where we began: earlier versions moved it on with what was dealt with, which the database does now.
const FIRST: &str = "refs/muster/settled";

/// The ref that the branch's tip is fetched to.
const TIP: &str = "refs/muster/tip";

/// How long git may take; a repository of definitions is small, but its server may not be near.
const LIMIT: Duration = Duration::from_mins(3);

/// How many commits are kept as folders: the current one, and those that somebody may still be reading.
const KEPT_TREES: usize = 5;

#[derive(Debug)]
pub(super) struct Mirror {
    url: String,
    branch: String,
    refresh: SignedDuration,
    bare: PathBuf,
    trees: PathBuf,
    clock: Clock,
    last: Mutex<Option<Look>>,
}

#[derive(Clone, Debug)]
struct Look {
    at: Timestamp,
    branch: String,
    tree: Tree,
}

impl Mirror {
    pub(super) fn new(settings: &Settings, folder: &Path, clock: Clock) -> Self {
        let local = Path::new(&settings.path);
        let absolute = local.is_dir().then(|| local.canonicalize().ok()).flatten();
        Mirror {
            url: absolute.map_or(settings.path.clone(), |path| path.display().to_string()),
            branch: settings.branch.clone(),
            refresh: SignedDuration::from_secs(settings.refresh_s),
            bare: folder.join("mirror.git"),
            trees: folder.join("trees"),
            clock,
            last: Mutex::new(None),
        }
    }

    /// The branch as it was at the last look, or a new look when that is too long ago.
    pub(super) async fn tree(&self) -> Result<Tree> {
        let mut last = self.last.lock().await;
        if let Some(look) = last.as_ref()
            && self.clock.now().duration_since(look.at) < self.refresh
        {
            return Ok(look.tree.clone());
        }
        match self.fetch().await {
            Ok(look) => Ok(last.insert(look).tree.clone()),
            // What was read before serves until the repository can be reached again.
            Err(error) => match last.as_mut() {
                Some(look) => {
                    tracing::warn!("cannot ask the definitions' repository: {error:#}");
                    look.at = self.clock.now();
                    Ok(look.tree.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Looks now.
    pub(super) async fn look(&self) -> Result<()> {
        let mut last = self.last.lock().await;
        let look = self.fetch().await?;
        *last = Some(look);
        Ok(())
    }

    /// What the last look showed to have come since a commit, or since the first look of all.
    pub(super) async fn pushed_since(&self, commit: Option<&str>) -> Result<Pushed> {
        let look = match self.last.lock().await.as_ref() {
            Some(look) => look.clone(),
            None => bail!("the repository {} was not looked at yet", self.url),
        };
        let from = match commit {
            Some(commit) => commit.to_owned(),
            None => self.commit(FIRST).await?.unwrap_or_default(),
        };
        let (to, branch) = (look.tree.commit, look.branch);
        let files = if from == to { Vec::new() } else { self.files_between(&from, &to).await? };
        Ok(Pushed { from, to, branch, files, looked: look.at })
    }

    /// Asks where the branch ends, and fetches it when we do not have that.
    async fn fetch(&self) -> Result<Look> {
        let failed = || format!("cannot ask the repository {}", self.url);
        if !self.bare.join("HEAD").exists() {
            std::fs::create_dir_all(&self.bare)
                .with_context(|| format!("cannot make {}", self.bare.display()))?;
            self.git(["init", "--quiet", "--bare"]).await.with_context(failed)?;
        }
        let (branch, tip) = self.tip().await.with_context(failed)?;
        if self.commit(TIP).await?.as_ref() != Some(&tip) {
            let refspec = format!("+refs/heads/{branch}:{TIP}");
            self.git(["fetch", "--quiet", "--no-tags", "--", &self.url, &refspec])
                .await
                .with_context(failed)?;
        }
        let commit = self.commit(TIP).await?.ok_or_else(|| anyhow!("branch {branch} has no commit"))?;
        if self.commit(FIRST).await?.is_none() {
            self.git(["update-ref", FIRST, &commit]).await.context("cannot remember where we began")?;
        }
        let root = self.write_out(&commit).await?;
        Ok(Look { at: self.clock.now(), branch, tree: Tree { root, commit } })
    }

    /// The branch, and the commit it ends at, as the repository has them now.
    async fn tip(&self) -> Result<(String, String)> {
        let wanted = match self.branch.as_str() {
            "" => "HEAD".to_owned(),
            branch => format!("refs/heads/{branch}"),
        };
        let answer = self.git(["ls-remote", "--symref", "--", &self.url, &wanted]).await?.text();
        let mut branch = self.branch.clone();
        let mut tip = None;
        for (value, name) in answer.lines().filter_map(|line| line.split_once('\t')) {
            // A pattern also matches the end of longer names.
            if name != wanted {
                continue;
            }
            match value.strip_prefix("ref: refs/heads/") {
                Some(default) => default.clone_into(&mut branch),
                None => tip = Some(value.to_owned()),
            }
        }
        if branch.is_empty() {
            bail!("it names no default branch; set definitions.branch");
        }
        let tip = tip.ok_or_else(|| anyhow!("it has no branch {branch}"))?;
        Ok((branch, tip))
    }

    async fn commit(&self, name: &str) -> Result<Option<String>> {
        let revision = format!("{name}^{{commit}}");
        let found = self.program(["rev-parse", "--quiet", "--verify", &revision]).run_any().await?;
        Ok((found.code == Some(0)).then(|| found.text().trim().to_owned()))
    }

    async fn files_between(&self, from: &str, to: &str) -> Result<Vec<String>> {
        if !from.is_empty() && self.commit(from).await?.is_none() {
            // It was pushed over, or another machine knew it: nobody can tell any more which files differ.
            return Ok(Vec::new());
        }
        let listed = if from.is_empty() {
            self.git(["ls-tree", "-r", "-z", "--name-only", to]).await?
        } else {
            // Without renames: both the old and the new name are files that changed.
            self.git(["diff", "--name-only", "--no-renames", "-z", from, to]).await?
        };
        let text = listed.text();
        Ok(text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Writes a commit out as plain files, once, and whole or not at all.
    async fn write_out(&self, commit: &str) -> Result<PathBuf> {
        let root = self.trees.join(commit);
        if root.is_dir() {
            return Ok(root);
        }
        let archive = self.git(["archive", "--format=tar", commit]).await?.stdout;
        let (trees, into) = (self.trees.clone(), root.clone());
        tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&trees).with_context(|| format!("cannot make {}", trees.display()))?;
            let folder = tempfile::Builder::new().prefix(".new-").tempdir_in(&trees)?;
            tar::Archive::new(&archive[..]).unpack(folder.path()).context("cannot write the files out")?;
            let folder = folder.keep();
            match std::fs::rename(&folder, &into) {
                Err(_) if into.is_dir() => std::fs::remove_dir_all(&folder)?,
                outcome => outcome.with_context(|| format!("cannot make {}", into.display()))?,
            }
            forget_old(&trees, &into)
        })
        .await??;
        Ok(root)
    }

    fn program<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Program {
        Program::new("git")
            .arg("--git-dir")
            .arg(&self.bare)
            .args(args)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // The owner of a repository that the configuration names is trusted.
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .limit(LIMIT)
    }

    async fn git<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Finished> {
        Ok(self.program(args).run().await?)
    }
}

fn forget_old(trees: &Path, keep: &Path) -> Result<()> {
    let mut folders: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(trees)? {
        let entry = entry?;
        if entry.path() != keep {
            folders.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    folders.sort();
    let surplus = folders.len().saturating_sub(KEPT_TREES - 1);
    for (_, folder) in folders.drain(..surplus) {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

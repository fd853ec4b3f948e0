//! Where recipes, definitions and smoketests are read from: a plain folder, or a branch of a git repository.
//!
//! It knows files and git. It must not know what a change is, nor weigh anything: it says what is there now, and what
//! has changed since a commit.

mod git;
mod recipes;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use muster_definition::kickstart::{self, Syntax};
use muster_definition::{Directory, Source, SourceError, treefile};
use muster_flow::recipe::{Definition, Grammar, Recipe};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::clock::Clock;
use git::Mirror;

/// Its section of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A folder, a git work tree, a bare git repository, or the address of one. A folder is read as it stands unless
    /// `branch` is set.
    pub path: String,
    /// The branch that is read; in a bare or remote repository its default branch when this is empty.
    pub branch: String,
    /// The folders that hold recipes (`*.toml`), below the root.
    pub recipes: Vec<String>,
    /// The folder that holds smoketests, below the root.
    pub smoketests: String,
    /// Seconds for which a look at a remote repository holds good, unless a message says that something was pushed.
    pub refresh_s: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            path: ".".to_owned(),
            branch: String::new(),
            recipes: vec!["kickstarts".to_owned(), "ostree-refs".to_owned()],
            smoketests: "smoketests".to_owned(),
            refresh_s: 60,
        }
    }
}

/// The files of definitions as they are at one moment.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The folder they lie in.
    pub root: PathBuf,
    /// The commit; empty for a plain folder.
    pub commit: String,
}

/// What was pushed since a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The commit.
    pub from: String,
    /// The tip of the branch; the same, when nothing was pushed.
    pub to: String,
    /// The branch.
    pub branch: String,
    /// The files that differ; none also when nobody can tell any more.
    pub files: Vec<String>,
    /// When it was looked.
    pub looked: Timestamp,
}

/// Reads recipes and definitions.
#[derive(Debug)]
pub struct Definitions {
    settings: Settings,
    place: Place,
    /// Include closures by commit, file, version and architectures: a commit's never change.
    closures: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Git(Box<Mirror>),
}

impl Definitions {
    /// Prepares to read; `state` is the service's folder, where a mirror of a git repository is kept.
    pub fn new(settings: Settings, state: &Path, clock: Clock) -> Result<Self> {
        let folder = Path::new(&settings.path);
        let is_local = folder.is_dir();
        let is_bare = is_local && folder.join("HEAD").is_file() && folder.join("objects").is_dir();
        let is_address = settings.path.contains("://") || settings.path.contains('@');
        let place = if is_local && !is_bare && settings.branch.is_empty() {
            Place::Folder(folder.to_owned())
        } else if is_local || is_address {
            Place::Git(Box::new(Mirror::new(&settings, &state.join("definitions"), clock)))
        } else {
            bail!(
                "definitions.path: there is no folder {:?}, and it is no address of a repository",
                settings.path
            );
        };
        Ok(Definitions { settings, place, closures: Mutex::new(BTreeMap::new()) })
    }

    /// The files as they are now; a git repository is asked at most once in a while.
    pub async fn tree(&self) -> Result<Tree> {
        match &self.place {
            Place::Folder(root) => Ok(Tree { root: root.clone(), commit: String::new() }),
            Place::Git(mirror) => mirror.tree().await,
        }
    }

    /// Every recipe. An error names the file and the key.
    pub async fn recipes(&self) -> Result<Vec<Recipe>> {
        recipes::read(&self.tree().await?.root, &self.settings.recipes)
    }

    /// Every recipe that can be read, and why others cannot: an error for each file.
    pub async fn each_recipe(&self) -> (Vec<Recipe>, Vec<anyhow::Error>) {
        match self.tree().await {
            Ok(tree) => recipes::read_each(&tree.root, &self.settings.recipes),
            Err(error) => (Vec::new(), vec![error]),
        }
    }

    /// The folder of the smoketests.
    pub async fn smoketests(&self) -> Result<PathBuf> {
        Ok(self.tree().await?.root.join(&self.settings.smoketests))
    }

    /// A recipe's definition with everything it includes, at the commit that is current.
    pub async fn freeze(&self, recipe: &Recipe) -> Result<Definition> {
        let tree = self.tree().await?;
        let texts = closure(recipe, &tree.root)?;
        Ok(Definition { file: recipe.definition.file.clone(), commit: tree.commit, texts })
    }

    /// The files that a recipe's definition includes, itself among them.
    pub async fn files(&self, recipe: &Recipe) -> Result<BTreeSet<String>> {
        let tree = self.tree().await?;
        if tree.commit.is_empty() {
            return Ok(closure(recipe, &tree.root)?.into_keys().collect());
        }
        let name = [&tree.commit, &recipe.definition.file, &recipe.version, &recipe.arches.join(" ")]
            .map(String::as_str)
            .join("\n");
        let mut closures = self.closures.lock().await;
        if let Some(files) = closures.get(&name) {
            return Ok(files.clone());
        }
        let files: BTreeSet<String> = closure(recipe, &tree.root)?.into_keys().collect();
        closures.retain(|known, _| known.starts_with(&tree.commit));
        closures.insert(name, files.clone());
        Ok(files)
    }

    /// Asks the repository now where its branch ends, and fetches it when that is somewhere else.
    pub async fn look(&self) -> Result<()> {
        match &self.place {
            Place::Folder(_) => Ok(()),
            Place::Git(mirror) => mirror.look().await,
        }
    }

    /// What had been pushed at the last look since a commit, or, when it is `None`, since the first look of all. A plain
    /// folder has no pushes.
    pub async fn pushed_since(&self, commit: Option<&str>) -> Result<Option<Pushed>> {
        match &self.place {
            Place::Folder(_) => Ok(None),
            Place::Git(mirror) => mirror.pushed_since(commit).await.map(Some),
        }
    }

    /// What is watched, in words.
    pub fn name(&self) -> String {
        match self.settings.branch.as_str() {
            "" => format!("definitions at {}", self.settings.path),
            branch => format!("definitions at {}, branch {branch}", self.settings.path),
        }
    }

    /// Whether pushes can be read again at their source.
    pub fn has_history(&self) -> bool {
        matches!(self.place, Place::Git(_))
    }
}

/// Every file of the include closure, with its text.
fn closure(recipe: &Recipe, root: &Path) -> Result<BTreeMap<String, String>> {
    let source = Recording { inner: Directory::new(root), texts: RefCell::default() };
    let file = &recipe.definition.file;
    let cannot = || format!("cannot read the definition of {}", recipe.name);
    match recipe.grammar() {
        Grammar::Kickstart => {
            kickstart::read(file, &source, syntax(&recipe.version)).with_context(cannot)?;
        }
        Grammar::Treefile => {
            for arch in &recipe.arches {
                treefile::read(file, &source, arch).with_context(cannot)?;
            }
        }
        // What more they read, is read by Koji's builders at the frozen commit.
        Grammar::Kiwi | Grammar::Customizations | Grammar::Template => {
            source.text(file, None).map_err(anyhow::Error::from).with_context(cannot)?;
        }
    }
    Ok(source.texts.into_inner())
}

/// The syntax of a distribution's version: `43` is that of Fedora 43; a version that no release has gets the newest.
pub fn syntax(version: &str) -> Syntax {
    let fedora = || format!("F{version}").parse().ok();
    version.parse().ok().or_else(fedora).unwrap_or(Syntax::NEWEST)
}

/// Remembers what was read.
struct Recording {
    inner: Directory,
    texts: RefCell<BTreeMap<String, String>>,
}

impl Source for Recording {
    fn text(&self, path: &str, included_from: Option<&str>) -> Result<(String, String), SourceError> {
        let (resolved, text) = self.inner.text(path, included_from)?;
        self.texts.borrow_mut().insert(resolved.clone(), text.clone());
        Ok((resolved, text))
    }
}

#[cfg(test)]
mod tests;

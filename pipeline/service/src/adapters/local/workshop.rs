//! Where one build works: its folders, its environment, its time.
//!
//! Knows where things lie and how programs are called. Must not know what is built.

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use muster_flow::build::BuildRequest;
use muster_flow::recipe::Form;
use uuid::Uuid;

use super::Settings;
use super::fault::{BuildError, Result};
use crate::job::Desk;
use crate::package_sets::PackageSets;
use crate::program::{Finished, Program, ProgramError};

/// The room one build has to itself.
#[derive(Debug)]
pub struct Workshop {
    /// The job's desk.
    pub desk: Desk,
    /// What is asked for.
    pub request: BuildRequest,
    /// The `[builder]` section.
    pub settings: Settings,
    /// Where frozen package sets are kept.
    pub sets: PackageSets,
    /// The folder that becomes the image's root.
    pub root: PathBuf,
    /// The home of the programs that are run, so that nobody's own settings are read.
    pub home: PathBuf,
    /// The folder of the finished files.
    pub artifacts: PathBuf,
    /// The log.
    pub log: PathBuf,
}

impl Workshop {
    /// Lays the folders out, empty.
    pub fn open(desk: &Desk, request: BuildRequest, settings: Settings, sets: PackageSets) -> Result<Self> {
        // A relative folder would mean another place to a program that runs elsewhere.
        let folder = std::path::absolute(&desk.folder).context("cannot tell the job's folder")?;
        let desk = Desk { folder: folder.clone() };
        let workshop = Workshop {
            root: desk.work().join("root"),
            home: desk.work().join("home"),
            artifacts: folder.join("artifacts"),
            log: folder.join("build.log"),
            desk,
            request,
            settings,
            sets,
        };
        for stale in [&workshop.artifacts, &workshop.log] {
            remove(stale)?;
        }
        for fresh in [&workshop.root, &workshop.home, &workshop.artifacts] {
            std::fs::create_dir_all(fresh)
                .map_err(|error| workshop.io(error, &format!("cannot make {}", fresh.display())))?;
        }
        Ok(workshop)
    }

    /// Runs a program in the build's own environment and fails unless it ends with 0. What it wrote goes to the log.
    pub async fn run(&self, name: &str, arguments: impl FnOnce(Program) -> Program) -> Result<Finished> {
        let finished = arguments(self.program(name)).run_any().await?;
        let said = [&finished.stdout, &finished.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        for text in said.iter().map(|text| text.trim_end()).filter(|text| !text.is_empty()) {
            self.note(text);
        }
        if finished.code == Some(0) {
            return Ok(finished);
        }
        let code = finished.code.map_or("a signal".to_owned(), |code| code.to_string());
        let lines: Vec<&str> = said.iter().flat_map(|text| text.lines()).collect();
        let tail = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        Err(ProgramError::Failed { program: name.to_owned(), code, tail }.into())
    }

    /// A program in the build's own environment.
    pub fn program(&self, name: &str) -> Program {
        Program::new(name)
            .env("HOME", &self.home)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("PATH", SEARCH_PATH)
            .env("SOURCE_DATE_EPOCH", self.epoch().to_string())
            .limit(Duration::from_secs(self.settings.program_limit_s))
            .folder(self.desk.work())
    }

    /// Seconds since 1970 that every time stamp is held to.
    pub fn epoch(&self) -> i64 {
        self.request.source_date_epoch
    }

    /// An identity that is the same for the same request, and another for each role in it.
    pub fn uuid(&self, role: &str) -> Uuid {
        let name = format!("{}/{}/{role}", self.request.file_stem, self.epoch());
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }

    /// The path of a finished file.
    pub fn artifact(&self, form: Form) -> PathBuf {
        self.artifacts.join(self.artifact_name(form))
    }

    /// The name of a finished file.
    pub fn artifact_name(&self, form: Form) -> String {
        format!("{}.{}", self.request.file_stem, form.extension())
    }

    /// Shows a line to whoever watches, and keeps it in the log.
    pub fn say(&self, line: &str) {
        self.desk.say(line);
        self.note(&format!("== {line}"));
    }

    /// Keeps a line in the log.
    pub fn note(&self, line: &str) {
        let log = std::fs::File::options().create(true).append(true).open(&self.log);
        // The log is a courtesy: a full disk shows in the work itself.
        let _ = log.and_then(|mut log| writeln!(log, "{line}"));
    }

    /// Does one phase of the build and keeps in the log how long it took.
    pub async fn phase<T>(&self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let start = Instant::now();
        let result = work.await;
        self.note(&format!("== phase {name} took {:.3} s", start.elapsed().as_secs_f64()));
        result
    }

    /// An error about this machine's files, with a full disk told apart from all else.
    pub fn io(&self, error: std::io::Error, what: &str) -> BuildError {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return BuildError::DiskFull {
                place: self.desk.folder.display().to_string(),
                lines: format!("{what}: {error}"),
            };
        }
        BuildError::Other(anyhow::Error::new(error).context(what.to_owned()))
    }

    /// The same error, but told as a full disk when that is what its words say.
    pub fn told_apart(&self, error: BuildError) -> BuildError {
        let text = error.to_string();
        let told = matches!(
            error,
            BuildError::DiskFull { .. } | BuildError::Script { .. } | BuildError::FileSystemTooSmall { .. }
        );
        if told || !says_full(&text) {
            return error;
        }
        let lines: Vec<&str> = text.lines().filter(|line| says_full(line)).collect();
        BuildError::DiskFull { place: self.desk.folder.display().to_string(), lines: lines.join("\n") }
    }
}

/// How many of a program's last lines an error shows.
const LAST_LINES: usize = 20;

/// Whether a disk is full, in the words of the system or of a database that is written on it.
pub fn says_full(line: &str) -> bool {
    ["No space left on device", "database or disk is full"].iter().any(|words| line.contains(words))
}

/// Programs are looked for in the system's folders alone.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The name space of the identities of file systems and partitions.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b1f_7c52_9c4e_5d0a_8b86_2f0c_74a1_6e3d);

/// Removes a file or a folder; none is as good.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(anyhow::Error::new(error).context(format!("cannot remove {}", path.display())).into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs work that keeps a processor busy without holding up the rest.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a part of the build broke off")?
}

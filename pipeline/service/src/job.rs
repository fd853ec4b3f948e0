//! Jobs: work on this machine that outlives the service, in a process and a folder of its own.
//!
//! The local builder and the QEMU cloudlet are such work. To the engine a job is an outside system like any other: it
//! is begun once by its key, and what came of it lies in its folder. The job's process holds a lock for as long as it
//! lives, so that nobody needs to trust a process id.
//!
//! In a job's folder: `key` (the step's), `request.json` (what is asked for), `lock`, `process` (the number and the start
//! of the process that has the lock), `progress` (lines for a person, the last one is shown), `job.log` (what the process
//! wrote), `result.json` (what came of it; written last, by rename), `work/` (whatever the job likes; emptied before each
//! start).

mod process;

use std::fs::{self, File, TryLockError};
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use muster_flow::step::{Handle, StepKey};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use crate::port::{Fault, Observation};
use process::{Process, Told};

/// Where jobs of one kind lie and how they are started.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// The kind: the word behind `muster job`.
    pub kind: &'static str,
    /// The folder that holds one folder per job.
    pub root: PathBuf,
    /// The `muster` program itself.
    pub program: PathBuf,
    /// The configuration file that the job's process reads, if there is one.
    pub config: Option<PathBuf>,
    /// Hears of each job whose process has ended, if this process began it; of others nobody hears, and a look tells.
    pub ended: UnboundedSender<Handle>,
}

/// What came of a job.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ending<O> {
    Succeeded(O),
    Failed(String),
}

impl Jobs {
    /// Begins the job named by `key`, or finds it begun.
    pub fn ensure<R: Serialize>(&self, key: &StepKey, request: &R) -> Result<Handle, Fault> {
        let folder = self.root.join(key.flat());
        let handle = Handle(folder.display().to_string());
        self.begin(key, &handle, request).map_err(Fault::retry)?;
        Ok(handle)
    }

    fn begin<R: Serialize>(&self, key: &StepKey, handle: &Handle, request: &R) -> Result<()> {
        let folder = Path::new(&handle.0);
        if folder.join("result.json").exists() || is_locked(folder)? {
            return Ok(());
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        write_whole(&folder.join("key"), key.0.as_bytes())?;
        write_whole(&folder.join("request.json"), &serde_json::to_vec_pretty(request)?)?;
        let log = File::options().create(true).append(true).open(folder.join("job.log"))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a job must outlive the service, which no other program may"
        )]
        let mut command = tokio::process::Command::new(&self.program);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.args(["job", self.kind]).arg(folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let (ended, handle) = (self.ended.clone(), handle.clone());
        tokio::spawn(async move {
            // How it ended stands in its folder.
            let _ = child.wait().await;
            // Nobody may listen any more.
            let _ = ended.send(handle);
        });
        Ok(())
    }

    /// Looks how far a job has got.
    pub fn observe<O: DeserializeOwned>(&self, handle: &Handle) -> Result<Observation<O>, Fault> {
        let folder = Path::new(&handle.0);
        // The order matters: a job that ends between the two looks has written its result before it lost its lock.
        let alive = is_locked(folder).map_err(Fault::retry)?;
        if let Ok(bytes) = fs::read(folder.join("result.json")) {
            return match serde_json::from_slice(&bytes) {
                Ok(Ending::Succeeded(output)) => Ok(Observation::Succeeded(output)),
                Ok(Ending::Failed(reason)) => Ok(Observation::Failed(reason)),
                Err(error) => Ok(Observation::Failed(format!("cannot read the job's result: {error}"))),
            };
        }
        if alive || is_young(folder) {
            return Ok(Observation::Running(last_line(&folder.join("progress"))));
        }
        Ok(Observation::Vanished("its process ended without a result".to_owned()))
    }

    /// Ends a job and removes its folder.
    pub fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        let folder = Path::new(&handle.0);
        if is_locked(folder).map_err(Fault::retry)? {
            return Err(match tell_to_end(folder) {
                Ok(Told::Signalled) => Fault::NotYet("the job is being ended".to_owned()),
                // Whoever has the lock notes itself down at once; the next try finds it.
                Ok(Told::Gone) => Fault::NotYet("the job's process has not noted itself down yet".to_owned()),
                Err(error) => Fault::retry(error.context("cannot end the job")),
            });
        }
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Fault::Retry(format!("cannot remove {}: {error}", folder.display())))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Tells the process that is noted down in a job's folder to end. That may be an earlier one, whose number somebody else
/// has by now.
fn tell_to_end(folder: &Path) -> Result<Told> {
    let noted = match fs::read_to_string(folder.join("process")) {
        Ok(noted) => noted,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Told::Gone),
        Err(error) => return Err(error).context("cannot tell its process"),
    };
    noted.parse::<Process>()?.signal(Signal::TERM)
}

/// The jobs whose folders lie below `root`: each folder with the key of its step.
pub fn folders(root: &Path) -> Vec<(PathBuf, StepKey)> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let folders = entries.filter_map(Result::ok).map(|entry| entry.path());
    folders
        .filter_map(|folder| {
            let key = fs::read_to_string(folder.join("key")).ok()?;
            Some((folder, StepKey(key)))
        })
        .collect()
}

/// What a job's process works with.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The job's folder.
    pub folder: PathBuf,
}

impl Desk {
    /// The folder for the job's own files; it is empty at the start.
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// Says how far the job has got, in one line for a person.
    pub fn say(&self, line: &str) {
        let progress = File::options().create(true).append(true).open(self.folder.join("progress"));
        // Progress is a courtesy: a full disk shows in the work itself.
        let _ = progress.and_then(|mut file| writeln!(file, "{}", line.replace('\n', " ")));
    }
}

/// Runs a job in this process: takes the lock, does the work, leaves the result. Ends at once, and quietly, when
/// another process has the lock or the result is there. On SIGTERM the work is dropped and no result is left.
pub async fn run<R, O, F>(folder: &Path, work: impl FnOnce(Desk, R) -> F) -> Result<()>
where
    R: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, String>>,
{
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    if !take(&lock).await? {
        return Ok(());
    }
    if folder.join("result.json").exists() {
        return Ok(());
    }
    write_whole(&folder.join("process"), Process::this()?.to_string().as_bytes())?;
    let desk = Desk { folder: folder.to_owned() };
    match fs::remove_dir_all(desk.work()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("cannot empty the job's folder");
        }
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(desk.work())?;
    let request: R = serde_json::from_slice(&fs::read(folder.join("request.json"))?)
        .context("cannot read the job's request")?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let ending = tokio::select! {
        ending = work(desk, request) => ending,
        _ = terminate.recv() => bail!("the job was told to end"),
    };
    let ending = match ending {
        Ok(output) => Ending::Succeeded(output),
        Err(reason) => Ending::Failed(reason),
    };
    write_whole(&folder.join("result.json"), &serde_json::to_vec(&ending)?)
}

/// Takes the lock, unless another process of the job has it. A look at the lock holds it for an instant, so that one try
/// is not enough.
async fn take(lock: &File) -> Result<bool> {
    for _ in 0..10 {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(30)).await,
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the job's folder"),
        }
    }
    Ok(false)
}

/// Writes a file so that nobody ever sees half of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Whether the process of a job is alive.
pub fn is_alive(folder: &Path) -> bool {
    // When in doubt it is.
    is_locked(folder).unwrap_or(true)
}

fn is_locked(folder: &Path) -> Result<bool> {
    let lock = match File::open(folder.join("lock")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).context("cannot look at the job's lock"),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("cannot look at the job's lock"),
    }
}

/// Whether the job was begun a moment ago, so that its process may not have its lock yet.
fn is_young(folder: &Path) -> bool {
    let modified = fs::metadata(folder.join("request.json")).and_then(|metadata| metadata.modified());
    modified.ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age.as_secs() < 5)
}

fn last_line(path: &Path) -> String {
    crate::program::tail(path).lines().next_back().unwrap_or("starting").to_owned()
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn jobs(root: &Path) -> Jobs {
        let (ended, _) = unbounded_channel();
        Jobs { kind: "test", root: root.to_owned(), program: "/bin/true".into(), config: None, ended }
    }

    fn begun(root: &Path) -> Handle {
        let folder = root.join("a");
        fs::create_dir_all(&folder).unwrap();
        write_whole(&folder.join("request.json"), b"7").unwrap();
        Handle(folder.display().to_string())
    }

    #[tokio::test]
    async fn a_result_is_seen_once_the_job_is_over() {
        let root = tempfile::tempdir().unwrap();
        let handle = begun(root.path());
        run(Path::new(&handle.0), |desk, number: u32| async move {
            desk.say("half way");
            Ok::<_, String>(number * 2)
        })
        .await
        .unwrap();
        assert_eq!(jobs(root.path()).observe::<u32>(&handle), Ok(Observation::Succeeded(14)));
    }

    #[tokio::test]
    async fn a_running_job_shows_its_last_line_and_is_not_begun_twice() {
        let root = tempfile::tempdir().unwrap();
        let handle = begun(root.path());
        let folder = PathBuf::from(&handle.0);
        let (jobs, same) = (&jobs(root.path()), &folder);
        run(&folder, |desk, _: u32| async move {
            desk.say("installing");
            assert_eq!(jobs.observe::<u32>(&handle), Ok(Observation::Running("installing".to_owned())));
            let mut entered = false;
            run(same, |_, _: u32| {
                entered = true;
                async { Ok::<u32, String>(0) }
            })
            .await
            .unwrap();
            assert!(!entered, "a second process did the same job");
            Ok::<u32, String>(1)
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn the_end_of_a_job_is_heard_of() {
        let root = tempfile::tempdir().unwrap();
        let (ended, mut heard) = unbounded_channel();
        let jobs = Jobs { ended, ..jobs(root.path()) };
        let handle = jobs.ensure(&StepKey("a/1/build".to_owned()), &7).unwrap();
        assert_eq!(heard.recv().await, Some(handle));
    }

    #[tokio::test]
    async fn a_job_whose_process_died_has_vanished() {
        let root = tempfile::tempdir().unwrap();
        let handle = begun(root.path());
        let old = std::time::UNIX_EPOCH;
        let request = File::options().write(true).open(Path::new(&handle.0).join("request.json")).unwrap();
        request.set_modified(old).unwrap();
        let seen = jobs(root.path()).observe::<u32>(&handle).unwrap();
        assert!(matches!(seen, Observation::Vanished(_)), "{seen:?}");
    }

    #[tokio::test]
    async fn cancelling_never_signals_a_stranger_that_has_the_number_of_an_earlier_process() {
        let root = tempfile::tempdir().unwrap();
        let handle = begun(root.path());
        let folder = Path::new(&handle.0);
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let mut stranger = crate::program::Program::new("sleep").arg("60").spawn().unwrap();
        write_whole(&folder.join("process"), format!("{} 1", stranger.id().unwrap()).as_bytes()).unwrap();
        let fault = jobs(root.path()).cancel(&handle).unwrap_err();
        assert_eq!(fault, Fault::NotYet("the job's process has not noted itself down yet".to_owned()));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!stranger.has_ended(), "a stranger was told to end");
    }
}

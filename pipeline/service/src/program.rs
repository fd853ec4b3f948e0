//! Runs programs: with a log, a time limit, and nothing left behind.
//!
//! A program gets a process group of its own and dies with us: when it has ended, when the future that runs it is
//! dropped, or when its time is up, the group is killed; when we are killed, `setpriv --pdeathsig` ends it. It knows
//! nothing of what it runs.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// How long a program may run when nobody says otherwise.
const DEFAULT_LIMIT: Duration = Duration::from_mins(10);

/// How many of a log's last bytes an error shows.
const TAIL: u64 = 4096;

/// A program that is to be run.
#[derive(Debug)]
pub struct Program {
    name: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    input: Vec<u8>,
    log: Option<PathBuf>,
    limit: Duration,
}

/// What a program left.
#[derive(Debug, Default)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output; empty when it went to a log.
    pub stdout: Vec<u8>,
    /// Its standard error; empty when it went to a log.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not installed.
    #[error("cannot run {program}: it is not installed")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It could not be started, fed or read.
    #[error("cannot run {program}")]
    Io {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{program} was killed after {seconds} s; its last words: {tail}")]
    TimedOut {
        /// Its name.
        program: String,
        /// The limit.
        seconds: u64,
        /// The end of what it wrote.
        tail: String,
    },
    /// It ended with an error.
    #[error("{program} ended with {code}; its last words: {tail}")]
    Failed {
        /// Its name.
        program: String,
        /// The exit code, or the words `a signal`.
        code: String,
        /// The end of what it wrote.
        tail: String,
    },
}

impl Program {
    /// A program by its name or path.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        Program {
            name: name.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            input: Vec::new(),
            log: None,
            limit: DEFAULT_LIMIT,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// One environment variable; the others are inherited.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The folder it runs in.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// What it reads on standard input; nothing by default.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Appends standard output and standard error to a file, instead of keeping them in memory.
    #[must_use]
    pub fn log(mut self, path: impl AsRef<Path>) -> Self {
        self.log = Some(path.as_ref().to_owned());
        self
    }

    /// How long it may run; 600 s by default.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it, and fails unless it ends with 0.
    pub async fn run(self) -> Result<Finished, ProgramError> {
        let program = self.display_name();
        let log = self.log.clone();
        let finished = self.run_any().await?;
        if finished.code == Some(0) {
            return Ok(finished);
        }
        let code = finished.code.map_or("a signal".to_owned(), |code| code.to_string());
        let tail = match &log {
            Some(path) => tail(path),
            None => String::from_utf8_lossy(last(&finished.stderr)).trim().to_owned(),
        };
        Err(ProgramError::Failed { program, code, tail })
    }

    /// Runs it, whatever it ends with.
    pub async fn run_any(self) -> Result<Finished, ProgramError> {
        let program = self.display_name();
        let (limit, log, input) = (self.limit, self.log.clone(), self.input.clone());
        let mut running = self.spawn()?;
        match tokio::time::timeout(limit, running.finish(input)).await {
            Ok(Ok(finished)) => Ok(finished),
            Ok(Err(source)) => Err(ProgramError::Io { program, source }),
            Err(_) => {
                let tail = log.as_deref().map(tail).unwrap_or_default();
                Err(ProgramError::TimedOut { program, seconds: limit.as_secs(), tail })
            }
        }
    }

    /// Starts it and leaves it running until the result is dropped or told to end.
    pub fn spawn(self) -> Result<Running, ProgramError> {
        let program = self.display_name();
        if find(&self.name).is_none() {
            return Err(ProgramError::Missing { program });
        }
        let child = self.command().and_then(|mut command| command.spawn());
        child
            .map(|child| Running { group: group(&child), child, program: program.clone() })
            .map_err(|source| ProgramError::Io { program, source })
    }

    fn command(&self) -> io::Result<Command> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that runs programs")]
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.name).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        if let Some(path) = &self.log {
            let log = File::options().create(true).append(true).open(path)?;
            command.stdout(log.try_clone()?).stderr(log);
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        command.process_group(0).kill_on_drop(true);
        Ok(command)
    }

    fn display_name(&self) -> String {
        let path = Path::new(&self.name);
        path.file_name().unwrap_or(&self.name).to_string_lossy().into_owned()
    }
}

/// A program that runs. Dropping it kills it and everything it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Its process group, until its end was seen. Nobody else gets this id as long as we have not reaped the program.
    group: Option<Pid>,
    program: String,
}

impl Running {
    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has ended, without waiting. If so, what it left running is killed.
    pub fn has_ended(&mut self) -> bool {
        if self.group.is_some_and(|leader| !is_over(leader)) {
            return false;
        }
        self.kill_group();
        let has_ended = !matches!(self.child.try_wait(), Ok(None));
        if has_ended {
            self.group = None;
        }
        has_ended
    }

    /// Waits for its end, and kills what it left running.
    pub async fn wait(&mut self) -> Result<Option<i32>, ProgramError> {
        let status = self.end().await;
        status
            .map(|status| status.code())
            .map_err(|source| ProgramError::Io { program: self.program.clone(), source })
    }

    /// Kills it and everything it started, and waits for its end.
    pub async fn kill(&mut self) {
        self.kill_group();
        // It is dead or dying; there is nothing to be done about an error here.
        let _ = self.end().await;
    }

    /// The group is killed before its leader is reaped: afterwards its id might be somebody else's.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(leader) = self.group {
            ended(leader).await?;
            self.kill_group();
        }
        let status = self.child.wait().await;
        self.group = None;
        status
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            // The group may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    async fn finish(&mut self, input: Vec<u8>) -> io::Result<Finished> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (stdin, out, err) = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                match stdin.write_all(&input).await {
                    // A program may end without having read everything.
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        };
        let read_out = async {
            match out {
                Some(mut out) => out.read_to_end(&mut stdout).await.map(drop),
                None => Ok(()),
            }
        };
        let read_err = async {
            match err {
                Some(mut err) => err.read_to_end(&mut stderr).await.map(drop),
                None => Ok(()),
            }
        };
        // Whoever it left running may hold its output open: that ends with it.
        let group = self.group;
        let leave = async {
            if let Some(leader) = group {
                ended(leader).await?;
                let _ = kill_process_group(leader, Signal::KILL);
            }
            Ok(())
        };
        tokio::try_join!(feed, read_out, read_err, leave)?;
        let status = self.end().await?;
        Ok(Finished { code: status.code(), stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}

fn group(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

/// Waits until a child of ours has ended, and leaves it to be reaped.
async fn ended(child: Pid) -> io::Result<()> {
    // Listening begins before the look, so that no end is missed between the two.
    let mut ends = signal(SignalKind::child())?;
    while !is_over(child) {
        if ends.recv().await.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a child of ours has ended; it is not reaped by this look.
fn is_over(child: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // Who is no child of ours any more has been reaped.
    !matches!(waitid(WaitId::Pid(child), look), Ok(None))
}

/// Where a program lies, by its name and `PATH`.
pub fn find(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The tools of the system are often not on the path of an ordinary user.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The last lines of a log.
pub fn tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).unwrap_or_default()
}

fn last(bytes: &[u8]) -> &[u8] {
    let tail = usize::try_from(TAIL).unwrap_or(usize::MAX);
    &bytes[bytes.len().saturating_sub(tail)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 1; touch {}) & sleep 60", mark.display());
        let error = Program::new("sh")
            .args(["-c", &script])
            .log(folder.path().join("log"))
            .limit(Duration::from_millis(300))
            .run()
            .await
            .unwrap_err();
        assert!(matches!(error, ProgramError::TimedOut { .. }), "{error}");
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(!mark.exists(), "a child outlived its program");
    }

    /// Whether what a program left behind still did something after its program had ended.
    async fn lives_on(mark: &Path) -> bool {
        tokio::time::sleep(Duration::from_millis(2300)).await;
        mark.exists()
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mark, log) = (folder.path().join("mark"), folder.path().join("log"));
        let leave = || {
            let script = format!("(sleep 2; touch {}) & echo out; exit 3", mark.display());
            Program::new("sh").args(["-c", &script])
        };
        assert_eq!(leave().log(&log).run_any().await.unwrap().code, Some(3));
        assert!(!lives_on(&mark).await, "a child outlived a program that wrote to a log");
        let begun = std::time::Instant::now();
        let finished = leave().run_any().await.unwrap();
        assert_eq!((finished.code, finished.text().as_str()), (Some(3), "out\n"));
        assert!(begun.elapsed() < Duration::from_millis(1500), "its output was waited for");
        assert!(!lives_on(&mark).await, "a child outlived a program whose output was read");
    }

    #[tokio::test]
    async fn what_a_watched_program_leaves_running_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mark, log) = (folder.path().join("mark"), folder.path().join("log"));
        let script = format!("(sleep 2; touch {}) & exit 0", mark.display());
        let leave = || Program::new("sh").args(["-c", &script]).log(&log).spawn().unwrap();
        let mut waited_for = leave();
        assert_eq!(waited_for.wait().await.unwrap(), Some(0));
        let mut looked_at = leave();
        while !looked_at.has_ended() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(looked_at.wait().await.unwrap(), Some(0), "how it ended is still known");
        assert!(!lives_on(&mark).await, "a child outlived its program");
    }

    #[tokio::test]
    async fn a_program_that_is_not_installed_is_named() {
        let error = Program::new("no-such-program").run().await.unwrap_err();
        assert_eq!(error.to_string(), "cannot run no-such-program: it is not installed");
    }

    #[tokio::test]
    async fn an_error_shows_the_last_words() {
        let error =
            Program::new("sh").args(["-c", "echo out; echo no space >&2; exit 3"]).run().await.unwrap_err();
        assert_eq!(error.to_string(), "sh ended with 3; its last words: no space");
    }

    #[tokio::test]
    async fn input_is_fed_and_output_is_read_however_large() {
        let input = vec![b'x'; 1 << 20];
        let finished = Program::new("cat").input(input.clone()).run().await.unwrap();
        assert_eq!(finished.stdout, input);
    }
}

//! QEMUs of ours that nobody watches any more.
//!
//! A QEMU dies with its job. Should one ever outlive it, its name tells whose it is, and the free lock of the job's
//! folder that nobody will miss it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::machine::MARK;
use crate::job;

/// A QEMU whose job is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its process id.
    pub pid: i32,
    /// The job's name, from its own.
    pub job: String,
}

/// The QEMUs that carry our mark, were started for a job below `root`, and whose job is over.
pub fn strays(root: &Path) -> Result<Vec<Stray>> {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let mut strays = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list the processes")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(stray) = look(&root, pid) {
            strays.push(stray);
        }
    }
    Ok(strays)
}

/// Ends a stray, if it still is one.
pub fn end_stray(root: &Path, stray: &Stray) -> Result<()> {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let Some(pid) = Pid::from_raw(stray.pid) else { return Ok(()) };
    // The handle names this process, even if the id is given to another one in between.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if look(&root, stray.pid).as_ref() == Some(stray) {
        match pidfd_send_signal(&process, Signal::KILL) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => {}
            Err(error) => return Err(error).context("cannot end a stray QEMU"),
        }
    }
    Ok(())
}

fn look(root: &Path, pid: i32) -> Option<Stray> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let words = fs::read(process.join("cmdline")).ok()?;
    let job = job_name(&words)?;
    // A QEMU runs in the folder `work` of its job's folder, of which the kernel remembers the name even when it is gone.
    let work = fs::read_link(process.join("cwd")).ok()?;
    let folder = work.parent()?;
    if !folder.starts_with(root) || job::is_alive(folder) {
        return None;
    }
    Some(Stray { pid, job })
}

/// The job's name, if the command line is that of a QEMU of ours.
fn job_name(command_line: &[u8]) -> Option<String> {
    let mut words = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    words.find(|word| word == "-name")?;
    let name = words.next()?;
    Some(name.strip_prefix("guest=")?.strip_prefix(MARK)?.replace(",,", ","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    #[test]
    fn only_a_marked_name_is_ours() {
        let ours = b"qemu-system-x86_64\0-name\0guest=muster/cloud.1.smoketest.a,,b\0-machine\0pc\0";
        assert_eq!(job_name(ours).as_deref(), Some("cloud.1.smoketest.a,b"));
        assert_eq!(job_name(b"qemu-system-x86_64\0-name\0guest=virt-1\0"), None);
        assert_eq!(job_name(b"sh\0-c\0true\0"), None);
    }

    #[tokio::test]
    async fn a_stray_is_found_by_its_free_lock_and_ended() {
        let root = tempfile::tempdir().unwrap();
        let work = root.path().join("job/work");
        fs::create_dir_all(&work).unwrap();
        let lock = fs::File::create(root.path().join("job/lock")).unwrap();
        lock.lock().unwrap();
        // The words behind the script are its own names, so any program can stand for QEMU here.
        let script = ["-c", "sleep 30; :", "-name", "guest=muster/job"];
        let mut running = Program::new("sh").args(script).folder(&work).spawn().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(strays(root.path()).unwrap(), [], "its job is alive");
        lock.unlock().unwrap();
        let found = strays(root.path()).unwrap();
        let [stray] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(stray.job, "job");
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(strays(elsewhere.path()).unwrap(), [], "it belongs to another root");
        end_stray(root.path(), stray).unwrap();
        assert_eq!(running.wait().await.unwrap(), None, "a signal ended it");
    }
}

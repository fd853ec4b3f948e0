//! The process of a job, told apart from another one that got its number later.
//!
//! It knows process numbers, start times and signals. It must not know what a job is.

use std::fmt;
use std::fs;
use std::str::FromStr;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

/// Names one process of this boot for good: its number may be given away again, but never with the same start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: Pid,
    /// In ticks since the machine was booted.
    started: u64,
}

/// What came of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The process has the signal.
    Signalled,
    /// There is no such process any more, whoever has its number now.
    Gone,
}

impl Process {
    /// This one.
    pub(super) fn this() -> Result<Self> {
        let pid = getpid();
        let started = started(pid).context("cannot tell when this process was started")?;
        Ok(Process { pid, started })
    }

    /// Signals this process and no other.
    pub(super) fn signal(self, signal: Signal) -> Result<Told> {
        // The handle stays with whoever has the number now. It is ours if its start is the one that was noted; should it
        // end before that is looked at, the handle leads nowhere.
        let handle = match pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(Told::Gone),
            Err(error) => return Err(error).context("cannot get hold of a process"),
        };
        if started(self.pid) != Some(self.started) {
            return Ok(Told::Gone);
        }
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => Ok(Told::Signalled),
            Err(Errno::SRCH) => Ok(Told::Gone),
            Err(error) => Err(error).context("cannot signal a process"),
        }
    }
}

/// When the process that has this number was started.
fn started(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name, which may hold blanks and parentheses; the start is the 22nd.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(19)?.parse().ok()
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.pid, self.started)
    }
}

impl FromStr for Process {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let understand = || {
            let (pid, started) = text.trim().split_once(' ')?;
            // A negative number is none; the library does not check.
            let pid = Pid::from_raw(pid.parse().ok().filter(|pid| *pid > 0)?)?;
            Some(Process { pid, started: started.parse().ok()? })
        };
        understand().with_context(|| format!("{text:?} names no process"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    fn of(running: &crate::program::Running) -> Process {
        let pid = Pid::from_raw(running.id().unwrap().try_into().unwrap()).unwrap();
        Process { pid, started: started(pid).unwrap() }
    }

    #[test]
    fn a_process_is_read_back_as_it_was_written() {
        let this = Process::this().unwrap();
        assert_eq!(this.to_string().parse::<Process>().unwrap(), this);
        for text in ["", "12", "0 5", "-1 5", "a b", "12 5 7"] {
            assert!(text.parse::<Process>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_process_that_got_the_number_of_another_is_never_signalled() {
        let mut running = Program::new("sleep").arg("60").spawn().unwrap();
        let process = of(&running);
        let earlier = Process { started: process.started - 1, ..process };
        assert_eq!(earlier.signal(Signal::KILL).unwrap(), Told::Gone);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert!(!running.has_ended(), "a stranger was killed");
        assert_eq!(process.signal(Signal::KILL).unwrap(), Told::Signalled);
        running.wait().await.unwrap();
        assert_eq!(process.signal(Signal::KILL).unwrap(), Told::Gone);
    }
}

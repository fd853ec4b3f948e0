//! Where scripts run: in a guest over its login, or in a sandbox made of a container image.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use muster_flow::smoketest::Before;

use super::guest::Guest;
use super::sandbox::Sandbox;
use crate::job::Desk;
use crate::program::ProgramError;

/// How much a script may write before it is stopped.
const FLOOD: u64 = 16 * 1024 * 1024;

/// The path of the expected package list, seen from the script.
pub const PACKAGES: &str = "/run/muster/packages";

/// Where scripts run.
#[derive(Debug)]
pub enum Place {
    /// A machine.
    Guest(Box<Guest>),
    /// A sandbox.
    Sandbox(Sandbox),
}

/// The test that a place is made ready for.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    /// Which it is, for a person.
    pub title: &'a str,
    /// What is done before it.
    pub before: Before,
    /// The expected package list.
    pub packages: &'a [u8],
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    /// By itself, with this exit code.
    Ended(i32),
    /// It took too long.
    TimedOut,
    /// It wrote more than anybody would read.
    Flooded,
    /// The connection to the guest broke.
    Lost,
}

/// A script that is to run.
#[derive(Debug)]
pub struct Script<'a> {
    /// Environment variables.
    pub variables: &'a [(String, String)],
    /// What it does.
    pub text: &'a str,
    /// How long it may take.
    pub limit: Duration,
    /// Where what it writes is kept.
    pub log: &'a Path,
}

impl Script<'_> {
    /// The text that the shell is given. It is one function, so that the shell has read all of it before it runs
    /// anything, and no command in it can eat the rest.
    fn whole(&self) -> String {
        let mut whole = String::from(
            "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C\n",
        );
        for (name, value) in self.variables {
            let value = value.replace('\'', r"'\''");
            whole.extend(["export ", name, "='", &value, "'\n"]);
        }
        whole.push_str("smoketest() {\n");
        whole.push_str(self.text);
        whole.push_str("\n}\nsmoketest </dev/null\n");
        whole
    }
}

impl Place {
    /// Makes it ready for a test. The answer says why it is not, when that is the image's doing.
    pub async fn prepare(&mut self, next: Next<'_>, desk: &Desk) -> Result<Result<(), String>> {
        let Next { title, before, packages } = next;
        let Place::Guest(guest) = self else { return Ok(Ok(())) };
        let was_in = guest.is_logged_in();
        if let Err(why) = guest.ensure_login(title, desk).await? {
            return Ok(Err(why));
        }
        if before == Before::Reboot
            && let Err(why) = guest.reboot(title, desk).await?
        {
            return Ok(Err(format!("the guest did not come back from the reboot: {why}")));
        }
        if !was_in || before == Before::Reboot {
            guest.write(PACKAGES, packages).await?;
        }
        Ok(Ok(()))
    }

    /// Runs a script. It is an error when nothing can be said about it because of this computer.
    pub async fn run(&mut self, script: &Script<'_>) -> Result<Ran> {
        let program = match self {
            Place::Guest(guest) => guest.login()?.command("exec sh -s"),
            Place::Sandbox(sandbox) => sandbox.shell(),
        };
        let program = program.input(script.whole()).log(script.log).limit(script.limit);
        let ran = tokio::select! {
            finished = program.run_any() => match finished {
                Ok(finished) => finished.code.map_or(Ran::Lost, Ran::Ended),
                Err(ProgramError::TimedOut { .. }) => Ran::TimedOut,
                Err(error) => return Err(error.into()),
            },
            () = flood(script.log) => Ran::Flooded,
        };
        match (self, ran) {
            (Place::Guest(guest), ran) => {
                if ran == Ran::TimedOut {
                    guest.machine.expect_healthy().await?;
                }
                // The SSH client ends with 255 when the connection breaks.
                let lost = ran == Ran::Ended(255) && !guest.is_logged_in();
                if lost {
                    guest.machine.state().await?;
                }
                Ok(if lost { Ran::Lost } else { ran })
            }
            (Place::Sandbox(_), ran) => Ok(ran),
        }
    }

    /// How long the console is now.
    pub fn console_length(&self) -> u64 {
        match self {
            Place::Guest(guest) => guest.console.length(),
            Place::Sandbox(_) => 0,
        }
    }

    /// Keeps what the screen shows; a place without one has nothing to keep.
    pub async fn screenshot(&self, path: &Path) {
        if let Place::Guest(guest) = self
            && let Err(error) = guest.machine.screenshot(path).await
        {
            tracing::info!(error = format!("{error:#}"), "there is no screenshot");
        }
    }

    /// Ends it.
    pub async fn end(self) {
        if let Place::Guest(guest) = self {
            guest.machine.end().await;
        }
    }
}

/// Returns once a log is far too long.
async fn flood(log: &Path) {
    while std::fs::metadata(log).map(|metadata| metadata.len()).unwrap_or_default() < FLOOD {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

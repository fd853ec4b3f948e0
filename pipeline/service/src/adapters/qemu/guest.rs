//! A guest: a machine, its console, and a login that is looked for until it comes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::console::Console;
use super::machine::{Machine, State};
use super::phase::Phase;
use super::ssh::{self, Login, Target};
use crate::job::Desk;

/// Between two looks whether the guest lets us in: short against a boot, long against the work of looking.
const PAUSE: Duration = Duration::from_millis(100);

/// After so long without an answer the SSH server is asked once more.
const ASKED_AGAIN: Duration = Duration::from_millis(500);

/// How many questions may be unanswered at once: servers take it ill when many connections log nobody in.
const QUESTIONS: usize = 4;

/// How long a command of our own may take in the guest.
const COMMAND_LIMIT: Duration = Duration::from_mins(1);

/// A guest that is, or was, up.
#[derive(Debug)]
pub struct Guest {
    /// The machine it runs on.
    pub machine: Machine,
    /// Its serial console.
    pub console: Console,
    firmware: Console,
    /// When its power was switched on first.
    powered_on: Instant,
    target: Target,
    login: Option<Login>,
    limit: Duration,
    /// How long a silent console is borne.
    pub patience: Patience,
}

/// How long a silent console is borne.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// As long as there is time.
    Full,
    /// Not long: the accelerator is not known to run a whole kernel.
    Short,
}

/// A console that is silent for so long, before anybody could log in, is a reason to doubt the accelerator.
const SILENCE: Duration = Duration::from_secs(45);

/// Which boot of a guest is waited for.
#[derive(Clone, Copy, Debug)]
pub enum Boot<'a> {
    /// The first.
    First,
    /// Any: a test has lost its login.
    Again {
        /// The test, for a person.
        title: &'a str,
    },
    /// Another one than an earlier one.
    After {
        /// The id of the earlier one.
        earlier: &'a str,
        /// The test that wants it, for a person.
        title: &'a str,
    },
}

impl Boot<'_> {
    /// How far a guest is so long after its power was switched on, for a person.
    fn progress(self, since: Duration, phase: Phase) -> String {
        let seconds = since.as_secs();
        match self {
            Boot::First => format!("booting for {seconds} s: {phase}"),
            Boot::Again { title } => format!("{title}: logging in again, {seconds} s after power-on"),
            Boot::After { title, .. } => format!("{title}: rebooting, {seconds} s after power-on: {phase}"),
        }
    }
}

/// Questions to an SSH server that may not be there yet. One that was asked before the guest had a network is answered
/// seconds late, so it must not hold up the next.
#[derive(Default)]
struct Greetings {
    asked: Option<Instant>,
    unanswered: JoinSet<bool>,
}

impl Greetings {
    /// Waits a moment for a greeting from a port of this computer.
    async fn came(&mut self, port: u16) -> bool {
        let is_late = self.asked.is_none_or(|asked| asked.elapsed() > ASKED_AGAIN);
        if self.unanswered.is_empty() || is_late && self.unanswered.len() < QUESTIONS {
            self.asked = Some(Instant::now());
            self.unanswered.spawn(ssh::greets(port));
        }
        let pause = tokio::time::sleep(PAUSE);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                Some(answer) = self.unanswered.join_next() => {
                    if matches!(answer, Ok(true)) {
                        return true;
                    }
                }
                () = &mut pause => return false,
            }
        }
    }
}

impl Guest {
    /// A guest on a machine that was just switched on.
    pub fn new(machine: Machine, console: Console, work: &Path, settings: &super::Settings) -> Self {
        let target = Target { folder: work.to_owned(), port: machine.port, user: settings.login.clone() };
        let firmware = Console::new(&work.join("firmware.log"));
        let limit = Duration::from_secs(settings.boot_limit_s);
        let powered_on = machine.since;
        Guest { machine, console, firmware, powered_on, target, login: None, limit, patience: Patience::Full }
    }

    /// Waits for a login. The answer says why there is none, when that is the guest's doing; it is an error when it is
    /// this computer's.
    pub async fn come_up(&mut self, boot: Boot<'_>, desk: &Desk) -> Result<Result<(), String>> {
        let begun = Instant::now();
        let mut shown = Instant::now();
        let mut spoke = (0, Instant::now());
        let mut refusal = None;
        let mut greetings = Greetings::default();
        self.login = None;
        loop {
            if self.machine.state().await? == State::SwitchedOff {
                return Ok(Err("the guest switched itself off".to_owned()));
            }
            if greetings.came(self.target.port).await {
                greetings = Greetings::default();
                refusal = match self.try_login(boot).await? {
                    Ok(()) => return Ok(Ok(())),
                    Err(why) => Some(why),
                };
                tokio::time::sleep(PAUSE).await;
            }
            if let Some(end) = self.console.find_end().or_else(|| self.firmware.find_end()) {
                self.machine.expect_healthy().await?;
                return Ok(Err(end.to_owned()));
            }
            let length = self.console.length();
            if length != spoke.0 {
                spoke = (length, Instant::now());
            }
            if matches!(self.patience, Patience::Short) && refusal.is_none() && spoke.1.elapsed() > SILENCE {
                return Ok(Err(format!("the console was silent for {} s", SILENCE.as_secs())));
            }
            if begun.elapsed() > self.limit {
                return self.why_not(refusal).await.map(Err);
            }
            if shown.elapsed() > Duration::from_secs(1) {
                shown = Instant::now();
                self.machine.expect_healthy().await?;
                // An SSH server that refuses us is there.
                let phase = if refusal.is_some() { Phase::Login } else { self.console.phase() };
                desk.say(&boot.progress(self.powered_on.elapsed(), phase));
            }
        }
    }

    async fn try_login(&mut self, boot: Boot<'_>) -> Result<Result<(), String>> {
        match self.target.log_in().await? {
            Ok(login) => self.login = Some(login),
            Err(why) => return Ok(Err(format!("the SSH server refuses us: {why}"))),
        }
        let Boot::After { earlier, .. } = boot else { return Ok(Ok(())) };
        match self.boot_id().await {
            Ok(now) if now != earlier => Ok(Ok(())),
            // It is still going down.
            Ok(_) | Err(_) => {
                self.login = None;
                Ok(Err("it did not go down".to_owned()))
            }
        }
    }

    /// Why no login came in time.
    async fn why_not(&mut self, refusal: Option<String>) -> Result<String> {
        self.machine.expect_healthy().await?;
        if self.console.length() == 0 && !self.machine.has_read_its_disk().await? {
            anyhow::bail!("the machine showed no sign of life within {} s", self.limit.as_secs());
        }
        let why = refusal.unwrap_or_else(|| match self.console.last_line() {
            line if line.is_empty() => "nothing was written to the serial console".to_owned(),
            line => format!("the last words on the console: {line}"),
        });
        Ok(format!("no login within {} s; {why}", self.limit.as_secs()))
    }

    /// Sees to it that there is a login, after one may have been lost.
    pub async fn ensure_login(&mut self, title: &str, desk: &Desk) -> Result<Result<(), String>> {
        if self.login.as_mut().is_some_and(Login::stands) {
            return Ok(Ok(()));
        }
        self.come_up(Boot::Again { title }, desk).await
    }

    /// Whether the login still stands.
    pub fn is_logged_in(&mut self) -> bool {
        self.login.as_mut().is_some_and(Login::stands)
    }

    /// The login that stands.
    pub fn login(&self) -> Result<&Login> {
        self.login.as_ref().context("nobody is logged in")
    }

    /// Writes a file in the guest.
    pub async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let command = self.login()?.command(&format!("mkdir -p {folder} && cat > {path}"));
        command
            .input(bytes)
            .limit(COMMAND_LIMIT)
            .run()
            .await
            .with_context(|| format!("cannot write {path}"))?;
        Ok(())
    }

    /// Reboots it for a test, and waits until it is up again.
    pub async fn reboot(&mut self, title: &str, desk: &Desk) -> Result<Result<(), String>> {
        let Ok(earlier) = self.boot_id().await else {
            return Ok(Err("the guest did not answer before the reboot".to_owned()));
        };
        let command = "PATH=$PATH:/usr/sbin:/sbin; (sleep 1; reboot) >/dev/null 2>&1 &";
        let told = self.login()?.command(command).limit(COMMAND_LIMIT).run_any().await;
        told.context("cannot tell the guest to reboot")?;
        if let Err(why) = self.go_down(title, desk).await? {
            return Ok(Err(why));
        }
        self.console.begin_again();
        self.firmware.begin_again();
        self.machine.switch_on_again().await?;
        self.target.port = self.machine.port;
        self.come_up(Boot::After { earlier: &earlier, title }, desk).await
    }

    /// Waits until the guest has shut itself down.
    async fn go_down(&mut self, title: &str, desk: &Desk) -> Result<Result<(), String>> {
        let seconds = self.powered_on.elapsed().as_secs();
        desk.say(&format!("{title}: rebooting, {seconds} s after power-on: shutting down"));
        let begun = Instant::now();
        while self.machine.state().await? == State::Running {
            if begun.elapsed() > self.limit {
                return Ok(Err(format!("it did not shut down within {} s", self.limit.as_secs())));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Ok(()))
    }

    async fn boot_id(&self) -> Result<String> {
        let command = self.login()?.command("cat /proc/sys/kernel/random/boot_id").limit(COMMAND_LIMIT);
        Ok(command.run().await?.text().trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reboot_is_called_so_and_is_counted_from_the_beginning() {
        let title = "test 3 of 7: survives-reboot";
        let said = [
            Boot::First.progress(Duration::from_secs(12), Phase::Kernel),
            Boot::After { earlier: "a", title }.progress(Duration::from_secs(74), Phase::Services),
            Boot::Again { title }.progress(Duration::from_secs(75), Phase::Login),
        ];
        let expected = [
            "booting for 12 s: kernel",
            "test 3 of 7: survives-reboot: rebooting, 74 s after power-on: services",
            "test 3 of 7: survives-reboot: logging in again, 75 s after power-on",
        ];
        assert_eq!(said, expected);
    }
}

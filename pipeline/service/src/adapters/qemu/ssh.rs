//! A login over SSH: one connection that stays open, and commands through it.
//!
//! All files lie in one folder and are named by short relative paths, for the path of a socket must be short.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::program::{self, Program, Running};

/// How long a server may take from the connection to its first words; a guest that has no server says nothing.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// How long a login may take, from the first word to the shell; it is arithmetic, and slow without an accelerator.
const LOGIN_LIMIT: Duration = Duration::from_mins(1);

const KEY: &str = "key";
const SOCKET: &str = "ssh";

/// Makes a fresh key and returns its public line.
pub async fn make_key(folder: &Path) -> Result<String> {
    let program =
        Program::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "muster", "-f", KEY]);
    program.folder(folder).run().await.context("cannot make a key")?;
    let line = std::fs::read_to_string(folder.join("key.pub")).context("cannot read the key")?;
    Ok(line.trim().to_owned())
}

/// Whether an SSH server greets at a port of this computer.
pub async fn greets(port: u16) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.ok()?;
        (&bytes == b"SSH-").then_some(())
    };
    matches!(tokio::time::timeout(GREETING_LIMIT, greeting).await, Ok(Some(())))
}

/// A login that stands. Dropping it hangs up.
#[derive(Debug)]
pub struct Login {
    master: Running,
    target: Target,
}

/// Who logs in where.
#[derive(Clone, Debug)]
pub struct Target {
    /// The folder with the key.
    pub folder: PathBuf,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The user.
    pub user: String,
}

impl Target {
    /// Tries to log in; the answer says why not.
    pub async fn log_in(&self) -> Result<Result<Login, String>> {
        let (socket, log) = (self.folder.join(SOCKET), self.folder.join("ssh.log"));
        for old in [&socket, &log] {
            // There is none the first time.
            let _ = std::fs::remove_file(old);
        }
        let mut master = self.program().args(["-M", "-N"]).arg("127.0.0.1").log(&log).spawn()?;
        let login = async {
            while !socket.exists() {
                if master.has_ended() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            true
        };
        match tokio::time::timeout(LOGIN_LIMIT, login).await {
            Ok(true) => Ok(Ok(Login { master, target: self.clone() })),
            Ok(false) => Ok(Err(program::tail(&log).replace('\n', "; "))),
            Err(_) => Ok(Err(format!("the login was not over after {} s", LOGIN_LIMIT.as_secs()))),
        }
    }

    fn program(&self) -> Program {
        let options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "ServerAliveInterval=10",
            "ServerAliveCountMax=6",
            "LogLevel=ERROR",
        ];
        let mut program =
            Program::new("ssh").args(["-F", "none", "-S", SOCKET, "-i", KEY]).folder(&self.folder);
        for option in options {
            program = program.arg("-o").arg(option);
        }
        program.arg("-p").arg(self.port.to_string()).arg("-l").arg(&self.user)
    }
}

impl Login {
    /// Whether the connection is still there.
    pub fn stands(&mut self) -> bool {
        !self.master.has_ended()
    }

    /// A program that runs a command in the guest; its input, output and exit code are the command's.
    pub fn command(&self, command: &str) -> Program {
        self.target.program().args(["-T", "-o", "ControlMaster=no", "127.0.0.1"]).arg(command)
    }
}

//! QEMU's monitor, in the QMP protocol: one connection per question.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// How long QEMU may take to answer; under load a screenshot takes a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// The socket's name in the machine's folder.
pub const SOCKET: &str = "qmp";

/// The way to a running QEMU.
#[derive(Debug)]
pub struct Monitor {
    folder: File,
}

impl Monitor {
    /// The monitor of the QEMU that runs in `folder`.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Monitor { folder: File::open(folder).context("cannot open the machine's folder")? })
    }

    /// Puts one question.
    pub async fn ask(&self, command: &str, arguments: Value) -> Result<Value> {
        let answer = tokio::time::timeout(PATIENCE, self.ask_now(command, arguments)).await;
        answer.with_context(|| format!("QEMU did not answer {command}"))?
    }

    async fn ask_now(&self, command: &str, arguments: Value) -> Result<Value> {
        // The path of a socket must be short, whatever the folder is called.
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd())).join(SOCKET);
        let stream = UnixStream::connect(&path).await.context("cannot reach QEMU's monitor")?;
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        for question in
            [json!({"execute": "qmp_capabilities"}), json!({"execute": command, "arguments": arguments})]
        {
            write.write_all(format!("{question}\n").as_bytes()).await?;
        }
        let mut answers = 0;
        while let Some(line) = lines.next_line().await? {
            let mut message: Value = serde_json::from_str(&line).context("QEMU's monitor spoke nonsense")?;
            if let Some(error) = message.get("error") {
                bail!("QEMU refused {command}: {}", error["desc"].as_str().unwrap_or("it gave no reason"));
            }
            // What is neither is the greeting or an event.
            if message.get("return").is_some() {
                answers += 1;
            }
            if answers == 2 {
                return Ok(message["return"].take());
            }
        }
        bail!("QEMU's monitor closed in the middle of {command}")
    }
}

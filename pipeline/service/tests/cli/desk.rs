//! What a person works at: a store with a configuration file beside it, and the program.

use std::path::Path;
use std::time::Duration;

use muster::program::{Finished, Program};
use muster_flow::candidate::{CandidateId, Purpose};
use serde_json::Value;

use crate::tale::{Fate, Tale, muster, recipe, tests};

/// A tale with a configuration file for the program.
pub struct Desk {
    pub tale: Tale,
}

impl Desk {
    pub async fn new() -> Self {
        let tale = Tale::begin().await;
        let state = tale.settings.service.state.display().to_string();
        std::fs::write(tale.folder.path().join("muster.toml"), format!("[service]\nstate = \"{state}\"\n"))
            .unwrap();
        Desk { tale }
    }

    pub async fn run(&self, args: &[&str]) -> Finished {
        run(self.tale.folder.path(), args).await
    }

    /// Runs a command that goes well, and returns what it says.
    pub async fn says(&self, args: &[&str]) -> String {
        let finished = self.run(args).await;
        let stderr = String::from_utf8_lossy(&finished.stderr).into_owned();
        assert_eq!(finished.code, Some(0), "{args:?}: {stderr}");
        finished.text()
    }

    pub async fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.says(&args).await).unwrap()
    }

    /// Runs a command that cannot be done, and returns its exit code and its advice.
    pub async fn fails(&self, args: &[&str]) -> (i32, String) {
        let finished = self.run(args).await;
        assert_eq!(finished.text(), "", "{args:?} wrote to standard output and failed");
        (finished.code.unwrap(), String::from_utf8_lossy(&finished.stderr).into_owned())
    }

    pub async fn rejected(&mut self) -> CandidateId {
        let id = self.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
        self.tale.start(&id, tests()).await;
        self.tale
            .live(&id, |key| {
                if key.contains("uefi") {
                    Fate::Red(&["hostname"], "the name is localhost")
                } else {
                    Fate::Well
                }
            })
            .await;
        id
    }
}

pub async fn run(folder: &Path, args: &[&str]) -> Finished {
    Program::new(muster())
        .args(args)
        .folder(folder)
        .env("USER", "ada")
        .env("MUSTER_CONFIG", "muster.toml")
        .limit(Duration::from_secs(30))
        .run_any()
        .await
        .unwrap()
}

pub async fn wait_for(log: &Path, words: &str) {
    for _ in 0..100 {
        if std::fs::read_to_string(log).is_ok_and(|text| text.contains(words)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{words:?} was not said:\n{}", std::fs::read_to_string(log).unwrap_or_default());
}

/// Runs a command that cannot be done: its exit code, the error and the advice, which must be there.
pub async fn advice(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let finished = run(folder, &args).await;
    let said: Value = serde_json::from_slice(&finished.stderr)
        .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", String::from_utf8_lossy(&finished.stderr)));
    let [error, next] = ["error", "next"].map(|key| said[key].as_str().unwrap().to_owned());
    assert!(!error.trim().is_empty() && !next.trim().is_empty(), "{args:?} leaves a person alone: {said}");
    (finished.code.unwrap(), error, next)
}

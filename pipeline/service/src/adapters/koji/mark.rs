//! What our tasks are known by, in words that stand in a task's request from the moment that the task exists.
//!
//! Where a file is uploaded for it, it is the folder of the file: it is made of the step's key, of when the candidate was
//! made, and of the installation's own word. Elsewhere it is the name, version and release, whose release carries the
//! same in a word of its own, see `order`.

use muster_flow::step::StepKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::task::Task;
use crate::text::hex;

/// How a command begins that carries a mark: the shell does nothing with it.
pub const IN_COMMAND: &str = ": muster ";

/// How many digits tell two orders' releases apart.
const DIGITS: usize = 10;

/// The folder of one step's files, below the hub's folder for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(pub String);

impl Folder {
    /// The folder of a step. `made` is when its candidate was made, in seconds since 1970.
    pub fn of(installation: &str, key: &StepKey, made: i64) -> Self {
        let plain = |character: char| {
            if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '_' }
        };
        let key: String = key.flat().chars().map(plain).collect();
        // Hubs clean `cli-image` by age.
        Folder(format!("cli-image/{installation}.{made}.{key}"))
    }

    /// Where a file in it lies for the builders.
    pub fn path(&self, file: &str) -> String {
        format!("work/{}/{file}", self.0)
    }

    /// The mark of a task that reads a file from it.
    pub fn mark(&self) -> Mark {
        Mark(self.0.clone())
    }

    /// A word for it that may stand in a release.
    pub fn word(&self) -> String {
        let digest = hex(&Sha256::digest(&self.0));
        format!("m{}", &digest[..DIGITS])
    }
}

/// What a task is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(pub String);

impl Mark {
    /// The mark of a task whose request names it.
    pub fn named(name: &str, version: &str, release: &str) -> Self {
        Mark(format!("{name}-{version}-{release}"))
    }

    /// The mark of a task of kiwi, whose request has no name: the folder, profile, type, version and release.
    pub fn of_kiwi(parts: &[&str; 5]) -> Self {
        Mark(format!("kiwi {}", parts.join(" ")))
    }

    /// Whether a task carries it.
    pub fn is_on(&self, task: &Task) -> bool {
        of_task(task).as_ref() == Some(self)
    }
}

fn of_task(task: &Task) -> Option<Mark> {
    let request = &task.request;
    match task.method.as_str() {
        "image" => {
            let options = &request[5];
            if options["ksurl"].is_string() {
                return named(&request[0], &request[1], &options["release"]);
            }
            folder_of(&options["kickstart"])
        }
        "osbuildImage" => named(&request[0], &request[1], &request[6]["release"]),
        "indirectionimage" => {
            let options = &request[0];
            if options["indirection_template_url"].is_string() {
                return named(&options["name"], &options["version"], &options["release"]);
            }
            folder_of(&options["indirection_template"])
        }
        "runroot" => {
            let (mark, _) = request[2].as_str()?.strip_prefix(IN_COMMAND)?.split_once(' ')?;
            Some(Mark(mark.to_owned()))
        }
        "kiwiBuild" => {
            let options = &request[4];
            let text = |value: &'static str| options[value].as_str().unwrap_or_default();
            let path = request[3].as_str().unwrap_or_default();
            Some(Mark::of_kiwi(&[path, text("profile"), text("type"), text("version"), text("release")]))
        }
        _ => None,
    }
}

fn named(name: &Value, version: &Value, release: &Value) -> Option<Mark> {
    Some(Mark::named(name.as_str()?, version.as_str()?, release.as_str()?))
}

fn folder_of(path: &Value) -> Option<Mark> {
    let (folder, _) = path.as_str()?.strip_prefix("work/")?.rsplit_once('/')?;
    Some(Mark(folder.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(method: &str, request: &Value) -> Task {
        let told = json!({ "id": 1, "method": method, "state": 0, "owner": 2, "request": request });
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn a_folder_is_found_in_the_request_and_nowhere_else() {
        let key = StepKey("cloud/43.20261121.0/build/x86_64+aarch64#2".to_owned());
        let folder = Folder::of("muster", &key, 7);
        assert_eq!(folder.0, "cli-image/muster.7.cloud.43.20261121.0.build.x86_64_aarch64.2");
        let mark = folder.mark();
        let with = |kickstart: &str| {
            task("image", &json!(["n", "43", [], "t", "http://x/", { "kickstart": kickstart }]))
        };
        assert!(mark.is_on(&with(&folder.path("cloud.ks"))));
        assert!(!mark.is_on(&with(&format!("{}0/cloud.ks", folder.path("").trim_end_matches('/')))));
        assert!(!mark.is_on(&with("cloud.ks")));
        assert!(!mark.is_on(&task("image", &json!([{ "name": "an indirection" }]))));
        assert!(!mark.is_on(&task("image", &json!(null))));
    }

    #[test]
    fn what_has_no_folder_is_known_by_its_release() {
        let kiwi = |release: &str| {
            let options = json!({ "profile": "Cloud", "version": "43", "release": release, "scratch": true });
            task("kiwiBuild", &json!(["f43", ["x86_64"], "git+https://x/?#HEAD", "teams/cloud/", options]))
        };
        let mark = Mark::of_kiwi(&["teams/cloud/", "Cloud", "", "43", "1.m0"]);
        assert!(mark.is_on(&kiwi("1.m0")) && !mark.is_on(&kiwi("1.m1")) && !mark.is_on(&kiwi("1")));
        let mark = Mark::named("Lab", "43", "1");
        let osbuild = json!(["Lab", "43", "fedora-43", ["qcow2"], "f43", ["x86_64"], { "release": "1" }]);
        assert!(mark.is_on(&task("osbuildImage", &osbuild)));
        // The same words in another place are another thing.
        assert!(!mark.is_on(&task("image", &osbuild)));
        let options = json!({ "ksurl": "git+https://x/#c", "kickstart": "lab.ks", "release": "1" });
        assert!(mark.is_on(&task("image", &json!(["Lab", "43", [], "f43", "http://x/", options]))));
    }

    #[test]
    fn two_installations_and_two_candidates_of_one_name_have_two_marks() {
        let key = StepKey("cloud/43.20261121.0/build/x86_64".to_owned());
        let folder = |installation: &str, made| Folder::of(installation, &key, made);
        for other in [folder("staging", 7), folder("muster", 8)] {
            assert_ne!(folder("muster", 7), other);
            assert_ne!(folder("muster", 7).word(), other.word());
        }
    }
}

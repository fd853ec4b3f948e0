//! What our tasks are known by: the folder that their kickstart was put in.
//!
//! It stands in the task's request, where `listTasks` shows it, before anything can be lost; it is made of the step's
//! key, of when the candidate was made, and of the installation's own word.

use muster_flow::step::StepKey;

use super::task::Task;

/// The folder of one step's kickstart, below the hub's folder for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(pub String);

impl Mark {
    /// The mark of a step. `made` is when its candidate was made, in seconds since 1970.
    pub fn of(installation: &str, key: &StepKey, made: i64) -> Self {
        let plain = |character: char| {
            if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '_' }
        };
        let key: String = key.flat().chars().map(plain).collect();
        // Hubs clean `cli-image` by age.
        Mark(format!("cli-image/{installation}.{made}.{key}"))
    }

    /// Where a file in it lies for the builders.
    pub fn path(&self, file: &str) -> String {
        format!("work/{}/{file}", self.0)
    }

    /// Whether a task carries it.
    pub fn is_on(&self, task: &Task) -> bool {
        let kickstart = task.request[5]["kickstart"].as_str().unwrap_or_default();
        kickstart
            .strip_prefix("work/")
            .and_then(|path| path.rsplit_once('/'))
            .is_some_and(|(folder, _)| folder == self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn task(request: &Value) -> Task {
        let told = json!({ "id": 1, "method": "image", "state": 0, "owner": 2, "request": request });
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn a_mark_is_found_in_the_request_and_nowhere_else() {
        let key = StepKey("cloud/43.20261121.0/build/x86_64+aarch64#2".to_owned());
        let mark = Mark::of("muster", &key, 7);
        assert_eq!(mark.0, "cli-image/muster.7.cloud.43.20261121.0.build.x86_64_aarch64.2");
        let with =
            |kickstart: &str| task(&json!(["n", "43", [], "t", "http://x/", { "kickstart": kickstart }]));
        assert!(mark.is_on(&with(&mark.path("cloud.ks"))));
        assert!(!mark.is_on(&with(&format!("{}0/cloud.ks", mark.path("").trim_end_matches('/')))));
        assert!(!mark.is_on(&with("cloud.ks")));
        assert!(!mark.is_on(&task(&json!([{ "name": "an indirection" }]))));
        assert!(!mark.is_on(&task(&json!(null))));
    }

    #[test]
    fn two_installations_and_two_candidates_of_one_name_have_two_marks() {
        let key = StepKey("cloud/43.20261121.0/build/x86_64".to_owned());
        assert_ne!(Mark::of("muster", &key, 7), Mark::of("staging", &key, 7));
        assert_ne!(Mark::of("muster", &key, 7), Mark::of("muster", &key, 8));
    }
}

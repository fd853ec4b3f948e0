//! Whatever a message holds, decoding it ends with an answer. The first byte chooses the topic, the rest is the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_message::schemas;

const TOPICS: [&str; 9] = [
    "buildsys.tag",
    "buildsys.untag",
    "buildsys.build.state.change",
    "buildsys.repo.done",
    "git.receive",
    "pagure.git.receive",
    "forgejo.push",
    "github.push",
    "pungi.compose.status.change",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else { return };
    let topic = TOPICS[usize::from(*first) % TOPICS.len()];
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return };
    let decoded = muster_message::decode(topic, &body);
    if body.is_object() && schemas::check(topic, &body).is_ok() {
        assert!(decoded.is_ok(), "it fits the schema and cannot be decoded: {topic} {body}");
    }
});

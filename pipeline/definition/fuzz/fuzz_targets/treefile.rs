//! Any text as a treefile of either format, with another one to include.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_definition::treefile::read;
use std::collections::BTreeMap;

fuzz_target!(|input: (bool, &str, &str)| {
    let (is_json, root, included) = input;
    let path = if is_json { "root.json" } else { "root.yaml" };
    let files =
        BTreeMap::from([(path.to_owned(), root.to_owned()), ("included.yaml".to_owned(), included.to_owned())]);
    let _ = read(path, &files, "x86_64");
});

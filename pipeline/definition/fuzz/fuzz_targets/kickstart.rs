//! Any text, split into a root and an included file, read as any release; what is flat stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_definition::kickstart::{Syntax, flatten, read};
use std::collections::BTreeMap;

const RELEASES: [&str; 8] = ["F7", "F12", "RHEL6", "F20", "RHEL8", "F33", "RHEL10", "F44"];

fuzz_target!(|input: (u8, &str, &str)| {
    let (release, root, included) = input;
    let release = RELEASES[usize::from(release) % RELEASES.len()];
    let Ok(syntax) = release.parse::<Syntax>() else { return };
    let files = BTreeMap::from([
        ("root.ks".to_owned(), root.to_owned()),
        ("included.ks".to_owned(), included.to_owned()),
    ]);
    let _ = read("root.ks", &files, syntax);
    let Ok(once) = flatten("root.ks", &files, syntax) else { return };
    let again = BTreeMap::from([("root.ks".to_owned(), once.text.clone())]);
    let twice = flatten("root.ks", &again, syntax).map(|flat| flat.text);
    if release == "F7" {
        // Sections did not end with %end, so that the blank line before the next one belongs to a script.
        assert_eq!(twice.map(|text| without_blank_lines(&text)), Ok(without_blank_lines(&once.text)));
    } else {
        assert_eq!(twice, Ok(once.text));
    }
});

fn without_blank_lines(text: &str) -> String {
    text.lines().filter(|line| !line.is_empty()).collect::<Vec<&str>>().join("\n")
}

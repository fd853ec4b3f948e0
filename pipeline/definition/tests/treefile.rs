//! What a treefile gives, and what a wrong one is told.
#![expect(clippy::unwrap_used, reason = "a test")]

use muster_definition::Directory;
use muster_definition::treefile::{Treefile, read};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn treefile(file: &str, basearch: &str) -> Treefile {
    read(file, &Directory::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/treefiles")), basearch).unwrap()
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn error(texts: &[(&str, &str)]) -> String {
    read(texts.first().unwrap().0, &files(texts), "x86_64").unwrap_err().to_string()
}

#[test]
fn included_files_merge_by_the_kind_of_each_key() {
    let host = treefile("host.yaml", "x86_64");
    assert_eq!(host.files, ["host.yaml", "base.yaml", "new.yaml", "post.sh", "etc/motd"]);
    assert_eq!(host.reference.as_deref(), Some("example/44/x86_64/next"));
    assert_eq!(
        host.packages,
        ["debugger", "efibootmgr", "grub2-efi-x64", "kernel", "new", "podman >= 4.1", "systemd", "toolbox"]
    );
    assert_eq!(host.repos, ["base", "extra"]);
    assert_eq!(host.units, ["first.service", "second.service"]);
    assert_eq!(host.postprocess, ["echo new", "echo base", "echo host"]);
    assert!(host.documentation && host.recommends && host.machineid_compat);
    assert_eq!(host.default_target.as_deref(), Some("multi-user.target"));
    assert_eq!(host.automatic_version_prefix.as_deref(), Some("44.<date:%Y%m%d>.next"));
    assert_eq!(host.add_commit_metadata.get("example.stream").unwrap(), "next");
    assert_eq!(host.add_files, [("etc/motd".to_owned(), "/etc/motd".to_owned())]);
    assert_eq!(host.remove_from_packages, [["cpio", "/usr/share/.*"]]);
}

#[test]
fn a_file_is_known_by_its_path_in_the_source_whoever_names_it() {
    let texts = [
        ("trees/host.yaml", "ref: a\ninclude: ../shared/base.yaml\nadd-files: [[own, /usr/own]]\n"),
        ("shared/base.yaml", "postprocess-script: post.sh\nadd-files: [[etc/motd, /etc/motd]]\n"),
    ];
    let source: BTreeMap<String, String> =
        texts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let host = muster_definition::treefile::read("trees/host.yaml", &source, "x86_64").unwrap();
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(host.add_files, [pair("shared/etc/motd", "/etc/motd"), pair("trees/own", "/usr/own")]);
    assert_eq!(host.postprocess_script.as_deref(), Some("shared/post.sh"));
    assert_eq!(host.files[2..], ["trees/own", "shared/post.sh", "shared/etc/motd"]);
    assert_eq!(host.merged["postprocess-script"], "shared/post.sh");
}

#[test]
fn another_architecture_has_its_own_includes_and_packages() {
    let host = treefile("host.yaml", "aarch64");
    assert!(host.files.contains(&"aarch64.yaml".to_owned()), "{:?}", host.files);
    for name in ["only-arm", "grub2-efi-aa64"] {
        assert!(host.packages.iter().any(|package| package == name), "{name}: {:?}", host.packages);
    }
    assert!(!host.packages.iter().any(|package| package == "efibootmgr"));
}

#[test]
fn json_may_hold_tabs_old_spellings_and_keys_nobody_knows() {
    let old = treefile("old.json", "x86_64");
    assert_eq!(old.packages, ["a", "b", "c"]);
    assert_eq!(old.automatic_version_prefix.as_deref(), Some("7"));
    assert_eq!(old.boot_location.as_deref(), Some("both"));
    assert!(!old.merged.contains_key("00comment"));
}

#[test]
fn the_repository_named_last_gives_a_package() {
    let child = "include: b.yaml\nrepo-packages: [{repo: child, packages: [a b]}]\n";
    let parent = "repo-packages: [{repo: parent, packages: [b, c]}]\n";
    let read = read("a.yaml", &files(&[("a.yaml", child), ("b.yaml", parent)]), "x86_64").unwrap();
    let repos: Vec<_> =
        read.repo_packages.iter().map(|entry| (entry.repo.as_str(), entry.packages.as_slice())).collect();
    assert_eq!(
        repos,
        [("parent", ["c".to_owned()].as_slice()), ("child", ["a".to_owned(), "b".to_owned()].as_slice())]
    );
}

#[test]
fn a_container_and_a_later_edition_bring_their_own_defaults() {
    let container = read("a.yaml", &files(&[("a.yaml", "container: true\n")]), "x86_64").unwrap();
    assert!(!container.selinux && container.tmp_is_dir);
    let modern = read("a.yaml", &files(&[("a.yaml", "edition: \"2024\"\n")]), "x86_64").unwrap();
    assert_eq!(modern.boot_location.as_deref(), Some("modules"));
}

#[test]
fn wrong_treefiles_are_told_what_to_write() {
    insta::assert_snapshot!(error(&[("a.yaml", "packges: [a]\n")]), @"a.yaml: there is no key packges; remove it, or move it below metadata");
    insta::assert_snapshot!(error(&[("a.yaml", "exclude_packages: [a]\n")]), @"a.yaml: there is no key exclude_packages; write exclude-packages");
    insta::assert_snapshot!(error(&[("a.yaml", "packages: a b\n")]), @"a.yaml: packages holds something else; write a list of texts, such as [a, b]");
    insta::assert_snapshot!(error(&[("a.yaml", "packages: [\"'a\"]\n")]), @r#"a.yaml: a single quote in "'a" has no partner; close it"#);
    insta::assert_snapshot!(error(&[("a.yaml", "packages: [a, b]\nexclude-packages: [b]\n")]), @"a.yaml: b is in packages and in exclude-packages; take it out of one of them");
    insta::assert_snapshot!(error(&[("a.yaml", "ref: a\nref: b\n")]), @"a.yaml: it is no YAML map: the key ref stands there twice");
    insta::assert_snapshot!(error(&[("a.yaml", "gpg_key: a\ngpg-key: b\n")]), @"a.yaml: gpg-key stands there in its old and new spelling; write gpg-key once");
    insta::assert_snapshot!(error(&[("a.yaml", "ref: x/${stream}\n")]), @"a.yaml: ref: there is no variable stream; define it below variables");
    insta::assert_snapshot!(error(&[("a.yaml", "ref: x/${stream\n")]), @r#"a.yaml: ref: the brace after ${ is not closed in "x/${stream"; write ${NAME}"#);
    insta::assert_snapshot!(error(&[("a.yaml", "variables: {basearch: a}\n")]), @"a.yaml: the variable basearch is there already; choose another name");
    insta::assert_snapshot!(error(&[("a.yaml", "basearch: s390x\n")]), @"a.yaml: it is for s390x and is read for x86_64; leave basearch out");
    insta::assert_snapshot!(error(&[("a.yaml", "edition: \"2020\"\n")]), @r#"a.yaml: there is no edition 2020; write "2014" or "2024""#);
    insta::assert_snapshot!(error(&[("a.yaml", "boot-location: disk\n")]), @"a.yaml: boot-location cannot be disk; write one of new, modules, kernel-install, both, legacy");
    insta::assert_snapshot!(error(&[("a.yaml", "add-files: [[a, /opt/a]]\n")]), @"a.yaml: add-files cannot write /opt/a; choose a path below /usr (not /usr/local) or /etc");
    insta::assert_snapshot!(error(&[("a.json", "packages: [a]\n")]), @"a.json: it is no JSON map: expected value at line 1 column 1; name it .yaml if it is YAML");
}

#[test]
fn wrong_includes_are_told_where_they_stand() {
    insta::assert_snapshot!(error(&[("a.yaml", "include: b.yaml\n")]), @"a.yaml: there is no file b.yaml; add it, or correct include");
    insta::assert_snapshot!(error(&[("d/a.yaml", "include: b.yaml\n"), ("b.yaml", "")]), @"d/a.yaml: there is no file d/b.yaml; add it, or correct include");
    insta::assert_snapshot!(error(&[("a.yaml", "include: [b.yaml, b.yaml]\n"), ("b.yaml", "{}\n")]), @"a.yaml: b.yaml is included a second time; take one of its includes out");
    insta::assert_snapshot!(error(&[("a.yaml", "include: a.yaml\n")]), @"a.yaml: a.yaml is included a second time; take one of its includes out");
    insta::assert_snapshot!(error(&[("a.yaml", "include: ../a.yaml\n")]), @"a.yaml: ../a.yaml lies outside the folder of the definition");
    insta::assert_snapshot!(error(&[("a.yaml", "include: b.yaml\n"), ("b.yaml", "unit: []\n")]), @"b.yaml: there is no key unit; remove it, or move it below metadata");
}

#[test]
fn wrong_conditions_are_told_what_to_write() {
    let when = |condition: &str| {
        let text =
            format!("releasever: 44\nconditional-include:\n  - if: {condition}\n    include: b.yaml\n");
        error(&[("a.yaml", &text)])
    };
    insta::assert_snapshot!(when("stream == \"a\""), @r#"a.yaml: conditional-include: there is no variable stream for "stream == \"a\""; define it below variables"#);
    insta::assert_snapshot!(when("releasever == \"44\""), @r#"a.yaml: conditional-include: "releasever == \"44\"" cannot compare 44 with "44"; compare numbers with numbers, texts in double quotes with texts, and order numbers only"#);
    insta::assert_snapshot!(when("releasever is 44"), @r#"a.yaml: conditional-include: "releasever is 44" is no condition; write NAME == VALUE, with texts in double quotes"#);
    insta::assert_snapshot!(when("basearch > \"a\""), @r#"a.yaml: conditional-include: "basearch > \"a\"" cannot compare "x86_64" with "a"; compare numbers with numbers, texts in double quotes with texts, and order numbers only"#);
    insta::assert_snapshot!(when("44"), @"a.yaml: conditional-include: if: must be a condition or a list of conditions; write NAME == VALUE");
}

#[test]
fn includes_may_lie_fifty_deep_and_no_deeper() {
    let chain = |length: usize| {
        let mut files: BTreeMap<String, String> = (0..length)
            .map(|number| (format!("{number}.yaml"), format!("include: {}.yaml\n", number + 1)))
            .collect();
        files.insert(format!("{length}.yaml"), "packages: [a]\n".to_owned());
        read("0.yaml", &files, "x86_64")
    };
    assert_eq!(chain(50).unwrap().packages, ["a"]);
    assert!(chain(51).unwrap_err().what.contains("50 deep"));
}

#[test]
fn nested_text_of_any_depth_is_an_error_and_no_crash() {
    let start = std::time::Instant::now();
    let many = 100_000;
    let deep = [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("&a ", "")];
    for (open, close) in deep {
        let text = format!("metadata:\n  {}1{}\n", open.repeat(many), close.repeat(many));
        assert!(read("a.yaml", &files(&[("a.yaml", &text)]), "x86_64").is_err(), "{open}");
    }
    let json = format!("{{\"metadata\": {}1{}}}", "[".repeat(many), "]".repeat(many));
    assert!(read("a.json", &files(&[("a.json", &json)]), "x86_64").is_err());
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (before, name) in ('a'..='k').zip('b'..='l') {
        let seven = vec![format!("*{before}"); 7].join(", ");
        bomb.extend([name.to_string(), format!(": &{name} [{seven}]\n")]);
    }
    assert!(read("a.yaml", &files(&[("a.yaml", &bomb)]), "x86_64").is_err());
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

fn entry() -> impl Strategy<Value = String> {
    let keys = [
        "include",
        "arch-include",
        "conditional-include",
        "variables",
        "ref",
        "packages",
        "packages-x86_64",
        "repos",
        "repo-packages",
        "add-files",
        "remove-from-packages",
        "metadata",
        "edition",
        "container",
        "releasever",
        "other",
    ];
    let values = [
        "a",
        "44",
        "true",
        "[a, b]",
        "[]",
        "{}",
        "{x86_64: a.yaml}",
        "[{if: a == 1, include: b.yaml}]",
        "b.yaml",
        "~",
        "[[a, b]]",
        "\"${basearch}\"",
        "{a: b}",
        "[{repo: a, packages: [b]}]",
        "\"'a b'\"",
    ];
    (prop::sample::select(keys.to_vec()), prop::sample::select(values.to_vec()))
        .prop_map(|(key, value)| format!("{key}: {value}\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        for path in ["a.yaml", "a.json"] {
            let _ = read(path, &files(&[(path, &text)]), "x86_64");
        }
    }

    #[test]
    fn no_keys_make_the_reader_panic(entries in prop::collection::vec(entry(), 0..8), other in prop::collection::vec(entry(), 0..4)) {
        let _ = read("a.yaml", &files(&[("a.yaml", &entries.concat()), ("b.yaml", &other.concat())]), "x86_64");
    }
}

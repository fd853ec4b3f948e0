//! What flattening gives, and what it holds for every kickstart.
#![expect(clippy::unwrap_used, reason = "a test")]

use muster_definition::Directory;
use muster_definition::kickstart::{Syntax, flatten, read};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn kickstarts() -> Directory {
    Directory::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kickstarts"))
}

fn one(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("root.ks".to_owned(), text.to_owned())])
}

fn flat(text: &str, release: &str) -> String {
    flatten("root.ks", &one(text), release.parse().unwrap()).unwrap().text
}

#[test]
fn includes_are_put_in_place_and_packages_merge() {
    let flat = flatten("cloud.ks", &kickstarts(), "F44".parse().unwrap()).unwrap();
    assert_eq!(flat.files, ["cloud.ks", "base.ks", "repos.ks"]);
    insta::assert_snapshot!(flat.text, @r##"
    # Flattened by muster
    #version=F44
    # Use text mode install
    text
    # Firewall configuration
    firewall --disabled
    # Keyboard layouts
    keyboard --vckeymap=us --xlayouts='us'
    # System language
    lang en_US.UTF-8
    # Network information
    network  --bootproto=dhcp --device=link --activate
    # Shutdown after installation
    shutdown
    repo --name="main" --mirrorlist=https://mirrors.example.org/list?repo=main-$releasever&arch=$basearch
    repo --name="updates" --baseurl=https://example.org/updates/$releasever --cost=10 --excludepkgs="kernel*,dracut"
    # Root password
    rootpw --lock --plaintext locked
    # SELinux configuration
    selinux --enforcing
    # System services
    services --enabled="sshd,cloud-init"
    # System timezone
    timezone Etc/UTC --utc
    user --name=none
    # System bootloader configuration
    bootloader --append="no_timer_check console=tty1 console=ttyS0,115200n8" --location=mbr --timeout=1
    # Clear the Master Boot Record
    zerombr
    # Partition clearing information
    clearpart --all --initlabel
    # Disk partitioning information
    part / --asprimary --fstype="ext4" --grow --size=3000

    %post --logfile=/root/post.log --erroronfail
    # The rescue image would be as large as the rest of /boot.
    rm -f /boot/*-rescue*
    cat <<EOF > /etc/issue
    %{not a section}
    EOF
    %end

    %post --interpreter=/usr/bin/python3 --nochroot
    print("outside")
    %end

    %packages --excludedocs --nocore
    @core
    @guest-agents --optional
    cloud-init
    kernel-core
    plymouth
    -@hardware-support
    -*-firmware

    %end
    "##);
}

#[test]
fn the_options_of_the_last_packages_section_hold() {
    let text = "%packages --nocore --excludedocs --inst-langs=en\na\n%end\n%packages\n-a\nb\n%end\n";
    insta::assert_snapshot!(flat(text, "F43"), @r##"
    # Flattened by muster
    #version=F43
    # System bootloader configuration
    bootloader --location=none

    %packages --inst-langs=en
    b
    -a

    %end
    "##);
}

#[test]
fn flattening_something_flat_changes_nothing() {
    for file in ["base.ks", "repos.ks", "cloud.ks", "container.ks", "ostree.ks"] {
        let once = flatten(file, &kickstarts(), "F44".parse().unwrap()).unwrap().text;
        assert_eq!(flat(&once, "F44"), once, "{file}");
    }
}

#[test]
fn a_group_that_is_added_after_its_exclusion_keeps_both() {
    let once = flat("%packages\n-@g\n@g\n%end\n", "F43");
    assert!(once.ends_with("\n%packages\n-@g\n@g\n\n%end\n"), "{once}");
    assert_eq!(flat(&once, "F43"), once);
}

#[test]
fn a_default_of_an_earlier_section_excludes_what_it_would_exclude_in_the_same() {
    for (option, release) in [("--nobase", "RHEL6"), ("--nocore", "F43")] {
        let text = format!("%packages --default\nx\n%end\n%packages {option}\n-y\n%end\n");
        let error = flatten("root.ks", &one(&text), release.parse().unwrap()).unwrap_err();
        let what = format!("the --default of an earlier %packages and {option} exclude each other");
        assert_eq!((error.line, error.what), (4, what));
    }
}

#[test]
fn values_that_need_quotes_get_them() {
    let text = "rootpw 'p w'\nuser --name=a --gecos='A \"B\" \\' --shell='/bin/a b'\n";
    let once = flat(text, "F43");
    assert!(once.contains(r#"rootpw --plaintext "p w""#), "{once}");
    assert_eq!(flat(&once, "F43"), once);
}

#[test]
fn appended_kickstarts_are_read_where_they_are_named() {
    let files = BTreeMap::from([
        ("a/root.ks".to_owned(), "%ksappend more.ks\nskipx\n".to_owned()),
        ("a/more.ks".to_owned(), "text\n".to_owned()),
    ]);
    let flat = flatten("a/root.ks", &files, "F43".parse().unwrap()).unwrap();
    assert_eq!(flat.files, ["a/root.ks", "a/more.ks"]);
    assert!(flat.text.contains("# Use text mode install\ntext\n"), "{}", flat.text);
}

#[test]
fn an_include_that_leaves_its_packages_open_warns_when_nothing_is_lost_and_fails_when_something_is() {
    let syntax: Syntax = "F43".parse().unwrap();
    let open = ("open.ks".to_owned(), "%packages\n@core\n".to_owned());
    let files =
        BTreeMap::from([open.clone(), ("root.ks".to_owned(), "%include open.ks\n# end\n".to_owned())]);
    assert_eq!(flatten("root.ks", &files, syntax).unwrap().warnings.len(), 1);
    let files = BTreeMap::from([open, ("root.ks".to_owned(), "%include open.ks\ntext\n".to_owned())]);
    let error = flatten("root.ks", &files, syntax).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"open.ks:1: the section %packages is not ended; write %end where it ends");
}

#[test]
fn files_that_include_each_other_often_end_in_an_error() {
    let mut files = BTreeMap::new();
    for number in 0..30 {
        let next = number + 1;
        files.insert(format!("{number}.ks"), format!("%include {next}.ks\n%include {next}.ks\n"));
    }
    files.insert("30.ks".to_owned(), "skipx\n".to_owned());
    let error = flatten("0.ks", &files, Syntax::NEWEST).unwrap_err();
    assert_eq!(error.what, "there are too many includes");
}

#[test]
fn a_large_kickstart_is_read_in_seconds() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for number in 0..20_000 {
        writeln!(text, "part /{number} --size=1 --fstype=ext4 --label=\"a b\"").unwrap();
        writeln!(
            text,
            "%packages\n{}package-{number}\n@group-{number}\n-@group-{}\n%end",
            if number % 2 == 0 { "-" } else { "" },
            number / 2
        )
        .unwrap();
    }
    text.push_str("%post\n");
    text.push_str(&"echo a line of a long script\n".repeat(100_000));
    text.push_str("%end\n");
    assert!(text.len() > 4_000_000, "{}", text.len());
    let start = std::time::Instant::now();
    flatten("root.ks", &one(&text), Syntax::NEWEST).unwrap();
    // A few seconds without optimisation on an idle core; anything quadratic takes hours.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn ten_megabytes_are_read_in_seconds_in_one_file_and_in_many_that_lie_deep() {
    let script = "echo a line of a long script\n".repeat(10_000_000 / 29 + 1);
    assert!(script.len() > 10_000_000);
    let whole = format!("%post\n{script}%end\n");
    let mut files = one(&format!("{whole}%include 1.ks\n"));
    for number in 1..39 {
        let part = &script[..script.len() / 38];
        let next = if number < 38 { format!("%include {}.ks\n", number + 1) } else { String::new() };
        files.insert(format!("{number}.ks"), format!("%post\n{part}\n%end\n{next}"));
    }
    let start = std::time::Instant::now();
    let flat = flatten("root.ks", &files, Syntax::NEWEST).unwrap();
    assert_eq!(flat.files.len(), 39);
    assert!(flat.text.len() > 19_000_000, "{}", flat.text.len());
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

#[test]
fn more_than_sixty_four_megabytes_are_refused_before_they_are_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    // A file with nothing in it takes no room, however large it is.
    std::fs::File::create(folder.path().join("huge.ks")).unwrap().set_len(1 << 40).unwrap();
    let start = std::time::Instant::now();
    let error = flatten("huge.ks", &Directory::new(folder.path()), Syntax::NEWEST).unwrap_err().to_string();
    assert_eq!(error, "huge.ks: huge.ks is larger than 64 MiB");
    let ten = format!("%post\n{}\n%end\n", "x".repeat(10 << 20));
    let includes = "%include ten.ks\n".repeat(7);
    let files = BTreeMap::from([("root.ks".to_owned(), includes), ("ten.ks".to_owned(), ten)]);
    let error = flatten("root.ks", &files, Syntax::NEWEST).unwrap_err();
    assert_eq!(
        (error.line, error.what.as_str()),
        (7, "the text is larger than 64 MiB with all its includes")
    );
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

/// Lines that make up kickstarts, right and wrong ones.
fn line() -> impl Strategy<Value = String> {
    let known: Vec<&str> = include_str!("lines.txt").lines().collect();
    prop_oneof![
        8 => prop::sample::select(known).prop_map(|line| line.replace("\\n", "\n")),
        1 => "[ -~é\u{feff}\t]{0,30}",
        1 => prop::sample::select(vec!["%end", "%packages", "%post", "%pre --log=a", "%include root.ks", "%addon a 'b c'"])
            .prop_map(str::to_owned),
    ]
}

fn release() -> impl Strategy<Value = Syntax> {
    let releases = [
        "F7", "F8", "F12", "RHEL6", "F17", "F20", "RHEL7", "F28", "RHEL8", "F33", "RHEL9", "F40", "F43",
        "F46",
    ];
    prop::sample::select(releases.to_vec()).prop_map(|release| release.parse().unwrap())
}

/// Whether sections end with `%end`. Where they do not, the blank line before the next one belongs to a script.
fn has_ends(release: Syntax) -> bool {
    "F7".parse::<Syntax>().is_ok_and(|oldest| release != oldest)
}

fn without_blank_lines(text: &str) -> String {
    text.lines().filter(|line| !line.is_empty()).collect::<Vec<&str>>().join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), release in release()) {
        let _ = read("root.ks", &one(&text), release);
    }

    #[test]
    fn no_lines_make_the_reader_panic(lines in prop::collection::vec(line(), 0..12), release in release()) {
        let _ = read("root.ks", &one(&lines.join("\n")), release);
    }

    #[test]
    fn what_is_flat_stays_as_it_is(lines in prop::collection::vec(line(), 1..5), release in release()) {
        let Ok(once) = flatten("root.ks", &one(&lines.join("\n")), release) else { return Ok(()) };
        let twice = flatten("root.ks", &one(&once.text), release);
        let (once, twice) = (once.text, twice.map(|flat| flat.text));
        if has_ends(release) {
            prop_assert_eq!(twice, Ok(once));
        } else {
            prop_assert_eq!(twice.map(|text| without_blank_lines(&text)), Ok(without_blank_lines(&once)));
        }
    }
}

//! What a wrong kickstart is told: file, line, what is wrong, and what to write instead.
#![expect(clippy::unwrap_used, reason = "a test")]

use muster_definition::kickstart::read;
use std::collections::BTreeMap;

fn error(release: &str, text: &str) -> String {
    let files = BTreeMap::from([("root.ks".to_owned(), text.to_owned())]);
    read("root.ks", &files, release.parse().unwrap()).unwrap_err().to_string()
}

fn warnings(release: &str, text: &str) -> String {
    let files = BTreeMap::from([("root.ks".to_owned(), text.to_owned())]);
    let warnings = read("root.ks", &files, release.parse().unwrap()).unwrap().warnings;
    warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn two_dashes_make_no_word_of_an_option() {
    insta::assert_snapshot!(error("RHEL6", "rootpw -- --use\n"), @"root.ks:1: rootpw: --use looks like an option; write another word");
}

#[test]
fn a_member_that_looks_like_an_option_is_none() {
    for text in ["volgroup a \"--b c\"\n", "volgroup a --noformat \"--b c\"\n"] {
        let error = error("RHEL6", text);
        assert!(error.contains("there is no option --b"), "{text}: {error}");
    }
}

#[test]
fn a_word_that_holds_the_end_of_its_line_is_refused() {
    for text in ["part /\\\n", "part / --fstype=ext4\x1c", "part /\u{85}\ntext\n", "%post --log=a\\\n%end\n"]
    {
        let error = error("F43", text);
        assert!(error.contains("the end of the line belongs to its last word; "), "{text:?}: {error}");
    }
    // Its words are kept as they stand, without the blank at the end.
    let error = error("F7", "auth --enablemd5 a\\ \n");
    assert!(error.contains("the end of the line belongs to its last word; "), "{error}");
}

#[test]
fn deprecated_options_are_warnings() {
    insta::assert_snapshot!(warnings("F43", "timezone UTC --isUtc --nontp\n%packages --instLangs=en --excludeWeakdeps\n%end\n"), @r"
    root.ks:1: --isUtc is deprecated in F43; write --utc
    root.ks:1: --nontp is deprecated in F43; write timesource --ntp-disable
    root.ks:2: --instLangs is deprecated in F43; write --inst-langs
    root.ks:2: --excludeWeakdeps is deprecated in F43; write --exclude-weakdeps
    ");
}

#[test]
fn deprecated_commands_and_repetitions_are_warnings() {
    insta::assert_snapshot!(warnings("F40", "nvdimm use --namespace=a\npart / --size=1\npart / --size=2\n"), @r"
    root.ks:1: nvdimm does nothing in F40; remove the line: namespaces are set up with ndctl
    root.ks:3: part / is there already
    ");
}

#[test]
fn a_file_without_a_syntax_is_refused() {
    use muster_definition::kickstart::Syntax;
    insta::assert_snapshot!("F6".parse::<Syntax>().unwrap_err(), @"there is no kickstart syntax F6; write F7 to F46, RHEL6 to RHEL11, or DEVEL");
}

#[test]
fn an_unknown_command_is_named() {
    insta::assert_snapshot!(error("F43", "lang en_US.UTF-8\necho hello\n"), @"root.ks:2: there is no command echo; correct the name; shell commands belong in a %post section");
}

#[test]
fn a_command_in_capitals_is_corrected() {
    insta::assert_snapshot!(error("F43", "TimeZone UTC\n"), @"root.ks:1: there is no command TimeZone; write timezone: commands are in lower case");
}

#[test]
fn a_byte_order_mark_is_named() {
    insta::assert_snapshot!(error("F43", "\u{feff}timezone UTC\n"), @"root.ks:1: the file starts with a byte order mark; save it as UTF-8 without one");
}

#[test]
fn a_command_from_the_future_says_when_it_came() {
    insta::assert_snapshot!(error("F37", "ostreecontainer --url=quay.io/a/b\n"), @"root.ks:1: F37 has no command ostreecontainer; the command came with F38: read the file as that release, or remove the line");
}

#[test]
fn a_removed_command_says_what_to_do() {
    insta::assert_snapshot!(error("F43", "install\n"), @"root.ks:1: install: F43 has removed the command; remove the line: nothing but installing is possible");
}

#[test]
fn a_removed_option_says_what_to_write() {
    insta::assert_snapshot!(error("RHEL10", "timezone Etc/UTC --isUtc\n"), @"root.ks:1: timezone: RHEL10 does not know --isUtc any more; write --utc");
}

#[test]
fn an_option_from_the_future_says_when_it_came() {
    insta::assert_snapshot!(error("F20", "autopart --type=plain --nohome\n"), @"root.ks:1: autopart: F20 does not know --nohome; it came with F26: leave it out");
}

#[test]
fn an_unknown_option_is_listed_with_the_known_ones() {
    insta::assert_snapshot!(error("F43", "selinux --lax\n"), @"root.ks:1: selinux: there is no option --lax; there are --disabled, --enforcing, --permissive");
}

#[test]
fn an_option_without_dashes_is_corrected() {
    insta::assert_snapshot!(error("F20", "bootloader extlinux\n"), @"root.ks:1: bootloader: extlinux is no word of its own here; write --extlinux");
}

#[test]
fn an_ambiguous_abbreviation_is_refused() {
    insta::assert_snapshot!(error("F43", "part / --fs=ext4\n"), @"root.ks:1: part: --fs may mean --fstype or --fsoptions; write the option in full");
}

#[test]
fn a_value_that_is_missing_is_asked_for() {
    insta::assert_snapshot!(error("F43", "part / --size\n"), @"root.ks:1: part: --size has no value; write --size=VALUE");
}

#[test]
fn a_size_that_is_no_number_is_refused() {
    insta::assert_snapshot!(error("F43", "part / --size=3G\n"), @"root.ks:1: part: --size=3G is not possible; write a whole number after --size=");
}

#[test]
fn a_choice_is_listed() {
    insta::assert_snapshot!(error("F43", "bootloader --location=disk\n"), @"root.ks:1: bootloader: --location=disk is not possible; write one of mbr, partition, none, boot");
}

#[test]
fn a_flag_takes_no_value() {
    insta::assert_snapshot!(error("F43", "part / --grow=yes\n"), @r#"root.ks:1: part: --grow takes no value, and "yes" is given; write --grow alone"#);
}

#[test]
fn a_word_too_many_is_quoted() {
    insta::assert_snapshot!(error("F43", "services --enabled=sshd, chronyd\n"), @r#"root.ks:1: services: nothing is expected at "chronyd"; remove it; a list has no blanks after its commas, and a value with blanks stands in quotes"#);
}

#[test]
fn a_backslash_does_not_continue_a_line() {
    insta::assert_snapshot!(error("F43", "part / --size=1 \\\n  --grow\n"), @"root.ks:1: part: a backslash does not continue a line; write the command on one line");
}

#[test]
fn an_open_quote_is_placed() {
    insta::assert_snapshot!(error("F43", "lang en_US\nuser --name=a --gecos=\"A B\n"), @r#"root.ks:2: " on the line has no partner; close it, or put a backslash before it"#);
}

#[test]
fn a_required_option_is_asked_for() {
    insta::assert_snapshot!(error("F43", "ostreesetup --osname=a --url=http://x/\n"), @"root.ks:1: ostreesetup: --ref is missing; add --ref=VALUE");
}

#[test]
fn a_mount_point_is_asked_for() {
    insta::assert_snapshot!(error("F43", "part --size=1\n"), @"root.ks:1: part: the mount point is missing; write the mount point after the command");
}

#[test]
fn options_that_exclude_each_other_are_both_named() {
    insta::assert_snapshot!(error("F43", "bootloader --sdboot --extlinux\n"), @"root.ks:1: bootloader: --sdboot and --extlinux exclude each other; keep either --sdboot or --extlinux");
}

#[test]
fn commands_that_exclude_each_other_are_both_named() {
    insta::assert_snapshot!(error("F43", "autopart\npart / --size=1\n"), @"root.ks:2: part: part and autopart exclude each other; keep either part or autopart");
}

#[test]
fn a_url_must_say_which_kind_it_is() {
    insta::assert_snapshot!(error("F43", "url --proxy=http://p\n"), @"root.ks:1: url: the line does not say which; add one of --url=VALUE, --mirrorlist=VALUE, --metalink=VALUE");
}

#[test]
fn a_repository_has_one_address() {
    insta::assert_snapshot!(error("F43", "repo --name=a --baseurl=http://a --metalink=http://b\n"), @"root.ks:1: repo: --baseurl and --metalink exclude each other; keep either --baseurl or --metalink");
}

#[test]
fn an_unknown_section_is_named() {
    insta::assert_snapshot!(error("F43", "%packges\n%end\n"), @"root.ks:1: there is no section %packges; correct the name; there are %packages, %pre, %pre-install, %post, %onerror, %traceback, %addon, %anaconda, %certificate");
}

#[test]
fn a_section_that_does_not_end_is_placed_at_its_header() {
    insta::assert_snapshot!(error("F43", "lang en_US\n%packages\n@core\n"), @"root.ks:2: the section %packages is not ended; write %end where it ends");
}

#[test]
fn a_section_inside_a_section_is_refused() {
    insta::assert_snapshot!(error("F43", "%post\necho\n%packages\n@core\n%end\n"), @"root.ks:3: a section begins inside %post; end that section with %end first; in a script, move the word away from the start of the line");
}

#[test]
fn an_old_option_of_packages_is_corrected() {
    insta::assert_snapshot!(error("RHEL10", "%packages --instLangs=en\n%end\n"), @"root.ks:1: RHEL10 does not know --instLangs any more; write --inst-langs");
}

#[test]
fn a_group_is_mandatory_or_whole() {
    insta::assert_snapshot!(error("F43", "%packages\n@g --nodefaults --optional\n%end\n"), @"root.ks:2: --nodefaults and --optional exclude each other; keep --nodefaults for fewer packages, or --optional for more");
}

#[test]
fn a_lone_minus_excludes_nothing() {
    insta::assert_snapshot!(error("F43", "%packages\n-\n%end\n"), @"root.ks:2: nothing stands after the minus; write -NAME");
}

#[test]
fn an_include_that_is_missing_is_placed() {
    insta::assert_snapshot!(error("F43", "# one\n%include missing.ks\n"), @"root.ks:2: there is no file missing.ks; add the file, or correct the path");
}

#[test]
fn an_include_needs_a_path() {
    insta::assert_snapshot!(error("F43", "%include\n"), @"root.ks:1: nothing stands after %include; write %include PATH");
}

#[test]
fn an_address_is_not_fetched() {
    insta::assert_snapshot!(error("F43", "%include https://example.org/a.ks\n"), @"root.ks:1: https://example.org/a.ks is an address; definitions are read from files only, so keep a copy of it beside this file");
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    insta::assert_snapshot!(error("F43", "%include root.ks\n"), @"root.ks:1: root.ks includes itself: root.ks -> root.ks; take one of these includes out");
}

#[test]
fn an_include_leaves_the_folder() {
    insta::assert_snapshot!(error("F43", "%include ../../etc/passwd\n"), @"root.ks:1: ../../etc/passwd lies outside the folder of the definition");
}
